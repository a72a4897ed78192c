// atanh_f32: inverse hyperbolic tangent; a polynomial below 0.5; NaN outside [-1, 1]
fn atanh_f32(x: f32) -> f32 {
    let a = abs(x);
    let z = a * a;
    let near = a + a * z * (3.33337300303e-1 + z * (1.99782164500e-1 + z * (1.46691431730e-1 + z * (8.24370301058e-2 + z * 1.81740078349e-1))));
    let far = 0.5 * log((1.0 + a) / (1.0 - a));
    let y = select(far, near, a < 0.5);
    let nan = bitcast<f32>(bitcast<u32>(x) | 0x7fc00000u);
    let infinite = bitcast<f32>((bitcast<u32>(x) & 0x80000000u) | 0x7f800000u);
    return select(select(nan, infinite, a == 1.0), select(y, -y, x < 0.0), a < 1.0);
}
