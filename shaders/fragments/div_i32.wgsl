// div_i32: quotient towards zero; division by zero gives a, and so does the one quotient that overflows
fn div_i32(a: i32, b: i32) -> i32 {
    let overflows = b == -1 && bitcast<u32>(a) == 0x80000000u;
    return a / select(b, 1, b == 0 || overflows);
}
