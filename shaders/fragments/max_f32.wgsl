// max_f32: the larger; NaN wins
fn max_f32(a: f32, b: f32) -> f32 {
    return select(select(a, b, a < b), b, b != b);
}
