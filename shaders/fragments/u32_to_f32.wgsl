// u32_to_f32: 0 or 1 as a float (from bool)
fn u32_to_f32(x: u32) -> f32 {
    return f32(x);
}
