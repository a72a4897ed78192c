// sign_i32: -1, 0 or 1
fn sign_i32(x: i32) -> i32 {
    return sign(x);
}
