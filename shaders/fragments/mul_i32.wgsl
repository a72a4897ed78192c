// mul_i32: a * b, wrapping
fn mul_i32(a: i32, b: i32) -> i32 {
    return a * b;
}
