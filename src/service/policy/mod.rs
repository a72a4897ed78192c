//! Policies: who is served next. One file each, one line each in [`POLICIES`], from which the command line's help, the
//! scenario parser and the app's menu are made.

mod edf;
mod fifo;
mod interleaved;
mod option;
mod priority;
mod ranked;
mod round_robin;
mod sequential;
mod streams;
#[cfg(test)]
mod table;
mod time_slice;
mod weighted_fair;

pub use edf::EarliestDeadline;
pub use fifo::Fifo;
pub use interleaved::Interleaved;
pub use priority::StaticPriority;
pub use round_robin::RoundRobin;
pub use sequential::Sequential;
pub use streams::Streams;
pub use time_slice::TimeSlice;
pub use weighted_fair::WeightedFair;

use crate::tensor::Nanos;

use super::{Decisions, Lanes, View};

/// Decides what is submitted next.
///
/// A policy keeps only its own state, does not block, and reads no clock but `now`. The engine carries out what it
/// grants; grants to tenants that are not there, or beyond [`super::RequestView::operators_ready`], are refused and counted
/// as faults of the policy.
pub trait Policy: Send {
    /// Where its grants run. Asked once.
    fn lanes(&self) -> Lanes {
        Lanes::One
    }

    /// Whether operators of different tenants that it grants at once may run at the same time, as far as one lane of the device can.
    /// Asked once.
    fn interleaves(&self) -> bool {
        false
    }

    /// Grants operators of the tenants in `view`, in order, into `out`, which is empty and knows its capacity. Granting
    /// nothing while operators are ready means waiting until something ends or arrives, or until the moment given to
    /// [`Decisions::wake_at`]. Doing so while nothing runs, and without such a moment, is a fault: the requests fail.
    fn decide(&mut self, now: Nanos, view: &View, out: &mut Decisions);
}

/// A policy that can be chosen by name.
#[derive(Debug)]
pub struct PolicyEntry {
    /// What scenario files and `--policy` call it.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// The keys of `[policy]` that it takes beside `name`.
    pub options: &'static [&'static str],
    build: fn(&toml::Table) -> Result<Box<dyn Policy>, PolicyError>,
}

/// All policies, one line each.
pub const POLICIES: &[PolicyEntry] = &[
    PolicyEntry {
        name: "round-robin",
        summary: "one operator of each tenant in turn",
        options: &[],
        build: |_| Ok(Box::new(RoundRobin::default())),
    },
    PolicyEntry {
        name: "sequential",
        summary: "one request at a time, whole, in order of arrival",
        options: &[],
        build: |_| Ok(Box::new(Sequential::default())),
    },
    PolicyEntry {
        name: "fifo",
        summary: "requests in order of arrival, whole",
        options: &[],
        build: |_| Ok(Box::new(Fifo::default())),
    },
    PolicyEntry {
        name: "priority",
        summary: "the most important tenant first, decided anew at every submission",
        options: &[],
        build: |_| Ok(Box::new(StaticPriority::default())),
    },
    PolicyEntry {
        name: "edf",
        summary: "earliest deadline (arrival + SLO) first",
        options: &[],
        build: |_| Ok(Box::new(EarliestDeadline::default())),
    },
    PolicyEntry {
        name: "time-slice",
        summary: "the device for a slice of time each: best-effort, equal or fixed shares",
        options: time_slice::OPTIONS,
        build: |options| Ok(Box::new(TimeSlice::from_options(options)?)),
    },
    PolicyEntry {
        name: "weighted-fair",
        summary: "device time in proportion to priority (virtual time)",
        options: &[],
        build: |_| Ok(Box::new(WeightedFair::default())),
    },
    PolicyEntry {
        name: "interleaved",
        summary: "as weighted-fair, and on devices with streams operators of several tenants run at the same time",
        options: &[],
        build: |_| Ok(Box::new(Interleaved::default())),
    },
    PolicyEntry {
        name: "multi-stream",
        summary: "everything at once, a lane for each tenant",
        options: &[],
        build: |_| Ok(Box::new(Streams { prioritised: false })),
    },
    PolicyEntry {
        name: "priority-streams",
        summary: "as multi-stream, lanes with the priorities of their tenants",
        options: &[],
        build: |_| Ok(Box::new(Streams { prioritised: true })),
    },
];

/// Why a policy cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// There is no policy of this name.
    #[error("policy.name: found {name:?}, allowed is {allowed}")]
    Unknown {
        /// The name.
        name: String,
        /// The names there are.
        allowed: String,
    },
    /// The policy has no such option.
    #[error("policy.{key}: {policy} has no such option, allowed is {allowed}")]
    Option {
        /// The policy.
        policy: &'static str,
        /// The key that was given.
        key: String,
        /// The keys that it takes.
        allowed: String,
    },
    /// An option has a value that the policy cannot use.
    #[error("policy.{key}: found {found}, allowed is {allowed}")]
    Value {
        /// The policy.
        policy: &'static str,
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// What it may be.
        allowed: String,
    },
}

/// Makes the policy called `name` with the further keys of its `[policy]` table.
///
/// # Errors
/// [`PolicyError`] for an unknown name, an unknown key or a value out of range.
pub fn open(name: &str, options: &toml::Table) -> Result<Box<dyn Policy>, PolicyError> {
    let Some(entry) = POLICIES.iter().find(|p| p.name == name) else {
        let names: Vec<&str> = POLICIES.iter().map(|p| p.name).collect();
        return Err(PolicyError::Unknown { name: name.into(), allowed: names.join(", ") });
    };
    if let Some(key) = options.keys().find(|key| !entry.options.contains(&key.as_str())) {
        let allowed = if entry.options.is_empty() { "none".into() } else { entry.options.join(", ") };
        return Err(PolicyError::Option { policy: entry.name, key: key.clone(), allowed });
    }
    (entry.build)(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_policy_or_option_says_what_is_allowed() {
        let message = open("fastest", &toml::Table::new()).err().unwrap().to_string();
        assert!(
            message.starts_with("policy.name: found \"fastest\", allowed is round-robin, sequential, fifo"),
            "{message}"
        );
        let options = toml::Table::from_iter([("quantum".into(), toml::Value::Integer(3))]);
        let message = open("round-robin", &options).err().unwrap().to_string();
        assert_eq!(message, "policy.quantum: round-robin has no such option, allowed is none");
        assert!(POLICIES.iter().all(|p| open(p.name, &toml::Table::new()).is_ok()));
    }
}
