// ceil_f32: smallest integer not below x
fn ceil_f32(x: f32) -> f32 {
    return ceil(x);
}
