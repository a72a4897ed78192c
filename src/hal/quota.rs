//! Who holds how much memory: the same bookkeeping for every backend.

use std::collections::HashMap;

use crate::tensor::TenantId;

use super::HalError;

/// Bytes held and allowed, per tenant.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    tenants: HashMap<TenantId, Quota>,
}

#[derive(Debug, Default)]
struct Quota {
    used: u64,
    limit: Option<u64>,
}

impl Quotas {
    pub(super) fn limit(&mut self, tenant: TenantId, bytes_max: Option<u64>) {
        self.tenants.entry(tenant).or_default().limit = bytes_max;
    }

    /// Books `bytes` for `tenant`, or says why not; nothing is booked then.
    pub(super) fn take(&mut self, tenant: TenantId, bytes: u64) -> Result<(), HalError> {
        let quota = self.tenants.entry(tenant).or_default();
        let limit = quota.limit.unwrap_or(u64::MAX);
        if quota.used.saturating_add(bytes) > limit {
            return Err(HalError::TenantMemory { tenant, asked: bytes, used: quota.used, limit });
        }
        quota.used += bytes;
        Ok(())
    }

    pub(super) fn give_back(&mut self, tenant: TenantId, bytes: u64) {
        if let Some(quota) = self.tenants.get_mut(&tenant) {
            quota.used = quota.used.saturating_sub(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_allocation_books_nothing() {
        let mut quotas = Quotas::default();
        let tenant = TenantId(1);
        quotas.limit(tenant, Some(100));
        quotas.take(tenant, 60).unwrap();
        assert!(matches!(quotas.take(tenant, 41), Err(HalError::TenantMemory { used: 60, limit: 100, .. })));
        quotas.take(tenant, 40).unwrap();
        quotas.give_back(tenant, 100);
        quotas.take(tenant, 100).unwrap();
        quotas.take(TenantId(2), u64::MAX / 2).unwrap();
    }
}
