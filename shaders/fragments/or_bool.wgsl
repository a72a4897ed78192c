// or_bool: either
fn or_bool(a: u32, b: u32) -> u32 {
    return a | b;
}
