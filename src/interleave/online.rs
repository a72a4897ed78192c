//! Online interleaving: the next stage from the heads of the tenants' queues, in bounded time and without allocating.
//!
//! Each tenant that has launches ready gets of the stage's time its share; what it may take is dealt out to as many chains as
//! there are slots (co-kernels), or is a chain of its own where that is worth a stream (streams). The pieces of a co-kernel's chain are sorted by pass and
//! body: every tenant's own order has pieces of growing passes, so the order stays right, and a chain takes the passes of the
//! tenant that needs most. A tenant that is alone, and whose next launch is worth the whole device, gets that.
//!
//! Everything has its limit in [`OnlineLimits`]. Deliberately not here: who is ready, in which order and with what share, which are
//! the policy's; and searching, which takes longer than requests can wait.

use crate::hal::{RecordingId, Slice};

use super::{Chain, ChainForm, Machine, Model, Piece, Stage};

/// Bounds of one stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnlineLimits {
    /// Tenants of a stage at most; those that come first in the order given are taken.
    pub tenants_max: usize,
    /// Pieces of a stage at most. At least `tenants_max` are kept for a piece of each.
    pub pieces_max: usize,
    /// How long a stage should take in ns, its dispatch not counted: what an urgent tenant may have to wait. A single launch may take
    /// longer where it is not worth a cut.
    pub stage_ns: u64,
}

impl Default for OnlineLimits {
    fn default() -> OnlineLimits {
        OnlineLimits { tenants_max: 64, pieces_max: 128, stage_ns: 500_000 }
    }
}

/// A tenant with launches ready.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ready {
    /// Which: the number that [`Composer::insert`] was given.
    pub tenant: u32,
    /// Its next launch.
    pub launch: u32,
    /// The next tile of that launch.
    pub tile: u32,
    /// Launches from the next one on that may be submitted now, given that they run in order.
    pub launches: u32,
    /// Its share relative to the others', positive.
    pub weight: f32,
}

/// A stage in buffers that are used again and again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Composed {
    /// All pieces, chain after chain.
    pub pieces: Vec<Piece>,
    /// Where in `pieces` each chain ends.
    pub ends: Vec<u32>,
}

impl Composed {
    /// Buffers for stages within `limits`.
    pub fn with_limits(limits: &OnlineLimits) -> Composed {
        let pieces = limits.pieces_max.max(limits.tenants_max);
        Composed { pieces: Vec::with_capacity(pieces), ends: Vec::with_capacity(pieces) }
    }

    /// The chains.
    pub fn chains(&self) -> impl Iterator<Item = &[Piece]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(from, to)| &self.pieces[from as usize..*to as usize])
    }

    /// As a stage of a schedule, for what is not the fast path.
    pub fn stage(&self) -> Stage {
        Stage { chains: self.chains().map(|pieces| Chain { pieces: pieces.to_vec() }).collect() }
    }
}

/// What composing needs to know of a launch.
#[derive(Clone, Copy, Debug)]
struct Row {
    tiles: u32,
    kernel: u32,
    /// Loop iterations of a tile, the walk over tiles included.
    iterations: u32,
    operation: u32,
    launch: u32,
    /// Workers and tiles of its first slice when it runs alone.
    workers: u32,
    alone_tiles: u32,
    worker_ns: f32,
    alone_ns: f32,
}

/// A tenant's part of the stage being composed.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    ns: f32,
    iterations: u64,
    /// Its pieces in `taken`.
    from: u32,
    to: u32,
}

/// Composes stages.
#[derive(Clone, Debug)]
pub struct Composer {
    machine: Machine,
    limits: OnlineLimits,
    models: Vec<Vec<Row>>,
    parts: Vec<Part>,
    taken: Vec<Piece>,
    /// Time and iterations of each chain so far.
    chains: Vec<(f32, u64)>,
    /// Chain, pass, body and number of each piece in `taken`, packed so that they sort.
    keys: Vec<u64>,
    /// The body of each kernel, where `seen` is the number of this stage.
    body: Vec<u32>,
    seen: Vec<u32>,
    stage: u32,
}

impl Composer {
    /// A composer for a machine; everything that stages need is allocated here and in [`Composer::insert`].
    pub fn new(machine: Machine, limits: OnlineLimits) -> Composer {
        let pieces = limits.pieces_max.max(limits.tenants_max);
        let chains = if machine.single_workers() { machine.slots as usize } else { 0 };
        Composer {
            machine,
            limits,
            models: Vec::new(),
            parts: Vec::with_capacity(limits.tenants_max),
            taken: Vec::with_capacity(pieces),
            chains: vec![(0.0, 0); chains.min(limits.tenants_max).max(1)],
            keys: Vec::with_capacity(pieces),
            body: Vec::new(),
            seen: Vec::new(),
            stage: 0,
        }
    }

    /// Knows a tenant's model from now on, in place of what it knew under this number. Kernels of all models are numbered by the
    /// same [`super::KernelNumbers`].
    pub fn insert(&mut self, tenant: u32, model: &Model) {
        let row = |l: &super::LaunchInfo| Row {
            tiles: l.tiles,
            kernel: l.kernel,
            iterations: l.tile_iterations.saturating_add(1),
            operation: l.operation,
            launch: l.launch,
            workers: l.workers(),
            alone_tiles: l.cuts.first().map_or(0, |c| c.tiles.end),
            worker_ns: l.worker_ns as f32,
            alone_ns: l.alone_ns as f32,
        };
        let at = tenant as usize;
        if self.models.len() <= at {
            self.models.resize(at + 1, Vec::new());
        }
        self.models[at] = model.launches.iter().map(row).collect();
        let kernels = model.launches.iter().map(|l| l.kernel as usize + 1).max().unwrap_or(0);
        if self.body.len() < kernels {
            self.body.resize(kernels, 0);
            self.seen.resize(kernels, 0);
        }
    }

    /// Forgets a tenant.
    pub fn remove(&mut self, tenant: u32) {
        if let Some(model) = self.models.get_mut(tenant as usize) {
            *model = Vec::new();
        }
    }

    /// The next stage of `ready`, into `out`. Each tenant's pieces go on where it says and are in order within one chain; the
    /// first tenant has one at least. Nothing is ready of a tenant whose next launch does not exist.
    pub fn compose(&mut self, ready: &[Ready], out: &mut Composed) {
        out.pieces.clear();
        out.ends.clear();
        let ready = &ready[..ready.len().min(self.limits.tenants_max)];
        match self.machine.chains {
            ChainForm::CoKernel { iterations_max, kernels_max, .. } => {
                if let [only] = ready
                    && self.whole_device(only, out)
                {
                    return;
                }
                let bound = iterations_max.map_or(u64::MAX, u64::from);
                self.take(ready, bound, kernels_max);
                self.deal(bound, out);
            }
            ChainForm::Streams { launch_ns, join_ns, .. } => self.streams(ready, (launch_ns, join_ns), out),
        }
    }

    /// The slices of a stage for a device on which the tenants' recordings are `recordings`, by their numbers, appended to `slices`.
    pub fn slices(&self, composed: &Composed, recordings: &[RecordingId], slices: &mut Vec<Slice>) {
        for chain in composed.chains() {
            for (at, piece) in chain.iter().enumerate() {
                let row = &self.models[piece.tenant as usize][piece.launch as usize];
                slices.push(Slice {
                    recording: recordings[piece.tenant as usize],
                    operation: row.operation,
                    launch: row.launch,
                    tiles: piece.tiles(),
                    workers: piece.workers,
                    follows: at > 0,
                });
            }
        }
    }

    /// Tiles of a launch; none of a launch that it does not know.
    pub fn tiles(&self, tenant: u32, launch: u32) -> u32 {
        self.row(tenant, launch).map_or(0, |row| row.tiles)
    }

    fn row(&self, tenant: u32, launch: u32) -> Option<&Row> {
        self.models.get(tenant as usize)?.get(launch as usize)
    }

    /// A launch that is worth its own dispatch, when nobody else is there.
    fn whole_device(&self, ready: &Ready, out: &mut Composed) -> bool {
        let Some(row) = self.row(ready.tenant, ready.launch).filter(|r| ready.tile < r.tiles && ready.launches > 0)
        else {
            return false;
        };
        let saved_ns = f64::from(row.worker_ns - row.alone_ns);
        if saved_ns <= self.machine.dispatch_ns && ready.launches > 1 && row.tiles <= row.alone_tiles {
            return false;
        }
        let end = row.tiles.min(ready.tile.saturating_add(row.alone_tiles.max(1)));
        let workers = row.workers.min(end - ready.tile);
        out.pieces.push(Piece { tenant: ready.tenant, launch: ready.launch, first: ready.tile, end, workers });
        out.ends.push(1);
        true
    }

    /// What each tenant may take, by one worker, with the passes and bodies of its pieces.
    fn take(&mut self, ready: &[Ready], bound: u64, kernels_max: u32) {
        self.stage += 1;
        self.parts.clear();
        self.taken.clear();
        self.keys.clear();
        let weights: f32 = ready.iter().map(|r| r.weight).sum();
        let all_ns = self.limits.stage_ns as f32 * self.chains.len() as f32;
        let mut bodies = 0;
        let pieces_max = self.limits.pieces_max.max(ready.len());
        for (at, r) in ready.iter().enumerate() {
            let quota_ns = (all_ns * r.weight / weights).min(self.limits.stage_ns as f32);
            let mut part = Part { from: self.taken.len() as u32, ..Part::default() };
            let (mut pass, mut last_body) = (0u64, 0u32);
            let mut first = r.tile;
            // A piece is kept for each tenant that comes after.
            let room = pieces_max - (ready.len() - at - 1);
            for launch in (r.launch..).take(r.launches as usize) {
                let Some(row) = self.models.get(r.tenant as usize).and_then(|m| m.get(launch as usize)) else { break };
                let n = within(
                    row,
                    first,
                    quota_ns - part.ns,
                    bound.saturating_sub(part.iterations),
                    part.from == self.taken.len() as u32,
                );
                if row.tiles == 0 || first >= row.tiles {
                    first = 0;
                    continue;
                }
                if n == 0 || self.taken.len() >= room {
                    break;
                }
                let kernel = row.kernel as usize;
                if self.seen[kernel] != self.stage {
                    if bodies == kernels_max {
                        break;
                    }
                    (self.seen[kernel], self.body[kernel]) = (self.stage, bodies);
                    bodies += 1;
                }
                let body = self.body[kernel];
                pass += u64::from(body < last_body);
                last_body = body;
                self.keys.push(pass << 32 | u64::from(body) << 16 | self.taken.len() as u64);
                self.taken.push(Piece { tenant: r.tenant, launch, first, end: first + n, workers: 1 });
                part.ns += row.worker_ns * n as f32 / row.tiles as f32;
                part.iterations += u64::from(n) * u64::from(row.iterations);
                if first + n < row.tiles {
                    break;
                }
                first = 0;
            }
            part.to = self.taken.len() as u32;
            if part.from < part.to {
                self.parts.push(part);
            }
        }
    }

    /// Deals tenants' parts out to chains, the longest first, and orders each chain. A part that a chain has no iterations left for
    /// waits for another stage.
    fn deal(&mut self, bound: u64, out: &mut Composed) {
        const NOWHERE: u64 = (1 << 15) - 1;
        // The first tenant is dealt first, whatever it has, so that none waits for ever.
        if let Some(others) = self.parts.get_mut(1..) {
            others.sort_unstable_by(|a, b| b.ns.total_cmp(&a.ns));
        }
        self.chains.fill((0.0, 0));
        for part in &self.parts {
            let fits = |c: &&mut (f32, u64)| c.1 == 0 || c.1 + part.iterations <= bound;
            let chains = self.chains.iter_mut().enumerate().filter(|(_, c)| fits(c));
            let shortest = chains.min_by(|(_, a), (_, b)| a.0.total_cmp(&b.0));
            let number = match shortest {
                Some((number, chain)) => {
                    *chain = (chain.0 + part.ns, chain.1 + part.iterations);
                    number as u64
                }
                None => NOWHERE,
            };
            for key in &mut self.keys[part.from as usize..part.to as usize] {
                *key |= number << 48;
            }
        }
        self.keys.sort_unstable();
        let mut before = None;
        for key in &self.keys {
            let chain = key >> 48;
            if chain == NOWHERE {
                break;
            }
            if before.is_some_and(|b| b != chain) {
                out.ends.push(out.pieces.len() as u32);
            }
            before = Some(chain);
            out.pieces.push(self.taken[(key & 0xffff) as usize]);
        }
        if before.is_some() {
            out.ends.push(out.pieces.len() as u32);
        }
    }

    /// A chain for each tenant whose launches take longer than to launch them and to join their stream again, with workers in proportion
    /// to its share; one common chain, the first, for all others.
    fn streams(&mut self, ready: &[Ready], (launch_ns, join_ns): (f64, f64), out: &mut Composed) {
        let weights: f32 = ready.iter().map(|r| r.weight).sum();
        let pieces_max = (self.limits.pieces_max / ready.len().max(1)).max(1);
        let overlaps = |(pieces, ns): (u32, f32)| f64::from(ns) > f64::from(pieces) * launch_ns + 2.0 * join_ns;
        let common: f32 = ready.iter().filter(|r| !overlaps(self.stretch(r, pieces_max))).map(|r| r.weight).sum();
        for in_common in [true, false] {
            for r in ready {
                let (pieces, ns) = self.stretch(r, pieces_max);
                if overlaps((pieces, ns)) != in_common {
                    let part = if in_common { common } else { r.weight } / weights;
                    self.push_stretch(r, pieces, part, out);
                    if !in_common && pieces > 0 {
                        out.ends.push(out.pieces.len() as u32);
                    }
                }
            }
            if in_common && !out.pieces.is_empty() {
                out.ends.push(out.pieces.len() as u32);
            }
        }
    }

    /// How many pieces a tenant has in a stage, and their time in ns: one at least, as far as the stage's time goes.
    fn stretch(&self, r: &Ready, pieces_max: usize) -> (u32, f32) {
        let (mut pieces, mut ns) = (0, 0.0);
        for row in self.rows(r) {
            if pieces as usize == pieces_max || pieces > 0 && ns + row.alone_ns > self.limits.stage_ns as f32 {
                break;
            }
            (pieces, ns) = (pieces + 1, ns + row.alone_ns);
        }
        (pieces, ns)
    }

    /// The launches that are ready and have tiles left.
    fn rows<'a>(&'a self, r: &'a Ready) -> impl Iterator<Item = &'a Row> {
        let launches = (r.launch..).take(r.launches as usize);
        let rows = launches.map_while(|launch| Some((launch, self.row(r.tenant, launch)?)));
        rows.filter(|(launch, row)| row.tiles > if *launch == r.launch { r.tile } else { 0 }).map(|(_, row)| row)
    }

    fn push_stretch(&self, r: &Ready, pieces: u32, part: f32, out: &mut Composed) {
        let end = out.pieces.len() + pieces as usize;
        for launch in (r.launch..).take(r.launches as usize) {
            let Some(row) = self.row(r.tenant, launch).filter(|_| out.pieces.len() < end) else { break };
            let first = if launch == r.launch { r.tile } else { 0 };
            if first < row.tiles {
                let workers = ((self.machine.slots as f32 * part).ceil() as u32).clamp(1, row.workers.max(1));
                out.pieces.push(Piece { tenant: r.tenant, launch, first, end: row.tiles, workers });
            }
        }
    }
}

/// Tiles from `first` on that fit into a time and a number of iterations; the whole rest where half of it fits and the
/// iterations allow it. The first piece has at least a tile.
fn within(row: &Row, first: u32, room_ns: f32, room_iterations: u64, is_first: bool) -> u32 {
    let left = row.tiles.saturating_sub(first);
    let tile_ns = row.worker_ns / row.tiles.max(1) as f32;
    let by_time = if tile_ns * left as f32 <= 2.0 * room_ns { left } else { (room_ns / tile_ns).max(0.0) as u32 };
    let by_iterations = (room_iterations / u64::from(row.iterations)).min(u64::from(left)) as u32;
    let n = by_time.min(by_iterations).min(left);
    if is_first { n.max(1).min(left) } else { n }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::interleave::{Problem, Schedule, synthetic};

    fn composer(problem: &Problem, limits: OnlineLimits) -> Composer {
        let mut composer = Composer::new(problem.machine.clone(), limits);
        (0..).zip(&problem.models).for_each(|(tenant, model)| composer.insert(tenant, model));
        composer
    }

    fn all_ready(problem: &Problem) -> Vec<Ready> {
        let ready = |(tenant, model): (u32, &Model)| Ready {
            tenant,
            launch: 0,
            tile: 0,
            launches: model.launches.len() as u32,
            weight: 1.0,
        };
        (0..).zip(&problem.models).map(ready).collect()
    }

    #[test]
    fn shares_decide_how_far_each_tenant_comes() {
        let problem = synthetic::chains(&[40, 40]);
        let limits = OnlineLimits { stage_ns: 80_000, ..OnlineLimits::default() };
        let mut ready = all_ready(&problem);
        let mut out = Composed::with_limits(&limits);
        let mut composer = composer(&problem, limits);
        composer.compose(&ready, &mut out);
        let lengths = |out: &Composed| out.chains().map(<[Piece]>::len).collect::<Vec<_>>();
        assert_eq!(lengths(&out), [10, 10], "80 µs of 8 µs each");
        (ready[0].weight, ready[1].weight) = (3.0, 1.0);
        composer.compose(&ready, &mut out);
        assert_eq!(lengths(&out), [10, 5], "half of an equal part, and no more than the stage's time");
    }

    #[test]
    fn merged_tenants_take_the_passes_of_one() {
        let problem = synthetic::chains(&[5; 4]);
        let limits = OnlineLimits::default();
        let mut out = Composed::with_limits(&limits);
        composer(&problem, limits).compose(&all_ready(&problem), &mut out);
        let kernels: Vec<u32> =
            out.chains().next().unwrap().iter().map(|p| problem.launch(p.tenant, p.launch).kernel).collect();
        assert_eq!(kernels, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
    }

    #[test]
    fn a_tenant_alone_gets_the_device_for_a_long_launch() {
        let mut problem = synthetic::chains(&[2]);
        (problem.models[0].launches[0].worker_ns, problem.models[0].launches[0].alone_ns) = (8e6, 4e6);
        let limits = OnlineLimits::default();
        let mut out = Composed::with_limits(&limits);
        composer(&problem, limits).compose(&all_ready(&problem), &mut out);
        assert_eq!(out.stage().to_string(), "0.0[0..8]x8");
    }

    #[test]
    fn what_is_not_there_is_not_composed() {
        let problem = synthetic::chains(&[2, 2]);
        let limits = OnlineLimits::default();
        let mut out = Composed::with_limits(&limits);
        let mut composer = composer(&problem, limits);
        composer.compose(&[], &mut out);
        assert!(out.pieces.is_empty() && out.ends.is_empty());
        composer.remove(0);
        composer.compose(&all_ready(&problem), &mut out);
        assert!(out.pieces.iter().all(|p| p.tenant == 1) && out.ends.len() == 1);
    }

    proptest! {
        #[test]
        fn stage_after_stage_is_a_right_schedule(
            tenants in 1usize..9, launches in 1usize..30, seed: u64, streams: bool, at_once in 1u32..20, stage_us in 1u64..2_000, pieces_max in 1usize..60
        ) {
            let mut problem = synthetic::mixed(tenants, launches, seed);
            if streams {
                problem.machine = synthetic::streams();
            }
            let limits = OnlineLimits { tenants_max: 5, pieces_max, stage_ns: stage_us * 1_000 };
            let mut composer = composer(&problem, limits);
            let mut out = Composed::with_limits(&limits);
            let room = (out.pieces.capacity(), out.ends.capacity());
            let mut stages = Vec::new();
            let mut ready = all_ready(&problem);
            let ends: Vec<u32> = ready.iter().map(|r| r.launches).collect();
            let mut turn = 0;
            while !ready.is_empty() {
                let n = ready.len();
                ready.rotate_left(turn % n);
                turn += 1;
                for r in &mut ready {
                    r.launches = at_once.min(ends[r.tenant as usize] - r.launch);
                }
                composer.compose(&ready, &mut out);
                prop_assert!(!out.pieces.is_empty());
                prop_assert!(out.pieces.len() <= pieces_max.max(5));
                for piece in &out.pieces {
                    let r = ready.iter_mut().find(|r| r.tenant == piece.tenant).unwrap();
                    prop_assert_eq!((r.launch, r.tile), (piece.launch, piece.first));
                    r.tile = piece.end;
                    if piece.end == problem.launch(piece.tenant, piece.launch).tiles {
                        (r.launch, r.tile) = (r.launch + 1, 0);
                    }
                }
                ready.retain(|r| r.launch < ends[r.tenant as usize]);
                stages.push(out.stage());
            }
            prop_assert_eq!(room, (out.pieces.capacity(), out.ends.capacity()), "buffers did not grow");
            prop_assert_eq!(Schedule::of(stages).check(&problem), Ok(()));
        }
    }
}
