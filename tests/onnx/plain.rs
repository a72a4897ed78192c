//! Tensors of 64-bit floats and the few operations that expected answers are made of, as plain as can be.

use cotenant::tensor::HostTensor;
use rand::Rng;
use rand::rngs::StdRng;

/// A tensor.
#[derive(Clone, Debug)]
pub struct Plain {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

impl Plain {
    /// The tensor whose elements are `value` of their indices.
    pub fn make(shape: &[usize], mut value: impl FnMut(&[usize]) -> f64) -> Plain {
        let mut index = vec![0; shape.len()];
        let mut data = Vec::new();
        for _ in 0..shape.iter().product::<usize>() {
            data.push(value(&index));
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Plain { shape: shape.into(), data }
    }

    /// Random elements in [-1, 1) that 32-bit floats hold exactly.
    pub fn random(shape: &[usize], rng: &mut StdRng) -> Plain {
        Plain::make(shape, |_| f64::from(rng.random_range(-1.0f32..1.0)))
    }

    pub fn at(&self, index: &[usize]) -> f64 {
        let place = index.iter().zip(&self.shape).fold(0, |place, (&i, &n)| place * n + i);
        self.data[place]
    }

    /// The element, or zero outside.
    pub fn padded(&self, index: &[i64]) -> f64 {
        let inside = index.iter().zip(&self.shape).all(|(&i, &n)| (0..n as i64).contains(&i));
        if inside { self.at(&index.iter().map(|&i| i as usize).collect::<Vec<_>>()) } else { 0.0 }
    }

    pub fn map(&self, f: impl Fn(f64) -> f64) -> Plain {
        Plain { shape: self.shape.clone(), data: self.data.iter().map(|&v| f(v)).collect() }
    }

    /// Every `step`-th element along an axis, from `start`.
    pub fn strided(&self, axis: usize, start: usize, step: usize) -> Plain {
        let mut shape = self.shape.clone();
        shape[axis] = self.shape[axis].saturating_sub(start).div_ceil(step);
        Plain::make(&shape, |i| {
            let mut from = i.to_vec();
            from[axis] = start + i[axis] * step;
            self.at(&from)
        })
    }

    /// An axis of extent one repeated.
    pub fn repeated(&self, axis: usize, times: usize) -> Plain {
        let mut shape = self.shape.clone();
        shape[axis] = times;
        Plain::make(&shape, |i| {
            let mut from = i.to_vec();
            from[axis] = 0;
            self.at(&from)
        })
    }

    /// The product of matrices, `[…, m, k]` and `[k, n]`.
    pub fn times(&self, other: &Plain) -> Plain {
        let (rank, k) = (self.shape.len(), other.shape[0]);
        let mut shape = self.shape.clone();
        shape[rank - 1] = other.shape[1];
        Plain::make(&shape, |i| {
            let mut from = i.to_vec();
            (0..k)
                .map(|k| {
                    from[rank - 1] = k;
                    self.at(&from) * other.at(&[k, i[rank - 1]])
                })
                .sum()
        })
    }

    /// Softmax along an axis.
    pub fn softmax(&self, axis: usize) -> Plain {
        Plain::make(&self.shape, |i| {
            let mut from = i.to_vec();
            let all = (0..self.shape[axis]).map(|k| {
                from[axis] = k;
                self.at(&from).exp()
            });
            self.at(i).exp() / all.sum::<f64>()
        })
    }

    pub fn tensor(&self) -> HostTensor {
        HostTensor::from_f32(&self.shape, &self.data.iter().map(|&v| v as f32).collect::<Vec<_>>())
    }

    /// Asserts that an answer is this, within 1e-4 of the largest element; NaN where this is NaN.
    pub fn expect(&self, got: &HostTensor, what: &str) {
        assert_eq!(got.shape(), self.shape, "{what}: shape");
        let largest = self.data.iter().filter(|v| v.is_finite()).fold(1e-3f64, |m, v| m.max(v.abs()));
        for (at, (g, e)) in got.to_f64().iter().zip(&self.data).enumerate() {
            let same = g == e || (g.is_nan() && e.is_nan()) || (g - e).abs() <= 1e-4 * largest;
            assert!(same, "{what}: element {at} is {g}, expected {e}");
        }
    }
}
