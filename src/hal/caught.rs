//! Panics as values: what one tenant's model sets off must not end the others'.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `work`; where it panics, the message. The caller drops whatever `work` may have left half done.
///
/// # Errors
/// What the panic said.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_string()
    })
}
