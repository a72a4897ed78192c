//! Allocation: zeroes, sizes, quotas, and what is refused.

use cotenant::hal::{BufferId, Device, HalError, Region};
use cotenant::tensor::TenantId;

use super::program::{Program, affine, assert_words, execute, read_words, stages};
use super::suite::{Case, Need};

pub const CASES: &[Case] = &[
    Case { name: "memory begins zeroed", needs: &[], check: begins_zeroed },
    Case { name: "memory that was used before begins zeroed", needs: &[], check: begins_zeroed_again },
    Case { name: "kernels find memory zeroed", needs: &[Need::Results], check: kernels_find_zeroes },
    Case { name: "sizes are rounded up to words", needs: &[], check: sizes_are_rounded },
    Case { name: "a quota bounds its tenant only", needs: &[], check: a_quota_bounds },
    Case { name: "a quota can change while memory is held", needs: &[], check: a_quota_changes },
    Case { name: "what is too large for the device is refused", needs: &[], check: too_large },
    Case { name: "the largest buffer is not too large", needs: &[], check: largest },
    Case { name: "what was freed is gone", needs: &[], check: freed_is_gone },
    Case { name: "capabilities make sense and stay", needs: &[], check: capabilities },
];

/// Bytes of buffers, none to many, with every remainder of a word.
const SIZES: &[u64] = &[0, 1, 2, 3, 4, 5, 7, 8, 63, 64, 65, 1023, 4096, 100_001];

const TENANT: TenantId = TenantId(1);

fn rounded(bytes: u64) -> u64 {
    bytes.next_multiple_of(4)
}

fn whole(buffer: BufferId, bytes: u64) -> Region {
    Region { buffer, offset: 0, bytes: rounded(bytes) }
}

fn begins_zeroed(device: &mut dyn Device) {
    for &bytes in SIZES {
        let buffer = device.alloc(TENANT, bytes).unwrap();
        let read = device.read(whole(buffer, bytes)).unwrap();
        assert_eq!(read, vec![0; rounded(bytes) as usize], "{bytes} bytes");
    }
}

fn begins_zeroed_again(device: &mut dyn Device) {
    for round in 0..5 {
        let mut held = Vec::new();
        for &bytes in SIZES {
            // Another tenant each round: nobody may see what others left.
            let buffer = device.alloc(TenantId(round), bytes).unwrap();
            let read = device.read(whole(buffer, bytes)).unwrap();
            assert_eq!(read, vec![0; rounded(bytes) as usize], "{bytes} bytes, round {round}");
            device.write(whole(buffer, bytes), &vec![0xab; rounded(bytes) as usize]).unwrap();
            held.push(buffer);
        }
        held.into_iter().for_each(|b| device.free(b));
    }
}

fn kernels_find_zeroes(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let n = 5000;
    for round in 0..4 {
        let dirt = device.alloc(TenantId(100 + round), 64 << 10).unwrap();
        device.write(whole(dirt, 64 << 10), &[0xff; 64 << 10]).unwrap();
        device.free(dirt);
        let mut program = Program::new(round);
        let (x, y, z) = (program.output(&[n]), program.output(&[n]), program.output(&[n]));
        program.push(affine(&[n], 1.0, 7.0), &[x], y);
        program.push(affine(&[n], 1.0, 0.0), &[x], z);
        let loaded = program.load_unwritten(device);
        execute(device, lane, stages(loaded.stages()));
        for (tensor, expected) in [(y, 7.0f32), (z, 0.0)] {
            let words = read_words(device, loaded.region(tensor));
            assert_words(&words, &vec![expected.to_bits(); n], &format!("0 + {expected}, round {round}"));
        }
        loaded.unload(device);
    }
}

fn sizes_are_rounded(device: &mut dyn Device) {
    for &bytes in SIZES {
        let buffer = device.alloc(TENANT, bytes).unwrap();
        let full = rounded(bytes);
        let mut read = |offset, bytes| device.read(Region { buffer, offset, bytes }).map(|b| b.len() as u64);
        assert_eq!(read(0, full), Ok(full));
        assert_eq!(read(full, 0), Ok(0), "nothing can be read at the end of {bytes} bytes");
        assert_eq!(read(0, full + 4), Err(HalError::Range { buffer, offset: 0, end: full + 4 }));
        assert_eq!(read(full, 4), Err(HalError::Range { buffer, offset: full, end: full + 4 }));
    }
}

fn a_quota_bounds(device: &mut dyn Device) {
    let (limited, other) = (TenantId(7), TenantId(8));
    device.limit_memory(limited, Some(1000));
    let first = device.alloc(limited, 599).unwrap();
    for asked in [401, 404, 1001, 4000] {
        let before = device.counters();
        let refused = device.alloc(limited, asked).unwrap_err();
        let (asked, used, limit) = (rounded(asked), 600, 1000);
        assert_eq!(refused, HalError::TenantMemory { tenant: limited, asked, used, limit });
        let message = refused.to_string();
        for part in ["tenant 7", &asked.to_string(), "600", "1000"] {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
        assert_eq!(device.counters(), before, "a refused buffer is not made");
    }
    device.alloc(other, 100_000).expect("another tenant is not bounded");
    // What was refused was not charged, so exactly the rest fits.
    let second = device.alloc(limited, 400).expect("the rest of the quota");
    assert!(device.alloc(limited, 1).is_err(), "the quota is full");
    device.free(second);
    device.free(second);
    device.alloc(limited, 400).expect("what was freed returns to the quota");
    assert!(device.alloc(limited, 1).is_err(), "and only once");
    device.free(first);
    device.alloc(limited, 600).expect("what was freed returns to the quota");
}

fn a_quota_changes(device: &mut dyn Device) {
    let held = device.alloc(TENANT, 800).unwrap();
    device.limit_memory(TENANT, Some(100));
    let refused = device.alloc(TENANT, 4).unwrap_err();
    assert_eq!(refused, HalError::TenantMemory { tenant: TENANT, asked: 4, used: 800, limit: 100 });
    device.write(whole(held, 800), &[1; 800]).expect("what is held already stays usable");
    assert_eq!(device.read(whole(held, 800)).unwrap(), [1; 800]);
    device.limit_memory(TENANT, None);
    device.alloc(TENANT, 4000).expect("the bound was lifted");
    device.limit_memory(TENANT, Some(4900));
    device.alloc(TENANT, 100).expect("the bound was raised");
    assert!(device.alloc(TENANT, 1).is_err());
    device.limit_memory(TenantId(2), Some(0));
    device.alloc(TenantId(2), 0).expect("nothing costs nothing");
    assert!(device.alloc(TenantId(2), 1).is_err());
}

fn too_large(device: &mut dyn Device) {
    let limit = device.caps().limits.binding_bytes_max;
    device.limit_memory(TenantId(2), Some(64));
    for bytes in [limit / 4 * 4 + 4, limit.saturating_mul(2), u64::MAX - 7, u64::MAX - 3, u64::MAX] {
        let before = device.counters();
        let refused = device.alloc(TENANT, bytes).unwrap_err();
        let expected = matches!(refused, HalError::BufferTooLarge { tenant, asked, limit: l }
            if tenant == TENANT && asked >= bytes && l == limit);
        assert!(expected, "{bytes} bytes: {refused:?}");
        assert!(refused.to_string().contains(&limit.to_string()), "{refused}");
        assert_eq!(device.counters(), before);
        assert!(device.alloc(TenantId(2), bytes).is_err());
    }
    device.limit_memory(TENANT, Some(64));
    device.alloc(TENANT, 64).expect("what was refused was not charged");
    device.alloc(TenantId(2), 64).expect("what was refused was not charged");
}

/// It may be that the machine lacks the memory: that is another error, and charges nothing.
fn largest(device: &mut dyn Device) {
    let bytes = device.caps().limits.binding_bytes_max / 4 * 4;
    device.limit_memory(TENANT, Some(bytes));
    for _ in 0..2 {
        match device.alloc(TENANT, bytes) {
            Ok(buffer) => {
                assert!(device.alloc(TENANT, 4).is_err(), "it is charged");
                device.free(buffer);
            }
            Err(error) => assert_eq!(error, HalError::OutOfMemory { tenant: TENANT, asked: bytes }),
        }
    }
    let small = device.alloc(TENANT, 4096).expect("the device goes on");
    device.write(whole(small, 4096), &[5; 4096]).unwrap();
    assert_eq!(device.read(whole(small, 4096)).unwrap(), [5; 4096]);
}

fn freed_is_gone(device: &mut dyn Device) {
    let freed = device.alloc(TENANT, 64).unwrap();
    device.free(freed);
    let mut ids = vec![freed];
    for _ in 0..20 {
        let buffer = device.alloc(TENANT, 64).unwrap();
        assert!(!ids.contains(&buffer), "{buffer:?} is given twice");
        ids.push(buffer);
        device.free(buffer);
    }
    let kept = device.alloc(TENANT, 64).unwrap();
    for buffer in ids.into_iter().chain([BufferId(u32::MAX)]) {
        let gone = HalError::Range { buffer, offset: 0, end: 64 };
        assert_eq!(device.read(whole(buffer, 64)), Err(gone.clone()));
        assert_eq!(device.write(whole(buffer, 64), &[1; 64]), Err(gone));
        device.free(buffer);
    }
    assert_eq!(device.read(whole(kept, 64)).unwrap(), [0; 64]);
}

fn capabilities(device: &mut dyn Device) {
    let caps = device.caps().clone();
    assert!(!caps.backend.is_empty() && !caps.name.is_empty() && !caps.driver.is_empty(), "{caps:?}");
    assert!(caps.lanes_max >= 1 && caps.priority_levels >= 1, "{caps:?}");
    assert!(caps.compute_units != Some(0) && caps.partitions_max != Some(0), "{caps:?}");
    assert!(caps.subgroup.is_none_or(u32::is_power_of_two), "{caps:?}");
    assert!(caps.full_workers() >= 1 && caps.full_workers() <= caps.limits.workers_max, "{caps:?}");
    let limits = &caps.limits;
    assert!(limits.binding_bytes_max >= 1 << 20 && limits.storage_buffers_max >= 3, "{caps:?}");
    assert!(limits.invocations_max >= 64 && limits.workgroup_bytes_max >= 1 << 14, "{caps:?}");
    assert!(!caps.runs_kernels() || caps.computes(), "{caps:?}");
    device.alloc(TENANT, 64).unwrap();
    assert_eq!(*device.caps(), caps, "capabilities are constant");
}
