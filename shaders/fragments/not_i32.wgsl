// not_i32: bitwise complement
fn not_i32(x: i32) -> i32 {
    return ~x;
}
