// f32_to_i32: towards zero; beyond the range its end, NaN gives 0
fn f32_to_i32(x: f32) -> i32 {
    let inside = abs(x) < 2147483648.0;
    let low = x <= -2147483648.0;
    let high = x >= 2147483648.0;
    return select(select(select(0, i32(select(0.0, x, inside)), inside), i32(-2147483647 - 1), low), 2147483647, high);
}
