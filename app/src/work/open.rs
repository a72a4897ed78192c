//! Opens a trace file.

use std::path::PathBuf;

use cotenant::timeline::perfetto;

use super::{Job, News, Wake};
use crate::trace::Trace;
use crate::trouble::Trouble;

/// Starts reading `path`.
///
/// # Errors
/// [`Trouble`] when there is no thread to be had; all else comes as news.
pub fn open(path: PathBuf, wake: Wake) -> Result<Job, Trouble> {
    Job::start("cotenant-app-open", wake, move |reporter| {
        let doing = News::Doing(format!("reading {}", path.display()));
        if reporter.tell(doing).is_err() {
            return;
        }
        let news = match perfetto::read_file(&path) {
            Ok(timeline) => {
                let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
                News::Opened(name, Box::new(Trace::of(&timeline)))
            }
            Err(error) => News::Failed(Trouble::opening(&error)),
        };
        // Whoever wanted it may be gone.
        let _ = reporter.tell(news);
    })
}
