// trunc_f32: the integer part
fn trunc_f32(x: f32) -> f32 {
    return trunc(x);
}
