//! Copies between host and device: ranges, order, and what is refused.

use cotenant::hal::{BufferId, Device, HalError, RecordingId, Region, Slice, Stage, Submission, Wait};
use cotenant::tensor::TenantId;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::program::{alternating, execute, read_words, wait};
use super::suite::{Case, Need};

pub const CASES: &[Case] = &[
    Case { name: "writes reach their range and nothing else", needs: &[], check: writes_reach_their_range },
    Case { name: "ranges outside a buffer are refused", needs: &[], check: ranges_are_refused },
    Case { name: "a refused submission does nothing", needs: &[], check: refused_does_nothing },
    Case { name: "uploads happen in their order", needs: &[], check: uploads_in_order },
    Case { name: "reads are answered in their order", needs: &[], check: reads_in_order },
    Case { name: "writes come between submissions", needs: &[], check: writes_between },
    Case { name: "uploads come first and reads last", needs: &[Need::Results], check: uploads_first_reads_last },
];

const BYTES: u64 = 4096;

fn buffer(device: &mut dyn Device) -> BufferId {
    device.alloc(TenantId(1), BYTES).unwrap()
}

fn random_bytes(n: u64, rng: &mut StdRng) -> Vec<u8> {
    (0..n).map(|_| rng.random()).collect()
}

/// Offset and length of words of a buffer, perhaps none, perhaps up to its end.
fn random_range(rng: &mut StdRng) -> (u64, u64) {
    let offset = rng.random_range(0..=BYTES / 4) * 4;
    (offset, rng.random_range(0..=(BYTES - offset) / 4) * 4)
}

fn writes_reach_their_range(device: &mut dyn Device) {
    let rng = &mut StdRng::seed_from_u64(11);
    let buffer = buffer(device);
    let mut shadow = vec![0; BYTES as usize];
    let ends = [(0, BYTES), (BYTES - 4, 4), (0, 4), (BYTES, 0), (0, 0)];
    let mut ranges = ends.to_vec();
    ranges.extend((0..200).map(|_| random_range(rng)));
    for (offset, bytes) in ranges {
        let data = random_bytes(bytes, rng);
        device.write(Region { buffer, offset, bytes }, &data).unwrap();
        shadow[offset as usize..(offset + bytes) as usize].copy_from_slice(&data);
        let (from, n) = random_range(rng);
        let read = device.read(Region { buffer, offset: from, bytes: n }).unwrap();
        assert_eq!(read, shadow[from as usize..(from + n) as usize], "bytes {from}.. after a write at {offset}");
    }
    assert_eq!(device.read(Region { buffer, offset: 0, bytes: BYTES }).unwrap(), shadow);
}

/// Ranges that a buffer of [`BYTES`] does not have: beyond its end, across it, no words, more than numbers hold.
fn bad_ranges() -> Vec<(u64, u64)> {
    let beyond = [(BYTES, 4), (BYTES - 4, 8), (BYTES + 4, 0), (0, BYTES + 4), (4, BYTES)];
    let no_words = [(2, 4), (1, 0), (0, 6), (BYTES - 2, 4), (BYTES - 4, 3)];
    let overflowing = [(u64::MAX - 3, 8), (u64::MAX - 3, 4), (u64::MAX - 3, 0), (1 << 63, 4), (1 << 32, 4)];
    [beyond, no_words, overflowing].concat()
}

fn ranges_are_refused(device: &mut dyn Device) {
    let buffer = buffer(device);
    let content = random_bytes(BYTES, &mut StdRng::seed_from_u64(13));
    let all = Region { buffer, offset: 0, bytes: BYTES };
    device.write(all, &content).unwrap();
    for (offset, bytes) in bad_ranges() {
        let refused = HalError::Range { buffer, offset, end: offset.saturating_add(bytes) };
        let region = Region { buffer, offset, bytes };
        assert_eq!(device.write(region, &vec![9; bytes as usize]), Err(refused.clone()), "{region:?}");
        assert_eq!(device.read(region), Err(refused), "{region:?}");
    }
    for (offset, bytes) in [(8, u64::MAX - 7), (0, u64::MAX - 3), (4, u64::MAX - 3)] {
        let region = Region { buffer, offset, bytes };
        assert!(matches!(device.read(region), Err(HalError::Range { .. })), "{region:?}");
    }
    assert_eq!(device.read(all).unwrap(), content, "nothing was written");
}

fn refused_does_nothing(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let buffer = buffer(device);
    let all = Region { buffer, offset: 0, bytes: BYTES };
    let good = (all, vec![3; BYTES as usize]);
    let unknown = |recording| Slice { recording, operation: 0, launch: 0, tiles: 0..1, workers: 1, follows: false };
    let gone = {
        let (program, _) = alternating(2, 10, 1);
        let loaded = program.load(device);
        loaded.unload(device);
        loaded.id
    };
    let before = device.counters();
    let mut check = |submission: Submission, expected: fn(&HalError) -> bool| {
        let refused = device.submit(lane, submission.clone()).unwrap_err();
        assert!(expected(&refused), "{refused:?} for {submission:?}");
        let mut done = Vec::new();
        device.poll(Wait::No, &mut done).unwrap();
        assert!(done.is_empty(), "nothing was submitted");
        assert_eq!(device.counters().submissions, before.submissions);
        assert_eq!(device.read(all).unwrap(), [0; BYTES as usize], "nothing was uploaded");
    };
    for (offset, bytes) in bad_ranges() {
        let bad = Region { buffer, offset, bytes };
        let uploads = vec![good.clone(), (bad, vec![4; bytes as usize])];
        check(Submission { uploads, ..Submission::default() }, |e| matches!(e, HalError::Range { .. }));
        let submission = Submission { uploads: vec![good.clone()], reads: vec![all, bad], ..Submission::default() };
        check(submission, |e| matches!(e, HalError::Range { .. }));
    }
    for recording in [gone, RecordingId(u32::MAX)] {
        let stages = vec![Stage::default(), Stage::of(unknown(recording))];
        let submission = Submission { uploads: vec![good.clone()], stages, reads: vec![all], timed: true };
        check(submission, |e| matches!(e, HalError::NoRecording(_)));
    }
    let completion =
        execute(device, lane, Submission { uploads: vec![good], reads: vec![all], ..Submission::default() });
    assert_eq!(completion.reads, [[3; BYTES as usize]], "the device goes on");
}

fn uploads_in_order(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let rng = &mut StdRng::seed_from_u64(14);
    let buffers = [buffer(device), buffer(device), buffer(device)];
    let mut shadows = [(); 3].map(|()| vec![0; BYTES as usize]);
    for _ in 0..10 {
        let mut uploads = Vec::new();
        for _ in 0..rng.random_range(0..30) {
            let at = rng.random_range(0..3);
            let (offset, bytes) = random_range(rng);
            let data = random_bytes(bytes, rng);
            shadows[at][offset as usize..(offset + bytes) as usize].copy_from_slice(&data);
            uploads.push((Region { buffer: buffers[at], offset, bytes }, data));
        }
        let reads = buffers.map(|buffer| Region { buffer, offset: 0, bytes: BYTES }).to_vec();
        let completion = execute(device, lane, Submission { uploads, reads, ..Submission::default() });
        assert!(completion.reads == shadows, "where uploads overlap, the later one stays");
    }
}

fn reads_in_order(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let rng = &mut StdRng::seed_from_u64(15);
    let buffers = [buffer(device), buffer(device)];
    let contents = buffers.map(|buffer| {
        let content = random_bytes(BYTES, rng);
        device.write(Region { buffer, offset: 0, bytes: BYTES }, &content).unwrap();
        content
    });
    let picks: Vec<(usize, u64, u64)> = (0..60)
        .map(|k| {
            let (offset, bytes) = random_range(rng);
            (k % 2, offset, if k % 7 == 0 { 0 } else { bytes })
        })
        .collect();
    let region = |&(at, offset, bytes): &(usize, u64, u64)| Region { buffer: buffers[at], offset, bytes };
    // Each region twice, not side by side.
    let reads: Vec<Region> = picks.iter().chain(&picks).map(region).collect();
    let completion = execute(device, lane, Submission { reads, ..Submission::default() });
    assert_eq!(completion.reads.len(), 120);
    for ((at, offset, bytes), read) in picks.iter().chain(&picks).zip(&completion.reads) {
        assert_eq!(read[..], contents[*at][*offset as usize..(offset + bytes) as usize]);
    }
}

fn writes_between(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let buffer = buffer(device);
    let region = Region { buffer, offset: 8, bytes: 4 };
    for k in 0..20u8 {
        device.write(region, &[k; 4]).unwrap();
        device.submit(lane, Submission { reads: vec![region], ..Submission::default() }).unwrap();
        let uploads = vec![(region, vec![100 + k; 4])];
        device.submit(lane, Submission { uploads, ..Submission::default() }).unwrap();
        if k % 3 == 0 {
            assert_eq!(device.read(region).unwrap(), [100 + k; 4], "a read sees all that was submitted before");
        }
    }
    let done = wait(device, 40);
    let reads: Vec<&[u8]> = done.iter().flat_map(|c| &c.reads).map(Vec::as_slice).collect();
    let expected: Vec<[u8; 4]> = (0..20).map(|k| [k; 4]).collect();
    assert_eq!(reads, expected, "a write neither overtakes what was submitted before nor falls behind");
}

fn uploads_first_reads_last(device: &mut dyn Device) {
    let lane = device.lane(&Default::default()).unwrap();
    let (program, x) = alternating(1, 3000, 9);
    let loaded = program.load(device);
    let region = loaded.region(x);
    let numbers: Vec<f32> = (0..3000).map(|i| (i * 5 % 777) as f32).collect();
    let shifts = (0..9).map(|k| (3 * k + 1) as f32);
    let expected: Vec<f32> = numbers.iter().map(|&v| shifts.clone().fold(v, |value, shift| shift - value)).collect();
    let submission = Submission {
        uploads: vec![(region, bytemuck::cast_slice(&numbers).to_vec())],
        stages: loaded.stages(),
        reads: vec![region],
        timed: false,
    };
    for _ in 0..3 {
        let completion = execute(device, lane, submission.clone());
        assert_eq!(bytemuck::pod_collect_to_vec::<u8, f32>(&completion.reads[0]), expected);
        assert_eq!(read_words(device, region), expected.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
    }
}
