//! Who holds how much memory: the same bookkeeping for every backend.

use std::collections::HashMap;

use crate::tensor::TenantId;

use super::HalError;

/// Bytes held and allowed, per tenant.
#[derive(Debug)]
pub(super) struct Quotas {
    tenants: HashMap<TenantId, Quota>,
    buffer_bytes_max: u64,
}

#[derive(Debug, Default)]
struct Quota {
    used: u64,
    limit: Option<u64>,
}

impl Quotas {
    /// Nobody holds anything; no buffer may be larger than `buffer_bytes_max`.
    pub(super) fn new(buffer_bytes_max: u64) -> Quotas {
        Quotas { tenants: HashMap::new(), buffer_bytes_max }
    }

    pub(super) fn limit(&mut self, tenant: TenantId, bytes_max: Option<u64>) {
        self.tenants.entry(tenant).or_default().limit = bytes_max;
    }

    /// Books a buffer of `bytes` for `tenant` and answers its size, rounded up to words, or says why not; nothing is
    /// booked then.
    pub(super) fn take(&mut self, tenant: TenantId, bytes: u64) -> Result<u64, HalError> {
        let asked = bytes.checked_next_multiple_of(4).unwrap_or(u64::MAX);
        if asked > self.buffer_bytes_max {
            return Err(HalError::BufferTooLarge { tenant, asked, limit: self.buffer_bytes_max });
        }
        let quota = self.tenants.entry(tenant).or_default();
        let limit = quota.limit.unwrap_or(u64::MAX);
        if quota.used.saturating_add(asked) > limit {
            return Err(HalError::TenantMemory { tenant, asked, used: quota.used, limit });
        }
        quota.used += asked;
        Ok(asked)
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
        let mut quotas = Quotas::new(1 << 20);
        let tenant = TenantId(1);
        quotas.limit(tenant, Some(100));
        assert_eq!(quotas.take(tenant, 57), Ok(60));
        assert!(matches!(quotas.take(tenant, 41), Err(HalError::TenantMemory { asked: 44, used: 60, limit: 100, .. })));
        quotas.take(tenant, 40).unwrap();
        quotas.give_back(tenant, 100);
        quotas.take(tenant, 100).unwrap();
        quotas.take(TenantId(2), 1 << 20).unwrap();
    }

    #[test]
    fn no_size_overflows() {
        let mut quotas = Quotas::new(1 << 20);
        for bytes in [(1 << 20) + 1, u64::MAX - 3, u64::MAX] {
            let refused = quotas.take(TenantId(1), bytes).unwrap_err();
            assert!(matches!(refused, HalError::BufferTooLarge { asked, .. } if asked >= bytes), "{refused}");
        }
    }
}
