// rem_f32: remainder with the sign of a; beside a multiple of b it may be that of the other side, b infinite gives a
fn rem_f32(a: f32, b: f32) -> f32 {
    let r = fma(-b, trunc(a / b), a);
    // A quotient that rounded to the next integer is one too far.
    let d = select(abs(b), -abs(b), a < 0.0);
    let fixed = select(select(r, r + d, r != 0.0 && (r < 0.0) != (a < 0.0)), r - d, abs(r) >= abs(b));
    let endless = (bitcast<u32>(b) & 0x7fffffffu) == 0x7f800000u && (bitcast<u32>(a) & 0x7fffffffu) < 0x7f800000u;
    return select(fixed, a, endless);
}
