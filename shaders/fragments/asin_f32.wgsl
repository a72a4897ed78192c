// asin_f32: asin
fn asin_f32(x: f32) -> f32 {
    return asin(x);
}
