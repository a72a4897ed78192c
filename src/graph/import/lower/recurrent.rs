//! recurrent
use tract_onnx::prelude::*;

use super::{Lowering, Site};

pub(super) fn unrolled(_cx: &mut Lowering, _site: &Site) -> TractResult<bool> {
    Ok(false)
}
