// min_i32: the smaller
fn min_i32(a: i32, b: i32) -> i32 {
    return min(a, b);
}
