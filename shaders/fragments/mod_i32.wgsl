// mod_i32: remainder with the sign of b
fn mod_i32(a: i32, b: i32) -> i32 {
    let d = select(b, 1, b == 0);
    let r = a - d * (a / d);
    return select(r, r + d, r != 0 && ((r < 0) != (d < 0)));
}
