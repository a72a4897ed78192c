// select_i32: a where c holds, else b
fn select_i32(c: u32, a: i32, b: i32) -> i32 {
    return select(b, a, c != 0u);
}
