//! Operators over windows: convolutions, pooling, resizing.

mod format;
mod pool;

use super::{Lowered, Lowering, Site};

pub(super) fn lower(cx: &mut Lowering, site: &Site) -> Option<Lowered> {
    pool::lower(cx, site)
}
