// sine_cosine: sine and cosine of one angle, by polynomials after reduction to [-pi/4, pi/4]; infinities and NaN give NaN
// checks tests/fragments.rs, by the fragments that call it
fn sine_cosine(x: f32) -> vec2<f32> {
    let bits = bitcast<u32>(x) & 0x7fffffffu;
    let q = floor(x * 0.63661977 + 0.5);
    var r = ((x - q * 1.5703125) - q * 4.837512969970703e-4) - q * 7.549789948768648e-8;
    // The quadrant, 0 to 3.
    var k = q - 4.0 * floor(q * 0.25);
    // From 8192 on the products above are no longer exact: |x| = m 2^e times 64 bits of 2/pi, those that make the two
    // bits of the quadrant and 62 of its fraction (Payne and Hanek's method).
    if (bits >= 0x46000000u && bits < 0x7f800000u) {
        let m = (bits & 0x007fffffu) | 0x00800000u;
        let first = (bits >> 23u) - 120u;
        // The bits of 2/pi after 32 zeros; three words of them hold the window.
        var a = 0u;
        var b = 0xa2f9836eu;
        var c = 0x4e441529u;
        switch first >> 5u {
            case 0u: { }
            case 1u: { a = 0xa2f9836eu; b = 0x4e441529u; c = 0xfc2757d1u; }
            case 2u: { a = 0x4e441529u; b = 0xfc2757d1u; c = 0xf534ddc0u; }
            case 3u: { a = 0xfc2757d1u; b = 0xf534ddc0u; c = 0xdb629599u; }
            default: { a = 0xf534ddc0u; b = 0xdb629599u; c = 0x3c439041u; }
        }
        let shift = first & 31u;
        // A shift by 32 in two steps: by 31 - shift and one more.
        let high = (a << shift) | ((b >> 1u) >> (31u - shift));
        let low = (b << shift) | ((c >> 1u) >> (31u - shift));
        // m * low in 64 bits, from halves of 16; of m * high only 32.
        let ml = m & 0xffffu;
        let mh = m >> 16u;
        let u = ml * (low >> 16u);
        let v = mh * (low & 0xffffu);
        let carry = (((ml * (low & 0xffffu)) >> 16u) + (u & 0xffffu) + (v & 0xffffu)) >> 16u;
        let top = m * high + mh * (low >> 16u) + (u >> 16u) + (v >> 16u) + carry;
        let rest = m * low;
        // The fraction, signed: above one half it is what lacks to the next quadrant.
        let f = (top << 2u) | (rest >> 30u);
        let up = f >> 31u;
        let flip = 0u - up;
        let sign = select(1.0, -1.0, (up == 1u) != (x < 0.0));
        r = sign * 1.5707964 * (f32(f ^ flip) * 2.3283064365386963e-10 + f32((rest << 2u) ^ flip) * 5.421010862427522e-20);
        let quadrant = ((top >> 30u) + up) & 3u;
        k = f32(select(quadrant, (4u - quadrant) & 3u, x < 0.0));
    }
    let z = r * r;
    let s = r + r * z * (-1.6666654611e-1 + z * (8.3321608736e-3 - z * 1.9515295891e-4));
    let c = 1.0 - 0.5 * z + z * z * (4.166664568298827e-2 + z * (-1.388731625493765e-3 + z * 2.443315711809948e-5));
    let odd = k == 1.0 || k == 3.0;
    let sine = select(s, c, odd);
    let cosine = select(c, s, odd);
    return vec2<f32>(select(sine, -sine, k >= 2.0), select(cosine, -cosine, k == 1.0 || k == 2.0));
}
