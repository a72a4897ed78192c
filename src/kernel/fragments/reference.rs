//! What each fragment computes, in plain Rust; floats go through `f64`.

/// A fragment as a function of its argument words.
pub type Function = fn(&[u32]) -> u32;

/// The function of fragment `name`: from the words of its arguments to that of its result. Panics on a name that is not
/// in the alphabet: a test asks for every one.
pub fn function(name: &str) -> Function {
    match name {
        "neg" => |a| a[0] ^ 0x8000_0000,
        "abs_f32" => |a| float(f(a, 0).abs()),
        "exp_f32" => |a| float(f(a, 0).exp()),
        "ln" => |a| float(f(a, 0).ln()),
        "sqrt_f32" => |a| float(f(a, 0).sqrt()),
        "rsqrt" => |a| float(1.0 / f(a, 0).sqrt()),
        "recip" => |a| float(1.0 / f(a, 0)),
        "square" => |a| float(f(a, 0) * f(a, 0)),
        "floor_f32" => |a| float(f(a, 0).floor()),
        "ceil_f32" => |a| float(f(a, 0).ceil()),
        "trunc_f32" => |a| float(f(a, 0).trunc()),
        "round_half_away" => |a| float(f(a, 0).round()),
        "exp_m1" => |a| float(f(a, 0).exp_m1()),
        "ln_1p" => |a| float(f(a, 0).ln_1p()),
        "round_half_even" => |a| float(f(a, 0).round_ties_even()),
        "sign_f32" => |a| {
            float(if f(a, 0) > 0.0 {
                1.0
            } else if f(a, 0) < 0.0 {
                -1.0
            } else {
                f(a, 0)
            })
        },
        "relu" => |a| float(if f(a, 0) < 0.0 { 0.0 } else { f(a, 0) }),
        "sigmoid" => |a| float(1.0 / (1.0 + (-f(a, 0)).exp())),
        "silu" => |a| float(f(a, 0) / (1.0 + (-f(a, 0)).exp())),
        "hard_swish" => |a| float(f(a, 0) * clamp(f(a, 0) / 6.0 + 0.5, 0.0, 1.0)),
        "softplus" => |a| float(softplus(f(a, 0))),
        "mish" => |a| float(f(a, 0) * softplus(f(a, 0)).tanh()),
        "tanh_f32" => |a| float(f(a, 0).tanh()),
        "erf" => |a| float(erf(f(a, 0))),
        "gelu" => |a| float(0.5 * f(a, 0) * erfc(-f(a, 0) / std::f64::consts::SQRT_2)),
        "gelu_tanh" => |a| {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (f(a, 0) + 0.044715 * f(a, 0).powi(3));
            float(0.5 * f(a, 0) * (1.0 + inner.tanh()))
        },
        "sin_f32" => |a| float(f(a, 0).sin()),
        "cos_f32" => |a| float(f(a, 0).cos()),
        "tan_f32" => |a| float(f(a, 0).tan()),
        "asin_f32" => |a| float(f(a, 0).asin()),
        "acos_f32" => |a| float(f(a, 0).acos()),
        "atan_f32" => |a| float(f(a, 0).atan()),
        "sinh_f32" => |a| float(f(a, 0).sinh()),
        "cosh_f32" => |a| float(f(a, 0).cosh()),
        "asinh_f32" => |a| float(f(a, 0).asinh()),
        "acosh_f32" => |a| float(f(a, 0).acosh()),
        "atanh_f32" => |a| float(f(a, 0).atanh()),
        "identity" => |a| a[0],
        "leaky_relu" => |a| float(if f(a, 0) < 0.0 { f(a, 0) * f(a, 1) } else { f(a, 0) }),
        "elu" => |a| float(if f(a, 0) < 0.0 { f(a, 1) * f(a, 0).exp_m1() } else { f(a, 0) }),
        "celu" => |a| float(if f(a, 0) < 0.0 { f(a, 1) * (f(a, 0) / f(a, 1)).exp_m1() } else { f(a, 0) }),
        "selu" => |a| float(f(a, 2) * if f(a, 0) < 0.0 { f(a, 1) * f(a, 0).exp_m1() } else { f(a, 0) }),
        "hard_sigmoid" => |a| float(clamp(f(a, 1) * f(a, 0) + f(a, 2), 0.0, 1.0)),
        "clamp_f32" => |a| float(clamp(f(a, 0), f(a, 1), f(a, 2))),
        "fma_f32" => |a| float(f(a, 0) * f(a, 1) + f(a, 2)),
        "add" => |a| float(f(a, 0) + f(a, 1)),
        "sub" => |a| float(f(a, 0) - f(a, 1)),
        "mul" => |a| float(f(a, 0) * f(a, 1)),
        "div" => |a| float(f(a, 0) / f(a, 1)),
        "max_f32" => |a| float(if f(a, 0).is_nan() || f(a, 1).is_nan() { f64::NAN } else { f(a, 0).max(f(a, 1)) }),
        "min_f32" => |a| float(if f(a, 0).is_nan() || f(a, 1).is_nan() { f64::NAN } else { f(a, 0).min(f(a, 1)) }),
        "pow_f32" => |a| float(f(a, 0).powf(f(a, 1))),
        "rem_f32" => |a| float(f(a, 0) % f(a, 1)),
        "mod_f32" => |a| {
            let r = f(a, 0) % f(a, 1);
            float(if r != 0.0 && (r < 0.0) != (f(a, 1) < 0.0) { r + f(a, 1) } else { r })
        },
        "less_f32" => |a| truth(f(a, 0) < f(a, 1)),
        "less_equal_f32" => |a| truth(f(a, 0) <= f(a, 1)),
        "greater_f32" => |a| truth(f(a, 0) > f(a, 1)),
        "greater_equal_f32" => |a| truth(f(a, 0) >= f(a, 1)),
        "equal_f32" => |a| truth(f(a, 0) == f(a, 1)),
        "not_equal_f32" => |a| truth(f(a, 0) != f(a, 1)),
        "less_i32" => |a| truth(i(a, 0) < i(a, 1)),
        "less_equal_i32" => |a| truth(i(a, 0) <= i(a, 1)),
        "greater_i32" => |a| truth(i(a, 0) > i(a, 1)),
        "greater_equal_i32" => |a| truth(i(a, 0) >= i(a, 1)),
        "equal_i32" => |a| truth(i(a, 0) == i(a, 1)),
        "not_equal_i32" => |a| truth(i(a, 0) != i(a, 1)),
        "and_bool" => |a| a[0] & a[1],
        "or_bool" => |a| a[0] | a[1],
        "xor_bool" => |a| a[0] ^ a[1],
        "not_bool" => |a| 1 - a[0],
        "add_i32" => |a| int(i(a, 0).wrapping_add(i(a, 1))),
        "sub_i32" => |a| int(i(a, 0).wrapping_sub(i(a, 1))),
        "mul_i32" => |a| int(i(a, 0).wrapping_mul(i(a, 1))),
        "div_i32" => |a| int(i(a, 0).wrapping_div(divisor(i(a, 1)))),
        "floor_div_i32" => |a| {
            let (d, q) = (divisor(i(a, 1)), i(a, 0).wrapping_div(divisor(i(a, 1))));
            let down = i(a, 0).wrapping_rem(d) != 0 && (i(a, 0) < 0) != (d < 0);
            int(q - i32::from(down))
        },
        "and_i32" => |a| a[0] & a[1],
        "or_i32" => |a| a[0] | a[1],
        "xor_i32" => |a| a[0] ^ a[1],
        "not_i32" => |a| !a[0],
        "shift_left_i32" => |a| int(i(a, 0).wrapping_shl(a[1])),
        "shift_right_i32" => |a| int(i(a, 0).wrapping_shr(a[1])),
        "rem_i32" => |a| int(i(a, 0).wrapping_rem(divisor(i(a, 1)))),
        "mod_i32" => |a| {
            let d = divisor(i(a, 1));
            let r = i(a, 0).wrapping_rem(d);
            int(if r != 0 && (r < 0) != (d < 0) { r.wrapping_add(d) } else { r })
        },
        "max_i32" => |a| int(i(a, 0).max(i(a, 1))),
        "min_i32" => |a| int(i(a, 0).min(i(a, 1))),
        "neg_i32" => |a| int(i(a, 0).wrapping_neg()),
        "abs_i32" => |a| int(i(a, 0).wrapping_abs()),
        "sign_i32" => |a| int(i(a, 0).signum()),
        "select_f32" | "select_i32" => |a| {
            if a[0] != 0 { a[1] } else { a[2] }
        },
        "i32_to_f32" => |a| (i(a, 0) as f32).to_bits(),
        "u32_to_f32" => |a| (a[0] as f32).to_bits(),
        "f32_to_i32" => |a| int(f32::from_bits(a[0]) as i32),
        "f32_to_bool" => |a| truth(f(a, 0) != 0.0),
        "i32_to_bool" => |a| truth(i(a, 0) != 0),
        "is_nan" => |a| truth(f(a, 0).is_nan()),
        "is_inf" => |a| truth(f(a, 0).is_infinite()),
        other => panic!("fragment {other} has no reference"),
    }
}

/// Argument `k` as a float.
fn f(a: &[u32], k: usize) -> f64 {
    f64::from(f32::from_bits(a[k]))
}

/// Argument `k` as an integer.
fn i(a: &[u32], k: usize) -> i32 {
    a[k] as i32
}

fn float(v: f64) -> u32 {
    (v as f32).to_bits()
}

fn int(v: i32) -> u32 {
    v as u32
}

fn truth(v: bool) -> u32 {
    u32::from(v)
}

fn divisor(d: i32) -> i32 {
    if d == 0 { 1 } else { d }
}

fn clamp(x: f64, low: f64, high: f64) -> f64 {
    if x < low {
        low
    } else if x > high {
        high
    } else {
        x
    }
}

fn softplus(x: f64) -> f64 {
    // `max` would answer 0 for NaN.
    (-x.abs()).exp().ln_1p() + if x < 0.0 { 0.0 } else { x }
}

/// The error function: Maclaurin series below 2, one minus its complement above (Abramowitz and Stegun 7.1.5).
pub(crate) fn erf(x: f64) -> f64 {
    if x.abs() > 2.0 {
        return (1.0 - erfc(x.abs())).copysign(x);
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..100 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

/// The complementary error function: continued fraction above 2 (Abramowitz and Stegun 7.1.14), so that small values
/// keep their digits.
pub(crate) fn erfc(x: f64) -> f64 {
    if x < -2.0 {
        return 2.0 - erfc(-x);
    }
    if x <= 2.0 || x.is_nan() {
        return 1.0 - erf(x);
    }
    let mut fraction = x;
    for n in (1..200).rev() {
        fraction = x + f64::from(n) / 2.0 / fraction;
    }
    (-x * x).exp() / (fraction * std::f64::consts::PI.sqrt())
}

#[cfg(test)]
mod tests {
    use super::{erf, erfc};

    #[test]
    fn the_error_function_is_that_of_the_tables() {
        for (x, y) in [(0.0, 0.0), (0.5, 0.520_499_877_8), (1.0, 0.842_700_792_9), (3.5, 0.999_999_256_9)] {
            assert!((erf(x) - y).abs() < 1e-9 && (erf(-x) + y).abs() < 1e-9, "erf({x})");
        }
        assert!((erfc(4.0) / 1.541_725_790_028e-8 - 1.0).abs() < 1e-9);
        assert!((erfc(2.000_001) - erfc(1.999_999)).abs() < 1e-7);
        assert!(erf(f64::NAN).is_nan() && erfc(f64::NAN).is_nan());
    }
}
