//! One of every operator, with random ranks, extents and variants, and inputs that it takes.

use cotenant::hal::{Chain, ChainArg, ChainStep};
use cotenant::kernel::{
    ArgReduce, Conv, Coordinates, Copy, CumulativeSum, Deconv, Elementwise, Epilogue, Extremum, Gather, GatherElements,
    GatherNd, Gemm, GridSample, GruCell, LogSumExp, LstmCell, Nearest, Norm, Onehot, Operator, Pad, PadMode, Pool,
    Pooling, Reduce, Reducer, Reduction, Resize, ResizeAxis, ResizeMode, SampleMode, SamplePadding, ScatterElements,
    ScatterNd, Softmax, TopK, Trilu, Window, fragments,
};
use cotenant::tensor::{DType, HostTensor};
use rand::Rng;
use rand::rngs::StdRng;

use super::zeros;

type Sample = (Box<dyn Operator>, Vec<HostTensor>);

/// A shape of up to `rank` axes.
fn shape(rank: usize, rng: &mut StdRng) -> Vec<usize> {
    let rank = rng.random_range(1..=rank);
    let extent = |rng: &mut StdRng| {
        let most = pick(&[5, 40, 3, 9], rng);
        rng.random_range(1..=most)
    };
    (0..rank).map(|_| extent(rng)).collect()
}

fn pick<T: Clone>(of: &[T], rng: &mut StdRng) -> T {
    of[rng.random_range(0..of.len())].clone()
}

/// Some axes of a shape, at least one, in order.
fn axes(shape: &[usize], rng: &mut StdRng) -> Vec<usize> {
    let some: Vec<usize> = (0..shape.len()).filter(|_| rng.random_bool(0.5)).collect();
    if some.is_empty() { vec![rng.random_range(0..shape.len())] } else { some }
}

fn f32s(shape: &[usize]) -> HostTensor {
    zeros(DType::F32, shape)
}

fn i32s(shape: &[usize]) -> HostTensor {
    zeros(DType::I32, shape)
}

/// An epilogue with an operand and a scalar, or none.
fn epilogue(operand: &[usize], inputs: &mut Vec<HostTensor>, rng: &mut StdRng) -> Epilogue {
    if rng.random_bool(0.3) {
        return Epilogue::default();
    }
    inputs.push(f32s(operand));
    let step = |fragment, args| ChainStep { fragment, args };
    Epilogue {
        chain: Chain {
            steps: vec![
                step(fragments::ADD, vec![ChainArg::Input(0), ChainArg::Input(1)]),
                step(fragments::LEAKY_RELU, vec![ChainArg::Step(0), ChainArg::Scalar(0)]),
            ],
        },
        scalars: vec![0.1],
        n_operands: 1,
    }
}

/// One of each.
pub fn all(rng: &mut StdRng) -> Vec<Sample> {
    let mut all = rows(rng);
    all.extend(moves(rng));
    all.extend(images(rng));
    all.extend(products(rng));
    all
}

fn rows(rng: &mut StdRng) -> Vec<Sample> {
    let s = shape(6, rng);
    let a = axes(&s, rng);
    let x = || vec![f32s(&s)];
    let axis = rng.random_range(0..s.len());
    let reducer = pick(
        &[Reducer::Sum, Reducer::Mean, Reducer::SumOfSquares, Reducer::SumOfMagnitudes, Reducer::Prod, Reducer::Max],
        rng,
    );
    let whole = pick(&[Reducer::Sum, Reducer::Prod, Reducer::Max, Reducer::Min], rng);
    let truth = pick(&[Reducer::Any, Reducer::All], rng);
    let reduce = |reducer, dtype| Reduce { reducer, shape: s.clone(), axes: a.clone(), dtype, in_range: true };
    let (centered, scale, shift) = (rng.random_bool(0.5), rng.random_bool(0.5), rng.random_bool(0.5));
    let extent = vec![s[s.len() - 1]];
    let mut normed = x();
    normed.extend((0..u32::from(scale) + u32::from(shift)).map(|_| f32s(&extent)));
    let sum =
        |dtype| CumulativeSum { shape: s.clone(), axis, exclusive: false, reverse: axis == 0, dtype, in_range: true };
    let extremum = pick(&[Extremum::Max, Extremum::Min], rng);
    let hidden = [rng.random_range(1..5), rng.random_range(1..40)];
    let gates = |n: usize| f32s(&[hidden[0], n * hidden[1]]);
    let state = || f32s(&hidden);
    vec![
        (Box::new(reduce(reducer, DType::F32)), x()),
        (Box::new(reduce(whole, DType::I32)), vec![i32s(&s)]),
        (Box::new(reduce(truth, DType::Bool)), vec![zeros(DType::Bool, &s)]),
        (Box::new(Softmax { shape: s.clone(), axes: a.clone(), log: rng.random_bool(0.5) }), x()),
        (Box::new(LogSumExp { shape: s.clone(), axes: a.clone() }), x()),
        (Box::new(ArgReduce { extremum, last: axis == 0, shape: s.clone(), axes: a.clone() }), x()),
        (Box::new(ArgReduce { extremum, last: axis == 1, shape: s.clone(), axes: a.clone() }), vec![i32s(&s)]),
        (Box::new(sum(DType::F32)), x()),
        (Box::new(sum(DType::I32)), vec![i32s(&s)]),
        (Box::new(Norm { shape: s.clone(), axes: vec![s.len() - 1], centered, eps: 1e-5, scale, shift }), normed),
        (Box::new(LstmCell { shape: hidden.to_vec() }), vec![gates(4), state()]),
        (Box::new(GruCell { shape: hidden.to_vec() }), vec![gates(3), gates(3), state()]),
    ]
}

fn moves(rng: &mut StdRng) -> Vec<Sample> {
    let s = shape(5, rng);
    let axis = rng.random_range(0..s.len());
    let index = shape(2, rng);
    let mut spread = s.clone();
    spread[axis] = rng.random_range(1..4);
    let depth = rng.random_range(1..=s.len());
    let tuples = vec![3, depth];
    let mut updates = vec![3];
    updates.extend(&s[depth..]);
    let reduction = pick(&[Reduction::Replace, Reduction::Add, Reduction::Mul, Reduction::Max], rng);
    let dtype = pick(&[DType::F32, DType::I32, DType::Bool], rng);
    let number = pick(&[DType::F32, DType::I32], rng);
    let mode = pick(&[PadMode::Constant(0), PadMode::Edge, PadMode::Reflect], rng);
    let pads = s.iter().map(|&n| (rng.random_range(0..n as i64), rng.random_range(0..n as i64))).collect();
    let mut square = s.clone();
    square.push(4);
    let broadcast: Vec<usize> = s.iter().map(|&n| if rng.random_bool(0.5) { n } else { 1 }).collect();
    let chain = Chain {
        steps: vec![ChainStep { fragment: fragments::ADD, args: vec![ChainArg::Input(0), ChainArg::Input(1)] }],
    };
    let k = rng.random_range(1..=s[axis]);
    vec![
        (
            Box::new(Elementwise { chain, scalars: vec![], shape: s.clone(), dtype: DType::F32 }),
            vec![f32s(&s), f32s(&broadcast)],
        ),
        (Box::new(Copy { shape: s.clone() }), vec![zeros(dtype, &s)]),
        (
            Box::new(Gather { axis, shape: s.clone(), index_shape: index.clone(), window: None }),
            vec![zeros(dtype, &s), i32s(&index)],
        ),
        (
            Box::new(GatherElements { axis, shape: s.clone(), index_shape: spread.clone() }),
            vec![f32s(&s), i32s(&spread)],
        ),
        (Box::new(GatherNd { batch: 0, shape: s.clone(), index_shape: tuples.clone() }), vec![f32s(&s), i32s(&tuples)]),
        (
            Box::new(ScatterElements { axis, reduction, shape: s.clone(), index_shape: spread.clone() }),
            vec![zeros(number, &s), i32s(&spread), zeros(number, &spread)],
        ),
        (
            Box::new(ScatterNd { reduction, shape: s.clone(), index_shape: tuples.clone() }),
            vec![zeros(number, &s), i32s(&tuples), zeros(number, &updates)],
        ),
        (Box::new(Onehot { axis, depth: 7, index_shape: s.clone(), on: 1, off: 0, dtype: DType::I32 }), vec![i32s(&s)]),
        (Box::new(Pad { shape: s.clone(), pads, mode }), vec![zeros(dtype, &s)]),
        (Box::new(TopK { axis, k, largest: k % 2 == 0, shape: s.clone() }), vec![zeros(number, &s)]),
        (Box::new(Trilu { upper: axis == 0, k: 1, shape: square.clone() }), vec![zeros(dtype, &square)]),
    ]
}

fn images(rng: &mut StdRng) -> Vec<Sample> {
    let spatial = rng.random_range(1..=3);
    let (batch, channels) = (rng.random_range(1..3), rng.random_range(1..6));
    let each = |rng: &mut StdRng, from: usize, to: usize| -> Vec<usize> {
        (0..spatial).map(|_| rng.random_range(from..=to)).collect()
    };
    let input = each(rng, 5, 12);
    let (kernel, strides) = (each(rng, 1, 3), each(rng, 1, 2));
    let output: Vec<usize> = (0..spatial).map(|k| (input[k] - kernel[k]) / strides[k] + 1).collect();
    let none = vec![0; spatial];
    let window = Window {
        input: input.clone(),
        output,
        kernel: kernel.clone(),
        strides: strides.clone(),
        dilations: vec![1; spatial],
        before: none.clone(),
        after: none.clone(),
    };
    let image = |c: usize| [vec![batch, c], input.clone()].concat();
    let pooling = pick(
        &[Pooling::Max, Pooling::MaxWithIndices { column_major: false }, Pooling::Sum, Pooling::AverageWithPadding],
        rng,
    );
    let groups = rng.random_range(1..=2);
    let (cin, cout) = (groups * channels, groups * 2);
    let grown: Vec<usize> = (0..spatial).map(|k| (input[k] - 1) * strides[k] + kernel[k]).collect();
    let deconv = Deconv {
        input: image(cin),
        channels_out: cout,
        groups,
        kernel: kernel.clone(),
        strides,
        dilations: vec![1; spatial],
        before: none,
        output: grown,
        bias: true,
    };
    let weights = [vec![cin, 2], kernel].concat();
    let places = each(rng, 2, 6);
    let mut grid = vec![batch];
    grid.extend(&places);
    grid.push(spatial);
    let mode = pick(&[SampleMode::Linear, SampleMode::Nearest, SampleMode::Cubic], rng);
    let padding = pick(&[SamplePadding::Zeros, SamplePadding::Border, SamplePadding::Reflection], rng);
    let sample = GridSample { mode, padding, align_corners: batch == 1, input: image(channels), output: places };
    let (antialias, exclude_outside) = (rng.random_bool(0.3), false);
    let resize = Resize {
        mode: pick(
            &[
                ResizeMode::Nearest(Nearest::Floor),
                ResizeMode::Linear { antialias, exclude_outside },
                ResizeMode::Cubic { a: -0.75, antialias, exclude_outside },
            ],
            rng,
        ),
        input: image(channels),
        axes: (0..spatial)
            .map(|k| ResizeAxis::to_extent(k + 2, input[k], rng.random_range(3..20), Coordinates::HalfPixel))
            .collect(),
        outside: 0.0,
    };
    let mut resized = vec![f32s(&image(channels))];
    resized.extend(resize.tables());
    let mut all: Vec<Sample> = vec![
        (Box::new(Pool { pooling, batch, channels, window }), vec![f32s(&image(channels))]),
        (Box::new(deconv), vec![f32s(&image(cin)), f32s(&weights), f32s(&[cout])]),
        (Box::new(resize), resized),
    ];
    if spatial > 1 {
        all.push((Box::new(sample), vec![f32s(&image(channels)), f32s(&grid)]));
    }
    all
}

fn products(rng: &mut StdRng) -> Vec<Sample> {
    let batch: Vec<usize> = (0..rng.random_range(0..3)).map(|_| rng.random_range(1..4)).collect();
    let [m, n, k] = [0; 3].map(|_| pick(&[1, 3, 7, 16, 33, 64, 130], rng));
    let with = |tail: [usize; 2]| [batch.clone(), tail.to_vec()].concat();
    let mut factors = vec![f32s(&with([m, k])), f32s(&with([k, n]))];
    let gemm = Gemm { batch: batch.clone(), m, n, k: vec![k], epilogue: epilogue(&[n], &mut factors, rng) };
    let mut all: Vec<Sample> = vec![(Box::new(gemm), factors)];
    for depthwise in [false, true] {
        let (groups, ic, oc) = if depthwise {
            (pick(&[3, 8, 16], rng), 1, 1)
        } else {
            (rng.random_range(1..=2), pick(&[1, 3, 8, 17], rng), pick(&[1, 4, 16, 33], rng))
        };
        let kernel = [rng.random_range(1..=3), rng.random_range(1..=5)];
        let input = [rng.random_range(5..=14), rng.random_range(5..=14)];
        let mut operands =
            vec![f32s(&[2, groups * ic, input[0], input[1]]), f32s(&[groups, oc, ic, kernel[0], kernel[1]])];
        let conv = Conv {
            batch: 2,
            groups,
            ic,
            oc,
            input,
            kernel,
            stride: [rng.random_range(1..=2), rng.random_range(1..=2)],
            dilation: [1, 1],
            pad_before: [1, 0],
            pad_after: [0, 1],
            epilogue: epilogue(&[groups * oc, 1, 1], &mut operands, rng),
        };
        all.push((Box::new(conv), operands));
    }
    all
}
