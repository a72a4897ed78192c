//! A logical device of a fleet and the thread that waits for it.
//!
//! Whoever has work encodes and submits it under a lock that is held for no longer than that. The member's thread waits
//! in the driver without the lock, so that submissions and loading reach the driver while earlier work runs, and takes
//! the lock only to collect what ended.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::hal::wgpu::rehearsal::Rehearsal;
use crate::hal::wgpu::{Found, WgpuDevice};
use crate::hal::{Completion, Device, HalError, SubmissionId, Unavailable, Wait, WallClock, caught};

/// After this time in the driver a thread looks whether its fleet is still there.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// What a member's thread tells.
pub(super) struct News {
    /// Which member.
    pub(super) member: usize,
    /// The member's oldest submission ended, or the device is lost; the thread says no more then.
    pub(super) ended: Result<Completion, HalError>,
}

/// One logical device.
pub(super) struct Member {
    device: Arc<Mutex<WgpuDevice>>,
    /// Tells the thread that there is work; `None` once the fleet is being dropped.
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Submissions whose end was not told, oldest first, by the fleet's numbers.
    pub(super) under_way: VecDeque<SubmissionId>,
    /// Lanes that were made for tenants.
    pub(super) lanes: usize,
    /// Why it is lost, if it is.
    pub(super) lost: Option<HalError>,
}

impl Member {
    /// Opens member `at` of a fleet of at most `members`, which tells `news`.
    pub(super) fn open(
        found: &Found,
        clock: WallClock,
        (at, members): (usize, usize),
        news: SyncSender<News>,
        rehearsal: Option<Arc<Rehearsal>>,
    ) -> Result<Member, Unavailable> {
        let device = WgpuDevice::open_numbered(found, clock, (at as u32, members as u32), rehearsal)?;
        let device = Arc::new(Mutex::new(device));
        // One message is enough to say that there is work, however much of it.
        let (wake, woken) = sync_channel(1);
        let watched = device.clone();
        let watch = move || {
            let ended = caught(|| {
                watch(&watched, &woken, &|completion| news.send(News { member: at, ended: Ok(completion) }).is_ok())
            });
            if let Err(error) = ended.unwrap_or_else(|panic| Err(HalError::DeviceLost(panic))) {
                // Nobody hears it where the fleet is gone.
                let _ = news.send(News { member: at, ended: Err(error) });
            }
        };
        let thread = std::thread::Builder::new().name(format!("cotenant-wgpu-{at}")).spawn(watch);
        let thread = thread.map_err(|e| Unavailable {
            spec: format!("wgpu:{}", found.name()),
            reason: format!("no thread for another logical device: {e}"),
            remedy: "raise the limit on threads, or use fewer logical devices".into(),
        })?;
        let (wake, thread) = (Some(wake), Some(thread));
        Ok(Member { device, wake, thread, under_way: VecDeque::new(), lanes: 0, lost: None })
    }

    /// The device; nobody else has it meanwhile.
    pub(super) fn device(&self) -> MutexGuard<'_, WgpuDevice> {
        lock(&self.device)
    }

    /// Has the thread wait for what was submitted under the fleet's number `id`.
    pub(super) fn submitted(&mut self, id: SubmissionId) {
        self.under_way.push_back(id);
        if let Some(wake) = &self.wake {
            // A full channel says it already; a thread that is gone has told why.
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of a logical device panicked");
        }
    }
}

/// A panic under the lock was a caller's broken promise, found before anything was changed.
fn lock(device: &Mutex<WgpuDevice>) -> MutexGuard<'_, WgpuDevice> {
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread: tells what ends, in order, until the fleet is gone or the device is lost.
fn watch(device: &Mutex<WgpuDevice>, woken: &Receiver<()>, tell: &dyn Fn(Completion) -> bool) -> Result<(), HalError> {
    let mut done = Vec::new();
    while woken.recv().is_ok() {
        loop {
            let front = lock(device).front();
            let Some(front) = front else { break };
            front.wait(WAIT_MAX)?;
            lock(device).poll(Wait::No, &mut done)?;
            if !done.drain(..).all(tell) || woken.try_recv() == Err(TryRecvError::Disconnected) {
                return Ok(());
            }
        }
    }
    Ok(())
}
