// is_inf: 1 where x is infinite
fn is_inf(x: f32) -> u32 {
    return select(0u, 1u, (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u);
}
