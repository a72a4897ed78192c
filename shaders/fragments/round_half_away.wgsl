// round_half_away: nearest integer, ties away from zero
fn round_half_away(x: f32) -> f32 {
    let t = trunc(x);
    // The difference is exact.
    let up = select(t, t + select(1.0, -1.0, x < 0.0), abs(x - t) >= 0.5);
    return select(up, x, !(abs(x) < 8388608.0));
}
