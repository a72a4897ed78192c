// xor_bool: exactly one
fn xor_bool(a: u32, b: u32) -> u32 {
    return a ^ b;
}
