//! What the integration tests share: the devices of this machine, random tensors, comparison.

#![allow(dead_code, reason = "each test binary uses a part")]

pub mod arranged;
pub mod limited;
pub mod model;

use cotenant::hal::{Device, WallClock, wgpu::WgpuDevice};
use cotenant::tensor::{DType, HostTensor, volume};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Every wgpu device of this machine, opened. Says "skipped" where there is none, unless CI demands both software ones.
pub fn devices() -> Vec<Box<dyn Device>> {
    let found = cotenant::hal::wgpu::find();
    let has = |name: &str| found.iter().any(|f| f.answers_to(name));
    if std::env::var_os("CI").is_some() {
        assert!(has("lavapipe") && has("SwiftShader"), "CI runs on lavapipe and SwiftShader (see ./test)");
    }
    if found.is_empty() {
        println!("skipped: no wgpu adapter on this machine");
    }
    found
        .iter()
        .map(|f| Box::new(WgpuDevice::open(f, WallClock::start()).expect("the adapter opens")) as Box<dyn Device>)
        .collect()
}

/// A seeded source of randomness.
pub fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// Random values of a type: floats in [-2, 2), integers in [-100, 100), truth values.
pub fn random(dtype: DType, shape: &[usize], rng: &mut StdRng) -> HostTensor {
    let n = volume(shape);
    match dtype {
        DType::F32 => HostTensor::from_f32(shape, &(0..n).map(|_| rng.random_range(-2.0..2.0)).collect::<Vec<_>>()),
        DType::I32 => HostTensor::from_i32(shape, &(0..n).map(|_| rng.random_range(-100..100)).collect::<Vec<_>>()),
        DType::I64 => HostTensor::from_i64(shape, &(0..n).map(|_| rng.random_range(-100..100)).collect::<Vec<_>>()),
        DType::Bool => HostTensor::new(DType::Bool, shape, (0..n).map(|_| rng.random_range(0..2)).collect())
            .expect("one byte each"),
        other => panic!("no random {other}"),
    }
}

/// Asserts that `got` is `expected` within `relative` of the largest expected magnitude (at least 0.01), and NaN where
/// it is NaN.
pub fn assert_close(got: &HostTensor, expected: &HostTensor, relative: f64, what: &str) {
    assert_eq!((got.dtype(), got.shape()), (expected.dtype(), expected.shape()), "{what}: type and shape");
    let (got, expected) = (got.to_f64(), expected.to_f64());
    let largest = expected.iter().filter(|v| v.is_finite()).fold(0.01f64, |m, v| m.max(v.abs()));
    for (at, (g, e)) in got.iter().zip(&expected).enumerate() {
        let same = g == e || (g.is_nan() && e.is_nan()) || (g - e).abs() <= relative * largest;
        assert!(same, "{what}: element {at} is {g}, expected {e} (largest {largest})");
    }
}

/// Runs an operator in several placements on every device and compares with its reference: operands in the arena and in
/// the weights, in one slice and in three, with one worker and many, dense and arranged at random. Bits do not depend
/// on slices and workers.
pub fn check_operator(
    devices: &mut [Box<dyn Device>],
    operator: &dyn cotenant::kernel::Operator,
    inputs: &[HostTensor],
    relative: f64,
    rng: &mut StdRng,
) {
    use arranged::{Arrangement, run_arranged};
    use cotenant::kernel::harness::Placement;
    let expected = operator.reference(inputs);
    for device in devices {
        let what = format!("{operator:?} on {}", device.caps().name);
        let placements = [
            (Placement { weights: 0, slices: 1, workers: None }, false),
            (Placement { weights: u32::MAX, slices: 3, workers: Some(1) }, false),
            (Placement { weights: 0b10, slices: 1, workers: Some(3) }, true),
            (Placement { weights: 0b01, slices: 3, workers: None }, true),
        ];
        let mut first: Option<Vec<HostTensor>> = None;
        for (placement, arranged) in placements {
            let mut arrangement = |rank: usize| {
                if arranged { Arrangement::random(rank, rng) } else { Arrangement::dense(rank) }
            };
            let placed: Vec<_> = inputs.iter().map(|t| (t, arrangement(t.shape().len()))).collect();
            let outputs: Vec<_> =
                expected.iter().map(|t| (t.dtype(), t.shape().to_vec(), arrangement(t.shape().len()))).collect();
            let got = run_arranged(device.as_mut(), operator, &placed, &outputs, placement)
                .unwrap_or_else(|e| panic!("{what}, {placement:?}: {e}"));
            for (got, expected) in got.iter().zip(&expected) {
                assert_close(got, expected, relative, &format!("{what}, {placement:?}, {placed:?}"));
            }
            let words: Vec<HostTensor> = got;
            match &first {
                None => first = Some(words),
                Some(first) => {
                    for (a, b) in first.iter().zip(&words) {
                        let same = a.to_device_words().unwrap() == b.to_device_words().unwrap();
                        assert!(same, "{what}: bits differ under {placement:?}");
                    }
                }
            }
        }
    }
}
