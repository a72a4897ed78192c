//! Operators over windows: convolutions, pooling, resizing, sampling.

mod conv;
mod deconv;
mod format;
mod pool;
mod resize;

use super::{Lowered, Lowering, Site};

pub(super) fn lower(cx: &mut Lowering, site: &Site) -> Option<Lowered> {
    conv::lower(cx, site)
        .or_else(|| pool::lower(cx, site))
        .or_else(|| deconv::lower(cx, site))
        .or_else(|| resize::lower(cx, site))
}
