// round_half_even: nearest integer, ties to even
fn round_half_even(x: f32) -> f32 {
    return round(x);
}
