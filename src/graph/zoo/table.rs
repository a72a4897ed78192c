//! The table of everything in the zoo: one entry per network and per family of single operators.
//!
//! Names, sizes and inputs are stated here for people to read; a test compares them with what is built.

use super::builder::Graph;
use super::single::{self, Family};
use super::{
    Entry, bert, densenet, dlrm, inception, keyword, lstm, mobilenet, nasnet, randwire, resnet, squeezenet, vgg,
};

/// Everything in the zoo, in the order in which it is listed.
pub static ENTRIES: &[Entry] = &[
    network(
        "mobilenet_v2",
        "image classifier for phones, depthwise separable",
        IMAGE,
        BATCH,
        3_487_816,
        mobilenet::mobilenet_v2,
    ),
    network(
        "resnet18",
        "residual image classifier, batch normalisation not folded",
        IMAGE,
        BATCH,
        11_699_112,
        resnet::resnet18,
    ),
    network("resnet50", "residual image classifier, bottleneck blocks", IMAGE, BATCH, 25_530_472, resnet::resnet50),
    network("vgg16", "plain image classifier, heavy in weights and arithmetic", IMAGE, BATCH, 138_357_544, vgg::vgg16),
    network(
        "inception_v3",
        "image classifier of up to four parallel branches",
        &["input f32[N,3,299,299]"],
        BATCH,
        23_817_352,
        inception::inception_v3,
    ),
    network(
        "squeezenet",
        "image classifier of few weights, version 1.1",
        IMAGE,
        BATCH,
        1_235_496,
        squeezenet::squeezenet,
    ),
    network(
        "densenet121",
        "image classifier, each layer sees all before it",
        IMAGE,
        BATCH,
        8_062_504,
        densenet::densenet121,
    ),
    network(
        "nasnet_mobile",
        "image classifier of searched cells: many small branches",
        IMAGE,
        BATCH,
        5_326_716,
        nasnet::nasnet_mobile,
    ),
    network(
        "randwire_small",
        "image classifier of random graphs: many small branches",
        IMAGE,
        BATCH,
        5_689_666,
        randwire::randwire_small,
    ),
    network("bert_tiny", "text encoder, 2 layers of width 128", TEXT, SEQUENCE, 4_385_920, bert::bert_tiny),
    network("bert_base", "text encoder, 12 layers of width 768", TEXT, SEQUENCE, 109_482_240, bert::bert_base),
    network(
        "lstm",
        "bidirectional LSTM tagger, 2 layers: sequential",
        &["ids i64[N,T]"],
        &[("N", 1), ("T", 32)],
        4_932_105,
        lstm::lstm,
    ),
    network(
        "dlrm",
        "recommender, 26 embedding tables: memory-bound",
        &["dense f32[N,13]", "sparse i64[N,26]"],
        BATCH,
        14_035_649,
        dlrm::dlrm,
    ),
    network(
        "keyword_spotting",
        "twelve spoken words, very small: launch-bound",
        &["mfcc f32[N,1,49,10]"],
        BATCH,
        22_604,
        keyword::keyword_spotting,
    ),
    family("matmul_1024", "matrix product with a weight", &["a f32[N,1024,1024]"], 1_048_576, single::MATMUL),
    family(
        "conv3x3_64x56",
        "3x3 convolution, C channels, HW x HW image",
        &["x f32[N,64,56,56]"],
        36_928,
        single::CONV3X3,
    ),
    family(
        "conv1x1_256x28",
        "1x1 convolution, C channels, HW x HW image",
        &["x f32[N,256,28,28]"],
        65_792,
        single::CONV1X1,
    ),
    family(
        "depthwise_144x56",
        "3x3 convolution of each channel, HW x HW image",
        &["x f32[N,144,56,56]"],
        1_440,
        single::DEPTHWISE,
    ),
    family("maxpool_64x112", "2x2 max-pool of C channels, HW x HW image", &["x f32[N,64,112,112]"], 0, single::MAXPOOL),
    family("softmax_1536x128", "softmax of R rows of C columns", &["x f32[N,1536,128]"], 0, single::SOFTMAX),
    family(
        "layernorm_128x768",
        "layer normalisation of R rows of C columns",
        &["x f32[N,128,768]"],
        1_536,
        single::LAYERNORM,
    ),
    family("reduce_mean_2048x49", "mean of R rows of C columns", &["x f32[N,2048,49]"], 0, single::REDUCE_MEAN),
    family(
        "add_1048576",
        "sum of two vectors of L elements",
        &["a f32[N,1048576]", "b f32[N,1048576]"],
        0,
        single::ADD,
    ),
    family("gelu_393216", "GELU of L elements, as a chain of five operators", &["x f32[N,393216]"], 0, single::GELU),
    family(
        "attention_12x128x64",
        "attention of H heads, S tokens, depth D",
        &["q f32[N,12,128,64]", "k f32[N,12,128,64]", "v f32[N,12,128,64]"],
        0,
        single::ATTENTION,
    ),
];

/// How an entry is built.
#[derive(Debug)]
pub enum Source {
    /// One network.
    Network(fn(&mut Graph)),
    /// The default member of a family.
    Family(Family),
}

const IMAGE: &[&str] = &["input f32[N,3,224,224]"];
const TEXT: &[&str] = &["input_ids i64[N,S]", "attention_mask i64[N,S]", "token_type_ids i64[N,S]"];
const SEQUENCE: &[(&str, usize)] = &[("N", 1), ("S", 128)];
const BATCH: &[(&str, usize)] = &[("N", 1)];

const fn network(
    name: &'static str,
    summary: &'static str,
    inputs: &'static [&'static str],
    dims: &'static [(&'static str, usize)],
    parameters: u64,
    build: fn(&mut Graph),
) -> Entry {
    Entry { name, summary, inputs, dims, parameters, source: Source::Network(build) }
}

const fn family(
    name: &'static str,
    summary: &'static str,
    inputs: &'static [&'static str],
    parameters: u64,
    family: Family,
) -> Entry {
    Entry { name, summary, inputs, dims: BATCH, parameters, source: Source::Family(family) }
}
