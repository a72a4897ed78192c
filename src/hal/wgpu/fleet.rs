//! Several logical devices of one adapter as one device.
//!
//! Dispatches of one queue do not overlap on every driver; those of several logical devices do. So tenants live on
//! *members*, logical devices that are opened when a lane for a tenant first needs another, because each costs memory and
//! compiles its own kernels. Whoever names no tenants sees an ordinary device: the first member.
//!
//! Submissions are encoded on the caller's thread. A thread per member waits for their ends ([`member`]).
//!
//! Member `m` of `n` gives the identifiers `m + n`, `m + 2n`, …, so an identifier says whose it is. There is no memory
//! that two members share, and no order between them.

mod member;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use member::{Member, News};

use super::Found;
use super::rehearsal::Rehearsal;
use crate::hal::{
    BufferId, Clock, CoKernel, Compiler, Completion, Counters, Device, DeviceCaps, HalError, InstallProgress,
    KernelSpec, LaneId, LaneSpec, Recording, RecordingId, Region, SharedClock, Stage, Submission, SubmissionId,
    Together, Unavailable, Wait, WallClock,
};
use crate::tensor::TenantId;

/// Completions that wait for a poll; beyond that the members' threads wait.
const NEWS_MAX: usize = 1024;

/// Up to a number of logical devices of an adapter. See the [module](self).
pub struct WgpuFleet {
    caps: DeviceCaps,
    clock: WallClock,
    found: Found,
    /// The members' one.
    rehearsal: Option<Arc<Rehearsal>>,
    // Goes before the members, whose threads may be waiting to tell something.
    news: Receiver<News>,
    tell: SyncSender<News>,
    members: Vec<Member>,
    /// The member of each lane.
    lanes: Vec<usize>,
    tenants: HashMap<TenantId, Resident>,
    owners: HashMap<BufferId, TenantId>,
    /// Of submissions that a lost member had.
    failed: Vec<Completion>,
    submissions: u64,
}

/// A tenant, and what is to be so wherever it lives.
#[derive(Clone, Copy, Debug, Default)]
struct Resident {
    /// `None` until it was placed or given memory.
    member: Option<usize>,
    buffers: usize,
    bytes_max: Option<u64>,
    pooled: bool,
}

impl WgpuFleet {
    /// Opens `found` with at most `members` logical devices (one at least), the first of them now.
    ///
    /// # Errors
    /// [`Unavailable`] with what the driver said.
    pub fn open(found: &Found, members: usize, clock: WallClock) -> Result<WgpuFleet, Unavailable> {
        let members = members.max(1);
        let (tell, news) = sync_channel(NEWS_MAX);
        let rehearsal = Rehearsal::of(found);
        let first = Member::open(found, clock, (0, members), tell.clone(), rehearsal.clone())?;
        let caps = DeviceCaps { lanes_max: members as u32, ..first.device().caps().clone() };
        Ok(WgpuFleet {
            caps,
            clock,
            found: found.clone(),
            rehearsal,
            news,
            tell,
            members: vec![first],
            lanes: Vec::new(),
            tenants: HashMap::new(),
            owners: HashMap::new(),
            failed: Vec::new(),
            submissions: 0,
        })
    }

    /// Logical devices that are open.
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// The number of the member that gave this identifier.
    fn member_of(&self, id: u32) -> usize {
        id as usize % self.caps.lanes_max as usize
    }

    /// The member that gave this identifier, if it is open.
    fn of(&self, id: u32) -> Option<&Member> {
        self.members.get(self.member_of(id))
    }

    /// The member of a region's buffer.
    fn of_region(&self, region: Region) -> Result<&Member, HalError> {
        let Region { buffer, offset, bytes } = region;
        self.of(buffer.0).ok_or(HalError::Range { buffer, offset, end: offset.saturating_add(bytes) })
    }

    /// The member with the fewest lanes of tenants: a new one if all have some and there may be more.
    fn roomiest(&mut self) -> Result<usize, HalError> {
        let alive = self.members.iter().enumerate().filter(|(_, m)| m.lost.is_none());
        let least = alive.min_by_key(|(_, m)| m.lanes).map(|(at, m)| (at, m.lanes));
        let at = self.members.len();
        let members_max = self.caps.lanes_max as usize;
        if at < members_max && least.is_none_or(|(_, lanes)| lanes > 0) {
            match Member::open(&self.found, self.clock, (at, members_max), self.tell.clone(), self.rehearsal.clone()) {
                Ok(member) => {
                    self.members.push(member);
                    return Ok(at);
                }
                Err(error) => tracing::warn!("{at} logical devices must do: {error}"),
            }
        }
        let lost = || self.members[0].lost.clone().unwrap_or(HalError::DeviceLost(self.caps.name.clone()));
        least.map(|(at, _)| at).ok_or_else(lost)
    }

    /// Where a tenant lives, from now on on member `member` if it lived nowhere.
    fn home(&mut self, tenant: TenantId, member: usize) -> usize {
        let resident = self.tenants.entry(tenant).or_default();
        if let Some(member) = resident.member {
            return member;
        }
        resident.member = Some(member);
        let mut device = self.members[member].device();
        device.limit_memory(tenant, resident.bytes_max);
        if resident.pooled {
            device.pool(tenant);
        }
        member
    }

    fn alloc_for(
        &mut self,
        tenant: TenantId,
        alloc: impl FnOnce(&mut dyn Device) -> Result<BufferId, HalError>,
    ) -> Result<BufferId, HalError> {
        let member = self.home(tenant, 0);
        let buffer = alloc(&mut *self.members[member].device())?;
        self.tenants.entry(tenant).or_default().buffers += 1;
        self.owners.insert(buffer, tenant);
        Ok(buffer)
    }

    /// Panics where a submission to a lane of `member` uses what another member has.
    fn assert_at_home(&self, member: usize, submission: &Submission) {
        let regions = submission.uploads.iter().map(|(region, _)| region).chain(&submission.reads);
        for region in regions.filter(|r| self.member_of(r.buffer.0) != member) {
            let elsewhere = self.owners.get(&region.buffer);
            assert!(elsewhere.is_none(), "{region:?} of {elsewhere:?} lies where its lane cannot use it");
        }
        let slices = submission.stages.iter().flat_map(|stage| &stage.slices);
        for slice in slices.filter(|s| self.member_of(s.recording.0) != member) {
            let there =
                self.of(slice.recording.0).is_some_and(|m| m.device().recordings.contains_key(&slice.recording));
            assert!(!there, "{slice:?} is of a tenant that was placed at another lane than its submission's");
        }
    }

    /// A member is lost: what it had fails.
    fn lose(&mut self, member: usize, error: &HalError) {
        let lost = &mut self.members[member];
        tracing::error!("logical device {member} of {}: {error}", self.caps.name);
        lost.lost = Some(error.clone());
        let ids: Vec<SubmissionId> = lost.under_way.drain(..).collect();
        ids.into_iter().for_each(|id| self.fail(id, error));
    }

    fn fail(&mut self, submission: SubmissionId, error: &HalError) {
        let (spans, reads, failed) = (Vec::new(), Vec::new(), Vec::new());
        let (finished, error) = (self.clock.now(), Some(error.clone()));
        self.failed.push(Completion { submission, finished, spans, reads, failed, error });
    }

    fn note(&mut self, News { member, ended }: News, out: &mut Vec<Completion>) {
        match ended {
            // Ends are told in order, so this is the oldest one's.
            Ok(completion) => {
                let oldest = self.members[member].under_way.pop_front();
                out.extend(oldest.map(|submission| Completion { submission, ..completion }));
            }
            Err(error) => self.lose(member, &error),
        }
    }

    /// Takes what was told so far.
    fn collect(&mut self, out: &mut Vec<Completion>) {
        while let Ok(news) = self.news.try_recv() {
            self.note(news, out);
        }
        out.append(&mut self.failed);
    }

    /// The error of a device of which nothing is left.
    fn check_lost(&self) -> Result<(), HalError> {
        match self.members.iter().all(|m| m.lost.is_some()) {
            true => self.members[0].lost.clone().map_or(Ok(()), Err),
            false => Ok(()),
        }
    }
}

impl Device for WgpuFleet {
    fn caps(&self) -> &DeviceCaps {
        &self.caps
    }

    fn clock(&self) -> SharedClock {
        Arc::new(self.clock)
    }

    fn limit_memory(&mut self, tenant: TenantId, bytes_max: Option<u64>) {
        let resident = self.tenants.entry(tenant).or_default();
        resident.bytes_max = bytes_max;
        if let Some(member) = resident.member {
            self.members[member].device().limit_memory(tenant, bytes_max);
        }
    }

    fn pool(&mut self, tenant: TenantId) {
        let resident = self.tenants.entry(tenant).or_default();
        resident.pooled = true;
        if let Some(member) = resident.member {
            self.members[member].device().pool(tenant);
        }
    }

    fn alloc(&mut self, tenant: TenantId, bytes: u64) -> Result<BufferId, HalError> {
        self.alloc_for(tenant, |device| device.alloc(tenant, bytes))
    }

    fn alloc_constants(&mut self, tenant: TenantId, bytes: u64) -> Result<BufferId, HalError> {
        self.alloc_for(tenant, |device| device.alloc_constants(tenant, bytes))
    }

    fn free(&mut self, buffer: BufferId) {
        let Some(owner) = self.owners.remove(&buffer) else { return };
        if let Some(member) = self.of(buffer.0) {
            member.device().free(buffer);
        }
        if let Some(resident) = self.tenants.get_mut(&owner) {
            resident.buffers -= 1;
        }
    }

    fn write(&mut self, region: Region, bytes: &[u8]) -> Result<(), HalError> {
        self.of_region(region)?.device().write(region, bytes)
    }

    fn read(&mut self, region: Region) -> Result<Vec<u8>, HalError> {
        self.of_region(region)?.device().read(region)
    }

    fn compiler(&self) -> Option<Arc<dyn Compiler>> {
        let members = self.members.iter().map(|m| m.device().compiler()).collect();
        Some(Arc::new(FleetCompiler { members, members_max: self.caps.lanes_max as usize }))
    }

    fn install(&mut self, recording: Arc<Recording>, progress: InstallProgress) -> Result<RecordingId, HalError> {
        let buffer = recording.arena;
        let member = self.of(buffer.0).ok_or(HalError::Range { buffer, offset: 0, end: 0 })?;
        member.device().install(recording, progress)
    }

    fn prepare(&mut self, stages: &[Stage]) -> Result<usize, HalError> {
        let mut prepared = 0;
        for (at, member) in self.members.iter().enumerate() {
            let is_here = |stage: &&Stage| stage.slices.iter().all(|s| self.member_of(s.recording.0) == at);
            let stages: Vec<Stage> = stages.iter().filter(is_here).cloned().collect();
            prepared += member.device().prepare(&stages)?;
        }
        Ok(prepared)
    }

    fn code_size(&self, kernel: &KernelSpec) -> u32 {
        self.members.first().map_or(0, |member| member.device().code_size(kernel))
    }

    fn together(&self, stage: &Stage) -> Together {
        let Some(first) = stage.slices.first() else { return Together::Apart };
        let member = self.member_of(first.recording.0);
        if stage.slices.iter().any(|s| self.member_of(s.recording.0) != member) {
            return Together::Apart;
        }
        match self.members.get(member).map(|m| m.device().together(stage)) {
            Some(Together::Compile(wanted)) => Together::Compile(CoKernel { member, ..wanted }),
            Some(Together::Larger(wanted)) => Together::Larger(CoKernel { member, ..wanted }),
            Some(together) => together,
            None => Together::Apart,
        }
    }

    fn uninstall(&mut self, recording: RecordingId) {
        if let Some(member) = self.of(recording.0) {
            member.device().uninstall(recording);
        }
    }

    fn lane(&mut self, spec: &LaneSpec) -> Result<LaneId, HalError> {
        let member = match spec.tenant {
            None => 0,
            Some(tenant) => match self.tenants.get(&tenant).and_then(|resident| resident.member) {
                Some(member) => member,
                None => {
                    let member = self.roomiest()?;
                    self.home(tenant, member)
                }
            },
        };
        self.members[member].lanes += usize::from(spec.tenant.is_some());
        self.lanes.push(member);
        Ok(LaneId(self.lanes.len() as u32 - 1))
    }

    fn place(&mut self, tenant: TenantId, lane: LaneId) {
        let member = *self.lanes.get(lane.0 as usize).unwrap_or_else(|| panic!("{lane:?} was never made"));
        let resident = self.tenants.entry(tenant).or_default();
        let moves = resident.member.is_some_and(|old| old != member);
        assert!(!moves || resident.buffers == 0, "{tenant} has memory elsewhere and cannot be placed at {lane:?}");
        if moves {
            resident.member = None;
        }
        self.home(tenant, member);
    }

    fn submit(&mut self, lane: LaneId, submission: Submission) -> Result<SubmissionId, HalError> {
        let at = *self.lanes.get(lane.0 as usize).ok_or(HalError::NoLane(lane))?;
        self.check_lost()?;
        self.assert_at_home(at, &submission);
        let id = SubmissionId(self.submissions + 1);
        if let Some(error) = self.members[at].lost.clone() {
            // The other members go on, so this is the end of the submission, not the device's.
            self.fail(id, &error);
        } else {
            let member = &mut self.members[at];
            let submitted = member.device().submit(LaneId(0), submission);
            match submitted {
                Ok(_) => member.submitted(id),
                Err(error @ HalError::DeviceLost(_)) => {
                    self.lose(at, &error);
                    self.check_lost()?;
                    self.fail(id, &error);
                }
                Err(error) => return Err(error),
            }
        }
        self.submissions = id.0;
        Ok(id)
    }

    fn poll(&mut self, wait: Wait, out: &mut Vec<Completion>) -> Result<(), HalError> {
        let before = out.len();
        self.collect(out);
        let runs = self.members.iter().any(|m| !m.under_way.is_empty());
        if let Wait::AtMost(time) = wait
            && runs
            && out.len() == before
            && let Ok(news) = self.news.recv_timeout(time)
        {
            self.note(news, out);
            self.collect(out);
        }
        self.check_lost()
    }

    fn counters(&self) -> Counters {
        let mut all = Counters { submissions: self.submissions, ..Counters::default() };
        for member in &self.members {
            let Counters { buffers, pipelines, cokernels, submissions: _ } = member.device().counters();
            all.buffers += buffers;
            all.pipelines += pipelines;
            all.cokernels += cokernels;
        }
        all
    }
}

/// Compiles for the member that a recording's memory is on.
struct FleetCompiler {
    /// Of the members that were open when it was made.
    members: Vec<Option<Arc<dyn Compiler>>>,
    members_max: usize,
}

impl Compiler for FleetCompiler {
    fn compile(&self, recording: &Recording, progress: InstallProgress) -> Result<(), HalError> {
        let member = recording.arena.0 as usize % self.members_max;
        match self.members.get(member).and_then(Option::as_ref) {
            Some(compiler) => compiler.compile(recording, progress),
            // Its installation compiles it.
            None => Ok(()),
        }
    }

    fn compile_together(&self, wanted: &CoKernel) -> Result<(), HalError> {
        match self.members.get(wanted.member).and_then(Option::as_ref) {
            Some(compiler) => compiler.compile_together(wanted),
            None => Err(HalError::DeviceLost(format!("logical device {} is not open", wanted.member))),
        }
    }
}
