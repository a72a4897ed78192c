// rsqrt: inverse square root
fn rsqrt(x: f32) -> f32 {
    return 1.0 / sqrt(x);
}
