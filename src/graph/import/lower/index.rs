//! index
use super::{Lowered, Lowering, Site};

pub(super) fn lower(_cx: &mut Lowering, _site: &Site) -> Option<Lowered> {
    None
}
