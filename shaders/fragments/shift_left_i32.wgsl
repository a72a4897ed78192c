// shift_left_i32: a << b, with b modulo 32
fn shift_left_i32(a: i32, b: i32) -> i32 {
    return a << (bitcast<u32>(b) & 31u);
}
