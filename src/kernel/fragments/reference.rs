//! What each fragment computes, in plain Rust; floats go through `f64`.

/// The word that fragment `name` gives for these argument words. Panics on a name that is not in the alphabet: a test
/// asks for every one.
pub fn reference(name: &str, args: &[u32]) -> u32 {
    let f = |k: usize| f64::from(f32::from_bits(args[k]));
    let i = |k: usize| args[k] as i32;
    let float = |v: f64| (v as f32).to_bits();
    let int = |v: i32| v as u32;
    let truth = u32::from;
    match name {
        "neg" => args[0] ^ 0x8000_0000,
        "abs_f32" => float(f(0).abs()),
        "exp_f32" => float(f(0).exp()),
        "ln" => float(f(0).ln()),
        "sqrt_f32" => float(f(0).sqrt()),
        "rsqrt" => float(1.0 / f(0).sqrt()),
        "recip" => float(1.0 / f(0)),
        "square" => float(f(0) * f(0)),
        "floor_f32" => float(f(0).floor()),
        "ceil_f32" => float(f(0).ceil()),
        "trunc_f32" => float(f(0).trunc()),
        "round_half_away" => float(f(0).round()),
        "exp_m1" => float(f(0).exp_m1()),
        "ln_1p" => float(f(0).ln_1p()),
        "round_half_even" => float(f(0).round_ties_even()),
        "sign_f32" => float(if f(0) > 0.0 {
            1.0
        } else if f(0) < 0.0 {
            -1.0
        } else {
            f(0)
        }),
        "relu" => float(if f(0) < 0.0 { 0.0 } else { f(0) }),
        "sigmoid" => float(1.0 / (1.0 + (-f(0)).exp())),
        "silu" => float(f(0) / (1.0 + (-f(0)).exp())),
        "hard_swish" => float(f(0) * clamp(f(0) / 6.0 + 0.5, 0.0, 1.0)),
        "softplus" => float(softplus(f(0))),
        "mish" => float(f(0) * softplus(f(0)).tanh()),
        "tanh_f32" => float(f(0).tanh()),
        "erf" => float(erf(f(0))),
        "gelu" => float(0.5 * f(0) * erfc(-f(0) / std::f64::consts::SQRT_2)),
        "gelu_tanh" => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (f(0) + 0.044715 * f(0).powi(3));
            float(0.5 * f(0) * (1.0 + inner.tanh()))
        }
        "sin_f32" => float(f(0).sin()),
        "cos_f32" => float(f(0).cos()),
        "tan_f32" => float(f(0).tan()),
        "asin_f32" => float(f(0).asin()),
        "acos_f32" => float(f(0).acos()),
        "atan_f32" => float(f(0).atan()),
        "sinh_f32" => float(f(0).sinh()),
        "cosh_f32" => float(f(0).cosh()),
        "asinh_f32" => float(f(0).asinh()),
        "acosh_f32" => float(f(0).acosh()),
        "atanh_f32" => float(f(0).atanh()),
        "identity" => args[0],
        "leaky_relu" => float(if f(0) < 0.0 { f(0) * f(1) } else { f(0) }),
        "elu" => float(if f(0) < 0.0 { f(1) * f(0).exp_m1() } else { f(0) }),
        "celu" => float(if f(0) < 0.0 { f(1) * (f(0) / f(1)).exp_m1() } else { f(0) }),
        "selu" => float(f(2) * if f(0) < 0.0 { f(1) * f(0).exp_m1() } else { f(0) }),
        "hard_sigmoid" => float(clamp(f(1) * f(0) + f(2), 0.0, 1.0)),
        "clamp_f32" => float(clamp(f(0), f(1), f(2))),
        "fma_f32" => float(f(0) * f(1) + f(2)),
        "add" => float(f(0) + f(1)),
        "sub" => float(f(0) - f(1)),
        "mul" => float(f(0) * f(1)),
        "div" => float(f(0) / f(1)),
        "max_f32" => float(if f(0).is_nan() || f(1).is_nan() { f64::NAN } else { f(0).max(f(1)) }),
        "min_f32" => float(if f(0).is_nan() || f(1).is_nan() { f64::NAN } else { f(0).min(f(1)) }),
        "pow_f32" => float(f(0).powf(f(1))),
        "rem_f32" => float(f(0) % f(1)),
        "mod_f32" => {
            let r = f(0) % f(1);
            float(if r != 0.0 && (r < 0.0) != (f(1) < 0.0) { r + f(1) } else { r })
        }
        "less_f32" => truth(f(0) < f(1)),
        "less_equal_f32" => truth(f(0) <= f(1)),
        "greater_f32" => truth(f(0) > f(1)),
        "greater_equal_f32" => truth(f(0) >= f(1)),
        "equal_f32" => truth(f(0) == f(1)),
        "not_equal_f32" => truth(f(0) != f(1)),
        "less_i32" => truth(i(0) < i(1)),
        "less_equal_i32" => truth(i(0) <= i(1)),
        "greater_i32" => truth(i(0) > i(1)),
        "greater_equal_i32" => truth(i(0) >= i(1)),
        "equal_i32" => truth(i(0) == i(1)),
        "not_equal_i32" => truth(i(0) != i(1)),
        "and_bool" => args[0] & args[1],
        "or_bool" => args[0] | args[1],
        "xor_bool" => args[0] ^ args[1],
        "not_bool" => 1 - args[0],
        "add_i32" => int(i(0).wrapping_add(i(1))),
        "sub_i32" => int(i(0).wrapping_sub(i(1))),
        "mul_i32" => int(i(0).wrapping_mul(i(1))),
        "div_i32" => int(i(0).wrapping_div(divisor(i(1)))),
        "floor_div_i32" => {
            let (d, q) = (divisor(i(1)), i(0).wrapping_div(divisor(i(1))));
            let down = i(0).wrapping_rem(d) != 0 && (i(0) < 0) != (d < 0);
            int(q - i32::from(down))
        }
        "and_i32" => args[0] & args[1],
        "or_i32" => args[0] | args[1],
        "xor_i32" => args[0] ^ args[1],
        "not_i32" => !args[0],
        "shift_left_i32" => int(i(0).wrapping_shl(args[1])),
        "shift_right_i32" => int(i(0).wrapping_shr(args[1])),
        "rem_i32" => int(i(0).wrapping_rem(divisor(i(1)))),
        "mod_i32" => {
            let d = divisor(i(1));
            let r = i(0).wrapping_rem(d);
            int(if r != 0 && (r < 0) != (d < 0) { r.wrapping_add(d) } else { r })
        }
        "max_i32" => int(i(0).max(i(1))),
        "min_i32" => int(i(0).min(i(1))),
        "neg_i32" => int(i(0).wrapping_neg()),
        "abs_i32" => int(i(0).wrapping_abs()),
        "sign_i32" => int(i(0).signum()),
        "select_f32" | "select_i32" => {
            if args[0] != 0 {
                args[1]
            } else {
                args[2]
            }
        }
        "i32_to_f32" => (i(0) as f32).to_bits(),
        "u32_to_f32" => (args[0] as f32).to_bits(),
        "f32_to_i32" => int(f32::from_bits(args[0]) as i32),
        "f32_to_bool" => truth(f(0) != 0.0),
        "i32_to_bool" => truth(i(0) != 0),
        "is_nan" => truth(f(0).is_nan()),
        "is_inf" => truth(f(0).is_infinite()),
        other => panic!("fragment {other} has no reference"),
    }
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
