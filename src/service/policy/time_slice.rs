//! Time slicing: one tenant has the device for a slice of time, then the next one in order of ids. The forms are those of
//! NVIDIA's vGPU schedulers:
//! - `best-effort`: tenants with nothing to do are passed over at once, so the device is never idle for fairness' sake;
//! - `equal-share`: every loaded tenant has its slice, used or not, so nobody's speed depends on what others do;
//! - `fixed-share`: as equal-share with a fixed number of slots, so it does not depend on how many others there are; there are never
//!   fewer slots than tenants.
//!
//! A slice ends by the clock. What was submitted before its end runs into the next one: the device is not drained.
//! Source of the forms: NVIDIA Virtual GPU Software User Guide; of the default slice of 2 ms: the same, which has 1 ms beyond eight
//! vGPUs. Here the slice does not change with the number of tenants: `slice_ms` says another one.

use super::ranked::ready;
use super::{Policy, PolicyError, option};
use crate::service::{Decisions, View};
use crate::tensor::{Nanos, TenantId};

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    BestEffort,
    EqualShare,
    FixedShare { slots: u64 },
}

/// See the module's comment.
#[derive(Debug)]
pub struct TimeSlice {
    slice: Nanos,
    form: Form,
    /// Best-effort: who has the device, and until when.
    turn: Option<(TenantId, Nanos)>,
}

/// The keys of `[policy]`.
pub(super) const OPTIONS: &[&str] = &["share", "slice_ms", "slots"];

impl TimeSlice {
    pub(super) fn from_options(options: &toml::Table) -> Result<TimeSlice, PolicyError> {
        let slice_ms = option::number(options, "time-slice", "slice_ms", 2.0, 0.01..=10_000.0)?;
        let slots = option::number(options, "time-slice", "slots", 8.0, 1.0..=1024.0)? as u64;
        let form = match option::choice(options, "time-slice", "share", &["best-effort", "equal", "fixed"])? {
            "equal" => Form::EqualShare,
            "fixed" => Form::FixedShare { slots },
            _ => Form::BestEffort,
        };
        Ok(TimeSlice { slice: Nanos::from_ms(slice_ms), form, turn: None })
    }

    /// Whose slice it is by the clock alone, of `slots`; and when it ends.
    fn by_clock(&self, now: Nanos, view: &View, slots: u64) -> (Option<TenantId>, Nanos) {
        let number = now.0 / self.slice.0;
        let owner = view.tenants.get((number % slots.max(1)) as usize).map(|t| t.tenant);
        (owner, Nanos((number + 1) * self.slice.0))
    }

    /// Who has the device, going on to the next ready tenant where the slice is over or its owner has nothing to do.
    fn by_turn(&mut self, now: Nanos, view: &View) -> (Option<TenantId>, Nanos) {
        let stays = self.turn.filter(|&(owner, end)| now < end && ready(view, owner) > 0);
        let (owner, end) = stays.unwrap_or_else(|| {
            let last = self.turn.map(|(owner, _)| owner);
            let first = view.tenants.partition_point(|t| Some(t.tenant) <= last);
            let next = view.ready.cycle_from(first).next().map(|at| view.tenants[at].tenant);
            (next.or(last).unwrap_or(TenantId(0)), now + self.slice)
        });
        self.turn = Some((owner, end));
        (Some(owner), end)
    }
}

impl Policy for TimeSlice {
    fn decide(&mut self, now: Nanos, view: &View, out: &mut Decisions) {
        if view.ready.is_empty() {
            return;
        }
        let (owner, end) = match self.form {
            Form::BestEffort => self.by_turn(now, view),
            Form::EqualShare => self.by_clock(now, view, view.tenants.len() as u64),
            Form::FixedShare { slots } => self.by_clock(now, view, slots.max(view.tenants.len() as u64)),
        };
        if let Some(owner) = owner {
            out.grant(owner, ready(view, owner));
        }
        out.wake_at(end);
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::decide_at;
    use super::*;

    fn policy(share: &str, slots: i64) -> TimeSlice {
        let options = [("share", toml::Value::String(share.into())), ("slots", toml::Value::Integer(slots))];
        TimeSlice::from_options(&options.into_iter().map(|(k, v)| (k.to_string(), v)).collect()).unwrap()
    }

    #[test]
    fn a_slice_lasts_until_its_end_or_until_its_owner_is_idle() {
        let policy = &mut policy("best-effort", 8);
        let rows = [(0, 9, 9), (0, 9, 9)];
        assert_eq!(decide_at(policy, 0.0, 4, &rows), "0x4");
        assert_eq!(decide_at(policy, 1.9, 4, &rows), "0x4");
        assert_eq!(decide_at(policy, 2.0, 4, &rows), "1x4");
        assert_eq!(decide_at(policy, 2.1, 4, &[(0, 9, 9), (0, 0, 0)]), "0x4");
    }

    #[test]
    fn an_equal_share_is_kept_for_who_is_idle() {
        let policy = &mut policy("equal", 8);
        let rows = [(0, 9, 9), (0, 0, 0)];
        assert_eq!(decide_at(policy, 1.0, 4, &rows), "0x4");
        assert_eq!(decide_at(policy, 3.0, 4, &rows), "");
        assert_eq!(decide_at(policy, 4.0, 4, &rows), "0x4");
    }

    #[test]
    fn a_fixed_share_does_not_depend_on_the_number_of_tenants() {
        let policy = &mut policy("fixed", 4);
        let rows = [(0, 9, 9), (0, 9, 9)];
        let decided: Vec<String> = (0..5).map(|k| decide_at(policy, 2.0 * f64::from(k), 4, &rows)).collect();
        assert_eq!(decided, ["0x4", "1x4", "", "", "0x4"]);
    }

    #[test]
    fn everybody_has_a_slot_even_where_fewer_were_asked_for() {
        let policy = &mut policy("fixed", 1);
        let rows = [(0, 9, 9), (0, 9, 9), (0, 9, 9)];
        let decided: Vec<String> = (0..4).map(|k| decide_at(policy, 2.0 * f64::from(k), 4, &rows)).collect();
        assert_eq!(decided, ["0x4", "1x4", "2x4", "0x4"]);
    }

    #[test]
    fn options_out_of_range_are_refused() {
        let options = toml::Table::from_iter([("slice_ms".into(), toml::Value::Float(-1.0))]);
        let message = TimeSlice::from_options(&options).err().unwrap().to_string();
        assert_eq!(message, "policy.slice_ms: found -1.0, allowed is a number from 0.01 to 10000");
    }
}
