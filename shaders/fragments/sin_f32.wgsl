// sin_f32: sine, by polynomials after reduction to [-pi/4, pi/4] (arguments up to 1e4); infinities and NaN give NaN
fn sin_f32(x: f32) -> f32 {
    let q = floor(x * 0.63661977 + 0.5);
    let r = ((x - q * 1.5703125) - q * 4.837512969970703e-4) - q * 7.549789948768648e-8;
    let z = r * r;
    let s = r + r * z * (-1.6666654611e-1 + z * (8.3321608736e-3 - z * 1.9515295891e-4));
    let c = 1.0 - 0.5 * z + z * z * (4.166664568298827e-2 + z * (-1.388731625493765e-3 + z * 2.443315711809948e-5));
    // The quadrant, 0 to 3.
    let k = q - 4.0 * floor(q * 0.25);
    let y = select(s, c, k == 1.0 || k == 3.0);
    return select(y, -y, k >= 2.0);
}
