// mod_f32: remainder with the sign of b; beside a multiple of b it may be that of the other side
fn mod_f32(a: f32, b: f32) -> f32 {
    let r = fma(-b, floor(a / b), a);
    // A quotient that rounded to the next integer is one too far.
    return select(select(r, r + b, r != 0.0 && (r < 0.0) != (b < 0.0)), r - b, abs(r) > abs(b));
}
