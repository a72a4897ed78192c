//! Blocks of one kernel that run at one rate and end together: what the simulated GPU moves through time.

use super::clock::Ps;

/// Blocks that began together.
#[derive(Clone, Debug)]
pub(super) struct Train {
    pub(super) job: u32,
    pub(super) pool: u32,
    pub(super) cohort: u32,
    /// Blocks at the same time.
    pub(super) slots: u32,
    /// SMs that they are on.
    pub(super) sms: u32,
    /// SMs that it can use, where it shares those that its view may have.
    pub(super) reach: f64,
    /// Blocks in all: several times `slots` when it was given several waves.
    pub(super) blocks: u32,
    /// It is one of [`super::pool::Pool::bulk`].
    pub(super) bulk: bool,
    /// Waves to go at `since`.
    pub(super) left: f64,
    pub(super) since: Ps,
    /// Picoseconds of a wave at the present rates; infinite while it stands still.
    pub(super) wave_ps: f64,
    /// Picoseconds of a wave as far as the SM decides.
    pub(super) sm_wave_ps: f64,
    /// DRAM bytes of a wave.
    pub(super) bytes: f64,
    /// DRAM bytes of a wave at the rate at which it runs now; `bytes` may be newer.
    pub(super) moving: f64,
    /// Bytes per picosecond that it could use.
    pub(super) want: f64,
    /// Bytes per picosecond that it gets.
    pub(super) grant: f64,
    /// `want` in bytes per second, as it was added to [`Pool::demand`].
    pub(super) demand: u64,
}

impl Train {
    /// One wave that begins now, on a cohort to be named.
    pub(super) fn new(job: u32, pool: u32, slots: u32, sms: u32, now: Ps) -> Train {
        Train {
            job,
            pool,
            cohort: 0,
            slots,
            sms,
            reach: f64::from(sms),
            blocks: slots,
            bulk: false,
            left: 1.0,
            since: now,
            wave_ps: f64::INFINITY,
            sm_wave_ps: 0.0,
            bytes: 0.0,
            moving: 0.0,
            want: 0.0,
            grant: 0.0,
            demand: 0,
        }
    }

    /// Goes on to `now` at the present rate and returns the waves done since the last time.
    pub(super) fn advance(&mut self, now: Ps) -> f64 {
        let done = if self.wave_ps.is_finite() { (now - self.since) as f64 / self.wave_ps } else { 0.0 };
        let done = done.min(self.left);
        self.left -= done;
        self.since = now;
        done
    }

    /// Its bytes come later than its SM would be done.
    pub(super) fn is_held_up(&self) -> bool {
        self.bytes > 0.0 && self.grant < self.bytes / self.sm_wave_ps
    }

    /// When it ends at the present rate; `None` while it stands still.
    pub(super) fn end(&self) -> Option<Ps> {
        let ps = self.left * self.wave_ps;
        ps.is_finite().then(|| self.since + if self.left > 0.0 { ((ps + 0.5) as Ps).max(1) } else { 0 })
    }
}
