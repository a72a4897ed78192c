//! What a tenant sees of others: nothing. Their memory is never read or written, and their failures are theirs.

use cotenant::hal::{Completion, Device, HalError, HostFn, Stage, Submission};
use cotenant::tensor::{DType, HostTensor, TenantId};

use super::program::{
    Loaded, POISON, alternating, assert_fine, assert_words, execute, read_words, stages, submit_times, upload, wait,
};
use super::suite::{Case, Need};

pub const CASES: &[Case] = &[
    Case { name: "neighbours' memory is neither read nor written", needs: &[Need::Results], check: neighbours },
    Case { name: "a failing operator ends its recording's work only", needs: &[Need::HostFunctions], check: failing },
    Case { name: "a failure does not stay", needs: &[Need::HostFunctions], check: failure_does_not_stay },
    Case { name: "numbers that are none stay with their tenant", needs: &[Need::Results], check: nan_stays },
];

/// Buffers of many sizes between and around those of the tenants.
fn neighbours(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let mut bystanders = Vec::new();
    let mut bystand = |device: &mut dyn Device| {
        for words in [1, 63, 64, 1000, 16_384] {
            let poison = vec![POISON; words];
            bystanders.push((upload(device, TenantId(90 + words as u32), &poison), poison));
        }
    };
    let mut tenants = Vec::new();
    for k in 1..5 {
        bystand(device);
        tenants.push(alternating(k, 123 * k as usize + 1, 8).0.load(device));
    }
    bystand(device);
    for _ in 0..3 {
        let all = (0..8).map(|o| Stage {
            slices: tenants.iter().map(|t| t.stages_of(o).next().unwrap().slices.remove(0)).collect(),
        });
        let uploads = tenants.iter().map(Loaded::reset).collect();
        execute(device, lane, Submission { uploads, stages: all.collect(), ..Submission::default() });
        for tenant in &tenants {
            tenant.assert_exact(device, &tenant.recording.name);
        }
    }
    for (buffer, poison) in &bystanders {
        let region = cotenant::hal::Region { buffer: *buffer, offset: 0, bytes: poison.len() as u64 * 4 };
        assert_words(&read_words(device, region), poison, "a bystander's memory");
    }
}

/// A CPU function that does not do what it should.
#[derive(Clone, Copy, Debug)]
enum Failing {
    Error,
    Panic,
    WrongShape,
    WrongType,
    TooMany,
}

impl HostFn for Failing {
    fn eval(&self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, String> {
        let same = inputs[0].clone();
        match self {
            Failing::Error => Err("it fails on purpose".into()),
            Failing::Panic => panic!("it panics on purpose"),
            Failing::WrongShape => Ok(vec![HostTensor::zeros(DType::F32, &[1, 1, 1])]),
            Failing::WrongType => Ok(vec![HostTensor::zeros(DType::I32, same.shape())]),
            Failing::TooMany => Ok(vec![same.clone(), same]),
        }
    }
}

/// Three tenants, the second of which has an operator that fails: `(tenants, its failing operator)`.
fn with_one_failing(device: &mut dyn Device, failing: Failing) -> [Loaded; 3] {
    [1, 2, 3].map(|tenant| {
        let mut program = alternating(tenant, 600, 6).0;
        if tenant == 2 {
            program.set_host(3, failing);
        }
        program.load(device)
    })
}

/// Operator by operator, the tenants side by side.
fn side_by_side(tenants: &[Loaded]) -> Submission {
    let stage = |o| Stage { slices: tenants.iter().flat_map(|t| t.stages_of(o)).flat_map(|s| s.slices).collect() };
    Submission {
        uploads: tenants.iter().map(Loaded::reset).collect(),
        stages: (0..6).map(stage).collect(),
        reads: tenants.iter().map(Loaded::arena).collect(),
        timed: true,
    }
}

/// Panics unless the second of the tenants failed and the others did not notice.
fn assert_only_the_second_failed(completion: &Completion, tenants: &[Loaded], what: &str) {
    assert!(completion.error.is_none(), "{what}: {completion:?}");
    let [(recording, error)] = &completion.failed[..] else { panic!("{what}: {:?}", completion.failed) };
    assert_eq!(*recording, tenants[1].id, "{what}");
    assert!(matches!(error, HalError::Host { operator, .. } if operator == "operator 3"), "{what}: {error:?}");
    assert_eq!(completion.reads.len(), 3, "{what}: reads are there for all");
    for (tenant, read) in tenants.iter().zip(&completion.reads) {
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(read);
        // What came before the failure was done, what follows was not.
        let three = alternating(2, 600, 3).0.expected();
        let expected = if tenant.id == *recording { three } else { tenant.program.expected() };
        assert_words(&words, &expected, what);
    }
    let late = completion.spans.iter().filter(|s| s.slice == 1 && s.stage > 3);
    assert_eq!(late.count(), 0, "{what}: what was left out has no span");
}

fn failing(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    use Failing::{Error, Panic, TooMany, WrongShape, WrongType};
    for kind in [Error, Panic, WrongShape, WrongType, TooMany] {
        let tenants = with_one_failing(device, kind);
        device.submit(lane, side_by_side(&tenants)).unwrap();
        let completion = wait(device, 1).remove(0);
        assert_only_the_second_failed(&completion, &tenants, &format!("{kind:?}"));
        tenants.iter().for_each(|t| t.unload(device));
    }
}

fn failure_does_not_stay(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let tenants = with_one_failing(device, Failing::Error);
    // Several under way: each fails and succeeds by itself.
    submit_times(device, lane, &side_by_side(&tenants), 3);
    let first_three = (0..3).flat_map(|o| tenants[1].stages_of(o)).collect();
    let reads = vec![tenants[1].arena()];
    let fine = Submission { uploads: vec![tenants[1].reset()], stages: first_three, reads, timed: false };
    device.submit(lane, fine).unwrap();
    let done = wait(device, 4);
    done[..3].iter().for_each(|c| assert_only_the_second_failed(c, &tenants, "one of three"));
    assert_fine(&done[3]);
    let expected = alternating(2, 600, 3).0.expected();
    assert_words(&bytemuck::pod_collect_to_vec(&done[3].reads[0]), &expected, "after its failure");
}

fn nan_stays(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let (good, bad) = (alternating(1, 3000, 9).0.load(device), alternating(2, 3000, 9));
    let (bad, x) = (bad.0.load(device), bad.1);
    let nan = vec![f32::NAN.to_bits(); 3000];
    let uploads = vec![good.reset(), (bad.region(x), bytemuck::cast_slice(&nan).to_vec())];
    let mixed = good.stages().into_iter().zip(bad.stages());
    let mixed = mixed.map(|(a, b)| Stage { slices: [b.slices, a.slices].concat() }).collect();
    execute(device, lane, Submission { uploads, ..stages(mixed) });
    good.assert_exact(device, "beside a tenant of NaN");
    let words = read_words(device, bad.region(x));
    assert!(words.iter().all(|&w| f32::from_bits(w).is_nan()), "NaN stays NaN");
}
