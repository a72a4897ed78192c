// abs_i32: |x|
fn abs_i32(x: i32) -> i32 {
    return abs(x);
}
