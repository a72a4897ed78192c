//! Files that are damaged at random: a message and status 2, or a model that still works; never a panic, never a signal.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{call, file, folder, full, npy, zoo};

/// Damages `bytes` in one of the ways in which files are damaged.
fn damage(bytes: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = |rng: &mut StdRng, n: usize| rng.random_range(0..n.max(1));
    match rng.random_range(0..5) {
        0 => bytes.truncate(at(rng, bytes.len())),
        1 => {
            for _ in 0..rng.random_range(1..8) {
                let k = at(rng, bytes.len());
                bytes[k] = rng.random();
            }
        }
        2 => {
            // The beginning holds names, types and sizes; weights are most of the rest.
            let k = at(rng, bytes.len().min(2000));
            bytes[k] ^= 1 << rng.random_range(0..8);
        }
        3 => {
            let (from, to) = (at(rng, bytes.len()), at(rng, bytes.len()));
            bytes.drain(from.min(to)..from.max(to).min(from.min(to) + 64));
        }
        _ => {
            let k = at(rng, bytes.len());
            let insert: Vec<u8> = (0..rng.random_range(1..16)).map(|_| rng.random()).collect();
            bytes.splice(k..k, insert);
        }
    }
    bytes
}

#[test]
fn damaged_files_are_refused_or_work() {
    let n = if full() { 10_000 } else { 120 };
    let dir = folder();
    let models = [zoo("keyword_spotting"), zoo("add_16"), zoo("softmax_4x8"), zoo("matmul_8")];
    let arrays = npy(&[1, 12], &[0.25; 12]);
    let mut rng = StdRng::seed_from_u64(7);
    for k in 0..n {
        let model = damage(&models[k % models.len()], &mut rng);
        let path = file(dir.path(), "model.onnx", &model);
        let answer = if k % 4 == 3 {
            file(dir.path(), "model.onnx", &models[0]);
            file(dir.path(), "input_0.npy", damage(&npy(&[1, 1, 49, 10], &[0.5; 490]), &mut rng));
            file(dir.path(), "output_0.npy", damage(&arrays, &mut rng));
            call(&["check", &dir.path().to_string_lossy(), "--device", "reference"])
        } else {
            call(&["inspect", &path, "--dim", "N=1", "--device", "null"])
        };
        let fine = (0..=2).contains(&answer.status) && !answer.err.contains("internal error");
        assert!(fine, "file {k} of seed 7 ({} bytes): {answer:?}", model.len());
    }
}
