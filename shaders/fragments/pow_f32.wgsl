// pow_f32: a to the b; negative a only with integer b
fn pow_f32(a: f32, b: f32) -> f32 {
    let p = pow(abs(a), b);
    // Negative bases have real powers for integer exponents only.
    let odd = abs(b) % 2.0 == 1.0;
    let whole = floor(b) == b;
    let signed = select(select(log(a), p, whole), -p, odd && whole);
    return select(select(p, signed, a < 0.0), 1.0, b == 0.0);
}
