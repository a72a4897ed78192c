// and_bool: both
fn and_bool(a: u32, b: u32) -> u32 {
    return a & b;
}
