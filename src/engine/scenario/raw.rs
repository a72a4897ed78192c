//! The scenario file as serde sees it: every value with its place in the text, nothing checked but types and names.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use crate::service::arrival::ArrivalSpec;

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub seed: u64,
    pub duration_s: Option<Spanned<f64>>,
    pub warm_up_s: Option<Spanned<f64>>,
    pub requests: Option<Spanned<u64>>,
    pub device: Option<Device>,
    pub policy: Option<Spanned<toml::Table>>,
    #[serde(default)]
    pub tenant: Vec<Spanned<Tenant>>,
}

/// `[device]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Device {
    pub spec: Option<Spanned<String>>,
    pub memory: Option<Spanned<String>>,
}

/// `[[tenant]]`. Fields that must be given are optional here so that the message can name the tenant.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tenant {
    pub name: Option<Spanned<String>>,
    pub model: Option<Spanned<String>>,
    pub dims: Option<Spanned<BTreeMap<String, Spanned<i64>>>>,
    pub shapes: Option<Spanned<BTreeMap<String, Spanned<Vec<i64>>>>>,
    pub class: Option<Spanned<String>>,
    pub priority: Option<Spanned<i64>>,
    pub slo_ms: Option<Spanned<f64>>,
    pub max_batch: Option<Spanned<i64>>,
    pub memory_limit_mb: Option<Spanned<i64>>,
    pub arrival: Option<Spanned<ArrivalSpec>>,
    pub inputs: Option<Spanned<PathBuf>>,
}
