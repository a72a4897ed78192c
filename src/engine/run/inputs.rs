//! Inputs of requests that nobody sends: a folder of `.npy` files, or drawn from a seed.

use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

use crate::graph::Port;
use crate::tensor::{DType, HostTensor, TensorError, npy, volume};

/// Reads `input_0.npy`, `input_1.npy`, … of a folder, at least one.
///
/// # Errors
/// [`TensorError::File`] naming the file that is damaged, or the first one where there is none.
pub fn from_folder(folder: &Path) -> Result<Vec<HostTensor>, TensorError> {
    let mut inputs = Vec::new();
    loop {
        let path = folder.join(file_name(inputs.len()));
        if !inputs.is_empty() && !path.exists() {
            return Ok(inputs);
        }
        inputs.push(npy::read(&path)?);
    }
}

/// The name of the file that holds input `position`.
pub fn file_name(position: usize) -> String {
    format!("input_{position}.npy")
}

/// Draws inputs for `ports`: floats from the normal distribution, integers and truth values 0 or 1. They depend on the
/// seed and the ports alone, so that a model has the same inputs, and so the same outputs, whoever runs beside it.
pub fn drawn(ports: &[Port], seed: u64) -> Vec<HostTensor> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[16..22].copy_from_slice(b"inputs");
    let mut random = StdRng::from_seed(key);
    ports.iter().map(|port| draw(port, &mut random)).collect()
}

fn draw(port: &Port, random: &mut StdRng) -> HostTensor {
    let mut bytes = Vec::with_capacity(volume(&port.shape) * port.dtype.size());
    for _ in 0..volume(&port.shape) {
        match port.dtype {
            DType::F32 => bytes.extend(normal(random).to_le_bytes()),
            DType::F64 => bytes.extend(f64::from(normal(random)).to_le_bytes()),
            DType::F16 => bytes.extend(half::f16::from_f32(normal(random)).to_le_bytes()),
            whole => {
                bytes.push(random.random_range(0..2));
                bytes.resize(bytes.len() + whole.size() - 1, 0);
            }
        }
    }
    HostTensor::new(port.dtype, &port.shape, bytes).expect("each element was drawn")
}

fn normal(random: &mut StdRng) -> f32 {
    StandardNormal.sample(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_depend_on_the_seed_alone() {
        let port = |dtype| Port { name: "x".into(), dtype, shape: vec![3, 100] };
        let ports = [port(DType::F32), port(DType::I64), port(DType::Bool)];
        let inputs = drawn(&ports, 1);
        assert_eq!(inputs, drawn(&ports, 1));
        assert_ne!(inputs[0], drawn(&ports, 2)[0]);
        let mean = inputs[0].to_f64().iter().sum::<f64>() / 300.0;
        assert!(mean.abs() < 0.3, "{mean}");
        assert!(inputs[1].to_i64().iter().all(|v| (0..2).contains(v)) && inputs[1].to_i64().contains(&1));
    }

    #[test]
    fn a_folder_without_inputs_says_which_file_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(from_folder(dir.path()).unwrap_err().to_string().contains("input_0.npy"));
    }
}
