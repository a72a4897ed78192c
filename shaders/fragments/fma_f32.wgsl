// fma_f32: scale x + shift
fn fma_f32(x: f32, scale: f32, shift: f32) -> f32 {
    return fma(x, scale, shift);
}
