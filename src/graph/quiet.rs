//! tract panics on some models that it does not expect. Around it panics are errors, and print nothing.
//!
//! The panic hook is the process's, so ours is installed once, asks a flag of its own thread, and leaves every panic
//! outside of [`caught`] to the hook that was there before.

use std::cell::Cell;
use std::panic::{set_hook, take_hook};
use std::sync::Once;

use crate::hal;

thread_local! {
    /// How many calls of [`caught`] this thread is inside of.
    static INSIDE: Cell<usize> = const { Cell::new(0) };
}

static INSTALLED: Once = Once::new();

/// Runs `work`; what a panic said comes back as an error, in one line.
///
/// # Errors
/// The first line of the panic's message.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    INSTALLED.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if INSIDE.get() == 0 {
                before(info);
            }
        }));
    });
    INSIDE.set(INSIDE.get() + 1);
    let result = hal::caught(work);
    INSIDE.set(INSIDE.get() - 1);
    result.map_err(|text| text.lines().next().unwrap_or_default().into())
}

#[cfg(test)]
mod tests {
    use super::caught;

    #[test]
    fn panics_become_their_first_line() {
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(caught(|| panic!("one")).map(|(): ()| ()), Err("one".into()));
        let two: Result<(), String> = caught(|| panic!("{}\nand a backtrace", "one"));
        assert_eq!(two, Err("one".into()));
        let inner = caught(|| caught(|| panic!("inside")).map(|(): ()| ()));
        assert_eq!(inner, Ok(Err("inside".into())));
    }
}
