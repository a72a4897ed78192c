//! Tenants in the order of a key, kept up to date from what changed: the part that most policies share. A decision costs
//! the logarithm of the number of tenants for each that changed, and allocates only when a new highest id appears.

use crate::service::{Decisions, TenantView, View};
use crate::tensor::TenantId;

/// A binary heap that knows where each tenant is. Smaller keys come first, equal ones in order of ids.
#[derive(Debug)]
pub(super) struct Ranked<K> {
    heap: Vec<(K, TenantId)>,
    /// Place in the heap by the tenant's id; [`ABSENT`] for those that are not in it.
    places: Vec<u32>,
}

const ABSENT: u32 = u32::MAX;

impl<K> Default for Ranked<K> {
    fn default() -> Ranked<K> {
        Ranked { heap: Vec::new(), places: Vec::new() }
    }
}

impl<K: Ord + Copy> Ranked<K> {
    /// Takes in what changed. `key` is `None` for tenants that cannot be served now.
    pub(super) fn update(&mut self, view: &View, key: impl Fn(&TenantView) -> Option<K>) {
        for &tenant in view.changed {
            self.set(tenant, view.tenant(tenant).and_then(&key));
        }
    }

    /// Puts a tenant where its key belongs, or takes it out.
    pub(super) fn set(&mut self, tenant: TenantId, key: Option<K>) {
        let id = tenant.0 as usize;
        if id >= self.places.len() {
            self.places.resize(id + 1, ABSENT);
        }
        match (self.places[id], key) {
            (ABSENT, None) => {}
            (ABSENT, Some(key)) => {
                self.heap.push((key, tenant));
                self.rise(self.heap.len() - 1);
            }
            (at, None) => self.remove(at as usize),
            (at, Some(key)) => {
                self.heap[at as usize].0 = key;
                self.settle(at as usize);
            }
        }
    }

    /// The first tenant.
    pub(super) fn first(&self) -> Option<(K, TenantId)> {
        self.heap.first().copied()
    }

    /// Takes the first tenant out.
    pub(super) fn pop(&mut self) -> Option<(K, TenantId)> {
        let first = self.first()?;
        self.remove(0);
        Some(first)
    }

    fn remove(&mut self, at: usize) {
        let (_, tenant) = self.heap.swap_remove(at);
        self.places[tenant.0 as usize] = ABSENT;
        if at < self.heap.len() {
            self.settle(at);
        }
    }

    /// Moves an entry whose key may have changed either way.
    fn settle(&mut self, at: usize) {
        let at = self.rise(at);
        self.sink(at);
    }

    fn rise(&mut self, mut at: usize) -> usize {
        while at > 0 && self.heap[at] < self.heap[(at - 1) / 2] {
            self.heap.swap(at, (at - 1) / 2);
            self.note(at);
            at = (at - 1) / 2;
        }
        self.note(at);
        at
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let children = [2 * at + 1, 2 * at + 2].into_iter().filter(|&c| c < self.heap.len());
            let Some(least) = children.min_by_key(|&c| self.heap[c]).filter(|&c| self.heap[c] < self.heap[at]) else {
                return self.note(at);
            };
            self.heap.swap(at, least);
            self.note(at);
            at = least;
        }
    }

    fn note(&mut self, at: usize) {
        self.places[self.heap[at].1.0 as usize] = at as u32;
    }

    /// Grants tenants everything they have ready, in order, as long as there is room and the order is known: where a request ends
    /// and the tenant's next one may come before others', the next decision goes on. Who was granted something is out
    /// until the next [`Ranked::update`], which lists it as changed.
    pub(super) fn serve(&mut self, view: &View, out: &mut Decisions) {
        while out.operators_left() > 0
            && let Some((_, tenant)) = self.pop()
        {
            let granted = out.grant(tenant, ready(view, tenant));
            if ends_before_another(view, tenant, granted) {
                return;
            }
        }
    }
}

/// Whether `granted` operators end the tenant's request while it has another, of which nothing is known yet.
pub(super) fn ends_before_another(view: &View, tenant: TenantId, granted: u32) -> bool {
    let ends = |t: &TenantView| t.queued > 0 && t.request.is_some_and(|r| granted >= r.operators_left);
    view.tenant(tenant).is_some_and(ends)
}

/// Operators of a tenant that could be submitted now.
pub(super) fn ready(view: &View, tenant: TenantId) -> u32 {
    view.tenant(tenant).and_then(|t| t.request).map_or(0, |r| r.operators_ready)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_is_always_the_least(
            changes in prop::collection::vec((0u32..40, prop::option::of(0u32..20), any::<bool>()), 0..300)
        ) {
            let mut ranked = Ranked::default();
            let mut oracle: BTreeMap<TenantId, u32> = BTreeMap::new();
            for (id, key, pop) in changes {
                ranked.set(TenantId(id), key);
                match key {
                    Some(key) => oracle.insert(TenantId(id), key),
                    None => oracle.remove(&TenantId(id)),
                };
                let least = oracle.iter().map(|(&t, &k)| (k, t)).min();
                prop_assert_eq!(ranked.first(), least);
                if pop {
                    prop_assert_eq!(ranked.pop(), least);
                    least.map(|(_, t)| oracle.remove(&t));
                }
            }
        }
    }
}
