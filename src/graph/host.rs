//! What a node computes, as functions on the CPU: one, or several after fusion. It is how a CPU node and the reference
//! device run. An operator with a kernel is that kernel's plain reference ([`super::plain`]), a sum of products the
//! library's, which is as right and much faster; what has no kernel is the library's operator, but for those that it
//! computes in 32 bits ([`super::integers`]).

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::fft::Fft;
use tract_onnx::tract_core::ops::nn::Reduce;

use super::import::tensor::{from_tract, to_tract};
use super::quiet;
use crate::hal::HostFn;
use crate::tensor::HostTensor;

/// Where an argument of a step comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// An input of the program.
    Input(usize),
    /// An output of an earlier step.
    Step(usize, usize),
    /// Known when the model was loaded.
    Constant(Arc<Tensor>),
}

/// What a step computes with.
#[derive(Clone, Debug)]
pub enum Function {
    /// The model's operator as the library computes it.
    Library(Box<dyn TypedOp>),
    /// A function of ours.
    Own(Arc<dyn HostFn>),
}

/// One operator of the model.
#[derive(Clone, Debug)]
pub struct Step {
    /// The function.
    pub function: Function,
    /// Its arguments, with the types that it declares for them.
    pub inputs: Vec<(Source, DatumType)>,
}

/// A small program of the model's operators.
#[derive(Clone, Debug, Default)]
pub struct HostProgram {
    /// The operators in order.
    pub steps: Vec<Step>,
    /// What the program answers.
    pub outputs: Vec<Source>,
}

impl HostProgram {
    /// One function; `inputs` are its arguments.
    pub fn single(function: Function, inputs: Vec<(Source, DatumType)>, n_outputs: usize) -> HostProgram {
        let outputs = (0..n_outputs).map(|k| Source::Step(0, k)).collect();
        HostProgram { steps: vec![Step { function, inputs }], outputs }
    }

    /// The program that answers its input `k`, or a constant.
    pub fn answer(source: Source) -> HostProgram {
        HostProgram { steps: Vec::new(), outputs: vec![source] }
    }

    /// `self` and then `next`, whose input `k` is `wiring[k]`: an input of the joint program, or an output of `self`.
    pub fn then(&self, next: &HostProgram, wiring: &[Wire]) -> HostProgram {
        let base = self.steps.len();
        let moved = |source: &Source| match source {
            Source::Input(k) => match wiring[*k] {
                Wire::Input(i) => Source::Input(i),
                Wire::Output(o) => self.outputs[o].clone(),
            },
            Source::Step(s, o) => Source::Step(s + base, *o),
            Source::Constant(c) => Source::Constant(c.clone()),
        };
        let mut steps = self.steps.clone();
        for step in &next.steps {
            let inputs = step.inputs.iter().map(|(s, dt)| (moved(s), *dt)).collect();
            steps.push(Step { function: step.function.clone(), inputs });
        }
        HostProgram { steps, outputs: next.outputs.iter().map(moved).collect() }
    }

    fn run(&self, inputs: &[HostTensor]) -> TractResult<Vec<HostTensor>> {
        let inputs: Vec<TValue> = inputs.iter().map(|t| Ok(to_tract(t)?.into_tvalue())).collect::<TractResult<_>>()?;
        let mut results: Vec<TVec<TValue>> = Vec::new();
        let pick = |source: &Source, results: &[TVec<TValue>]| match source {
            Source::Input(k) => inputs[*k].clone(),
            Source::Step(s, o) => results[*s][*o].clone(),
            Source::Constant(c) => c.clone().into_tvalue(),
        };
        for step in &self.steps {
            let mut arguments = tvec!();
            for (source, declared) in &step.inputs {
                let value = pick(source, &results);
                arguments.push(typed(value, *declared)?);
            }
            results.push(match &step.function {
                Function::Library(op) => evaluate(op.as_ref(), arguments)?,
                Function::Own(function) => evaluate_own(function.as_ref(), &arguments)?,
            });
        }
        self.outputs.iter().map(|s| from_tract(&pick(s, &results))).collect()
    }
}

/// How an input of the second of two programs is fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// By an input of the joint program.
    Input(usize),
    /// By an output of the first.
    Output(usize),
}

/// The value as the type that an operator declares.
fn typed(value: TValue, declared: DatumType) -> TractResult<TValue> {
    if value.datum_type() == declared {
        return Ok(value);
    }
    // Shape arithmetic is 64-bit integers on our side and symbolic dimensions on tract's, which would cast by way of 32.
    if declared == DatumType::TDim {
        let integers = value.cast_to_dt(DatumType::I64)?;
        let dims: Vec<TDim> = from_tract(&integers)?.to_i64().into_iter().map(TDim::from).collect();
        return Ok(tensor1(&dims).into_shape(value.shape())?.into_tvalue());
    }
    Ok(value.cast_to_dt(declared)?.into_owned().into_tvalue())
}

fn evaluate_own(function: &dyn HostFn, arguments: &[TValue]) -> TractResult<TVec<TValue>> {
    let arguments = arguments.iter().map(|v| from_tract(v)).collect::<TractResult<Vec<HostTensor>>>()?;
    let results = function.eval(&arguments).map_err(TractError::msg)?;
    results.iter().map(|t| Ok(to_tract(t)?.into_tvalue())).collect()
}

/// One operator, in the precision that its result needs.
fn evaluate(op: &dyn TypedOp, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
    // Bins of a spectrum that cancel keep the rounding of the others: in single precision that is seen.
    let spectral = op.downcast_ref::<Fft>().is_some_and(|fft| !fft.inverse);
    if spectral && inputs[0].datum_type() == DatumType::F32 {
        let cast = |value: &TValue, to| Ok(value.cast_to_dt(to)?.into_owned().into_tvalue());
        let wide = inputs.iter().map(|v| cast(v, DatumType::F64)).collect::<TractResult<TVec<TValue>>>()?;
        let outputs = evaluate_as_is(op, wide)?;
        return outputs.iter().map(|v| cast(v, DatumType::F32)).collect();
    }
    // Extremes of truth values: tract has them for numbers only.
    if op.is::<Reduce>() && inputs[0].datum_type() == DatumType::Bool {
        let number = inputs[0].cast_to_dt(DatumType::U8)?.into_owned().into_tvalue();
        if let Ok(outputs) = evaluate_as_is(op, tvec!(number)) {
            let back = |v: &TValue| Ok(v.cast_to_dt(DatumType::Bool)?.into_owned().into_tvalue());
            return outputs
                .iter()
                .map(|v| if v.datum_type() == DatumType::U8 { back(v) } else { Ok(v.clone()) })
                .collect();
        }
    }
    evaluate_as_is(op, inputs)
}

/// Operators that keep state (loops) run in a plan of their own.
fn evaluate_as_is(op: &dyn TypedOp, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
    if let Some(outputs) = op.eval_out_of_plan(inputs.clone())? {
        return Ok(outputs);
    }
    let mut model = TypedModel::default();
    let mut wires = tvec!();
    for (k, value) in inputs.iter().enumerate() {
        let fact = TypedFact::dt_shape(value.datum_type(), value.shape());
        wires.push(model.add_source(format!("input{k}"), fact)?);
    }
    let op: Box<dyn TypedOp> = dyn_clone::clone_box(op);
    let outputs = model.wire_node("operator", op, &wires)?;
    model.select_output_outlets(&outputs)?;
    model.into_runnable()?.run(inputs)
}

impl HostFn for HostProgram {
    fn eval(&self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, String> {
        let result = quiet::caught(|| self.run(inputs))?;
        // What comes after the first line are dumps of operators.
        result.map_err(|e| format!("{e:#}").lines().next().unwrap_or_default().into())
    }
}
