// round_half_even: nearest integer, ties to even; infinities and NaN stay
fn round_half_even(x: f32) -> f32 {
    return select(round(x), x, !(abs(x) < 8388608.0));
}
