//! How far an output is from its reference, by the two measures that commands use.

use crate::tensor::{HostTensor, show_shape};

/// The distance of an output from its reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Distance {
    /// Largest absolute difference. JSON has no infinity: where one of the two is no finite number and the other is
    /// something else, it is the largest number there is.
    pub max_abs: f64,
    /// That, over the reference's largest magnitude, at least 0.01.
    pub relative: f64,
    /// The first element where one of the two is no finite number and the other is something else, in words.
    pub apart: Option<String>,
}

/// The distance of `got` from `reference`.
///
/// # Errors
/// A sentence where shapes or types differ.
pub fn distance(got: &HostTensor, reference: &HostTensor) -> Result<Distance, String> {
    same_shape(got, reference)?;
    same_type(got, reference)?;
    let shape = got.shape().to_vec();
    let (got, reference) = (got.to_f64(), reference.to_f64());
    let largest = reference.iter().filter(|v| v.is_finite()).fold(0.01f64, |m, v| m.max(v.abs()));
    let pairs = || got.iter().copied().zip(reference.iter().copied());
    if let Some((at, (g, r))) = pairs().enumerate().find(|(_, (g, r))| apart(*g, *r).is_infinite()) {
        let apart = Some(format!("{} where the reference is {} at {}", show(g), show(r), place(at, &shape)));
        return Ok(Distance { max_abs: f64::MAX, relative: f64::MAX, apart });
    }
    let max_abs = pairs().map(|(g, r)| apart(g, r)).fold(0.0, f64::max);
    Ok(Distance { max_abs, relative: max_abs / largest, apart: None })
}

/// A number as people write it.
fn show(value: f64) -> String {
    match value {
        v if v.is_nan() => "NaN".into(),
        v if v.is_infinite() => (if v > 0.0 { "+infinity" } else { "-infinity" }).into(),
        v => v.to_string(),
    }
}

/// The coordinates of element `at`: `[0, 2, 5]`.
fn place(at: usize, shape: &[usize]) -> String {
    let (mut rest, mut coordinates) = (at, vec![0; shape.len()]);
    for (c, &dim) in coordinates.iter_mut().zip(shape).rev() {
        (*c, rest) = (rest % dim, rest / dim);
    }
    format!("{coordinates:?}")
}

/// True where every element is within `atol + rtol * |reference|`, and NaN where the reference is.
///
/// # Errors
/// A sentence that names the first element that is not, or shapes or types that differ.
pub fn close(got: &HostTensor, reference: &HostTensor, rtol: f64, atol: f64) -> Result<(), String> {
    same_shape(got, reference)?;
    same_type(got, reference)?;
    let pairs = got.to_f64().into_iter().zip(reference.to_f64());
    for (at, (g, r)) in pairs.enumerate() {
        if apart(g, r) > atol + rtol * if r.is_finite() { r.abs() } else { 0.0 } {
            return Err(format!("element {at} is {g}, expected {r}"));
        }
    }
    Ok(())
}

fn same_shape(got: &HostTensor, reference: &HostTensor) -> Result<(), String> {
    if got.shape() == reference.shape() {
        return Ok(());
    }
    Err(format!("its shape is {}, expected {}", show_shape(got.shape()), show_shape(reference.shape())))
}

fn same_type(got: &HostTensor, reference: &HostTensor) -> Result<(), String> {
    if got.dtype() == reference.dtype() {
        return Ok(());
    }
    Err(format!("its type is {}, expected {}", got.dtype(), reference.dtype()))
}

/// The difference of two numbers; zero for equal infinities and for two that are no numbers.
fn apart(a: f64, b: f64) -> f64 {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => 0.0,
        (false, false) if a == b => 0.0,
        (false, false) => (a - b).abs(),
        _ => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[f32]) -> HostTensor {
        HostTensor::from_f32(&[values.len()], values)
    }

    #[test]
    fn small_references_do_not_inflate_the_error() {
        let d = distance(&tensor(&[0.0, 1e-4]), &tensor(&[0.0, 0.0])).unwrap();
        assert!((d.relative - 0.01).abs() < 1e-6, "{d:?}");
        let d = distance(&tensor(&[10.0, 5.0]), &tensor(&[10.0, 6.0])).unwrap();
        assert_eq!((d.max_abs, d.relative), (1.0, 0.1));
    }

    #[test]
    fn a_number_that_is_none_never_passes() {
        let nan = f32::NAN;
        assert_eq!(distance(&tensor(&[nan]), &tensor(&[nan])).unwrap().max_abs, 0.0);
        let wide = |values: &[f32]| HostTensor::from_f32(&[2, 3], values);
        let one = wide(&[1.0; 6]);
        let d = distance(&wide(&[1.0, 1.0, 1.0, 1.0, 1.0, nan]), &one).unwrap();
        assert_eq!((d.max_abs, d.relative), (f64::MAX, f64::MAX));
        assert_eq!(d.apart.as_deref(), Some("NaN where the reference is 1 at [1, 2]"));
        let d = distance(&one, &wide(&[1.0, f32::NEG_INFINITY, 1.0, 1.0, 1.0, 1.0])).unwrap();
        assert_eq!(d.apart.as_deref(), Some("1 where the reference is -infinity at [0, 1]"));
        assert_eq!(distance(&tensor(&[f32::INFINITY]), &tensor(&[f32::INFINITY])).unwrap().max_abs, 0.0);
        assert!(close(&tensor(&[1.0]), &tensor(&[f32::INFINITY]), 1e-3, 1e-7).is_err());
        assert!(close(&tensor(&[nan]), &tensor(&[1.0]), 1e-3, 1e-7).is_err());
    }

    #[test]
    fn shapes_and_types_must_agree() {
        assert!(distance(&tensor(&[1.0]), &HostTensor::from_f32(&[1, 1], &[1.0])).unwrap_err().contains("1x1"));
        assert!(close(&tensor(&[1.0]), &HostTensor::from_i32(&[1], &[1]), 1e-3, 1e-7).unwrap_err().contains("i32"));
        assert!(close(&tensor(&[1.0009]), &tensor(&[1.0]), 1e-3, 1e-7).is_ok());
        assert!(close(&tensor(&[1.0, 1.002]), &tensor(&[1.0, 1.0]), 1e-3, 1e-7).unwrap_err().starts_with("element 1"));
    }
}
