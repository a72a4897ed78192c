//! Seeded weights: every weight is a pure function of (network name, tensor index, element index).
//!
//! ```text
//! k = split(fnv1a(network name) + tensor index)       two 32-bit keys
//! x = mix(element index, k) | 1                       as i32: odd, so never zero
//! w = mean + std * sqrt(3) * x / 2^31                 uniform, variance std^2
//! ```
//!
//! The same network therefore has the same weights on every machine, in any order of generation and without a file.
//! Every operation is exact or rounded once by IEEE rules, so the bits agree too. No weight and no bias is zero: a
//! kernel that forgets a bias or skips an element is seen in the output.
//!
//! The standard deviations follow He et al., "Delving Deep into Rectifiers" (2015): a layer that sums `fan_in` products
//! has `std = gain / sqrt(fan_in)`. With gain sqrt(2) before a ReLU and 1 elsewhere, activations neither grow nor
//! fade with depth.
//!
//! Not here: cryptographic or statistical quality. The mixer is chosen because it vectorises; vgg16's 138 million
//! weights have to appear while a user waits.

/// How the values of one tensor are distributed: uniform around `mean` with standard deviation `std`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Centre of the distribution.
    pub mean: f32,
    /// Standard deviation; the values lie within `mean ± sqrt(3) * std`.
    pub std: f32,
}

impl Spread {
    /// Biases and shifts: small, centred on zero, never zero.
    pub const BIAS: Spread = Spread { mean: 0.0, std: 0.1 };
    /// Scales and variances of normalisations: around one, always positive.
    pub const SCALE: Spread = Spread { mean: 1.0, std: 0.2 };

    /// Weights of a layer that sums `fan_in` products, multiplying the energy of its input by `gain` squared.
    pub fn fan_in(fan_in: usize, gain: f32) -> Spread {
        Spread { mean: 0.0, std: (f64::from(gain) / (fan_in.max(1) as f64).sqrt()) as f32 }
    }

    /// Values around zero with the given standard deviation.
    pub fn centred(std: f32) -> Spread {
        Spread { mean: 0.0, std }
    }
}

/// The seed of a network: FNV-1a of its name.
pub fn seed(network: &str) -> u64 {
    network.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The `len` values of tensor number `tensor` of the network with this seed.
pub fn generate(seed: u64, tensor: usize, len: usize, spread: Spread) -> Vec<f32> {
    let keys = split(seed.wrapping_add(tensor as u64));
    let (first, second) = (keys as u32, (keys >> 32) as u32);
    let unit = (f64::from(spread.std) * 3f64.sqrt() / f64::from(1u32 << 31)) as f32;
    // Element indices wrap at 2^32; no tensor of the zoo comes near.
    (0..len).map(|element| spread.mean + unit * (mix(element as u32, first, second) | 1) as i32 as f32).collect()
}

/// One round of SplitMix64, so that neighbouring tensors get unrelated keys.
fn split(state: u64) -> u64 {
    let z = state.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The MurmurHash3 finaliser with the second key added half way, so that two tensors are not shifts of one sequence.
fn mix(element: u32, first: u32, second: u32) -> u32 {
    let h = element.wrapping_mul(0x9e37_79b9).wrapping_add(first);
    let h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    let h = (h ^ (h >> 13) ^ second).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_asked_mean_and_deviation_and_are_never_zero() {
        for (mean, std) in [(0.0, 1.0), (0.0, 0.01), (1.0, 0.2)] {
            let values = generate(seed("any"), 3, 100_000, Spread { mean, std });
            let n = values.len() as f64;
            let m = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
            let s = (values.iter().map(|&v| (f64::from(v) - m).powi(2)).sum::<f64>() / n).sqrt();
            assert!((m - f64::from(mean)).abs() < 0.02 * f64::from(std), "mean {m}, asked {mean}");
            assert!((s / f64::from(std) - 1.0).abs() < 0.02, "deviation {s}, asked {std}");
            assert!(values.iter().all(|&v| v != 0.0));
        }
    }

    #[test]
    fn values_depend_on_seed_tensor_and_element_only() {
        let base = generate(seed("a"), 0, 1000, Spread::BIAS);
        assert_eq!(base[..10], generate(seed("a"), 0, 10, Spread::BIAS)[..], "length must not matter");
        for other in [generate(seed("b"), 0, 1000, Spread::BIAS), generate(seed("a"), 1, 1000, Spread::BIAS)] {
            let equal = base.iter().zip(&other).filter(|(a, b)| a == b).count();
            assert!(equal < 5, "{equal} of 1000 elements coincide");
        }
    }

    #[test]
    fn first_values_are_fixed_for_ever() {
        // A change here changes the output of every network in the zoo, and every checksum that someone recorded.
        let bits: Vec<u32> =
            generate(seed("resnet50"), 0, 3, Spread::centred(1.0)).iter().map(|v| v.to_bits()).collect();
        assert_eq!(bits, [1020828020, 3168371012, 3199980445]);
    }
}
