// xor_i32: bitwise xor
fn xor_i32(a: i32, b: i32) -> i32 {
    return a ^ b;
}
