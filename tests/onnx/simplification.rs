//! Random chains of operators compute the same before and after simplification, lowering and fusion. The oracle is tract's
//! own evaluation of the graph as typed, operator by operator, without any of its rewriting.
//!
//! Each graph has a few operators of those that rules of simplification look for next to each other: strides, broadcasts,
//! contractions, convolutions, softmax, reductions, reshapes, arithmetic with constants. With COTENANT_FULL there are many
//! more, and they also run on the GPUs of this machine.

use cotenant::engine::Engine;
use cotenant::tensor::HostTensor;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tract_onnx::prelude::*;

use super::net::{Net, int, ints, text};
use super::plain::Plain;
use super::{engines, run};

/// A graph under construction: values that can be used, with their shapes.
struct Chain {
    net: Net,
    rng: StdRng,
    values: Vec<(String, Vec<usize>)>,
    inputs: Vec<Plain>,
    /// For messages.
    story: Vec<String>,
}

impl Chain {
    fn new(seed: u64) -> Chain {
        let mut chain = Chain {
            net: Net::new(17),
            rng: StdRng::seed_from_u64(seed),
            values: Vec::new(),
            inputs: Vec::new(),
            story: Vec::new(),
        };
        let rank = chain.rng.random_range(2..5);
        let shape: Vec<usize> = (0..rank).map(|_| *[1, 1, 2, 3, 4, 6, 9].choose(&mut chain.rng).unwrap()).collect();
        chain.input(&shape);
        for _ in 0..chain.rng.random_range(1..5) {
            chain.step();
        }
        let (last, _) = chain.values.last().expect("there is a value").clone();
        chain.net.output(&last);
        if chain.values.len() > 2 && chain.rng.random_bool(0.2) {
            // A value in the middle is wanted as well.
            let (middle, _) = chain.values[chain.values.len() - 2].clone();
            chain.net.output(&middle);
        }
        chain
    }

    fn input(&mut self, shape: &[usize]) -> String {
        let name = self.net.input(shape);
        self.inputs.push(Plain::random(shape, &mut self.rng));
        self.values.push((name.clone(), shape.into()));
        name
    }

    /// Another operand: a constant, mostly, or an input.
    fn operand(&mut self, shape: &[usize]) -> String {
        if self.rng.random_bool(0.3) {
            let name = self.net.input(shape);
            self.inputs.push(Plain::random(shape, &mut self.rng));
            return name;
        }
        let value = Plain::random(shape, &mut self.rng).map(|v| v + 0.1);
        self.net.constant(&value.tensor())
    }

    fn push(&mut self, op: &str, inputs: &[&str], attributes: Vec<tract_onnx::pb::AttributeProto>, shape: Vec<usize>) {
        if shape.iter().product::<usize>() > 4000 {
            return;
        }
        let name = self.net.node(op, inputs, attributes);
        self.story.push(format!("{op} {shape:?}"));
        self.values.push((name, shape));
    }

    /// One more operator on the newest value.
    fn step(&mut self) {
        let (x, shape) = self.values.last().expect("there is an input").clone();
        let rank = shape.len();
        let axis = self.rng.random_range(0..rank);
        match self.rng.random_range(0..19) {
            0 | 1 => self.slice(&x, &shape, axis),
            2 => self.broadcast(&x, &shape, axis),
            3 => self.tile(&x, &shape, axis),
            4 | 5 => self.product(&x, &shape),
            6 | 7 => self.convolution(&x, &shape),
            8 => self.push("Softmax", &[&x], vec![int("axis", axis as i64)], shape),
            9 => self.reduce(&x, &shape, axis),
            10 => self.transpose(&x, &shape),
            11 => self.reshape(&x, &shape),
            12..=14 => self.arithmetic(&x, &shape),
            15 => self.elementwise(&x, &shape),
            16 => self.concat(&x, &shape, axis),
            17 => self.pad(&x, &shape, axis),
            _ => self.equation(&x, &shape),
        }
    }

    fn slice(&mut self, x: &str, shape: &[usize], axis: usize) {
        let start = self.rng.random_range(0..shape[axis].min(3));
        let step = *[1, 1, 2, 2, 3].choose(&mut self.rng).unwrap();
        let parameters = [start as i64, i64::MAX, axis as i64, step as i64].map(|v| self.net.list(&[v]));
        let mut out = shape.to_vec();
        out[axis] = (shape[axis] - start).div_ceil(step);
        let [a, b, c, d] = parameters.each_ref().map(String::as_str);
        self.push("Slice", &[x, a, b, c, d], vec![], out);
    }

    fn broadcast(&mut self, x: &str, shape: &[usize], axis: usize) {
        let mut out = shape.to_vec();
        if out[axis] == 1 {
            out[axis] = 3;
        }
        let sizes = self.net.list(&out.iter().map(|&d| d as i64).collect::<Vec<_>>());
        self.push("Expand", &[x, &sizes], vec![], out);
    }

    fn tile(&mut self, x: &str, shape: &[usize], axis: usize) {
        let mut times = vec![1; shape.len()];
        times[axis] = 2;
        let sizes = self.net.list(&times);
        let mut out = shape.to_vec();
        out[axis] *= 2;
        self.push("Tile", &[x, &sizes], vec![], out);
    }

    fn product(&mut self, x: &str, shape: &[usize]) {
        let rank = shape.len();
        let n = self.rng.random_range(1..5);
        if self.rng.random_bool(0.3) {
            // The newest value on the right.
            let left = self.operand(&[n, shape[rank - 2]]);
            let mut out = shape.to_vec();
            out[rank - 2] = n;
            return self.push("MatMul", &[&left, x], vec![], out);
        }
        let right = self.operand(&[shape[rank - 1], n]);
        let mut out = shape.to_vec();
        out[rank - 1] = n;
        if rank == 2 && self.rng.random_bool(0.5) {
            return self.push("Gemm", &[x, &right], vec![], out);
        }
        self.push("MatMul", &[x, &right], vec![], out);
    }

    fn convolution(&mut self, x: &str, shape: &[usize]) {
        let rank = shape.len();
        if rank < 3 {
            return;
        }
        let spatial = rank - 2;
        let depthwise = self.rng.random_bool(0.3);
        let channels = shape[1];
        let outputs = if depthwise { channels } else { self.rng.random_range(1..4) };
        let taps: Vec<usize> = (0..spatial)
            .map(|k| if shape[k + 2] < 3 { 1 } else { *[1, 1, 3].choose(&mut self.rng).unwrap() })
            .collect();
        let strides: Vec<usize> = (0..spatial).map(|_| self.rng.random_range(1..3)).collect();
        let pads: Vec<usize> = taps.iter().map(|t| self.rng.random_range(0..t.div_ceil(2) + 1)).collect();
        let mut w = vec![outputs, if depthwise { 1 } else { channels }];
        w.extend(&taps);
        let weights = self.operand(&w);
        let long = |values: &[usize]| values.iter().map(|&v| v as i64).collect::<Vec<_>>();
        let both: Vec<usize> = pads.iter().chain(&pads).copied().collect();
        let attributes = vec![
            ints("strides", &long(&strides)),
            ints("pads", &long(&both)),
            int("group", if depthwise { channels as i64 } else { 1 }),
        ];
        let mut out = vec![shape[0], outputs];
        out.extend((0..spatial).map(|k| (shape[k + 2] + 2 * pads[k] - taps[k]) / strides[k] + 1));
        self.push("Conv", &[x, &weights], attributes, out);
    }

    fn reduce(&mut self, x: &str, shape: &[usize], axis: usize) {
        let op = *["ReduceSum", "ReduceMean", "ReduceMax"].choose(&mut self.rng).unwrap();
        let mut out = shape.to_vec();
        out[axis] = 1;
        if op == "ReduceSum" {
            let axes = self.net.list(&[axis as i64]);
            return self.push(op, &[x, &axes], vec![], out);
        }
        self.push(op, &[x], vec![ints("axes", &[axis as i64])], out);
    }

    fn transpose(&mut self, x: &str, shape: &[usize]) {
        let mut perm: Vec<usize> = (0..shape.len()).collect();
        let (a, b) = (self.rng.random_range(0..perm.len()), self.rng.random_range(0..perm.len()));
        perm.swap(a, b);
        let out = perm.iter().map(|&p| shape[p]).collect();
        let perm: Vec<i64> = perm.iter().map(|&p| p as i64).collect();
        self.push("Transpose", &[x], vec![ints("perm", &perm)], out);
    }

    /// Joins two axes, or splits one off.
    fn reshape(&mut self, x: &str, shape: &[usize]) {
        let mut out = shape.to_vec();
        let axis = self.rng.random_range(0..out.len());
        if out.len() > 2 && axis > 0 && self.rng.random_bool(0.6) {
            let joined = out.remove(axis);
            out[axis - 1] *= joined;
        } else if out.len() < 5 {
            let divisor = [3, 2, 1].into_iter().find(|d| out[axis].is_multiple_of(*d)).unwrap_or(1);
            out[axis] /= divisor;
            out.insert(axis, divisor);
        }
        let sizes = self.net.list(&out.iter().map(|&d| d as i64).collect::<Vec<_>>());
        self.push("Reshape", &[x, &sizes], vec![], out);
    }

    /// With a constant, one value per element of some axes, on either side.
    fn arithmetic(&mut self, x: &str, shape: &[usize]) {
        let op = *["Add", "Sub", "Mul", "Div", "Max"].choose(&mut self.rng).unwrap();
        let thin: Vec<usize> = shape.iter().map(|&d| if self.rng.random_bool(0.5) { 1 } else { d }).collect();
        let earlier: Vec<_> = self.values.iter().filter(|(_, s)| s == shape).map(|v| v.0.clone()).collect();
        let other = match self.rng.random_range(0..4) {
            0 => earlier.choose(&mut self.rng).expect("the value itself").clone(),
            1 => {
                let value = *[0.0, 1.0, 2.0, -1.0].choose(&mut self.rng).unwrap();
                self.net.constant(&HostTensor::from_f32(&[], &[value]))
            }
            2 if shape.len() > 2 => {
                let mut per_channel = vec![1; shape.len()];
                per_channel[1] = shape[1];
                self.operand(&per_channel)
            }
            _ => self.operand(&thin),
        };
        let operands = if self.rng.random_bool(0.5) { [x, &other] } else { [&other, x] };
        self.push(op, &operands, vec![], shape.to_vec());
    }

    fn elementwise(&mut self, x: &str, shape: &[usize]) {
        let op = *["Relu", "Neg", "Abs", "Exp", "Sigmoid", "Tanh", "Sqrt", "Reciprocal"].choose(&mut self.rng).unwrap();
        self.push(op, &[x], vec![], shape.to_vec());
    }

    fn concat(&mut self, x: &str, shape: &[usize], axis: usize) {
        let mut more = shape.to_vec();
        more[axis] = self.rng.random_range(1..4);
        let other = if self.rng.random_bool(0.3) { x.to_string() } else { self.operand(&more) };
        let mut out = shape.to_vec();
        out[axis] += if other == x { shape[axis] } else { more[axis] };
        let operands = if self.rng.random_bool(0.5) { [x, &other] } else { [&other, x] };
        self.push("Concat", &operands, vec![int("axis", axis as i64)], out);
    }

    fn pad(&mut self, x: &str, shape: &[usize], axis: usize) {
        let mut pads = vec![0; 2 * shape.len()];
        pads[axis] = 1;
        pads[axis + shape.len()] = self.rng.random_range(0..3);
        let mut out = shape.to_vec();
        out[axis] += (pads[axis] + pads[axis + shape.len()]) as usize;
        let pads = self.net.list(&pads);
        self.push("Pad", &[x, &pads], vec![], out);
    }

    /// A contraction over a leading axis.
    fn equation(&mut self, x: &str, shape: &[usize]) {
        if shape.len() != 3 {
            return;
        }
        let n = self.rng.random_range(1..4);
        let right = self.operand(&[shape[1], n]);
        let attributes = vec![text("equation", "bkm,kn->bnm")];
        self.push("Einsum", &[x, &right], attributes, vec![shape[0], n, shape[2]]);
    }
}

/// What tract computes of the typed graph as it is.
fn oracle(chain: &Chain) -> TractResult<Vec<HostTensor>> {
    let parsed = tract_onnx::onnx().parse(&chain.net.clone().finish(), None)?;
    let inputs = chain.inputs.iter().map(|input| {
        let tensor = input.tensor();
        Ok(Tensor::from_shape(tensor.shape(), &tensor.to_f32())?.into_tvalue())
    });
    let outputs = parsed.model.into_typed()?.into_runnable()?.run(inputs.collect::<TractResult<_>>()?)?;
    let convert = |value: &TValue| {
        let values = value.cast_to::<f32>()?;
        let view = values.view();
        Ok(HostTensor::from_f32(value.shape(), view.as_slice::<f32>()?))
    };
    outputs.iter().map(convert).collect()
}

/// Operators in which the oracle loses what is no number; ours keep it, as ONNX asks.
const LOSE_NAN: [&str; 6] = ["Max ", "Min ", "Clip ", "Relu ", "Sigmoid ", "Tanh "];

fn same(got: &[HostTensor], expected: &[HostTensor], story: &[String]) -> Result<(), String> {
    let loses_nan = story.iter().any(|step| LOSE_NAN.iter().any(|operator| step.starts_with(operator)));
    for (got, expected) in got.iter().zip(expected) {
        if got.shape() != expected.shape() {
            return Err(format!("shape {:?}, expected {:?}", got.shape(), expected.shape()));
        }
        let (got, expected) = (got.to_f64(), expected.to_f64());
        let finite = |v: &&f64| v.is_finite();
        let largest = expected.iter().filter(finite).fold(1e-2f64, |m, v| m.max(v.abs()));
        // Beyond a quotient by nearly nothing, numbers say little.
        let wild = expected.iter().any(|v| !v.is_finite() || v.abs() > 1e4);
        for (at, (g, e)) in got.iter().zip(&expected).enumerate() {
            if !(wild || (loses_nan && g.is_nan()) || (g - e).abs() <= 1e-3 * largest) {
                return Err(format!("element {at} is {g}, expected {e}"));
            }
        }
    }
    Ok(())
}

#[test]
fn simplified_graphs_compute_the_same() {
    let full = std::env::var_os("COTENANT_FULL").is_some();
    let n = if full { 20_000 } else { 1500 };
    let engines: Vec<Engine> = if full { engines() } else { engines().into_iter().take(1).collect() };
    let mut failures = Vec::new();
    let mut compared = 0;
    for seed in 0..n {
        let chain = Chain::new(seed);
        let Ok(Ok(expected)) = std::panic::catch_unwind(|| oracle(&chain)) else {
            // What tract cannot run as it stands is no oracle.
            continue;
        };
        compared += 1;
        let inputs: Vec<HostTensor> = chain.inputs.iter().map(Plain::tensor).collect();
        for engine in &engines {
            let outcome = run(engine, &chain.net, &inputs).and_then(|got| same(&got, &expected, &chain.story));
            if let Err(what) = outcome {
                failures.push(format!("seed {seed} on {}: {what}: {}", engine.caps().name, chain.story.join(", ")));
            }
        }
    }
    println!("{compared} of {n} graphs compared");
    assert!(failures.is_empty(), "{} of {compared}:\n{}", failures.len(), failures.join("\n"));
    assert!(compared > n as usize * 9 / 10, "only {compared} of {n} graphs have an oracle");
}
