//! Every one-function WGSL file on every device, against its reference: a grid of ordinary values, magnitudes from 1e-30
//! to 1e30, both sides of every seam inside the functions, infinities and NaN.

mod common;

use cotenant::hal::{Chain, ChainArg, ChainStep, Device, Fragment};
use cotenant::kernel::harness::{Placement, run};
use cotenant::kernel::{Elementwise, Operator, fragments};
use cotenant::tensor::{DType, HostTensor};
use rand::Rng;

/// Relative error of every function.
const RELATIVE: f64 = 1e-4;
/// Absolute error where the value is smaller than that.
const ABSOLUTE: f64 = 1e-7;

/// The parameter and result types that a fragment's file declares.
fn signature(fragment: Fragment) -> (Vec<DType>, DType) {
    let dtype = |name: &str| match name.trim() {
        "f32" => DType::F32,
        "i32" => DType::I32,
        "u32" => DType::Bool,
        other => panic!("{}: parameter type {other}", fragment.name),
    };
    let begin = format!("fn {}(", fragment.name);
    let line = fragment.source.lines().find(|l| l.starts_with(&begin)).expect("a function");
    let (_, rest) = line.split_once('(').expect("parameters");
    let (parameters, rest) = rest.split_once(')').expect("parameters");
    let (_, result) = rest.split_once("->").expect("a result");
    let parameters = parameters.split(',').map(|p| dtype(p.split_once(':').expect("a type").1)).collect();
    (parameters, dtype(result.trim_end_matches([' ', '{'])))
}

/// Values that functions treat specially.
const ODD_FLOATS: &[f32] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.0,
    -2.0,
    0.5,
    -0.5,
    3.0,
    -3.0,
    1.5,
    2.5,
    -1.5,
    -2.5,
    0.25,
    1e-5,
    -1e-5,
    1e30,
    -1e30,
    90.0,
    -90.0,
    8388609.0,
    2147483648.0,
    -2147483648.0,
    -3e9,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

/// One argument list per element: for one parameter a fine grid, for more all pairs of odd values and random ones.
fn floats(parameters: usize, k: usize, rng: &mut impl Rng) -> Vec<f32> {
    let odd = ODD_FLOATS.len();
    let mut values = Vec::new();
    if parameters == 1 {
        values.extend(ODD_FLOATS);
        values.extend((-2000..2000).map(|i| i as f32 * 0.01));
        values.extend((-100..100).map(|i| i as f32));
        values.extend((-30..30).flat_map(|e| [10f32.powi(e), -10f32.powi(e)]));
        values.extend([1.0f32, -1.0, 0.5, -0.5].iter().flat_map(|v| [v - 1e-4, v + 1e-4, v - 1e-6, v + 1e-6]));
    } else {
        values.extend((0..odd * odd).map(|i| ODD_FLOATS[[i % odd, i / odd, (i * 7 + 3) % odd][k]]));
        values.extend((0..3000).map(|_| rng.random_range(-20.0f32..20.0)));
        values.extend((0..1000).map(|_| rng.random_range(-5i32..6) as f32));
    }
    values
}

const ODD_INTEGERS: &[i32] = &[0, 1, -1, 2, -2, 7, -7, 31, 32, 33, 100, -100, 65_536, i32::MAX, i32::MIN, i32::MIN + 1];

fn argument(dtype: DType, parameters: usize, k: usize, n: usize, rng: &mut impl Rng) -> HostTensor {
    match dtype {
        DType::F32 => HostTensor::from_f32(&[n], &floats(parameters, k, rng)),
        DType::I32 => {
            let odd = ODD_INTEGERS.len();
            let pairs = (0..odd * odd).map(|i| ODD_INTEGERS[[i % odd, i / odd, (i * 7 + 3) % odd][k]]);
            let values: Vec<i32> =
                pairs.chain(std::iter::repeat_with(|| rng.random_range(-100..100))).take(n).collect();
            HostTensor::from_i32(&[n], &values)
        }
        _ => HostTensor::new(DType::Bool, &[n], (0..n).map(|_| rng.random_range(0..2)).collect()).unwrap(),
    }
}

/// Arguments that a function is not made for: there a device may answer what it likes, but must not hang.
fn outside(name: &str, x: &[f64]) -> bool {
    match name {
        // A quotient of more bits than a float has, or one that rounds to a whole number.
        "rem_f32" | "mod_f32" => {
            let q = x[0] / x[1];
            let rounds = q != q.round() && (q - q.round()).abs() < 1e-6 * q.abs();
            q.abs() > 4e6 || rounds || !x[0].is_finite() || !x[1].is_finite() || x[1] == 0.0
        }
        // Their slopes and bounds are attributes of a model, and finite.
        "celu" => !(1e-5..1e18).contains(&x[1]),
        "elu" | "leaky_relu" => !x[1].is_finite(),
        "selu" | "hard_sigmoid" => !x[1].is_finite() || !x[2].is_finite(),
        "clamp_f32" => x[1].is_nan() || x[2].is_nan() || x[1] > x[2],
        // Intermediate infinities; the model that computes such values is lost anyway.
        "fma_f32" | "mul" | "square" | "div" | "gelu_tanh" | "hard_swish" => x.iter().any(|v| v.abs() > 1e18),
        _ => false,
    }
}

/// The largest error over what is allowed, with the arguments, or `None` where all is well.
fn check(device: &mut dyn Device, fragment: Fragment) -> Option<String> {
    let mut rng = common::rng(7);
    let (parameters, result) = signature(fragment);
    let n = floats(parameters.len(), 0, &mut rng).len();
    let inputs: Vec<HostTensor> =
        (0..).zip(&parameters).map(|(k, &d)| argument(d, parameters.len(), k, n, &mut rng)).collect();
    let args = (0..parameters.len() as u8).map(ChainArg::Input).collect();
    let operator = Elementwise {
        chain: Chain { steps: vec![ChainStep { fragment, args }] },
        scalars: vec![],
        shape: vec![n],
        dtype: result,
    };
    let got = match run(device, &operator, &inputs, &[(result, vec![n])], Placement::default()) {
        Ok(outputs) => outputs[0].to_f64(),
        Err(e) => return Some(format!("{} on {}: {e}", fragment.name, device.caps().name)),
    };
    let expected = operator.reference(&inputs)[0].to_f64();
    let columns: Vec<Vec<f64>> = inputs.iter().map(HostTensor::to_f64).collect();
    let mut bad = 0;
    let mut worst = (0.0, String::new());
    for at in 0..n {
        let x: Vec<f64> = columns.iter().map(|c| c[at]).collect();
        let (g, e) = (got[at], expected[at]);
        if outside(fragment.name, &x) || g == e || (g.is_nan() && e.is_nan()) {
            continue;
        }
        // Results beyond the largest float may round either way.
        if g.abs() > 3.4e38 && e.abs() > 3.39e38 || e.abs() > 3.4e38 && g.abs() > 3.39e38 {
            continue;
        }
        let over = (g - e).abs() / (ABSOLUTE + RELATIVE * e.abs());
        if over > 1.0 || over.is_nan() {
            bad += 1;
            let over = if over.is_nan() { f64::INFINITY } else { over };
            if over > worst.0 {
                worst = (over, format!("{}({x:?}) = {g}, expected {e}", fragment.name));
            }
        }
    }
    (bad > 0).then(|| format!("{} on {}: {bad} of {n} wrong, as {}", fragment.name, device.caps().name, worst.1))
}

#[test]
fn every_fragment_computes_its_reference_on_every_device() {
    let mut failures = Vec::new();
    for mut device in common::devices() {
        failures.extend(fragments::ALL.iter().filter_map(|&fragment| check(device.as_mut(), fragment)));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Angles of every magnitude: at random, on both sides of the seam of the reduction, and the floats nearest to multiples
/// of a quarter turn, where a sine or a cosine has the fewest digits left.
fn angles() -> Vec<f32> {
    let mut rng = common::rng(11);
    let mut angles = vec![8192.0f32, 8191.9995, 8192.001, 1e5, 1e6, 2.5e7, 16_367_173.0 * 2f32.powi(72), f32::MAX];
    angles.extend((0..4000).map(|_| rng.random_range(-1e6f32..1e6)));
    angles.extend((0..4000).map(|_| 10f32.powf(rng.random_range(-3.0..38.0))));
    angles.extend((0..2000).map(|_| (f64::from(rng.random_range(1..2_000_000)) * std::f64::consts::FRAC_PI_2) as f32));
    let negative: Vec<f32> = angles.iter().map(|a| -a).collect();
    angles.extend(negative);
    angles
}

#[test]
fn angles_of_every_magnitude_keep_their_digits() {
    let angles = angles();
    let input = HostTensor::from_f32(&[angles.len()], &angles);
    for mut device in common::devices() {
        for (fragment, exact) in [
            (fragments::SIN_F32, f64::sin as fn(f64) -> f64),
            (fragments::COS_F32, f64::cos),
            (fragments::TAN_F32, f64::tan),
        ] {
            let chain = Chain { steps: vec![ChainStep { fragment, args: vec![ChainArg::Input(0)] }] };
            let shape = vec![angles.len()];
            let operator = Elementwise { chain, scalars: vec![], shape: shape.clone(), dtype: DType::F32 };
            let inputs = std::slice::from_ref(&input);
            let got = run(device.as_mut(), &operator, inputs, &[(DType::F32, shape)], Placement::default()).unwrap();
            for (&angle, got) in angles.iter().zip(got[0].to_f64()) {
                let expected = exact(f64::from(angle));
                // A tangent is a quotient of two such numbers.
                let allowed = if fragment.name == "tan_f32" { 1e-6 * (1.0 + expected.abs()) } else { 5e-7 };
                // Close to a pole it grows with the square of itself.
                let allowed = allowed + 1e-11 * expected * expected;
                let name = &device.caps().name;
                assert!((got - expected).abs() <= allowed, "{}({angle}) = {got}, {expected} on {name}", fragment.name);
            }
        }
    }
}
