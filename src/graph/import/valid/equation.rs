//! `Einsum`'s equation: one term per input, one letter or ellipsis per axis, extents that agree.

use std::collections::HashMap;

use tract_onnx::pb::NodeProto;

use super::Known;

/// Checks one node.
///
/// # Errors
/// What of the equation is wrong.
pub(super) fn check(node: &NodeProto, known: &Known) -> Result<(), String> {
    if node.op_type != "Einsum" {
        return Ok(());
    }
    let bytes = node.attribute.iter().find(|a| a.name == "equation").map(|a| a.s.as_slice()).unwrap_or_default();
    let equation = String::from_utf8_lossy(bytes).replace(' ', "");
    let wrong = |what: &str| Err(format!("attribute equation is {equation:?}: {what}"));
    let (terms, result) = match equation.split_once("->") {
        Some((terms, result)) => (terms, Some(result)),
        None => (equation.as_str(), None),
    };
    let terms: Vec<&str> = terms.split(',').collect();
    for term in terms.iter().copied().chain(result) {
        let letters = term.replacen("...", "", 1);
        if !letters.chars().all(|c| c.is_ascii_alphabetic()) {
            return wrong("allowed are letters, one ellipsis per term, commas and one arrow");
        }
    }
    if terms.len() != node.input.len() {
        return wrong(&format!("{} terms for {} inputs", terms.len(), node.input.len()));
    }
    let letters = |term: &str| term.chars().filter(char::is_ascii_alphabetic).collect::<Vec<char>>();
    if let Some(result) = result {
        let named = letters(result);
        if let Some(unknown) = named.iter().find(|c| !terms.iter().any(|t| t.contains(**c))) {
            return wrong(&format!("no input has the axis {unknown:?} of the result"));
        }
        if named.iter().any(|c| named.iter().filter(|d| *d == c).count() > 1) {
            return wrong("the result names an axis twice");
        }
    }
    let mut extents: HashMap<char, usize> = HashMap::new();
    for (term, name) in terms.iter().zip(&node.input) {
        let Some(shape) = known.shape(name) else { continue };
        let named = letters(term);
        let open = term.contains("...");
        if named.len() > shape.len() || (!open && named.len() != shape.len()) {
            return wrong(&format!("the term {term:?} is for an input of shape {shape:?}"));
        }
        let head = term.find("...").unwrap_or(named.len());
        for (at, &letter) in named.iter().enumerate() {
            let place = if at < head { at } else { shape.len() - named.len() + at };
            let extent = extents.entry(letter).or_insert(shape[place]);
            if *extent != shape[place] && *extent != 1 && shape[place] != 1 {
                return wrong(&format!("axis {letter:?} has {extent} elements and {}", shape[place]));
            }
            *extent = (*extent).max(shape[place]);
        }
    }
    Ok(())
}
