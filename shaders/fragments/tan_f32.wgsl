// tan_f32: tangent, as sine over cosine; infinities and NaN give NaN
// links  functions/sine_cosine.wgsl
fn sine_cosine(x: f32) -> vec2<f32> {
    return vec2<f32>();
}

fn tan_f32(x: f32) -> f32 {
    let both = sine_cosine(x);
    return both.x / both.y;
}
