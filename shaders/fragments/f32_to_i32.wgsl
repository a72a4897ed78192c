// f32_to_i32: towards zero
fn f32_to_i32(x: f32) -> i32 {
    return i32(x);
}
