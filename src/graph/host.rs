//! What a node computes, as the model's own operators on the CPU: one tract operator, or several after fusion. It is the
//! oracle of lowering, and how a CPU node runs.

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

/// One operator of the model.
#[derive(Clone, Debug)]
pub struct Step {
    /// The operator.
    pub op: Box<dyn TypedOp>,
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
    /// One operator; `inputs` are its arguments.
    pub fn single(op: Box<dyn TypedOp>, inputs: Vec<(Source, DatumType)>, n_outputs: usize) -> HostProgram {
        let outputs = (0..n_outputs).map(|k| Source::Step(0, k)).collect();
        HostProgram { steps: vec![Step { op, inputs }], outputs }
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
            steps.push(Step { op: step.op.clone(), inputs });
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
                // Shape arithmetic is 64-bit integers on our side and symbolic dimensions on tract's.
                let value = if value.datum_type() == *declared {
                    value
                } else {
                    value.cast_to_dt(*declared)?.into_owned().into_tvalue()
                };
                arguments.push(value);
            }
            results.push(evaluate(step.op.as_ref(), arguments)?);
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
