//! From the file as it was written to a scenario that makes sense, or to the place where it does not.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::raw;
use super::{
    BATCH_MAX, Class, Length, ModelRef, PRIORITY_MAX, Place, PolicySpec, Scenario, ScenarioError, TENANTS_MAX,
    TenantSpec,
};
use crate::engine::Memory;
use crate::service::arrival::{ArrivalError, ArrivalSpec};
use crate::tensor::Nanos;

/// Longest run, in seconds: 30 days.
const DURATION_S_MAX: f64 = 30.0 * 86_400.0;

/// Most requests per tenant.
const REQUESTS_MAX: u64 = 1_000_000_000;

/// Longest promise, in milliseconds: one day.
const SLO_MS_MAX: f64 = 86_400_000.0;

/// Largest memory limit, in MiB: 1 TiB.
const MEMORY_LIMIT_MB_MAX: u32 = 1 << 20;

/// Largest extent of a dimension.
const EXTENT_MAX: u32 = 1 << 30;

/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 64;

/// Longest name of a device or a model, which may be a path, and of a dimension or an input, in characters.
const PATH_CHARS_MAX: usize = 1024;

/// Characters of a file's text that a message shows; more than a line of the messages about keys takes.
const SHOWN_CHARS_MAX: usize = 320;

/// Whether files that the scenario names are looked for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Files {
    MustExist,
    MayBeAbsent,
}

/// Parses and checks `text`, which was read from `origin`.
pub(super) fn scenario(text: &str, origin: &Path, files: Files) -> Result<Scenario, ScenarioError> {
    let at = Source { text, origin, files };
    let file: raw::File = toml::from_str(text).map_err(|e| at.syntax(&e))?;
    if file.tenant.is_empty() {
        return Err(at.value(0..0, "tenant", "none", "at least one [[tenant]]"));
    }
    if file.tenant.len() > TENANTS_MAX {
        let span = file.tenant[TENANTS_MAX].span();
        return Err(at.value(span, "tenant", file.tenant.len(), format!("at most {TENANTS_MAX}")));
    }
    let mut tenants = Vec::new();
    let mut names = HashMap::new();
    for (i, raw) in file.tenant.iter().enumerate() {
        let tenant = at.tenant(raw, i)?;
        let place = raw.as_ref().name.as_ref().map_or(raw.span(), Spanned::span);
        if let Some(first) = names.insert(tenant.name.clone(), place.clone()) {
            let line = at.place(first.start).line;
            let found = format!("\"{}\", the name of the tenant at line {line}", tenant.name);
            return Err(at.value(place, "tenant.name", found, "a name of its own"));
        }
        tenants.push(tenant);
    }
    Ok(Scenario {
        origin: origin.into(),
        text: text.into(),
        seed: file.seed,
        warm_up: at.warm_up(&file)?,
        length: at.length(&file)?,
        device: at.device(&file)?,
        memory: at.memory(&file)?,
        policy: at.policy(&file)?,
        tenants,
    })
}

/// The text, for places in errors.
struct Source<'a> {
    text: &'a str,
    origin: &'a Path,
    files: Files,
}

impl Source<'_> {
    fn length(&self, file: &raw::File) -> Result<Length, ScenarioError> {
        let one = "exactly one of duration_s and requests";
        match (&file.duration_s, &file.requests) {
            (None, None) => Err(self.value(0..0, "duration_s", "neither duration_s nor requests", one)),
            (Some(_), Some(requests)) => {
                Err(self.value(requests.span(), "requests", "both duration_s and requests", one))
            }
            (Some(s), None) => {
                self.number("duration_s", s, 1e-6, DURATION_S_MAX)?;
                Ok(Length::Duration(Nanos::from_secs(*s.as_ref())))
            }
            (None, Some(n)) if (1..=REQUESTS_MAX).contains(n.as_ref()) => Ok(Length::Requests(*n.as_ref())),
            (None, Some(n)) => Err(self.value(n.span(), "requests", n.as_ref(), format!("1 to {REQUESTS_MAX}"))),
        }
    }

    fn warm_up(&self, file: &raw::File) -> Result<Nanos, ScenarioError> {
        let Some(s) = &file.warm_up_s else { return Ok(Nanos(0)) };
        self.number("warm_up_s", s, 0.0, DURATION_S_MAX)?;
        Ok(Nanos::from_secs(*s.as_ref()))
    }

    fn device(&self, file: &raw::File) -> Result<String, ScenarioError> {
        match file.device.as_ref().and_then(|d| d.spec.as_ref()) {
            None => Ok("auto".into()),
            Some(spec) if spec.as_ref().trim().is_empty() => {
                Err(self.value(spec.span(), "device.spec", "nothing", "auto, wgpu, cuda, sim:PROFILE, …"))
            }
            Some(spec) if spec.as_ref().chars().count() > PATH_CHARS_MAX => {
                let allowed = format!("at most {PATH_CHARS_MAX} characters");
                Err(self.value(spec.span(), "device.spec", format!("{:?}", spec.as_ref()), allowed))
            }
            Some(spec) => Ok(spec.as_ref().clone()),
        }
    }

    fn memory(&self, file: &raw::File) -> Result<Memory, ScenarioError> {
        let Some(memory) = file.device.as_ref().and_then(|d| d.memory.as_ref()) else { return Ok(Memory::default()) };
        match memory.as_ref().as_str() {
            "isolated" => Ok(Memory::Isolated),
            "pooled" => Ok(Memory::Pooled),
            other => {
                let allowed = "\"isolated\": each tenant's memory is its own, and the driver keeps the others out; or \"pooled\": tenants that trust each other share buffers, so that their kernels can run as one";
                Err(self.value(memory.span(), "device.memory", format!("{other:?}"), allowed))
            }
        }
    }

    fn policy(&self, file: &raw::File) -> Result<PolicySpec, ScenarioError> {
        let mut options = file.policy.as_ref().map(|p| p.as_ref().clone()).unwrap_or_default();
        let name = match (options.remove("name"), &file.policy) {
            (Some(toml::Value::String(name)), _)
                if !name.trim().is_empty() && name.chars().count() <= NAME_CHARS_MAX =>
            {
                name
            }
            (None, None) => "round-robin".into(),
            (found, table) => {
                let span = table.as_ref().map_or(0..0, Spanned::span);
                let found = found.map_or("nothing".into(), |v| v.to_string());
                return Err(self.value(span, "policy.name", found, "the name of a policy"));
            }
        };
        Ok(PolicySpec { name, options })
    }

    fn tenant(&self, raw: &Spanned<raw::Tenant>, index: usize) -> Result<TenantSpec, ScenarioError> {
        let span = raw.span();
        let raw = raw.as_ref();
        let Some(name) = &raw.name else {
            return Err(self.value(span, &format!("tenant {}: name", index + 1), "nothing", "a name"));
        };
        let plain = |c: char| !c.is_control();
        let text = name.as_ref();
        if text.trim().is_empty() || text.chars().count() > NAME_CHARS_MAX || !text.chars().all(plain) {
            let allowed = format!("1 to {NAME_CHARS_MAX} printable characters");
            return Err(self.value(name.span(), "tenant.name", format!("{text:?}"), allowed));
        }
        let field = |field: &str| format!("tenant \"{text}\": {field}");
        let arrival = match &raw.arrival {
            None => ArrivalSpec::default(),
            Some(arrival) => self.arrival(arrival, &field)?,
        };
        Ok(TenantSpec {
            name: text.clone(),
            model: self.model(raw, span, &field("model"))?,
            dims: self.dims(raw, &field)?,
            shapes: self.shapes(raw, &field)?,
            class: self.class(raw, &field("class"))?,
            priority: self.integer(&field("priority"), &raw.priority, 0, PRIORITY_MAX)?.unwrap_or(5),
            slo: match &raw.slo_ms {
                None => Nanos::from_ms(100.0),
                Some(ms) => {
                    self.number(&field("slo_ms"), ms, 1e-3, SLO_MS_MAX)?;
                    Nanos::from_ms(*ms.as_ref())
                }
            },
            max_batch: self.integer(&field("max_batch"), &raw.max_batch, 1, BATCH_MAX)?.unwrap_or(1),
            memory_limit_mb: self
                .integer(&field("memory_limit_mb"), &raw.memory_limit_mb, 1, MEMORY_LIMIT_MB_MAX)?
                .map(u64::from),
            arrival,
            inputs: match &raw.inputs {
                None => None,
                Some(inputs) => {
                    let path = self.folder().join(inputs.as_ref());
                    self.input_folder(inputs.span(), &field("inputs"), &path)?;
                    Some(path)
                }
            },
        })
    }

    fn model(&self, raw: &raw::Tenant, tenant: Range<usize>, field: &str) -> Result<ModelRef, ScenarioError> {
        let allowed = "a path relative to this file, zoo:NAME, profile:FILE.csv or law:NAME";
        let Some(text) = &raw.model else {
            return Err(self.value(tenant, field, "nothing", allowed));
        };
        let short = text.as_ref().chars().count() <= PATH_CHARS_MAX;
        let Some(model) = ModelRef::parse(text.as_ref(), self.folder()).filter(|_| short) else {
            return Err(self.value(text.span(), field, format!("{:?}", text.as_ref()), allowed));
        };
        if let Some(path) = model.path() {
            let fetch = script_for(path, self.folder());
            let fetch = fetch.map_or(String::new(), |script| format!("; {} fetches it", script.display()));
            self.file(text.span(), field, path, &format!("{allowed}{fetch}"))?;
        }
        Ok(model)
    }

    fn class(&self, raw: &raw::Tenant, field: &str) -> Result<Class, ScenarioError> {
        let Some(class) = &raw.class else {
            return Ok(Class::default());
        };
        [Class::Latency, Class::BestEffort].into_iter().find(|c| c.name() == class.as_ref()).ok_or_else(|| {
            let found = format!("{:?}", class.as_ref());
            self.value(class.span(), field, found, "\"latency\" or \"best-effort\"")
        })
    }

    fn dims(
        &self,
        raw: &raw::Tenant,
        field: &dyn Fn(&str) -> String,
    ) -> Result<BTreeMap<String, usize>, ScenarioError> {
        let Some(table) = &raw.dims else {
            return Ok(BTreeMap::new());
        };
        self.names(table, &field("dims"), "NAME = SIZE, at least one")?;
        let checked = table.as_ref().iter().map(|(name, size)| {
            let extent = self.extent(&field(&format!("dims.{name}")), size.span(), *size.as_ref())?;
            Ok((name.clone(), extent))
        });
        checked.collect()
    }

    fn shapes(
        &self,
        raw: &raw::Tenant,
        field: &dyn Fn(&str) -> String,
    ) -> Result<BTreeMap<String, Vec<usize>>, ScenarioError> {
        let Some(table) = &raw.shapes else {
            return Ok(BTreeMap::new());
        };
        self.names(table, &field("shapes"), "INPUT = [SIZE, …], at least one")?;
        let checked = table.as_ref().iter().map(|(name, shape)| {
            let field = field(&format!("shapes.{name}"));
            let extents = shape.as_ref().iter().map(|&size| self.extent(&field, shape.span(), size));
            Ok((name.clone(), extents.collect::<Result<_, _>>()?))
        });
        checked.collect()
    }

    /// Checks the names of dimensions or inputs.
    fn names<T>(&self, table: &Spanned<BTreeMap<String, T>>, field: &str, allowed: &str) -> Result<(), ScenarioError> {
        let names = table.as_ref();
        if names.is_empty() || names.contains_key("") {
            return Err(self.value(table.span(), field, "no name", allowed));
        }
        match names.keys().find(|name| name.chars().count() > PATH_CHARS_MAX) {
            None => Ok(()),
            Some(name) => {
                let allowed = format!("names of at most {PATH_CHARS_MAX} characters");
                Err(self.value(table.span(), field, format!("{name:?}"), allowed))
            }
        }
    }

    fn extent(&self, field: &str, span: Range<usize>, size: i64) -> Result<usize, ScenarioError> {
        if (1..=i64::from(EXTENT_MAX)).contains(&size) {
            Ok(size as usize)
        } else {
            Err(self.value(span, field, size, format!("1 to {EXTENT_MAX}")))
        }
    }

    fn arrival(
        &self,
        arrival: &Spanned<ArrivalSpec>,
        field: &dyn Fn(&str) -> String,
    ) -> Result<ArrivalSpec, ScenarioError> {
        let complaint = |error: ArrivalError| match error {
            ArrivalError::Range { field: part, found, allowed } => {
                self.value(arrival.span(), &field(&format!("arrival.{part}")), found, allowed)
            }
            ArrivalError::Trace { file, what } => ScenarioError::File {
                place: self.place(arrival.span().start),
                field: field("arrival.file"),
                file,
                what: clipped(&what),
            },
        };
        arrival.as_ref().validate().map_err(complaint)?;
        if let ArrivalSpec::Trace { file, .. } = arrival.as_ref() {
            let path = self.folder().join(file);
            let allowed = "a JSON array of gaps in seconds, relative to this file";
            self.file(arrival.span(), &field("arrival.file"), &path, allowed)?;
            if self.files == Files::MustExist {
                // Read for its mistakes only, so that they are told before models are loaded.
                arrival.as_ref().arrivals(self.folder(), 0, 0).map_err(complaint)?;
            }
        }
        Ok(arrival.as_ref().clone())
    }

    fn file(&self, span: Range<usize>, field: &str, path: &Path, allowed: &str) -> Result<(), ScenarioError> {
        if self.files == Files::MayBeAbsent || path.is_file() {
            return Ok(());
        }
        let found = if path.is_dir() { "a folder" } else { "which is not there" };
        Err(self.value(span, field, format!("{}, {found}", path.display()), allowed))
    }

    fn input_folder(&self, span: Range<usize>, field: &str, path: &Path) -> Result<(), ScenarioError> {
        if self.files == Files::MayBeAbsent || path.is_dir() {
            return Ok(());
        }
        let found = if path.exists() { "no folder" } else { "which is not there" };
        Err(self.value(span, field, format!("{}, {found}", path.display()), "a folder with input_0.npy …"))
    }

    fn integer(
        &self,
        field: &str,
        value: &Option<Spanned<i64>>,
        least: u32,
        most: u32,
    ) -> Result<Option<u32>, ScenarioError> {
        let Some(value) = value else {
            return Ok(None);
        };
        match u32::try_from(*value.as_ref()) {
            Ok(v) if (least..=most).contains(&v) => Ok(Some(v)),
            _ => Err(self.value(value.span(), field, value.as_ref(), format!("{least} to {most}"))),
        }
    }

    fn number(&self, field: &str, value: &Spanned<f64>, least: f64, most: f64) -> Result<(), ScenarioError> {
        if (least..=most).contains(value.as_ref()) {
            return Ok(());
        }
        Err(self.value(value.span(), field, value.as_ref(), format!("{least} to {most}")))
    }

    fn folder(&self) -> &Path {
        self.origin.parent().unwrap_or(Path::new(""))
    }

    fn value(&self, span: Range<usize>, field: &str, found: impl Display, allowed: impl Display) -> ScenarioError {
        ScenarioError::Value {
            place: self.place(span.start),
            field: clipped(field),
            found: clipped(&found.to_string()),
            allowed: allowed.to_string(),
        }
    }

    fn syntax(&self, error: &toml::de::Error) -> ScenarioError {
        let place = self.place(error.span().map_or(0, |span| span.start));
        let source_line = self.text.lines().nth(place.line - 1).unwrap_or_default().trim();
        ScenarioError::Syntax {
            what: clipped(&error.message().trim().replace('\n', ", ")),
            source_line: clipped(source_line),
            place,
        }
    }

    fn place(&self, byte: usize) -> Place {
        Place::of(byte, self.text, self.origin)
    }
}

/// A script `fetch.sh` that is there for the models of `path`'s folder, or of one between it and the scenario's.
fn script_for(path: &Path, scenario: &Path) -> Option<PathBuf> {
    let folders = path.ancestors().skip(1).take_while(|folder| folder.starts_with(scenario));
    folders.map(|folder| folder.join("fetch.sh")).find(|script| script.is_file())
}

/// A text as messages show it: of a long one the beginning, and how long it is.
fn clipped(text: &str) -> String {
    let n = text.chars().count();
    if n <= SHOWN_CHARS_MAX {
        return text.into();
    }
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{shown}… ({n} characters)")
}
