// cos_f32: cosine; infinities and NaN give NaN
// links  functions/sine_cosine.wgsl
fn sine_cosine(x: f32) -> vec2<f32> {
    return vec2<f32>();
}

fn cos_f32(x: f32) -> f32 {
    return sine_cosine(x).y;
}
