// identity: x
fn identity(x: f32) -> f32 {
    return x;
}
