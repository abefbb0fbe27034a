//! Values exchanged between drivers and their callers.

use uuid::Uuid;

/// A domain of a hypervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Name.
    pub name: String,
    /// UUID, which identifies the domain.
    pub uuid: Uuid,
    /// Id while the domain runs.
    pub id: Option<u32>,
}

/// The state of a domain, with the numbers of libvirt's `virDomainState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DomainState {
    /// Running.
    Running = 1,
    /// Paused.
    Paused = 3,
    /// Powered off.
    ShutOff = 5,
}

impl DomainState {
    /// Returns libvirt's number of the state.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Returns `true` if the domain is active, which includes paused.
    #[must_use]
    pub const fn is_active(self) -> bool {
        !matches!(self, DomainState::ShutOff)
    }
}

/// The reason of a state. libvirt's numbers depend on the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateReason {
    /// Unknown reason, in any state.
    Unknown,
    /// Running, after a pause.
    Unpaused,
    /// Paused, by a request.
    PausedByUser,
    /// Powered off, by a request.
    Destroyed,
}

impl StateReason {
    /// Returns libvirt's number of the reason.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            StateReason::Unknown => 0,
            StateReason::PausedByUser => 1,
            StateReason::Destroyed => 2,
            StateReason::Unpaused => 5,
        }
    }
}

/// State and resources of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainInfo {
    /// State.
    pub state: DomainState,
    /// Maximum memory, in KiB.
    pub max_memory_kib: u64,
    /// Used memory, in KiB.
    pub memory_kib: u64,
    /// Number of virtual CPUs.
    pub vcpus: u32,
    /// Used CPU time, in nanoseconds.
    pub cpu_time_ns: u64,
}

/// Properties of the hypervisor's machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// CPU model.
    pub model: String,
    /// Memory in KiB.
    pub memory_kib: u64,
    /// Number of active CPUs.
    pub cpus: i32,
    /// CPU frequency in MHz.
    pub mhz: i32,
    /// Number of NUMA cells.
    pub nodes: i32,
    /// Number of sockets per cell.
    pub sockets: i32,
    /// Number of cores per socket.
    pub cores: i32,
    /// Number of threads per core.
    pub threads: i32,
}

/// The security model of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityModel {
    /// Name of the model.
    pub model: String,
    /// Domain of interpretation.
    pub doi: String,
}

/// The security label of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityLabel {
    /// Label.
    pub label: String,
    /// Set if the label is enforced.
    pub enforcing: bool,
}

/// A filter of domains: libvirt's `virConnectListAllDomainsFlags`, which form groups of
/// alternatives.
///
/// A domain matches if it has one of the set bits of each group. A group without set bits matches
/// every domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListFilter(u32);

impl ListFilter {
    /// The filter that matches every domain.
    pub const ALL: ListFilter = ListFilter(0);

    const GROUPS: [u32; 7] = [0x3, 0xc, 0xf0, 0x300, 0xc00, 0x3000, 0xc000];
    const KNOWN: u32 = 0xffff;

    /// Creates a filter from bits, which may be undefined.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Returns the undefined bits.
    #[must_use]
    pub const fn unknown_bits(self) -> u32 {
        self.0 & !Self::KNOWN
    }

    /// Returns `true` if a domain with these traits matches.
    #[must_use]
    pub fn admits(self, traits: DomainTraits) -> bool {
        let fits = traits.bits();
        Self::GROUPS
            .iter()
            .all(|group| self.0 & group == 0 || self.0 & group & fits != 0)
    }
}

/// The properties of a domain that a [`ListFilter`] uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainTraits {
    /// State; a domain is active unless it is powered off.
    pub state: DomainState,
    /// Set if the definition persists while the domain does not run.
    pub persistent: bool,
    /// Set if the domain has a managed save image.
    pub managed_save: bool,
    /// Set if the domain starts with the machine.
    pub autostart: bool,
    /// Set if the domain has snapshots.
    pub snapshots: bool,
    /// Set if the domain has checkpoints.
    pub checkpoints: bool,
}

impl DomainTraits {
    /// Returns the matching bit of each group.
    fn bits(self) -> u32 {
        let pair = |first: u32, yes: bool| if yes { first } else { first << 1 };
        let state = match self.state {
            DomainState::Running => 0x10,
            DomainState::Paused => 0x20,
            DomainState::ShutOff => 0x40,
        };
        pair(0x1, self.state.is_active())
            | pair(0x4, self.persistent)
            | state
            | pair(0x100, self.managed_save)
            | pair(0x400, self.autostart)
            | pair(0x1000, self.snapshots)
            | pair(0x4000, self.checkpoints)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAITS: DomainTraits = DomainTraits {
        state: DomainState::Running,
        persistent: true,
        managed_save: false,
        autostart: false,
        snapshots: false,
        checkpoints: false,
    };

    #[test]
    fn filter_with_one_bit_admits_domains_with_its_trait() {
        for (bit, traits) in [
            (0x1, TRAITS),
            (
                0x1,
                DomainTraits {
                    state: DomainState::Paused,
                    ..TRAITS
                },
            ),
            (
                0x2,
                DomainTraits {
                    state: DomainState::ShutOff,
                    ..TRAITS
                },
            ),
            (0x4, TRAITS),
            (
                0x8,
                DomainTraits {
                    persistent: false,
                    ..TRAITS
                },
            ),
            (0x10, TRAITS),
            (
                0x20,
                DomainTraits {
                    state: DomainState::Paused,
                    ..TRAITS
                },
            ),
            (
                0x40,
                DomainTraits {
                    state: DomainState::ShutOff,
                    ..TRAITS
                },
            ),
            (
                0x100,
                DomainTraits {
                    managed_save: true,
                    ..TRAITS
                },
            ),
            (0x200, TRAITS),
            (
                0x400,
                DomainTraits {
                    autostart: true,
                    ..TRAITS
                },
            ),
            (0x800, TRAITS),
            (
                0x1000,
                DomainTraits {
                    snapshots: true,
                    ..TRAITS
                },
            ),
            (0x2000, TRAITS),
            (
                0x4000,
                DomainTraits {
                    checkpoints: true,
                    ..TRAITS
                },
            ),
            (0x8000, TRAITS),
        ] {
            assert!(
                ListFilter::from_bits(bit).admits(traits),
                "{bit:#x} {traits:?}"
            );
        }
    }

    #[test]
    fn filter_rejects_domains_without_a_bit_of_the_group() {
        for bit in [0x2, 0x8, 0x20, 0x40, 0x80, 0x100, 0x400, 0x1000, 0x4000] {
            assert!(!ListFilter::from_bits(bit).admits(TRAITS), "{bit:#x}");
        }
    }

    #[test]
    fn filter_needs_one_bit_of_each_group() {
        assert!(ListFilter::ALL.admits(TRAITS));
        assert!(ListFilter::from_bits(0x3 | 0x30).admits(TRAITS));
        assert!(!ListFilter::from_bits(0x3 | 0x40).admits(TRAITS));
        assert!(ListFilter::from_bits(0xffff).admits(TRAITS));
        assert_eq!(ListFilter::from_bits(0xffff).unknown_bits(), 0);
        assert_eq!(
            ListFilter::from_bits(0x8001_0003).unknown_bits(),
            0x8001_0000
        );
    }
}
