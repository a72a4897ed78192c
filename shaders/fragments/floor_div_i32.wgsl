// floor_div_i32: quotient towards minus infinity; division by zero gives a, and so does the one quotient that overflows
fn floor_div_i32(a: i32, b: i32) -> i32 {
    let overflows = b == -1 && bitcast<u32>(a) == 0x80000000u;
    let d = select(b, 1, b == 0 || overflows);
    let q = a / d;
    return select(q, q - 1, a - d * q != 0 && ((a < 0) != (d < 0)));
}
