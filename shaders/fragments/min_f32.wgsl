// min_f32: the smaller; NaN wins
fn min_f32(a: f32, b: f32) -> f32 {
    let nan = (bitcast<u32>(b) & 0x7fffffffu) > 0x7f800000u;
    return select(a, b, b < a || nan);
}
