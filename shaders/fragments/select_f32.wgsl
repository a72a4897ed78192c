// select_f32: a where c holds, else b (words of any type)
fn select_f32(c: u32, a: f32, b: f32) -> f32 {
    return select(b, a, c != 0u);
}
