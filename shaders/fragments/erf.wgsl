// erf: error function, Abramowitz and Stegun 7.1.26, and its series below 0.6; NaN stays
fn erf(x: f32) -> f32 {
    let a = abs(x);
    let t = 1.0 / (1.0 + 0.3275911 * a);
    let poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    let far = sign(x) * (1.0 - poly * exp(-a * a));
    // The formula's absolute error of 1.5e-7 is too much near zero: there the Maclaurin series is used.
    let z = x * x;
    let near = 1.1283791671 * x * (1.0 + z * (-1.0 / 3.0 + z * (0.1 + z * (-1.0 / 42.0 + z * (1.0 / 216.0 - z / 1320.0)))));
    return select(select(far, near, a < 0.6), x, x != x);
}
