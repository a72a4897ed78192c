//! The tenants and what the policy sees of them, kept up to date one change at a time: a decision costs what changed,
//! however many tenants there are.

use crate::engine::Config;
use crate::engine::loaded::Loaded;
use crate::service::{Lanes, ReadySet, TenantView, View};
use crate::tensor::TenantId;

/// See the module's comment.
pub(in crate::engine) struct Board {
    /// In order of their ids.
    tenants: Vec<Loaded>,
    /// Of the same tenants, as of the last [`Board::refresh`].
    views: Vec<TenantView>,
    /// Positions of those with operators ready.
    ready: ReadySet,
    /// Tenants whose view is stale, each once.
    stale: Vec<TenantId>,
    /// Tenants that the policy has not seen as they are, each once.
    changed: Vec<TenantId>,
    /// Tenants with a request that was begun or waits.
    busy: usize,
    lanes: Lanes,
    config: Config,
}

impl Board {
    pub(super) fn new(lanes: Lanes, config: Config) -> Board {
        Board {
            tenants: Vec::new(),
            views: Vec::new(),
            ready: ReadySet::default(),
            stale: Vec::new(),
            changed: Vec::new(),
            busy: 0,
            lanes,
            config,
        }
    }

    pub(in crate::engine) fn len(&self) -> usize {
        self.tenants.len()
    }

    pub(in crate::engine) fn iter(&self) -> impl Iterator<Item = &Loaded> {
        self.tenants.iter()
    }

    /// One tenant, to look at.
    pub(in crate::engine) fn get(&self, id: TenantId) -> Option<&Loaded> {
        self.position(id).map(|at| &self.tenants[at])
    }

    /// One tenant, to change: its view is computed anew.
    pub(in crate::engine) fn touch(&mut self, id: TenantId) -> Option<&mut Loaded> {
        let at = self.position(id)?;
        let tenant = &mut self.tenants[at];
        if !std::mem::replace(&mut tenant.stale, true) {
            self.stale.push(id);
        }
        Some(tenant)
    }

    /// Takes a tenant in. Ids grow with the beginning of a load, so it is nearly always the last one.
    pub(super) fn insert(&mut self, tenant: Loaded) {
        let id = tenant.shared.id;
        let at = self.tenants.partition_point(|t| t.shared.id < id);
        self.views.insert(at, tenant.view(self.lanes, &self.config));
        self.tenants.insert(at, tenant);
        self.find_ready();
        self.touch(id);
    }

    pub(super) fn remove(&mut self, id: TenantId) -> Option<Loaded> {
        let at = self.position(id)?;
        let tenant = self.tenants.remove(at);
        let view = self.views.remove(at);
        self.busy -= usize::from(view.request.is_some());
        self.stale.retain(|t| *t != id);
        if !tenant.told {
            self.changed.push(id);
        }
        self.find_ready();
        Some(tenant)
    }

    /// Positions have moved.
    fn find_ready(&mut self) {
        self.ready.clear();
        for (at, view) in self.views.iter().enumerate() {
            self.ready.set(at, view.ready().is_some());
        }
    }

    /// Brings the views up to date. Calls `computed` for each tenant whose request only waits for its outputs.
    pub(super) fn refresh(&mut self, mut computed: impl FnMut(TenantId)) {
        for next in 0..self.stale.len() {
            let id = self.stale[next];
            let Some(at) = self.position(id) else { continue };
            let tenant = &mut self.tenants[at];
            tenant.stale = false;
            tenant.advance();
            if tenant.is_computed() {
                computed(id);
            }
            let view = tenant.view(self.lanes, &self.config);
            self.busy -= usize::from(self.views[at].request.is_some());
            self.busy += usize::from(view.request.is_some());
            self.ready.set(at, view.ready().is_some());
            self.views[at] = view;
            if !std::mem::replace(&mut tenant.told, true) {
                self.changed.push(id);
            }
        }
        self.stale.clear();
    }

    /// Those with operators ready, as of the last [`Board::refresh`].
    pub(super) fn ready(&self) -> impl Iterator<Item = &Loaded> {
        self.ready.cycle_from(0).map(|at| &self.tenants[at])
    }

    /// Whether somebody has operators ready.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// What the policy sees.
    pub(super) fn view(&self, operators_max: u32) -> View<'_> {
        View { tenants: &self.views, ready: &self.ready, changed: &self.changed, operators_max }
    }

    /// The policy has seen it.
    pub(super) fn seen(&mut self) {
        for at in 0..self.changed.len() {
            if let Some(at) = self.position(self.changed[at]) {
                self.tenants[at].told = false;
            }
        }
        self.changed.clear();
    }

    /// How many operators make a submission of the intended length, taking ready tenants in turn.
    pub(super) fn operators_max(&self) -> u32 {
        let (target_ns, launches_max) = match (self.tenants.len(), self.busy) {
            (1, _) => (f64::INFINITY, self.config.launches_per_submission_alone),
            (_, 1) => (self.config.submission_ns_alone, self.config.launches_per_submission_alone),
            _ => (self.config.submission_ns, self.config.launches_per_submission),
        };
        let (mut operators, mut launches, mut ns) = (0, 0, 0.0);
        for round in 0.. {
            let before = operators;
            for at in self.ready.cycle_from(0) {
                let Some(request) = self.views[at].request.filter(|r| round < r.operators_ready) else { continue };
                let operator = request.next_operator + round;
                operators += 1;
                launches += self.tenants[at].plan.dispatches(operator);
                ns += self.tenants[at].costs.operator_ns(operator);
                if ns >= target_ns || launches >= launches_max {
                    return operators;
                }
            }
            if operators == before {
                break;
            }
        }
        operators
    }

    fn position(&self, id: TenantId) -> Option<usize> {
        self.tenants.binary_search_by_key(&id, |t| t.shared.id).ok()
    }
}
