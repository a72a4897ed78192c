//! Operators next to each other that an importer likes to merge: strides behind convolutions and softmax, broadcasts
//! before contractions, arithmetic behind convolutions. Expected answers are computed plainly, in 64 bits.

use cotenant::engine::Engine;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::net::{Net, int, ints, text};
use super::plain::Plain;
use super::{engines, run};

/// Asserts what a model answers, on every device.
fn expect(what: &str, net: &Net, inputs: &[Plain], expected: &Plain) {
    let inputs: Vec<_> = inputs.iter().map(Plain::tensor).collect();
    for engine in engines() {
        let what = format!("{what} on {}", engine.caps().name);
        let outputs = run(&engine, net, &inputs).unwrap_or_else(|e| panic!("{what}: {e}"));
        expected.expect(&outputs[0], &what);
    }
}

/// Every `step`-th element of `value` along an axis, from `start`.
fn slice(net: &mut Net, value: &str, axis: i64, start: i64, step: i64) -> String {
    let parameters = [start, i64::MAX, axis, step].map(|v| net.list(&[v]));
    let [a, b, c, d] = parameters.each_ref().map(String::as_str);
    net.node("Slice", &[value, a, b, c, d], vec![])
}

/// Convolution over one axis, weights `[out, in, taps]`.
fn conv1d(x: &Plain, w: &Plain, stride: usize, pad: usize) -> Plain {
    let taps = w.shape[2];
    let extent = (x.shape[2] + 2 * pad - taps) / stride + 1;
    Plain::make(&[x.shape[0], w.shape[0], extent], |i| {
        let term = |c: usize, t: usize| {
            let place = (i[2] * stride + t) as i64 - pad as i64;
            x.padded(&[i[0] as i64, c as i64, place]) * w.at(&[i[1], c, t])
        };
        (0..x.shape[1]).flat_map(|c| (0..taps).map(move |t| (c, t))).map(|(c, t)| term(c, t)).sum()
    })
}

#[test]
fn strides_behind_a_convolution_keep_their_phase() {
    let mut rng = StdRng::seed_from_u64(1);
    for (taps, stride, pad) in [(1, 1, 0), (3, 1, 1), (3, 2, 0), (1, 2, 0)] {
        for (start, step) in [(0, 2), (1, 2), (2, 3), (1, 1)] {
            let (x, w) = (Plain::random(&[2, 3, 14], &mut rng), Plain::random(&[4, 3, taps], &mut rng));
            let mut net = Net::new(17);
            let input = net.input(&x.shape);
            let weights = net.constant(&w.tensor());
            let attributes = vec![ints("strides", &[stride as i64]), ints("pads", &[pad as i64, pad as i64])];
            let conv = net.node("Conv", &[&input, &weights], attributes);
            let relu = net.node("Relu", &[&conv], vec![]);
            let y = slice(&mut net, &relu, 2, start as i64, step as i64);
            net.output(&y);
            let expected = conv1d(&x, &w, stride, pad).map(|v| v.max(0.0)).strided(2, start, step);
            expect(&format!("conv {taps}/{stride}/{pad}, from {start} by {step}"), &net, &[x], &expected);
        }
    }
}

#[test]
fn strides_along_the_axis_of_a_softmax_come_after_it() {
    let mut rng = StdRng::seed_from_u64(2);
    for axis in 0..3 {
        for (start, step) in [(0, 2), (1, 2), (1, 1)] {
            let x = Plain::random(&[5, 4, 6], &mut rng);
            let mut net = Net::new(17);
            let input = net.input(&x.shape);
            let softmax = net.node("Softmax", &[&input], vec![int("axis", axis)]);
            let y = slice(&mut net, &softmax, axis, start as i64, step as i64);
            net.output(&y);
            let expected = x.softmax(axis as usize).strided(axis as usize, start, step);
            expect(&format!("softmax over {axis}, from {start} by {step}"), &net, &[x], &expected);
        }
    }
}

/// A way to repeat an axis of extent one.
fn repeat(net: &mut Net, how: &str, value: &str, shape: &[i64], axis: usize) -> String {
    let mut sizes = if how == "Tile" { vec![1; shape.len()] } else { shape.to_vec() };
    sizes[axis] = shape[axis];
    let sizes = net.list(&sizes);
    net.node(how, &[value, &sizes], vec![])
}

#[test]
fn broadcasts_along_a_summed_axis_count_every_time() {
    let mut rng = StdRng::seed_from_u64(3);
    for how in ["Expand", "Tile"] {
        let (x, w) = (Plain::random(&[2, 4, 1], &mut rng), Plain::random(&[3, 5], &mut rng));
        let mut net = Net::new(17);
        let input = net.input(&x.shape);
        let wide = repeat(&mut net, how, &input, &[2, 4, 3], 2);
        let weights = net.constant(&w.tensor());
        let y = net.node("MatMul", &[&wide, &weights], vec![]);
        net.output(&y);
        expect(&format!("{how}, MatMul"), &net, std::slice::from_ref(&x), &x.repeated(2, 3).times(&w));

        let (a, b) = (Plain::random(&[4, 3], &mut rng), Plain::random(&[1, 5], &mut rng));
        let mut net = Net::new(17);
        let (left, right) = (net.input(&a.shape), net.input(&b.shape));
        let wide = repeat(&mut net, how, &right, &[3, 5], 0);
        let y = net.node("MatMul", &[&left, &wide], vec![]);
        net.output(&y);
        expect(&format!("{how} on the right, MatMul"), &net, &[a.clone(), b.clone()], &a.times(&b.repeated(0, 3)));

        let (a, b) = (Plain::random(&[1, 4], &mut rng), Plain::random(&[5, 3], &mut rng));
        let mut net = Net::new(17);
        let (left, right) = (net.input(&a.shape), net.constant(&b.tensor()));
        let wide = repeat(&mut net, how, &left, &[3, 4], 0);
        let y = net.node("Gemm", &[&wide, &right], vec![int("transA", 1), int("transB", 1)]);
        net.output(&y);
        let expected = Plain::make(&[4, 5], |i| (0..3).map(|k| a.at(&[0, i[0]]) * b.at(&[i[1], k])).sum());
        expect(&format!("{how}, Gemm"), &net, &[a], &expected);

        let (x, w) = (Plain::random(&[1, 1, 6], &mut rng), Plain::random(&[4, 3, 1], &mut rng));
        let mut net = Net::new(17);
        let input = net.input(&x.shape);
        let wide = repeat(&mut net, how, &input, &[1, 3, 6], 1);
        let weights = net.constant(&w.tensor());
        let y = net.node("Conv", &[&wide, &weights], vec![]);
        net.output(&y);
        let expected = conv1d(&x.repeated(1, 3), &w, 1, 0);
        expect(&format!("{how}, 1x1 convolution"), &net, &[x], &expected);
    }
}

#[test]
fn an_equation_broadcasts_axes_of_extent_one() {
    let mut rng = StdRng::seed_from_u64(4);
    let (a, b) = (Plain::random(&[2, 3, 4], &mut rng), Plain::random(&[3, 5], &mut rng));
    let thin = Plain::random(&[2, 1, 4], &mut rng);
    for (x, wide, expanded) in [(&a, &a, false), (&thin, &thin.repeated(1, 3), true)] {
        let mut net = Net::new(17);
        let (left, right) = (net.input(&x.shape), net.input(&b.shape));
        let left = if expanded { repeat(&mut net, "Expand", &left, &[2, 3, 4], 1) } else { left };
        let y = net.node("Einsum", &[&left, &right], vec![text("equation", "bkm,kn->bmn")]);
        net.output(&y);
        let expected = Plain::make(&[2, 4, 5], |i| (0..3).map(|k| wide.at(&[i[0], k, i[1]]) * b.at(&[k, i[2]])).sum());
        expect("bkm,kn->bmn", &net, &[x.clone(), b.clone()], &expected);
    }
}

#[test]
fn a_recurrent_input_may_be_a_broadcast() {
    let (steps, batch, width, hidden) = (4, 2, 3, 5);
    let mut rng = StdRng::seed_from_u64(5);
    let x = Plain::random(&[steps, batch, 1], &mut rng);
    let w = Plain::random(&[1, 4 * hidden, width], &mut rng);
    let r = Plain::random(&[1, 4 * hidden, hidden], &mut rng);
    let mut net = Net::new(17);
    let input = net.input(&x.shape);
    let wide = repeat(&mut net, "Expand", &input, &[steps as i64, batch as i64, width as i64], 2);
    let (weights, recurrent) = (net.constant(&w.tensor()), net.constant(&r.tensor()));
    let y = net.node("LSTM", &[&wide, &weights, &recurrent], vec![int("hidden_size", hidden as i64)]);
    net.output(&y);
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
    let (mut h, mut c) = (vec![vec![0.0; hidden]; batch], vec![vec![0.0; hidden]; batch]);
    let mut all = Vec::new();
    for t in 0..steps {
        for b in 0..batch {
            let before = h[b].clone();
            let gate = |g: usize, j: usize| {
                let row = g * hidden + j;
                let own: f64 = (0..width).map(|k| x.at(&[t, b, 0]) * w.at(&[0, row, k])).sum();
                own + (0..hidden).map(|k| before[k] * r.at(&[0, row, k])).sum::<f64>()
            };
            for j in 0..hidden {
                let [input, output, forget] = [0, 1, 2].map(|g| sigmoid(gate(g, j)));
                c[b][j] = forget * c[b][j] + input * gate(3, j).tanh();
                h[b][j] = output * c[b][j].tanh();
            }
            all.extend(h[b].clone());
        }
    }
    let expected = Plain { shape: vec![steps, 1, batch, hidden], data: all };
    expect("LSTM", &net, &[x], &expected);
}

#[test]
fn a_convolution_may_be_subtracted_or_divide() {
    let mut rng = StdRng::seed_from_u64(6);
    for op in ["Sub", "Div", "Add", "Mul"] {
        for first in [true, false] {
            let (x, w) = (Plain::random(&[1, 3, 9], &mut rng), Plain::random(&[4, 3, 3], &mut rng));
            let c = Plain::random(&[1, 4, 1], &mut rng).map(|v| v + 3.0);
            let mut net = Net::new(17);
            let input = net.input(&x.shape);
            let (weights, other) = (net.constant(&w.tensor()), net.constant(&c.tensor()));
            let conv = net.node("Conv", &[&input, &weights], vec![]);
            let operands = if first { [&conv, &other] } else { [&other, &conv] };
            let y = net.node(op, &operands.map(String::as_str), vec![]);
            net.output(&y);
            let conv = conv1d(&x, &w, 1, 0);
            let expected = Plain::make(&conv.shape, |i| {
                let (a, b) = (conv.at(i), c.at(&[0, i[1], 0]));
                let (a, b) = if first { (a, b) } else { (b, a) };
                match op {
                    "Sub" => a - b,
                    "Div" => a / b,
                    "Add" => a + b,
                    _ => a * b,
                }
            });
            expect(&format!("{op}, convolution first: {first}"), &net, &[x], &expected);
        }
    }
}

#[test]
fn numbers_without_a_root_stay_without() {
    let x = Plain { shape: vec![4], data: vec![4.0, -1.0, 0.25, -0.5] };
    let mut net = Net::new(17);
    let input = net.input(&x.shape);
    let root = net.node("Sqrt", &[&input], vec![]);
    let y = net.node("Mul", &[&root, &root], vec![]);
    net.output(&y);
    // On the CPU only: shading languages leave open what the root of a negative number is.
    let engine = Engine::open("reference").expect("it is always there");
    let outputs = run(&engine, &net, &[x.tensor()]).expect("an answer");
    x.map(|v| if v < 0.0 { f64::NAN } else { v }).expect(&outputs[0], "squared root");
}

#[test]
fn what_a_file_leaves_out_is_as_onnx_says() {
    let mut rng = StdRng::seed_from_u64(8);
    let x = Plain::random(&[2, 3], &mut rng);
    let mut net = Net::new(17);
    let (input, size) = (net.input(&x.shape), net.list(&[2, 3]));
    // Zeros of 32 bits, and an optional input that is there and has no name.
    let zeros = net.node("ConstantOfShape", &[&size], vec![]);
    let sum = net.node("Add", &[&input, &zeros], vec![]);
    let y = net.node("ReduceSum", &[&sum, ""], vec![]);
    net.output(&y);
    let expected = Plain { shape: vec![1, 1], data: vec![x.data.iter().sum()] };
    expect("all of it", &net, &[x], &expected);
}
