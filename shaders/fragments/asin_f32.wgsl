// asin_f32: inverse sine; NaN outside [-1, 1]
fn asin_f32(x: f32) -> f32 {
    let a = abs(x);
    let large = a > 0.5;
    let z = select(a * a, 0.5 * (1.0 - a), large);
    let s = select(a, sqrt(z), large);
    let p = s + s * z * (1.6666752422e-1 + z * (7.4953002686e-2 + z * (4.5470025998e-2 + z * (2.4181311049e-2 + z * 4.2163199048e-2))));
    let y = select(p, 1.5707963268 - 2.0 * p, large);
    let nan = bitcast<f32>(bitcast<u32>(x) | 0x7fc00000u);
    return select(nan, select(y, -y, x < 0.0), a <= 1.0);
}
