//! The arguments that name a model and say what it leaves open.

use clap::Args;

use super::error::CliError;
use crate::graph::{LoadOptions, ModelSource};

/// The options that bind a model's dimensions.
#[derive(Args, Clone, Debug, Default)]
pub struct ShapeArgs {
    /// Value of a symbolic dimension, as often as needed: --dim N=1
    #[arg(long = "dim", value_name = "NAME=SIZE")]
    pub dims: Vec<String>,
    /// Shape of an input, as often as needed: --shape x=1,3,48,192
    #[arg(long = "shape", value_name = "INPUT=SIZES")]
    pub shapes: Vec<String>,
}

impl ShapeArgs {
    /// As the graph layer takes them.
    ///
    /// # Errors
    /// [`CliError::Input`] naming the argument.
    pub fn options(&self) -> Result<LoadOptions, CliError> {
        let mut options = LoadOptions::default();
        for text in &self.dims {
            let (name, size) = named(text, "--dim", "NAME=SIZE")?;
            if options.dims.insert(name.into(), extent(size, "--dim", text)?).is_some() {
                return Err(CliError::Input(format!("--dim {text:?}: {name:?} was given twice")));
            }
        }
        for text in &self.shapes {
            // Names of inputs may contain `=` and `:`; sizes cannot.
            let (name, sizes) = named(text, "--shape", "INPUT=SIZE,SIZE,…")?;
            let scalar = sizes.trim().is_empty();
            let parts = sizes.split([',', 'x']).filter(|_| !scalar);
            let shape = parts.map(|size| extent(size, "--shape", text)).collect::<Result<_, _>>()?;
            if options.shapes.insert(name.into(), shape).is_some() {
                return Err(CliError::Input(format!("--shape {text:?}: {name:?} was given twice")));
            }
        }
        Ok(options)
    }

    /// True where nothing was given.
    pub fn is_empty(&self) -> bool {
        self.dims.is_empty() && self.shapes.is_empty()
    }
}

fn named<'a>(text: &'a str, option: &str, form: &str) -> Result<(&'a str, &'a str), CliError> {
    match text.rsplit_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name, value)),
        _ => Err(CliError::Input(format!("{option} {text:?}: allowed is {form}"))),
    }
}

fn extent(size: &str, option: &str, text: &str) -> Result<usize, CliError> {
    const EXTENT_MAX: usize = 1 << 30;
    match size.trim().parse() {
        Ok(extent) if (1..=EXTENT_MAX).contains(&extent) => Ok(extent),
        _ => Err(CliError::Input(format!("{option} {text:?}: found the size {size:?}, allowed is 1 to {EXTENT_MAX}"))),
    }
}

/// The model behind a command-line name.
///
/// # Errors
/// [`CliError::Input`] for recorded kernel lists and laws, which have no network, and for files that are not there.
pub fn source(name: &str) -> Result<ModelSource, CliError> {
    if name.starts_with("profile:") || name.starts_with("law:") {
        return Err(CliError::Input(format!(
            "{name}: of it only the cost is known, so that it has no operators; allowed is a file or zoo:NAME, and this one as a tenant's model in a scenario"
        )));
    }
    let source = ModelSource::parse(name);
    match &source {
        ModelSource::File(path) if path.is_dir() => Err(CliError::Input(format!(
            "{name}: a folder; allowed is an ONNX file or zoo:NAME (`cotenant inspect zoo:` lists them)"
        ))),
        ModelSource::File(path) if !path.is_file() => Err(CliError::Input(format!(
            "{name}: no such file; allowed is an ONNX file or zoo:NAME (`cotenant inspect zoo:` lists them)"
        ))),
        _ => Ok(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dims: &[&str], shapes: &[&str]) -> Result<LoadOptions, String> {
        let own = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        ShapeArgs { dims: own(dims), shapes: own(shapes) }.options().map_err(|e| e.to_string())
    }

    #[test]
    fn names_may_contain_what_sizes_cannot() {
        let options = check(&["N=2"], &["serving:0=1,3,48,192", "a=b=2x3", "s="]).unwrap();
        assert_eq!(options.dims["N"], 2);
        assert_eq!(options.shapes["serving:0"], [1, 3, 48, 192]);
        assert_eq!(options.shapes["a=b"], [2, 3]);
        assert!(options.shapes["s"].is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (dims, shapes, expected) in [
            (&["N"][..], &[][..], "--dim \"N\""),
            (&["N=0"], &[], "found the size \"0\""),
            (&["N=x"], &[], "found the size \"x\""),
            (&["=1"], &[], "--dim \"=1\""),
            (&["N=1", "N=2"], &[], "\"N\" was given twice"),
            (&[], &["x=1,,2"], "found the size \"\""),
            (&[], &["x=-1"], "found the size \"-1\""),
            (&[], &["x=99999999999999999999"], "allowed is 1 to"),
        ] {
            let message = check(dims, shapes).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}
