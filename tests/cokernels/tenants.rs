//! Zoo models on a device, with random inputs.

use std::sync::Arc;

use cotenant::engine::run::inputs;
use cotenant::graph::{self, Compiled, LoadOptions, ModelSource};
use cotenant::hal::{Device, KernelSpec, LaneId, LaneSpec, RecordingId, Region, Slice, Stage, Submission, cut, eval};
use cotenant::tensor::{Share, TenantId};
use rand::Rng;
use rand::rngs::StdRng;

use crate::submit;

/// A launch as schedules need it.
pub struct LaunchOf {
    /// All of it, by one worker.
    pub slice: Slice,
    pub tiles: u32,
    /// Loop iterations of a tile in a workgroup of the fewest lanes.
    pub iterations: u64,
    pub kernel: Arc<KernelSpec>,
}

pub struct Tenants {
    models: Vec<(RecordingId, Compiled)>,
    pub launches: Vec<Vec<LaunchOf>>,
    uploads: Vec<(Region, Vec<u8>)>,
    reads: Vec<Region>,
    lane: LaneId,
    one_by_one: Vec<Stage>,
}

impl Tenants {
    pub fn load(device: &mut dyn Device, models: &[&str], pooled: bool, rng: &mut StdRng) -> Tenants {
        let lane = device.lane(&LaneSpec::default()).unwrap();
        let empty = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (models_at, launches, uploads, reads, one_by_one) = empty;
        let mut all = Tenants { models: models_at, launches, uploads, reads, lane, one_by_one };
        for (at, model) in (1..).zip(models) {
            let graph = graph::load(&ModelSource::Zoo((*model).into()), &LoadOptions::default()).unwrap();
            if pooled {
                device.pool(TenantId(at));
            }
            let compiled = graph::compile(&graph, device, TenantId(at)).unwrap();
            let recording = compiled.recording.clone();
            assert_eq!(recording.cpu_nodes(), 0, "{model}");
            let id = device.install(recording.clone(), &mut |_, _, _| {}).unwrap();
            let values = inputs::drawn(&graph.input_ports(), rng.random());
            for ((_, tensor), value) in recording.inputs.iter().zip(&values) {
                all.uploads.push((eval::region(tensor), eval::encode(tensor, value).unwrap()));
            }
            all.reads.extend(recording.outputs.iter().map(|(_, tensor)| eval::region(tensor)));
            let mut own = Vec::new();
            for (operation, o) in (0..).zip(&recording.operations) {
                for (launch, l) in (0..).zip(&o.launches) {
                    let slice =
                        |tiles, workers| Slice { recording: id, operation, launch, tiles, workers, follows: false };
                    let cuts = cut(l, device.caps(), Share::FULL).unwrap();
                    all.one_by_one.extend(cuts.into_iter().map(|c| Stage::of(slice(c.tiles, c.workers))));
                    let passes = u64::from(l.kernel.lanes.div_ceil(8));
                    own.push(LaunchOf {
                        slice: slice(0..l.tiles, 1),
                        tiles: l.tiles,
                        iterations: (u64::from(l.tile_iterations) + 1) * passes,
                        kernel: l.kernel.clone(),
                    });
                }
            }
            all.launches.push(own);
            all.models.push((id, compiled));
        }
        all
    }

    /// Each launch a stage of its own.
    pub fn one_by_one(&self) -> Vec<Stage> {
        self.one_by_one.clone()
    }

    /// The outputs of all tenants.
    pub fn run(&mut self, device: &mut dyn Device, stages: Vec<Stage>) -> Vec<Vec<u8>> {
        let (uploads, reads) = (self.uploads.clone(), self.reads.clone());
        submit(device, self.lane, Submission { uploads, stages, reads, timed: false })
    }

    pub fn unload(self, device: &mut dyn Device) {
        for (id, compiled) in self.models {
            device.uninstall(id);
            compiled.buffers.iter().for_each(|&b| device.free(b));
        }
    }
}
