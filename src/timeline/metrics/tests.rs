//! Tests of the metrics: each figure worked by hand, the names of the JSON, and bounds that hold for all runs.

use proptest::prelude::*;

use super::*;

fn facts(solo_ms: f64) -> TenantFacts {
    TenantFacts {
        name: "face".into(),
        model: "zoo:mlp".into(),
        solo_latency: Some(Nanos::from_ms(solo_ms)),
        ..TenantFacts::default()
    }
}

#[test]
fn dropped_requests_break_the_promise_too() {
    let mut meter = Meter::new(Nanos::from_ms(10.0));
    (0..5).for_each(|_| meter.arrived());
    meter.completed(Nanos::from_ms(10.0));
    meter.completed(Nanos::from_ms(10.1));
    meter.rejected();
    meter.failed();
    assert_eq!(meter.open(), 1);
    let figures = meter.finish(facts(5.0), Nanos::from_secs(2.0));
    assert_eq!((figures.slo_attainment, figures.throughput_rps), (0.2, 1.0));
    let totals = Totals::of(
        &[figures],
        &Observed {
            elapsed: Nanos::from_secs(2.0),
            occupied: Occupied { unit_ns: 4e9, units: 4 },
            power: Some(Power { idle_w: 50.0, max_w: 250.0 }),
            ..Observed::default()
        },
    );
    assert_eq!((totals.goodput_rps, totals.utilization), (0.5, Some(0.5)));
    assert!((totals.antt.unwrap() - 2.01).abs() < 1e-9);
    // 150 W over two seconds for two answers; one answer a second at 5 ms each.
    assert_eq!(totals.energy_j_per_request, Some(150.0));
    assert!((totals.normalized_throughput.unwrap() - 0.005).abs() < 1e-9);
}

#[test]
fn every_figure_by_hand() {
    // Two tenants over four seconds. The first, of priority 3 and 10 ms alone, promises 30 ms; of its five requests four are
    // answered, in 10, 20, 30 and 60 ms (mean 30: NP 1/3), one is turned away. The second, of priority 1 and 5 ms alone,
    // promises 5 ms; of its two requests both are answered, in 5 and 15 ms (mean 10: NP 1/2).
    let meter = |slo, requests, latencies: &[f64]| {
        let mut meter = Meter::new(Nanos::from_ms(slo));
        (0..requests).for_each(|_| meter.arrived());
        latencies.iter().for_each(|ms| meter.completed(Nanos::from_ms(*ms)));
        meter
    };
    let window = Nanos::from_secs(4.0);
    let mut first = meter(30.0, 5, &[60.0, 10.0, 30.0, 20.0]);
    first.rejected();
    let first = first.finish(TenantFacts { priority: 3, ..facts(10.0) }, window);
    let second = meter(5.0, 2, &[15.0, 5.0]).finish(TenantFacts { priority: 1, ..facts(5.0) }, window);
    let near = |got: Option<f64>, expected: f64| (got.unwrap() - expected).abs() < 1e-9 * expected.max(1.0);
    // Nearest rank: the second of four, then the last.
    let l = first.latency_ms;
    assert!(near(l.mean, 30.0) && near(l.max, 60.0), "{l:?}");
    let within = |got: Option<f64>, exact: f64| got.unwrap() >= exact && got.unwrap() <= exact * 1.001;
    assert!(within(l.p50, 20.0) && near(l.p95, 60.0) && near(l.p99, 60.0), "{l:?}");
    assert!(near(Some(first.slo_attainment), 3.0 / 5.0) && near(Some(second.slo_attainment), 1.0 / 2.0));
    assert_eq!((first.throughput_rps, second.throughput_rps), (1.0, 0.5));
    // Ten SMs of which 16 SM·s were used, 20 W idle and 120 W busy: 0.4 of all, 60 W.
    let mut stops = super::super::Latencies::default();
    stops.record(Nanos::from_ms(2.0));
    let observed = Observed {
        elapsed: window,
        occupied: Occupied { unit_ns: 20e9, units: 10 }.since(Occupied { unit_ns: 4e9, units: 10 }),
        preemptions: stops.ms(),
        power: Some(Power { idle_w: 20.0, max_w: 120.0 }),
    };
    let t = Totals::of(&[first, second], &observed);
    assert_eq!((t.completed, t.throughput_rps, t.goodput_rps), (6, 1.5, 1.0));
    // (3 + 2)/2, 1/3 + 1/2, (1/3)/(1/2), (5/6)²/(2·(1/9 + 1/4)).
    assert!(near(t.antt, 2.5) && near(t.stp, 5.0 / 6.0) && near(t.fairness, 2.0 / 3.0), "{t:?}");
    assert!(near(t.jain, 25.0 / 26.0), "{t:?}");
    // Over entitlement: (1/3)/(3/4) = 4/9 and (1/2)/(1/4) = 2.
    assert!(near(t.weighted_fairness, 2.0 / 9.0), "{t:?}");
    // 1/s · 10 ms + 0.5/s · 5 ms.
    assert!(near(t.normalized_throughput, 0.0125), "{t:?}");
    assert!(near(t.utilization, 0.4) && near(t.energy_j_per_request, 60.0 * 4.0 / 6.0), "{t:?}");
    assert!(near(t.preemption_ms.max, 2.0), "{t:?}");
}

#[test]
fn the_json_has_the_names_of_the_contract() {
    let window = Nanos::from_secs(1.0);
    let tenant = Meter::new(Nanos::from_ms(50.0)).finish(facts(1.0), window);
    let observed = Observed { elapsed: window, ..Observed::default() };
    let totals = Totals::of(std::slice::from_ref(&tenant), &observed);
    let run = RunMetrics {
        device: DeviceInfo::default(),
        clock: ClockKind::Virtual,
        policy: "edf".into(),
        seed: 3,
        elapsed_ms: 1000.0,
        tenants: vec![tenant],
        totals,
        policy_faults: 0,
        rounds: None,
    };
    let text = serde_json::to_string(&run).unwrap();
    assert_eq!(
        text,
        concat!(
            r#"{"device":{"backend":"","name":"","driver":""},"clock":"virtual","policy":"edf","seed":3,"elapsed_ms":1000.0,"#,
            r#""tenants":[{"name":"face","model":"zoo:mlp","priority":0,"requests":0,"completed":0,"rejected":0,"failed":0,"mismatched":0,"slo_ms":50.0,"#,
            r#""slo_attainment":1.0,"throughput_rps":0.0,"solo_latency_ms":1.0,"latency_ms":{"mean":null,"p50":null,"#,
            r#""p95":null,"p99":null,"max":null},"cpu_nodes":0,"cost_source":null,"output_sha256":null}],"totals":{"completed":0,"#,
            r#""throughput_rps":0.0,"goodput_rps":0.0,"antt":null,"stp":null,"fairness":null,"weighted_fairness":null,"jain":null,"utilization":null,"#,
            r#""normalized_throughput":0.0,"preemption_ms":{"mean":null,"p50":null,"p95":null,"p99":null,"max":null},"#,
            r#""energy_j_per_request":null},"policy_faults":0}"#
        )
    );
}

proptest! {
    #[test]
    fn percentiles_are_within_a_thousandth(mut ns in prop::collection::vec(0u64..100_000_000_000, 1..300)) {
        let mut meter = Meter::new(Nanos(50_000_000_000));
        for &v in &ns {
            meter.arrived();
            meter.completed(Nanos(v));
        }
        let figures = meter.finish(TenantFacts::default(), Nanos(1));
        ns.sort_unstable();
        let l = figures.latency_ms;
        for (quantile, got) in [(0.5, l.p50), (0.95, l.p95), (0.99, l.p99)] {
            let rank = ((quantile * ns.len() as f64).ceil() as usize).max(1);
            let exact = ns[rank - 1] as f64 / 1e6;
            let got = got.unwrap();
            prop_assert!(got >= exact - 1e-9 && got <= exact * 1.001 + 1e-6, "{quantile}: {got} for {exact}");
        }
        prop_assert!(l.p50 <= l.p95 && l.p95 <= l.p99 && l.p99 <= l.max && l.mean <= l.max);
        let good = ns.iter().filter(|&&v| v <= 50_000_000_000).count();
        prop_assert_eq!(figures.good, good as u64);
        prop_assert!((0.0..=1.0).contains(&figures.slo_attainment));
    }

    #[test]
    fn goodput_never_exceeds_throughput(ms in prop::collection::vec(0.1f64..200.0, 0..50), slo in 1.0f64..200.0) {
        let mut meter = Meter::new(Nanos::from_ms(slo));
        for &v in &ms {
            meter.arrived();
            meter.completed(Nanos::from_ms(v));
        }
        let window = Nanos::from_secs(3.0);
        let totals = Totals::of(&[meter.finish(facts(1.0), window)], &Observed { elapsed: window, ..Observed::default() });
        prop_assert!(totals.goodput_rps <= totals.throughput_rps);
        prop_assert_eq!(totals.completed, ms.len() as u64);
    }
}
