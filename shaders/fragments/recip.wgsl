// recip: 1 / x
fn recip(x: f32) -> f32 {
    return 1.0 / x;
}
