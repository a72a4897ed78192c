// acosh_f32: inverse hyperbolic cosine; by a polynomial of x - 1 below 1.5; NaN below 1
fn acosh_f32(x: f32) -> f32 {
    let z = x - 1.0;
    let near = sqrt(z) * (1.4142135623 + z * (-1.1784741703e-1 + z * (2.6454905019e-2 + z * (-7.5272886713e-3 + z * 1.7596881071e-3))));
    let far = select(log(x + sqrt(x * x - 1.0)), log(x) + 0.6931471806, x > 1e4);
    let nan = bitcast<f32>(bitcast<u32>(x) | 0x7fc00000u);
    return select(nan, select(select(far, near, z < 0.5), x, x > 3.40282347e38), x >= 1.0);
}
