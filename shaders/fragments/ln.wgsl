// ln: natural logarithm
fn ln(x: f32) -> f32 {
    return log(x);
}
