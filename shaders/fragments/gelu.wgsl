// gelu: x times the normal distribution function, erfc(-x / sqrt 2) / 2 with erfc as in erf.wgsl; NaN stays
fn gelu(x: f32) -> f32 {
    let a = abs(x) * 0.70710678118;
    let t = 1.0 / (1.0 + 0.5 * a);
    let p = -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806 + t * (0.27886807
        + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))));
    let tail = 0.5 * t * exp(p - a * a);
    return x * select(1.0 - tail, tail, x < 0.0);
}
