//! Operators on the CPU (`src/hal/eval.rs`): what every backend that computes through CPU functions relies on.

use std::sync::Arc;

use cotenant::hal::{BufferId, HalError, HostFn, Operation, Region, TensorRef, eval};
use cotenant::tensor::{DType, HostTensor, View, volume};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Answers with this, whatever it is asked.
#[derive(Debug)]
struct Answer(Result<Vec<HostTensor>, String>);

impl HostFn for Answer {
    fn eval(&self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, String> {
        assert!(inputs.is_empty(), "too many inputs");
        self.0.clone()
    }
}

fn tensor(dtype: DType, view: View) -> TensorRef {
    TensorRef { buffer: BufferId(1), view, dtype, wide: false }
}

fn operation(outputs: Vec<TensorRef>, host: impl HostFn + 'static) -> Operation {
    Operation {
        name: "the operator".into(),
        kind: "answer".into(),
        inputs: Vec::new(),
        outputs,
        deps: Vec::new(),
        launches: Vec::new(),
        host: Arc::new(host),
        flops: 0,
        bytes: 0,
        reason: None,
        given: None,
    }
}

#[test]
fn outputs_other_than_declared_are_an_error_that_names_the_operator() {
    let declared = || vec![tensor(DType::F32, View::contiguous(0, &[2, 3]))];
    let check = |answer: Result<Vec<HostTensor>, String>, inputs: &[HostTensor], expected: &str| {
        let error = eval::eval(&operation(declared(), Answer(answer)), inputs).unwrap_err();
        assert!(matches!(&error, HalError::Host { operator, .. } if operator == "the operator"), "{error:?}");
        assert!(error.to_string().contains(expected), "{expected:?} is not in: {error}");
    };
    let zeros = |dtype, shape: &[usize]| HostTensor::zeros(dtype, shape);
    check(Err("out of cheese".into()), &[], "out of cheese");
    check(Ok(vec![]), &[], "1 outputs were declared, 0 computed");
    check(Ok(vec![zeros(DType::F32, &[2, 3]); 2]), &[], "1 outputs were declared, 2 computed");
    check(Ok(vec![zeros(DType::F32, &[3, 2])]), &[], "an output is f32 [3, 2], declared f32 [2, 3]");
    check(Ok(vec![zeros(DType::I64, &[2, 3])]), &[], "declared f32 [2, 3]");
    check(Ok(vec![zeros(DType::F32, &[2, 3])]), &[zeros(DType::F32, &[1])], "its function panicked");
    let right = eval::eval(&operation(declared(), Answer(Ok(vec![zeros(DType::F32, &[2, 3])]))), &[]);
    assert_eq!(right.unwrap()[0].shape(), [2, 3]);
}

/// A view of a random tensor: permuted, reversed, with gaps, from some offset.
fn random_view(rng: &mut StdRng) -> View {
    let shape: Vec<usize> = (0..3).map(|_| rng.random_range(0..5)).collect();
    let mut view = View::contiguous(rng.random_range(0..9), &shape.iter().map(|d| d * 2).collect::<Vec<_>>());
    for (axis, &n) in shape.iter().enumerate() {
        view = match rng.random_range(0..3) {
            0 if n > 0 => view.sliced(axis, n * 2 - 1, n, -2),
            1 => view.sliced(axis, 0, n, 2),
            _ => view.sliced(axis, 0, n, 1),
        };
    }
    view.permuted(&[[0, 1, 2], [2, 0, 1], [1, 0, 2]][rng.random_range(0..3)])
}

#[test]
fn tensors_come_back_from_the_words_they_were_written_to() {
    let rng = &mut StdRng::seed_from_u64(51);
    for _ in 0..300 {
        let view = random_view(rng);
        let dtype = [DType::F32, DType::I32, DType::I64, DType::Bool][rng.random_range(0..4)];
        let words: Vec<u32> = (0..view.volume())
            .map(|_| match dtype {
                DType::Bool => rng.random_range(0..2),
                DType::F32 => rng.random_range(-1e3..1e3f32).to_bits(),
                _ => rng.random(),
            })
            .collect();
        let value = HostTensor::from_device_words(dtype, &view.shape, &words).unwrap();
        let placed = tensor(dtype, view.clone());
        let (from, to) = eval::extent(&placed);
        let mut memory = vec![0xdead; to - from];
        eval::scatter(&placed, &value, &mut memory).unwrap();
        assert_eq!(eval::gather(&placed, &memory).unwrap(), value);
        let touched: Vec<usize> = view.positions().collect();
        for (at, word) in memory.iter().enumerate() {
            assert!(touched.contains(&(from + at)) || *word == 0xdead, "a word between the elements was written");
        }
    }
}

#[test]
fn what_devices_do_not_hold_lies_packed() {
    for (dtype, shape) in [(DType::F64, &[3][..]), (DType::U8, &[5][..]), (DType::F64, &[0][..]), (DType::F64, &[][..])]
    {
        if dtype.device_word().is_some() {
            continue;
        }
        let bytes: Vec<u8> = (0..volume(shape) * dtype.size()).map(|b| b as u8).collect();
        let value = HostTensor::new(dtype, shape, bytes).unwrap();
        let placed = tensor(dtype, View::contiguous(7, shape));
        let region = eval::region(&placed);
        let size = (value.bytes().len() as u64).next_multiple_of(4);
        assert_eq!(region, Region { buffer: BufferId(1), offset: 28, bytes: size });
        let encoded = eval::encode(&placed, &value).unwrap();
        assert_eq!(encoded.len() as u64, region.bytes);
        assert_eq!(eval::decode(&placed, &encoded).unwrap(), value);
    }
}

#[test]
fn an_integer_beyond_the_device_word_is_refused() {
    let placed = tensor(DType::I64, View::contiguous(0, &[2]));
    let large = HostTensor::from_i64(&[2], &[1, 1 << 40]);
    assert!(eval::encode(&placed, &large).is_err());
    let small = HostTensor::from_i64(&[2], &[i64::from(i32::MIN), i64::from(i32::MAX)]);
    let encoded = eval::encode(&placed, &small).unwrap();
    assert_eq!(eval::decode(&placed, &encoded).unwrap(), small);
}

#[test]
fn a_wide_integer_keeps_its_64_bits() {
    let placed = TensorRef { wide: true, ..tensor(DType::I64, View::contiguous(3, &[2, 1])) };
    let large = HostTensor::from_i64(&[2, 1], &[i64::MIN, (1 << 40) + 7]);
    let encoded = eval::encode(&placed, &large).unwrap();
    assert_eq!(eval::region(&placed), Region { buffer: BufferId(1), offset: 12, bytes: 16 });
    assert_eq!(eval::decode(&placed, &encoded).unwrap(), large);
}
