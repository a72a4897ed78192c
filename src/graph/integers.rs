//! Functions of 64-bit integers on the CPU, for operators that the library computes in 32 bits: a cast goes by way of
//! symbolic dimensions there, sums and products saturate. Here a result that 64 bits do not hold is an error.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use crate::hal::HostFn;
use crate::tensor::{DType, HostTensor, View, volume};

/// A function of integers.
#[derive(Debug)]
pub(super) enum Integers {
    /// To 64-bit integers; floats towards zero.
    Cast,
    /// The sum over axes, which stay with extent one.
    Sum(Vec<usize>),
    /// A sum of products of two tensors: the axes of each tensor as numbers of the common ones, and the extents of the
    /// result.
    Products {
        /// Of the first, the second and the result.
        axes: [Vec<usize>; 3],
        /// Extents of the result.
        shape: Vec<usize>,
    },
}

impl Integers {
    /// The function for an operator whose inputs and output have these types; `None` where the library's is right.
    pub(super) fn of(op: &dyn TypedOp, inputs: &[DType], output: DType, shape: &[usize]) -> Option<Integers> {
        if output != DType::I64 {
            return None;
        }
        if op.is::<Cast>() {
            return Some(Integers::Cast);
        }
        if let Some(reduce) = op.downcast_ref::<Reduce>() {
            let sum = matches!(reduce.reducer, Reducer::Sum);
            return sum.then(|| Integers::Sum(reduce.axes.to_vec()));
        }
        let einsum = op.downcast_ref::<EinSum>()?;
        if inputs != [DType::I64; 2] || einsum.q_params.is_some() {
            return None;
        }
        let mut axes: [Vec<usize>; 3] = Default::default();
        for (number, axis) in einsum.axes.iter_all_axes().enumerate() {
            for (list, places) in axes.iter_mut().zip([&axis.inputs[0], &axis.inputs[1], &axis.outputs[0]]) {
                for &place in places {
                    list.resize(list.len().max(place + 1), usize::MAX);
                    list[place] = number;
                }
            }
        }
        Some(Integers::Products { axes, shape: shape.to_vec() })
    }
}

impl HostFn for Integers {
    fn eval(&self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, String> {
        let x = &inputs[0];
        Ok(vec![match self {
            Integers::Cast => HostTensor::from_i64(x.shape(), &x.to_i64()),
            Integers::Sum(axes) => sum(x, axes)?,
            Integers::Products { axes, shape } => products([x, &inputs[1]], axes, shape)?,
        }])
    }
}

fn beyond(operation: &str) -> String {
    format!("{operation} of 64-bit integers is beyond 64 bits")
}

fn sum(x: &HostTensor, axes: &[usize]) -> Result<HostTensor, String> {
    let mut shape = x.shape().to_vec();
    let mut into = View::contiguous(0, &shape);
    for &axis in axes {
        shape[axis] = 1;
    }
    let result = View::contiguous(0, &shape);
    // Every element's place in the result: reduced axes do not move it.
    into.strides = (0..shape.len()).map(|axis| if axes.contains(&axis) { 0 } else { result.strides[axis] }).collect();
    let mut sums = vec![0i64; volume(&shape)];
    for (at, value) in into.positions().zip(x.to_i64()) {
        sums[at] = sums[at].checked_add(value).ok_or_else(|| beyond("a sum"))?;
    }
    Ok(HostTensor::from_i64(&shape, &sums))
}

fn products(inputs: [&HostTensor; 2], axes: &[Vec<usize>; 3], shape: &[usize]) -> Result<HostTensor, String> {
    let n = axes.iter().flatten().map(|&a| a + 1).max().unwrap_or(0);
    let mut extents = vec![1usize; n];
    for (list, shape) in axes.iter().zip([inputs[0].shape(), inputs[1].shape(), shape]) {
        // An operand may broadcast an axis of extent one.
        list.iter().zip(shape).filter(|&(_, &d)| d != 1).for_each(|(&axis, &d)| extents[axis] = d);
    }
    // The result's axes first, then those that are summed.
    let mut order = axes[2].clone();
    order.extend((0..n).filter(|a| !axes[2].contains(a)));
    let space: Vec<usize> = order.iter().map(|&a| extents[a]).collect();
    let places = |k: usize| {
        let own = View::contiguous(0, inputs[k].shape());
        let mut view = View { offset: 0, shape: space.clone(), strides: vec![0; space.len()] };
        for (place, &axis) in axes[k].iter().enumerate() {
            let at = order.iter().position(|&a| a == axis).expect("every axis is in the order");
            if inputs[k].shape()[place] != 1 {
                view.strides[at] += own.strides[place];
            }
        }
        view
    };
    let (a, b) = (places(0), places(1));
    let (x, y) = (inputs[0].to_i64(), inputs[1].to_i64());
    let mut sums = vec![0i64; volume(shape)];
    let depth = space[axes[2].len()..].iter().product::<usize>();
    for (at, (i, j)) in a.positions().zip(b.positions()).enumerate() {
        let product = x[i].checked_mul(y[j]).ok_or_else(|| beyond("a product"))?;
        let sum = &mut sums[at / depth];
        *sum = sum.checked_add(product).ok_or_else(|| beyond("a sum"))?;
    }
    Ok(HostTensor::from_i64(shape, &sums))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_use_all_64_bits_and_no_more() {
        let x = HostTensor::from_i64(&[2, 3], &[1 << 40, -5, 7, 1 << 41, 1, i64::MAX]);
        let over = |axes: &[usize]| Integers::Sum(axes.to_vec()).eval(std::slice::from_ref(&x));
        let rows = over(&[0]).unwrap_err();
        assert!(rows.contains("64 bits"), "{rows}");
        let x = HostTensor::from_i64(&[2, 3], &[1 << 40, -5, 7, 1 << 41, 1, -9]);
        let sums = Integers::Sum(vec![0]).eval(std::slice::from_ref(&x)).unwrap();
        assert_eq!((sums[0].shape(), sums[0].to_i64()), (&[1, 3][..], vec![3 << 40, -4, -2]));
        let sums = Integers::Sum(vec![0, 1]).eval(&[x]).unwrap();
        assert_eq!((sums[0].shape(), sums[0].to_i64()), (&[1, 1][..], vec![(3 << 40) - 6]));
    }

    #[test]
    fn products_are_those_of_plain_loops() {
        // Axes: 0 batch (the second operand broadcasts it), 1 rows, 2 columns, 3 depth; the second is transposed.
        let products = Integers::Products { axes: [vec![0, 1, 3], vec![0, 2, 3], vec![0, 1, 2]], shape: vec![2, 2, 3] };
        let a: Vec<i64> = (0..16).map(|i| (i * 7 - 40) << 20).collect();
        let b: Vec<i64> = (0..12).map(|i| (i * i - 30) << 12).collect();
        let inputs = [HostTensor::from_i64(&[2, 2, 4], &a), HostTensor::from_i64(&[1, 3, 4], &b)];
        let got = products.eval(&inputs).unwrap()[0].to_i64();
        for n in 0..2 {
            for r in 0..2 {
                for c in 0..3 {
                    let expected: i64 = (0..4).map(|k| a[(n * 2 + r) * 4 + k] * b[c * 4 + k]).sum();
                    assert_eq!(got[(n * 2 + r) * 3 + c], expected, "{n} {r} {c}");
                }
            }
        }
        let large = [HostTensor::from_i64(&[1, 1, 1], &[1 << 40]), HostTensor::from_i64(&[1, 1, 1], &[1 << 40])];
        let shape = vec![1, 1, 1];
        let axes = [vec![0, 1, 3], vec![0, 2, 3], vec![0, 1, 2]];
        assert!(Integers::Products { axes, shape }.eval(&large).is_err());
    }
}
