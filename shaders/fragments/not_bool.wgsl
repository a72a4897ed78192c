// not_bool: the other truth value
fn not_bool(x: u32) -> u32 {
    return 1u - x;
}
