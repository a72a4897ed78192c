// rem_i32: remainder with the sign of a
fn rem_i32(a: i32, b: i32) -> i32 {
    let d = select(b, 1, b == 0);
    return a - d * (a / d);
}
