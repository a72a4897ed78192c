// gelu: x times the normal distribution function, with erf as in erf.wgsl
fn gelu(x: f32) -> f32 {
    let z = x * 0.70710678118;
    let a = abs(z);
    let t = 1.0 / (1.0 + 0.3275911 * a);
    let poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    let far = sign(z) * (1.0 - poly * exp(-a * a));
    let q = z * z;
    let near = 1.1283791671 * z * (1.0 + q * (-1.0 / 3.0 + q * (0.1 + q * (-1.0 / 42.0 + q * (1.0 / 216.0 - q / 1320.0)))));
    return 0.5 * x * (1.0 + select(far, near, a < 0.6));
}
