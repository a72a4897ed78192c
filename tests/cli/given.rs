//! `cotenant run` with tenants of which only the cost is known: recorded kernel lists and laws, through the whole engine on
//! simulated devices, and what they are told elsewhere.

use std::fmt::Write;
use std::path::Path;

use rand::Rng;

use super::{call, file, folder};

const HEADER: &str = "Name,Profile,Memory_footprint,SM_usage,Duration";

/// A list of `n` random kernels of 20 to 400 µs, and their sum in ms.
fn list(n: usize) -> (String, f64) {
    let mut random = rand::rng();
    let (mut text, mut sum_ns) = (format!("{HEADER}\n"), 0u64);
    for at in 0..n {
        let (class, sms, ns) =
            (random.random_range(-1..=1), random.random_range(1..300), random.random_range(20_000..400_000));
        writeln!(text, "void kernel<{at}, float>(a),{class},0,{sms},{ns}").expect("it is text");
        sum_ns += ns;
    }
    (text, sum_ns as f64 / 1e6)
}

fn scenario(dir: &Path, device: &str, tenants: &str) -> String {
    file(dir, "s.toml", format!("seed = 4\nrequests = 50\n[device]\nspec = \"{device}\"\n{tenants}"))
}

fn tenant(name: &str, model: &str, more: &str) -> String {
    format!("[[tenant]]\nname = \"{name}\"\nmodel = \"{model}\"\n{more}\n")
}

#[test]
fn a_recorded_list_takes_its_sum_alone_and_longer_beside_another() {
    let dir = folder();
    let (one, one_ms) = list(60);
    let (other, other_ms) = list(90);
    file(dir.path(), "one.csv", one);
    file(dir.path(), "other.csv", other);
    let tenants =
        tenant("one", "profile:one.csv", "") + &tenant("other", "profile:other.csv", "class = \"best-effort\"");
    let path = scenario(dir.path(), "sim:v100-sxm2", &tenants);
    let answer = call(&["run", &path, "--json"]).expect(0).json();
    assert_eq!(answer["clock"], "virtual");
    for (tenant, sum_ms) in answer["tenants"].as_array().expect("a list").iter().zip([one_ms, other_ms]) {
        assert_eq!((&tenant["cost_source"], &tenant["completed"]), (&"recorded".into(), &50.into()), "{tenant:#}");
        assert!(tenant["output_sha256"].is_null(), "a list computes nothing: {tenant:#}");
        let (alone, shared) = (tenant["solo_latency_ms"].as_f64(), tenant["latency_ms"]["mean"].as_f64());
        let (alone, shared) = (alone.expect("a number"), shared.expect("a number"));
        // Launches and gaps come on top of the sum.
        assert!(alone >= sum_ms && alone < 1.1 * sum_ms, "{sum_ms} ms of kernels took {alone} ms");
        assert!(shared > 1.2 * alone, "{shared} ms beside another, {alone} ms alone");
    }
    let again = call(&["run", &path, "--json"]).expect(0).json();
    assert_eq!(answer, again, "one seed, one outcome");
    let text = call(&["run", &path]).expect(0).out;
    assert!(text.contains("costs from") && text.contains("recorded") && text.contains("simulated"), "{text}");
}

#[test]
fn a_law_takes_what_it_says() {
    let dir = folder();
    // VGG16 on a whole A100 that is not partitioned: 108 SMs and all bandwidth.
    let law = cotenant::predict::a100::find("vgg16").expect("it is known");
    let tenants = tenant("law", "law:vgg16", "dims = { N = 32 }") + &tenant("net", "zoo:keyword_spotting", "");
    let path = scenario(dir.path(), "sim:a100-80gb", &tenants);
    let answer = call(&["run", &path, "--json", "--policy", "sequential"]).expect(0).json();
    let at = cotenant::predict::law::Setting { batch: 32, sms: 108.0, memory: 1.0, processes: 1 };
    let (said, alone) = (law.ms(&at), answer["tenants"][0]["solo_latency_ms"].as_f64().expect("a number"));
    assert!((alone / said - 1.0).abs() < 0.02, "{alone} ms, the law says {said}");
    let sources: Vec<_> = (0..2).map(|at| answer["tenants"][at]["cost_source"].clone()).collect();
    assert_eq!(sources, ["law", "operators"]);
}

#[test]
fn inspect_says_where_simulated_costs_are_from() {
    let inspect = |device: &str| {
        let answer = call(&["inspect", "zoo:keyword_spotting", "--device", device, "--json"]);
        answer.expect(0).json()["totals"]["cost_source"].clone()
    };
    assert_eq!((inspect("sim:a100-80gb"), inspect("null")), ("operators".into(), serde_json::Value::Null));
}

#[test]
fn other_devices_refuse_them_and_say_what_to_choose() {
    let dir = folder();
    file(dir.path(), "one.csv", list(3).0);
    let tenants = tenant("net", "zoo:keyword_spotting", "") + &tenant("one", "profile:one.csv", "");
    let path = scenario(dir.path(), "reference", &tenants);
    call(&["run", &path]).complains(2, &["s.toml", "\"one\"", "one.csv", "operator by operator", "--device sim:"]);
    let answer = call(&["run", &path, "--device", "sim:t4", "--json"]).expect(0).json();
    assert_eq!(answer["tenants"][1]["cost_source"], "recorded");
    let path = scenario(dir.path(), "sim:v100-sxm2", &tenant("law", "law:resnet50", ""));
    call(&["run", &path]).complains(2, &["\"law\"", "law:resnet50", "v100-sxm2", "sim:a100-80gb"]);
    call(&["run", &path, "--device", "null"]).complains(2, &["s.toml", "law:resnet50", "--device sim:"]);
}

#[test]
fn what_is_wrong_with_them_names_the_place() {
    let dir = folder();
    let check = |text: &str, words: &[&str]| {
        file(dir.path(), "bad.csv", text);
        let path = scenario(dir.path(), "sim:v100-sxm2", &tenant("bad", "profile:bad.csv", ""));
        call(&["run", &path]).complains(2, words);
    };
    check(&format!("{HEADER}\nconv,1,0,8,5000\nconv,1,0,8,fast\n"), &["\"bad\"", "bad.csv:3:12: Duration", "fast"]);
    check(&format!("{HEADER}\nconv,1,0,0,5000\n"), &["bad.csv:2:10: SM_usage", "\"0\""]);
    check(&format!("{HEADER}\nconv,5,0,1,5000\n"), &["bad.csv:2:6: Profile", "\"5\"", "compute"]);
    check(&format!("{HEADER}\nconv\n"), &["bad.csv:2:1: row", "five cells"]);
    check("name,time\n", &["bad.csv:1:1: header", HEADER]);
    check("", &["bad.csv:1:1: header"]);
    check(HEADER, &["bad.csv:2:1", "at least one kernel"]);
    let check = |model: &str, more: &str, words: &[&str]| {
        let path = scenario(dir.path(), "sim:a100-80gb", &tenant("t", model, more));
        call(&["run", &path]).complains(2, words);
    };
    file(dir.path(), "good.csv", list(2).0);
    check("profile:none.csv", "", &["s.toml:7:9", "none.csv", "not there"]);
    check("profile:good.csv", "dims = { N = 2 }", &["\"t\"", "no dimension N", "none"]);
    check("profile:good.csv", "shapes = { x = [1] }", &["\"t\"", "no inputs"]);
    check("law:lenet", "", &["law:lenet", "no law has this name", "resnet50", "vgg16"]);
    check("law:vgg16", "dims = { B = 2 }", &["no dimension B", "N, the batch"]);
    check("law:vgg16", "dims = { N = 1000 }", &["N = 1000", "1 to 256"]);
}

/// A list of one kernel that fills a V100 for so many microseconds, as the model of a tenant with this arrival.
fn server(dir: &Path, us: u32, arrival: &str) -> serde_json::Value {
    file(dir, "server.csv", format!("{HEADER}\nk,1,0,80,{us}000\n"));
    let text = "seed = 9\nwarm_up_s = 0.5\nduration_s = 2.0\n[device]\nspec = \"sim:v100-sxm2\"\n";
    let tenant = tenant("t", "profile:server.csv", &format!("arrival = {{ {arrival} }}"));
    let path = file(dir, "workload.toml", text.to_string() + &tenant);
    let answer = call(&["run", &path, "--json"]).expect(0).json();
    // Two seconds, and what the requests of them still take.
    assert!((2000.0..2200.0).contains(&answer["elapsed_ms"].as_f64().expect("a number")), "{answer:#}");
    answer["tenants"][0].clone()
}

#[test]
fn a_closed_loop_keeps_as_many_requests_in_flight() {
    let dir = folder();
    for concurrency in [1, 3, 16] {
        let t = server(dir.path(), 1000, &format!("kind = \"closed\", concurrency = {concurrency}"));
        let (rate, mean) = (t["throughput_rps"].as_f64().expect("a rate"), t["latency_ms"]["mean"].as_f64());
        // Little's law; the rate is the server's own, whatever is asked of it.
        let in_flight = rate * mean.expect("a mean") / 1e3;
        assert!((in_flight / f64::from(concurrency) - 1.0).abs() < 0.02, "{concurrency}: {in_flight}, {t:#}");
        assert!(rate <= 1000.0 && rate > 900.0, "{t:#}");
    }
}

#[test]
fn a_slow_server_does_not_slow_clients_of_an_open_loop() {
    let dir = folder();
    let mut random = rand::rng();
    let gaps: Vec<f64> = (0..300).map(|_| random.random_range(0.0001..0.0014)).collect();
    file(dir.path(), "gaps.json", serde_json::to_string(&gaps).expect("it is JSON"));
    for arrival in [
        "kind = \"periodic\", rate_rps = 1500.0, jitter_ms = 0.3",
        "kind = \"poisson\", rate_rps = 1500.0",
        "kind = \"gamma\", rate_rps = 1500.0, cv = 2.0",
        "kind = \"lognormal\", rate_rps = 1500.0, sigma = 0.5",
        "kind = \"trace\", file = \"gaps.json\"",
    ] {
        let [fast, slow] = [100, 2000].map(|us| server(dir.path(), us, arrival));
        let requests = |t: &serde_json::Value| t["requests"].as_u64().expect("a number");
        assert_eq!(requests(&fast), requests(&slow), "{arrival}");
        assert!((2000..4000).contains(&requests(&fast)), "{arrival}: {fast:#}");
        assert_eq!(fast["rejected"], 0, "{arrival}");
        assert!(slow["rejected"].as_u64() > Some(1000), "what its queue does not hold is turned away: {slow:#}");
    }
}

#[test]
fn utilisation_counts_the_units_that_work() {
    let dir = folder();
    for (sms, part) in [(20, 0.25), (60, 0.75), (80, 1.0)] {
        file(dir.path(), "part.csv", format!("{HEADER}\nk,1,0,{sms},2000000\n"));
        let path = scenario(dir.path(), "sim:v100-sxm2", &tenant("t", "profile:part.csv", ""));
        let totals = call(&["run", &path, "--json"]).expect(0).json()["totals"].clone();
        let number = |name: &str| totals[name].as_f64().expect("a number");
        let (used, rate) = (number("utilization"), number("throughput_rps"));
        // Two milliseconds of so many of 80 SMs for every request.
        let expected = rate * 2e-3 * part;
        assert!((used / expected - 1.0).abs() < 0.03, "{sms} SMs: {used}, expected {expected}");
        // 40 W idle and 300 W busy (profiles/v100-sxm2.toml).
        let joule = (40.0 + 260.0 * used) / rate;
        assert!((number("energy_j_per_request") / joule - 1.0).abs() < 0.01, "{totals:#}");
    }
}
