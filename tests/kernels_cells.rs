//! Ends of recurrent cells on every device against their references.

mod common;

use cotenant::kernel::{GruCell, LstmCell};
use cotenant::tensor::{DType, HostTensor, volume};
use rand::Rng;
use rand::rngs::StdRng;

/// What a tensor holds.
#[derive(Clone, Copy, PartialEq)]
enum Values {
    Ordinary,
    /// NaN and values that saturate.
    Odd,
    /// Infinities too; not where a saturated gate multiplies them, which is NaN or infinite by the last bit of a gate.
    Infinite,
}

fn random(shape: &[usize], values: Values, rng: &mut StdRng) -> HostTensor {
    let odd = [f32::NAN, 200.0, -200.0, 1e-6, -0.0, 0.63, f32::INFINITY, f32::NEG_INFINITY];
    let n = match values {
        Values::Ordinary => return common::random(DType::F32, shape, rng),
        Values::Odd => 6,
        Values::Infinite => 8,
    };
    HostTensor::from_f32(shape, &(0..volume(shape)).map(|_| odd[rng.random_range(0..n)]).collect::<Vec<_>>())
}

const SHAPES: [&[usize]; 6] = [&[1], &[64], &[3, 20], &[2, 1, 33], &[2, 3, 2, 5], &[0, 4]];

fn gates(shape: &[usize], n: usize) -> Vec<usize> {
    let mut shape = shape.to_vec();
    *shape.last_mut().unwrap() *= n;
    shape
}

#[test]
fn lstm_cells() {
    let (mut devices, mut rng) = (common::devices(), common::rng(1));
    for shape in SHAPES {
        for (sums, state) in [(Values::Ordinary, Values::Ordinary), (Values::Infinite, Values::Odd)] {
            let inputs = [random(&gates(shape, 4), sums, &mut rng), random(shape, state, &mut rng)];
            common::check_operator(&mut devices, &LstmCell { shape: shape.to_vec() }, &inputs, 2e-6, &mut rng);
        }
    }
}

#[test]
fn gru_cells() {
    let (mut devices, mut rng) = (common::devices(), common::rng(2));
    for shape in SHAPES {
        for (x, r) in [(Values::Ordinary, Values::Ordinary), (Values::Infinite, Values::Odd)] {
            let sums = gates(shape, 3);
            let inputs = [random(&sums, x, &mut rng), random(&sums, r, &mut rng), random(shape, r, &mut rng)];
            common::check_operator(&mut devices, &GruCell { shape: shape.to_vec() }, &inputs, 2e-6, &mut rng);
        }
    }
}
