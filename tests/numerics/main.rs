//! Operators whose arithmetic is delicate, as models on every device and on the reference device, against plain
//! computation: 64-bit integers, logarithms of sums of exponentials, NaN, indices at the ends, sizes that overflow.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/net.rs"]
mod net;

mod exponentials;
mod indices;
mod integers;
mod model;
mod no_numbers;
mod sizes;
