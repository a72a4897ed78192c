// floor_f32: largest integer not above x
fn floor_f32(x: f32) -> f32 {
    return floor(x);
}
