// acos_f32: inverse cosine; NaN outside [-1, 1]
fn acos_f32(x: f32) -> f32 {
    let a = abs(x);
    let large = a > 0.5;
    let z = select(a * a, 0.5 * (1.0 - a), large);
    let s = select(a, sqrt(z), large);
    let p = s + s * z * (1.6666752422e-1 + z * (7.4953002686e-2 + z * (4.5470025998e-2 + z * (2.4181311049e-2 + z * 4.2163199048e-2))));
    let far = select(2.0 * p, 3.1415926536 - 2.0 * p, x < 0.0);
    let near = 1.5707963268 - select(p, -p, x < 0.0);
    let nan = bitcast<f32>(bitcast<u32>(x) | 0x7fc00000u);
    return select(nan, select(near, far, large), a <= 1.0);
}
