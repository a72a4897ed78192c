// rem_i32: remainder with the sign of a; 0 for a divisor of 0
fn rem_i32(a: i32, b: i32) -> i32 {
    // A divisor of -1 leaves nothing, and its quotient may overflow.
    let d = select(b, 1, b == 0 || b == -1);
    return a - d * (a / d);
}
