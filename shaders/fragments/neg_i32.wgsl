// neg_i32: -x
fn neg_i32(x: i32) -> i32 {
    return -x;
}
