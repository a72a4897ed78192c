// atan_f32: inverse tangent, reduced to |t| <= tan(pi/8); NaN stays
fn atan_f32(x: f32) -> f32 {
    let a = abs(x);
    let high = a > 2.4142135624;
    let middle = a > 0.4142135624 && !high;
    let t = select(select(a, (a - 1.0) / (a + 1.0), middle), -1.0 / a, high);
    let base = select(select(0.0, 0.7853981634, middle), 1.5707963268, high);
    let z = t * t;
    let y = base + (t + t * z * (-3.33329491539e-1 + z * (1.99777106478e-1 + z * (-1.38776856032e-1 + z * 8.05374449538e-2))));
    return select(y, -y, x < 0.0);
}
