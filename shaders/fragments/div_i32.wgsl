// div_i32: quotient towards zero; division by zero gives a
fn div_i32(a: i32, b: i32) -> i32 {
    return a / select(b, 1, b == 0);
}
