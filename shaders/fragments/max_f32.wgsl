// max_f32: the larger; NaN wins
fn max_f32(a: f32, b: f32) -> f32 {
    let nan = (bitcast<u32>(b) & 0x7fffffffu) > 0x7f800000u;
    return select(a, b, a < b || nan);
}
