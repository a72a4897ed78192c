//! Random graphs of images: operators that stack, some that do not, branches, concatenations along any axis, several outputs.

use std::sync::Arc;

use cotenant::graph::Graph;
use cotenant::tensor::{DType, HostTensor};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::common::model::Model;
use crate::common::random;

/// A model being drawn.
struct Drawing {
    model: Option<Model>,
    /// Images `[n, c, h, w]` by name.
    images: Vec<(String, [usize; 4])>,
    constants: usize,
}

/// A graph of pieces, each of so many nodes drawn from a seed: graphs with equal first pieces begin equally.
pub fn graph(pieces: &[(u64, usize)]) -> Arc<Graph> {
    let rng = &mut StdRng::seed_from_u64(pieces[0].0);
    let batch = rng.random_range(1..4);
    let (channels, size) = (rng.random_range(1..6), rng.random_range(2..8));
    let shape = [batch, channels, size, size + rng.random_range(0..3)];
    let model = Model::default().input("a", DType::F32, &shape).input("b", DType::F32, &shape);
    let images = vec![("a".to_string(), shape), ("b".to_string(), shape)];
    let mut drawing = Drawing { model: Some(model), images, constants: 0 };
    let mut number = 0;
    for (seed, nodes) in pieces {
        let rng = &mut StdRng::seed_from_u64(*seed ^ 0x9e37_79b9);
        for _ in 0..*nodes {
            number += 1;
            drawing.node(&format!("n{number}"), rng);
        }
    }
    // The last image, and now and then one in between that others read too.
    let last = drawing.images.last().cloned().expect("there are images");
    let mut outputs = vec![last];
    let middle = drawing.images[drawing.images.len() / 2].clone();
    if middle.0 != outputs[0].0 && middle.0.starts_with('n') {
        outputs.push(middle);
    }
    let model = drawing.model.take().expect("it is put back");
    let model = outputs.iter().fold(model, |model, (name, shape)| {
        let flat = format!("{name}.out");
        // An output that is a node of its own, since an image may be an input.
        model.node("Neg", &flat, &[name], &[]).output(&flat, DType::F32, shape)
    });
    model.load()
}

impl Drawing {
    fn add(&mut self, op: &str, name: &str, inputs: &[&str], attributes: &[(&str, &[i64])]) {
        let model = self.model.take().expect("it is put back");
        self.model = Some(model.node(op, name, inputs, attributes));
    }

    fn constant(&mut self, tensor: &HostTensor) -> String {
        self.constants += 1;
        let name = format!("c{}", self.constants);
        let model = self.model.take().expect("it is put back");
        self.model = Some(model.constant(&name, tensor));
        name
    }

    fn weight(&mut self, shape: &[usize], rng: &mut StdRng) -> String {
        let tensor = random(DType::F32, shape, rng);
        self.constant(&tensor)
    }

    fn integers(&mut self, values: &[i64]) -> String {
        self.constant(&HostTensor::from_i64(&[values.len()], values))
    }

    /// One node, of some image, or two of equal shape.
    fn node(&mut self, name: &str, rng: &mut StdRng) {
        // Later images more often, so that chains grow.
        let from = self.images.len() - 1 - rng.random_range(0..self.images.len()).min(rng.random_range(0..4));
        let (x, shape) = self.images[from].clone();
        let alike: Vec<String> = self.images.iter().filter(|i| i.1 == shape).map(|i| i.0.clone()).collect();
        let other = alike.choose(rng).expect("itself at least").clone();
        let [n, c, h, w] = shape;
        let axis = rng.random_range(0..4);
        let mut result = shape;
        match rng.random_range(0..19) {
            0 => {
                let out = rng.random_range(1..9);
                let (kernel, bias) = (self.weight(&[out, c, 3, 3], rng), self.weight(&[out], rng));
                self.add("Conv", name, &[&x, &kernel, &bias], &[("pads", &[1, 1, 1, 1])]);
                result[1] = out;
            }
            1 => {
                let out = rng.random_range(1..9);
                let kernel = self.weight(&[out, c, 1, 1], rng);
                self.add("Conv", name, &[&x, &kernel], &[]);
                result[1] = out;
            }
            2 => {
                let kernel = self.weight(&[c, 1, 3, 3], rng);
                self.add("Conv", name, &[&x, &kernel], &[("pads", &[1, 1, 1, 1]), ("group", &[c as i64])]);
            }
            3 => self.add("Relu", name, &[&x], &[]),
            4 => self.add(["Add", "Mul", "Sub"][axis % 3], name, &[&x, &other], &[]),
            5 => {
                let shapes: [&[usize]; 4] = [&[c, 1, 1], &[w], &[n, c, h, w], &[n, 1, 1, 1]];
                let weight = self.weight(shapes[axis], rng);
                self.add("Add", name, &[&x, &weight], &[]);
            }
            6 => self.add("Softmax", name, &[&x], &[("axis", &[axis as i64])]),
            7 => {
                self.add(
                    ["ReduceMean", "ReduceMax", "ReduceL2"][axis % 3],
                    name,
                    &[&x],
                    &[("axes", &[axis as i64]), ("keepdims", &[1])],
                );
                result[axis] = 1;
            }
            8 => {
                let (scale, shift) = (self.weight(&[w], rng), self.weight(&[w], rng));
                self.add("LayerNormalization", name, &[&x, &scale, &shift], &[("axis", &[3])]);
            }
            9 => {
                let (scale, shift) = (self.weight(&[c], rng), self.weight(&[c], rng));
                self.add("InstanceNormalization", name, &[&x, &scale, &shift], &[]);
            }
            10 if h >= 2 && w >= 2 => {
                let pool = ["MaxPool", "AveragePool"][axis % 2];
                self.add(pool, name, &[&x], &[("kernel_shape", &[2, 2])]);
                (result[2], result[3]) = (h - 1, w - 1);
            }
            11 => {
                let fits = |s: &[usize; 4]| (0..4).all(|a| a == axis || s[a] == shape[a]);
                let fitting: Vec<_> = self.images.iter().filter(|i| fits(&i.1)).cloned().collect();
                let (other, extents) = fitting.choose(rng).expect("itself at least").clone();
                self.add("Concat", name, &[&x, &other], &[("axis", &[axis as i64])]);
                result[axis] += extents[axis];
            }
            12 => {
                self.add("Transpose", name, &[&x], &[("perm", &[0, 1, 3, 2])]);
                result = [n, c, w, h];
            }
            13 => {
                let columns = rng.random_range(1..7);
                let weight = self.weight(&[w, columns], rng);
                self.add("MatMul", name, &[&x, &weight], &[]);
                result[3] = columns;
            }
            14 => {
                let turned = format!("{name}.t");
                self.add("Transpose", &turned, &[&other], &[("perm", &[0, 1, 3, 2])]);
                self.add("MatMul", name, &[&x, &turned], &[]);
                result[3] = h;
            }
            15 => self.add("Trilu", name, &[&x], &[]),
            16 => {
                let axis = self.constant(&HostTensor::from_i64(&[], &[axis as i64]));
                self.add("CumSum", name, &[&x, &axis], &[]);
            }
            17 => {
                let to = self.integers(&[n as i64, 1, (c * h) as i64, w as i64]);
                self.add("Reshape", name, &[&x, &to], &[]);
                result = [n, 1, c * h, w];
            }
            _ => {
                let pads = self.integers(&[0, 0, 1, 0, 0, 0, 0, 1]);
                self.add("Pad", name, &[&x, &pads], &[]);
                (result[2], result[3]) = (h + 1, w + 1);
            }
        }
        self.images.push((name.to_string(), result));
    }
}
