//! Every one-function WGSL file on every device, against its reference, on ordinary and on odd values.

mod common;

use cotenant::hal::{Chain, ChainArg, ChainStep, Fragment};
use cotenant::kernel::harness::{Placement, run};
use cotenant::kernel::{Elementwise, Operator, fragments};
use cotenant::tensor::{DType, HostTensor};

/// The parameter and result types that a fragment's file declares.
fn signature(fragment: Fragment) -> (Vec<DType>, DType) {
    let dtype = |name: &str| match name.trim() {
        "f32" => DType::F32,
        "i32" => DType::I32,
        "u32" => DType::Bool,
        other => panic!("{}: parameter type {other}", fragment.name),
    };
    let line = fragment.source.lines().find(|l| l.starts_with("fn ")).expect("a function");
    let (_, rest) = line.split_once('(').expect("parameters");
    let (parameters, rest) = rest.split_once(')').expect("parameters");
    let (_, result) = rest.split_once("->").expect("a result");
    let parameters = parameters.split(',').map(|p| dtype(p.split_once(':').expect("a type").1)).collect();
    (parameters, dtype(result.trim_end_matches([' ', '{'])))
}

fn values(dtype: DType, k: usize) -> HostTensor {
    let floats = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        2.0,
        -2.0,
        3.0,
        -3.0,
        0.1,
        -0.1,
        1e-5,
        -1e-5,
        0.59,
        0.61,
        5.5,
        -5.5,
        12.0,
        -12.0,
        0.99,
        -0.99,
        1.5,
        2.5,
        -1.5,
        6.0,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
    ];
    let n = floats.len();
    let turned = |i: usize| (i * [1, 5, 11][k] + 3 * k) % n;
    match dtype {
        DType::F32 => HostTensor::from_f32(&[n], &(0..n).map(|i| floats[turned(i)]).collect::<Vec<_>>()),
        DType::I32 => HostTensor::from_i32(&[n], &(0..n).map(|i| turned(i) as i32 * 3 - 40).collect::<Vec<_>>()),
        _ => HostTensor::new(DType::Bool, &[n], (0..n).map(|i| (turned(i) % 2) as u8).collect()).unwrap(),
    }
}

/// Where a device may answer anything: inputs outside what the function is for.
fn outside(name: &str, x: f64) -> bool {
    match name {
        "f32_to_i32" => !x.is_finite(),
        // Infinite or undefined arguments of these give what the driver likes.
        "sin_f32" | "cos_f32" | "tan_f32" | "sinh_f32" | "cosh_f32" | "asinh_f32" | "acosh_f32" | "atanh_f32"
        | "asin_f32" | "acos_f32" | "atan_f32" | "silu" | "gelu" | "gelu_tanh" | "hard_swish" | "elu"
        | "leaky_relu" | "clamp_f32" | "hard_sigmoid" | "rem_f32" | "mod_f32" | "pow_f32" | "round_half_even" => {
            !x.is_finite()
        }
        _ => false,
    }
}

#[test]
fn every_fragment_computes_its_reference_on_every_device() {
    for mut device in common::devices() {
        for &fragment in fragments::ALL {
            let (parameters, result) = signature(fragment);
            let inputs: Vec<HostTensor> = parameters.iter().enumerate().map(|(k, &d)| values(d, k)).collect();
            let args = (0..parameters.len() as u8).map(ChainArg::Input).collect();
            let operator = Elementwise {
                chain: Chain { steps: vec![ChainStep { fragment, args }] },
                scalars: vec![],
                shape: inputs[0].shape().to_vec(),
                dtype: result,
            };
            let outputs = [(result, inputs[0].shape().to_vec())];
            let got = run(device.as_mut(), &operator, &inputs, &outputs, Placement::default())
                .unwrap_or_else(|e| panic!("{}: {e}", fragment.name));
            let expected = operator.reference(&inputs);
            let (got, expected) = (got[0].to_f64(), expected[0].to_f64());
            for at in 0..got.len() {
                let args: Vec<f64> = inputs.iter().map(|t| t.to_f64()[at]).collect();
                if args.iter().any(|&x| outside(fragment.name, x)) {
                    continue;
                }
                let (g, e) = (got[at], expected[at]);
                let near = g == e || (g.is_nan() && e.is_nan()) || (g - e).abs() <= 2e-7 + 2e-4 * e.abs();
                assert!(
                    near,
                    "{} on {}: {}({args:?}) = {g}, expected {e}",
                    fragment.name,
                    device.caps().name,
                    fragment.name
                );
            }
        }
    }
}
