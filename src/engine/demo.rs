//! The scenario of `cotenant demo` and of the app's demo: four built-in networks, so that nothing has to be fetched.

use std::path::Path;

use super::scenario::{Length, Scenario, ScenarioError};

/// Its text.
const SCENARIO: &str = include_str!("demo.toml");

/// The scenario, for a run of `length`.
///
/// # Errors
/// [`ScenarioError`], which a test rules out.
pub fn scenario(length: Length) -> Result<Scenario, ScenarioError> {
    let mut scenario = Scenario::parse(SCENARIO, Path::new("demo.toml"))?;
    scenario.length = length;
    Ok(scenario)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_scenario_needs_no_file() {
        let scenario = scenario(Length::Requests(3)).unwrap();
        assert_eq!(scenario.length, Length::Requests(3));
        assert!(scenario.tenants.iter().all(|t| t.model.path().is_none() && t.inputs.is_none()));
    }
}
