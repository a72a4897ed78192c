//! What commands answer: the fields that scripts rely on, and one document only.

use super::{call, shared_models};

/// Asserts that `value` has every one of these fields.
fn has(value: &serde_json::Value, fields: &str) {
    for field in fields.split(", ") {
        assert!(value.get(field).is_some(), "{field} is not in {value}");
    }
}

#[test]
fn devices_are_listed_with_their_capabilities() {
    let answer = call(&["devices", "--json"]).expect(0).json();
    let devices = answer["devices"].as_array().expect("a list");
    assert!(devices.iter().any(|d| d["backend"] == "reference") && devices.iter().any(|d| d["backend"] == "null"));
    for device in devices {
        has(
            device,
            "name, driver, kind, partition, sm_isolation, bandwidth_isolation, performance_qos, reconfiguration",
        );
        has(device, "preemption, priority_levels, limits, quirks");
    }
    let text = call(&["devices"]).expect(0).out;
    assert!(text.contains("SM isolation") && text.contains("cuda: "), "{text}");
}

#[test]
fn inspect_names_nodes_and_totals() {
    let answer = call(&["inspect", "zoo:keyword_spotting", "--device", "reference", "--json"]).expect(0).json();
    has(&answer["totals"], "flops, weight_bytes, arena_bytes, arena_bytes_without_reuse, launches, cpu_nodes");
    has(&answer["nodes"][0], "name, op, where, shape, flops, bytes");
    has(&answer["device"], "backend, name, driver");
    let totals = &answer["totals"];
    assert!(totals["arena_bytes"].as_u64() <= totals["arena_bytes_without_reuse"].as_u64());
    for node in answer["nodes"].as_array().expect("a list") {
        assert_eq!(node["where"] == "cpu", node["reason"].is_string(), "a CPU node has a reason: {node}");
    }
}

#[test]
fn the_zoo_is_listed() {
    let text = call(&["inspect", "zoo:"]).expect(0).out;
    assert!(text.contains("zoo:resnet50") && text.contains("matmul_SIZE"), "{text}");
}

#[test]
fn check_compares_every_set_on_every_device() {
    let Some(models) = shared_models() else { return };
    let [small, deciding] = ["bert_tiny", "silero_vad"].map(|m| models.join(m).to_string_lossy().into_owned());
    let answer = call(&["check", &small, &deciding, "--device", "reference", "--json"]).expect(0).json();
    has(&answer, "device, cases, passed, failed");
    assert_eq!((&answer["passed"], &answer["failed"]), (&4.into(), &0.into()), "{answer}");
    for case in answer["cases"].as_array().expect("a list") {
        has(case, "model, set, outputs, limit, cpu_nodes, pass, error");
        has(&case["outputs"][0], "name, shape, max_abs_err, rel_err");
    }
    let all = call(&["check", &small, "--device", "all", "--json"]).expect(0).json();
    let devices = all["devices"].as_array().expect("a list");
    assert!(devices.iter().any(|d| d["device"]["backend"] == "reference"), "{all}");
    assert!(devices.iter().all(|d| d["passed"] == 2), "{all}");
    // A limit that nothing meets: the requirement failed, which is not bad input.
    call(&["check", &deciding, "--device", "reference", "--limit", "1e-30"]).expect(0);
}
