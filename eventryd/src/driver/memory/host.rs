//! The machine and its domains.

use uuid::{Uuid, uuid};

use crate::driver::{
    Domain, DomainInfo, DomainState, DomainTraits, DriverError, ListFilter, StateReason,
};
use eventry::MonotonicTime;

/// UUID of libvirt's test domain. Clients and their tests depend on this value.
const TEST_UUID: Uuid = uuid!("6695eb01-f6a4-8304-79aa-97f2502e193f");

/// The domains of the machine.
#[derive(Debug)]
pub(super) struct Host {
    guests: Vec<Guest>,
}

/// A domain with its state.
#[derive(Debug)]
pub(super) struct Guest {
    name: &'static str,
    uuid: Uuid,
    /// Id while the domain runs.
    id: u32,
    state: DomainState,
    reason: StateReason,
}

impl Default for Host {
    fn default() -> Self {
        let (state, reason) = (DomainState::Running, StateReason::Unknown);
        Self {
            guests: vec![Guest {
                name: "test",
                uuid: TEST_UUID,
                id: 1,
                state,
                reason,
            }],
        }
    }
}

impl Host {
    /// Returns the domains that match the filter.
    pub(super) fn list(&self, filter: ListFilter) -> Vec<Domain> {
        self.guests
            .iter()
            .filter(|guest| filter.admits(guest.traits()))
            .map(Guest::domain)
            .collect()
    }

    /// Returns the first domain for which `wanted` is true.
    pub(super) fn find(&self, wanted: impl Fn(&Domain) -> bool) -> Result<Domain, DriverError> {
        self.guests
            .iter()
            .map(Guest::domain)
            .find(wanted)
            .ok_or(DriverError::NoDomain)
    }

    /// Returns the state of a domain that a client refers to.
    pub(super) fn guest(&mut self, domain: &Domain) -> Result<&mut Guest, DriverError> {
        self.guests
            .iter_mut()
            .find(|guest| guest.uuid == domain.uuid)
            .ok_or_else(|| DriverError::DomainGone {
                uuid: domain.uuid,
                name: domain.name.clone(),
            })
    }
}

impl Guest {
    fn domain(&self) -> Domain {
        let id = self.state.is_active().then_some(self.id);
        Domain {
            name: self.name.to_owned(),
            uuid: self.uuid,
            id,
        }
    }

    pub(super) const fn traits(&self) -> DomainTraits {
        DomainTraits {
            state: self.state,
            persistent: true,
            managed_save: false,
            autostart: false,
            snapshots: false,
            checkpoints: false,
        }
    }

    /// Returns the state and the resources. The CPU time is `now`, as if the domain had been busy
    /// since the origin of the clock. It is never 0, because clients interpret 0 as unknown.
    pub(super) fn info(&self, now: MonotonicTime) -> DomainInfo {
        DomainInfo {
            state: self.state,
            max_memory_kib: 8_388_608,
            memory_kib: 2_097_152,
            vcpus: 2,
            cpu_time_ns: now.as_nanos().max(1),
        }
    }

    pub(super) const fn state(&self) -> (DomainState, StateReason) {
        (self.state, self.reason)
    }

    pub(super) fn suspend(&mut self) -> Result<(), DriverError> {
        if self.state != DomainState::Running {
            return Err(DriverError::Internal(format!(
                "domain '{}' not running",
                self.name
            )));
        }
        (self.state, self.reason) = (DomainState::Paused, StateReason::PausedByUser);
        Ok(())
    }

    pub(super) fn resume(&mut self) -> Result<(), DriverError> {
        if self.state != DomainState::Paused {
            return Err(DriverError::Internal(format!(
                "domain '{}' not paused",
                self.name
            )));
        }
        (self.state, self.reason) = (DomainState::Running, StateReason::Unpaused);
        Ok(())
    }

    pub(super) const fn destroy(&mut self) -> Result<(), DriverError> {
        if !self.state.is_active() {
            return Err(DriverError::InvalidOperation("domain is not running"));
        }
        (self.state, self.reason) = (DomainState::ShutOff, StateReason::Destroyed);
        Ok(())
    }
}
