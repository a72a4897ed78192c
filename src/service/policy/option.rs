//! Reading the options of a policy from the `[policy]` table of a scenario.

use std::ops::RangeInclusive;

use super::PolicyError;

/// A number in `allowed`, or `default` where the key is not there.
pub(super) fn number(
    options: &toml::Table,
    policy: &'static str,
    key: &str,
    default: f64,
    allowed: RangeInclusive<f64>,
) -> Result<f64, PolicyError> {
    let Some(value) = options.get(key) else { return Ok(default) };
    let found = value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64));
    found.filter(|number| allowed.contains(number)).ok_or_else(|| PolicyError::Value {
        policy,
        key: key.into(),
        found: value.to_string(),
        allowed: format!("a number from {} to {}", allowed.start(), allowed.end()),
    })
}

/// One of `allowed`, or the first of them where the key is not there.
pub(super) fn choice(
    options: &toml::Table,
    policy: &'static str,
    key: &str,
    allowed: &'static [&'static str],
) -> Result<&'static str, PolicyError> {
    let Some(value) = options.get(key) else { return Ok(allowed[0]) };
    let found = value.as_str().and_then(|text| allowed.iter().find(|name| **name == text));
    found.copied().ok_or_else(|| PolicyError::Value {
        policy,
        key: key.into(),
        found: value.to_string(),
        allowed: allowed.join(", "),
    })
}
