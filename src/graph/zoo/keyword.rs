//! Keyword spotting: which of twelve words was said in this second; a network so small that launches dominate it.
//!
//! DS-CNN (small) of Zhang et al., "Hello Edge: Keyword Spotting on Microcontrollers" (2017), as in MLPerf Tiny: 49
//! frames of 10 MFCC features, one full and four depthwise separable convolutions of 64 channels, batch normalisation
//! folded. The first kernel is 10×4 with stride 2 and padding "same", hence one more row below than above.

use super::builder::Graph;
use super::layers::{Conv, LINEAR};

const CHANNELS: usize = 64;
const BLOCKS: usize = 4;
const WORDS: usize = 12;

/// DS-CNN: 22 604 parameters.
pub fn keyword_spotting(g: &mut Graph) {
    let x = g.input("mfcc", "N,1,49,10");
    let first = Conv { pad: [4, 1, 5, 1], ..Conv::rect(CHANNELS, [10, 4]).stride(2) };
    let mut x = g.conv_relu(x, "first", first);
    for block in 0..BLOCKS {
        x = g.conv_relu(x, &format!("block{block}.depthwise"), Conv::depthwise(CHANNELS));
        x = g.conv_relu(x, &format!("block{block}.pointwise"), Conv::same(CHANNELS, 1));
    }
    let x = g.global_average(x, "pool");
    let logits = g.gemm(x, "logits", WORDS, LINEAR);
    let words = g.softmax(logits, "words");
    g.output(words, &format!("N,{WORDS}"));
}

#[cfg(test)]
mod tests {
    use super::super::probe::check;

    #[test]
    fn keyword_spotting_loads_runs_and_listens_to_its_input() {
        check("keyword_spotting", &[("N", 1)]);
    }
}
