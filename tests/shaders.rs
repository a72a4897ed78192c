//! The shader files themselves: all parse, declare the parameters that the host writes, and translate to the language
//! of every graphics interface once composed: with the constants of the file, and with those that the networks of the
//! zoo and a sample of every operator ask for on hardware and software devices.

#[path = "shaders_sample/mod.rs"]
mod sample;

use std::collections::HashSet;
use std::sync::Arc;

use cotenant::hal::wgpu::compose::{compose, declared_parameters, validate};
use cotenant::hal::{Chain, ChainArg, ChainStep, Fragment, KernelSpec};
use cotenant::kernel::{KERNELS, KernelFile, fragments};
use naga::back::{hlsl, msl, spv};

/// The kernel as its file stands, with the constants that it declares.
fn spec(file: &KernelFile, chain: Option<Chain>) -> KernelSpec {
    let line = file.source.lines().find(|l| l.starts_with("const LANES: u32 = ")).expect("a workgroup size");
    let digits: String = line["const LANES: u32 = ".len()..].chars().take_while(char::is_ascii_digit).collect();
    let lanes = digits.parse().expect("a number");
    KernelSpec { name: file.name, source: file.source, functions: file.functions, consts: vec![], lanes, chain }
}

/// The kernel alone, and where it has a `chain`, with none and with two steps in it.
fn variants(file: &KernelFile) -> Vec<KernelSpec> {
    let mut all = vec![spec(file, None)];
    if file.source.contains("fn chain(") {
        let steps = vec![
            ChainStep {
                fragment: fragments::FMA_F32,
                args: vec![ChainArg::Input(0), ChainArg::Scalar(0), ChainArg::Scalar(1)],
            },
            ChainStep { fragment: fragments::ADD, args: vec![ChainArg::Step(0), ChainArg::Input(0)] },
        ];
        all.push(spec(file, Some(Chain { steps })));
        all.push(spec(file, Some(Chain::default())));
    }
    all
}

/// An elementwise kernel of one fragment.
fn alone(fragment: &Fragment) -> KernelSpec {
    let module = naga::front::wgsl::parse_str(fragment.source).unwrap();
    let (_, function) = module.functions.iter().find(|(_, f)| f.name.as_deref() == Some(fragment.name)).unwrap();
    let args = (0..function.arguments.len() as u8).map(ChainArg::Scalar).collect();
    let elementwise = KERNELS.iter().find(|k| k.name == "elementwise").unwrap();
    spec(elementwise, Some(Chain { steps: vec![ChainStep { fragment: *fragment, args }] }))
}

#[test]
fn every_file_parses() {
    let kernels = KERNELS.iter().map(|k| (k.name, k.source));
    let functions = fragments::ALL.iter().chain(fragments::SHARED).map(|f| (f.name, f.source));
    for (name, source) in kernels.chain(functions) {
        let module =
            naga::front::wgsl::parse_str(source).unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(source)));
        validate(&module).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(source.starts_with(&format!("// {name}")), "{name}.wgsl begins with its name and what it is");
    }
}

#[test]
fn a_fragment_file_is_one_function_of_its_name_and_declares_what_it_calls() {
    for fragment in fragments::ALL.iter().chain(fragments::SHARED) {
        let module = naga::front::wgsl::parse_str(fragment.source).unwrap();
        let names: Vec<_> = module.functions.iter().map(|(_, f)| f.name.clone().unwrap()).collect();
        let called = fragment.functions.iter().map(|f| f.name);
        assert_eq!(names, called.chain([fragment.name]).collect::<Vec<_>>());
        assert!(module.global_variables.is_empty() && module.entry_points.is_empty(), "{}", fragment.name);
    }
}

#[test]
fn shared_functions_are_declared_as_they_are() {
    let kernel = |declaration: &str, functions| {
        KernelSpec {
        name: "k",
        source: format!(
            "const LANES: u32 = 8u;\nstruct Op {{ n: u32 }}\n{declaration}\nfn k_tile(op: Op, tile: u32, lane: u32) {{}}\n"
        )
        .leak(),
        functions,
        consts: vec![],
        lanes: 8,
        chain: None,
    }
    };
    let declaration = "fn sine_cosine(x: f32) -> vec2<f32> { return vec2<f32>(x); }";
    compose(&kernel(declaration, &[fragments::SINE_COSINE])).unwrap();
    let other = declaration.replace("vec2", "vec3");
    let refused = |declaration: &str| compose(&kernel(declaration, &[fragments::SINE_COSINE])).unwrap_err();
    assert!(refused(&other).contains("sine_cosine is declared with other types"), "{}", refused(&other));
    assert!(refused("").contains("sine_cosine is to be linked but not declared"), "{}", refused(""));
}

#[test]
fn parameters_are_laid_out_alike_on_host_and_device() {
    for file in KERNELS {
        let declared = declared_parameters(file.name, file.source).unwrap();
        let mut offset = 0;
        let declared: Vec<(String, usize, usize)> = declared
            .into_iter()
            .map(|field| {
                let size = field.words() as usize * 4;
                offset += size;
                (field.name.clone(), offset - size, size)
            })
            .collect();
        let host: Vec<(String, usize, usize)> = file.fields.iter().map(|&(n, o, s)| (n.into(), o, s)).collect();
        assert_eq!(declared, host, "{}: name, offset and size of each field", file.name);
    }
}

#[test]
fn every_file_is_listed() {
    let listed = |folder: &str, names: HashSet<&str>| {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
        let files: HashSet<String> = entries
            .filter(|path| path.extension().is_some_and(|e| e == "wgsl"))
            .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(files.iter().map(String::as_str).collect::<HashSet<_>>(), names);
    };
    listed("shaders", KERNELS.iter().map(|k| k.name).collect());
    listed("shaders/fragments", fragments::ALL.iter().map(|f| f.name).collect());
    listed("shaders/functions", fragments::SHARED.iter().map(|f| f.name).collect());
}

/// Composes a kernel and writes it in every language.
fn translate(spec: &KernelSpec) {
    let label = spec.label();
    let module = compose(spec).unwrap_or_else(|e| panic!("{label}: {e}"));
    let info = validate(&module).unwrap_or_else(|e| panic!("{label}: {e}"));
    let words = spv::write_vec(&module, &info, &spv::Options::default(), None);
    assert!(!words.unwrap_or_else(|e| panic!("{label}: SPIR-V: {e}")).is_empty());
    // Bindings are assigned by wgpu from its layouts; here it is only the language that is tried.
    let options = msl::Options { fake_missing_bindings: true, lang_version: (2, 4), ..msl::Options::default() };
    let text = msl::write_string(&module, &info, &options, &msl::PipelineOptions::default());
    assert!(text.unwrap_or_else(|e| panic!("{label}: Metal: {e}")).0.contains("kernel void"));
    let mut text = String::new();
    let options = hlsl::Options {
        fake_missing_bindings: true,
        immediates_target: Some(hlsl::BindTarget::default()),
        ..hlsl::Options::default()
    };
    let pipeline = hlsl::PipelineOptions::default();
    let written = hlsl::Writer::new(&mut text, &options, &pipeline).write(&module, &info, None);
    written.unwrap_or_else(|e| panic!("{label}: HLSL: {e}"));
    assert!(text.contains("numthreads"), "{label}");
}

#[test]
fn kernels_as_their_files_stand_translate() {
    for spec in KERNELS.iter().flat_map(variants).chain(fragments::ALL.iter().map(alone)) {
        translate(&spec);
    }
}

#[test]
fn kernels_as_models_and_operators_configure_them_translate() {
    let mut specs: HashSet<Arc<KernelSpec>> = HashSet::new();
    for caps in sample::devices() {
        let before = specs.len();
        specs.extend(sample::of_operators(&caps));
        let operators = specs.len();
        specs.extend(sample::of_zoo(&caps));
        let (operators, zoo) = (operators - before, specs.len() - operators);
        println!("{}: {operators} configurations of operators, {zoo} more of networks", caps.name);
    }
    let used: HashSet<&str> = specs.iter().map(|s| s.name).collect();
    // The two kernels that measure a device are no operators'.
    let unused: Vec<&str> = KERNELS.iter().map(|k| k.name).filter(|name| !used.contains(name)).collect();
    assert_eq!(unused, ["copy_rate", "fma_rate"]);
    println!("{} kernels translated to SPIR-V, Metal and HLSL", specs.len());
    // Each core takes its share: translation is most of the time.
    let specs: Vec<Arc<KernelSpec>> = specs.into_iter().collect();
    let share = specs.len().div_ceil(std::thread::available_parallelism().map_or(1, usize::from));
    std::thread::scope(|threads| {
        for part in specs.chunks(share.max(1)) {
            threads.spawn(move || part.iter().for_each(|spec| translate(spec)));
        }
    });
}
