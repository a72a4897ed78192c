//! Work that takes longer than a frame, on named threads, one job at a time. A job tells its news over a bounded channel;
//! the window takes what is there and never waits.
//!
//! Dropping a [`Job`] ends it: its next news find nobody. A job whose window is busy waits for it, so a run is never
//! ahead of what is shown by more than the engine's own record holds.

pub mod live;
pub mod open;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use cotenant::timeline::Timeline;
use cotenant::timeline::metrics::RunMetrics;

use crate::trace::Trace;
use crate::trouble::Trouble;

/// News that wait for the window at most.
const NEWS_MAX: usize = 8;

/// Asks for another frame.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// What a job tells.
#[derive(Debug)]
pub enum News {
    /// What it does now, in words.
    Doing(String),
    /// A trace was read from the file of this name.
    Opened(String, Box<Trace>),
    /// A run has started.
    Started(Box<Trace>),
    /// What happened since.
    More(Box<Timeline>),
    /// The run ended as it should.
    Finished(Box<RunMetrics>),
    /// The run ended before requests came, because somebody wanted it to.
    Stopped,
    /// It ended otherwise.
    Failed(Trouble),
}

/// A job under way.
#[derive(Debug)]
pub struct Job {
    news: Receiver<News>,
    thread: JoinHandle<()>,
    over: bool,
}

/// Where a job tells its news.
pub struct Reporter {
    news: SyncSender<News>,
    wake: Wake,
}

/// Nobody is listening any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl Reporter {
    /// Tells, and waits while the window is busy.
    ///
    /// # Errors
    /// [`Gone`], and the job had better end.
    pub fn tell(&self, news: News) -> Result<(), Gone> {
        self.news.send(news).map_err(|_| Gone)?;
        (self.wake)();
        Ok(())
    }
}

impl Job {
    /// Starts `work` on a thread called `name`.
    ///
    /// # Errors
    /// [`Trouble`] when there is no thread to be had.
    pub fn start(name: &str, wake: Wake, work: impl FnOnce(&Reporter) + Send + 'static) -> Result<Job, Trouble> {
        let (news, received) = sync_channel(NEWS_MAX);
        let reporter = Reporter { news, wake };
        let thread = Builder::new().name(name.into()).spawn(move || work(&reporter));
        thread.map(|thread| Job { news: received, thread, over: false }).map_err(|e| Trouble::no_thread(&e))
    }

    /// The next news, if there are any. A thread that ended without a last word is told as a failure, once.
    pub fn poll(&mut self) -> Option<News> {
        match self.news.try_recv() {
            Ok(news) => {
                self.over |= matches!(news, News::Opened(..) | News::Finished(_) | News::Stopped | News::Failed(_));
                Some(news)
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) if self.over => None,
            Err(TryRecvError::Disconnected) => {
                self.over = true;
                Some(News::Failed(Trouble::internal("the job's thread ended without an answer")))
            }
        }
    }

    /// Ends it as dropping does, and waits until its thread has ended, `patience` at most.
    pub fn end(self, patience: Duration) {
        const STEP: Duration = Duration::from_millis(10);
        drop(self.news);
        let mut left = patience;
        while !self.thread.is_finished() && !left.is_zero() {
            std::thread::sleep(STEP.min(left));
            left = left.saturating_sub(STEP);
        }
    }

    /// True when nothing comes any more.
    pub fn is_over(&self) -> bool {
        self.over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(job: &mut Job) -> News {
        loop {
            if let Some(news) = job.poll() {
                return news;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_job_that_breaks_is_told_once() {
        let wake: Wake = Arc::new(|| ());
        // The panic's own message goes to the test's output.
        let mut job = Job::start("test-broken", wake, |_| panic!("on purpose")).unwrap();
        assert!(matches!(wait(&mut job), News::Failed(_)));
        assert!(job.is_over() && job.poll().is_none());
    }

    #[test]
    fn a_job_that_nobody_wants_ends() {
        let (ended, end) = sync_channel(1);
        let job = Job::start("test-unwanted", Arc::new(|| ()), move |reporter| {
            while reporter.tell(News::Doing("something".into())).is_ok() {}
            ended.send(()).unwrap();
        });
        drop(job);
        end.recv().unwrap();
    }
}
