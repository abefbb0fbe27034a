//! The values that drivers and their callers exchange.

use uuid::Uuid;

/// A domain as its hypervisor names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// The name.
    pub name: String,
    /// What identifies it.
    pub uuid: Uuid,
    /// Its number while it runs.
    pub id: Option<u32>,
}

/// Where a domain is in its life; the numbers are libvirt's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DomainState {
    /// It runs.
    Running = 1,
    /// It is held.
    Paused = 3,
    /// It is off.
    ShutOff = 5,
}

impl DomainState {
    /// Libvirt's number for the state.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether a domain in it counts as running; a paused one does.
    #[must_use]
    pub const fn is_active(self) -> bool {
        !matches!(self, DomainState::ShutOff)
    }
}

/// Why a domain is in its state; libvirt's numbers mean something else in every state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateReason {
    /// Nobody knows.
    Unknown,
    /// Running: after a pause.
    Unpaused,
    /// Paused: somebody asked for it.
    PausedByUser,
    /// Off: somebody asked for it.
    Destroyed,
}

impl StateReason {
    /// Libvirt's number for the reason.
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

/// What a domain uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainInfo {
    /// Where it is in its life.
    pub state: DomainState,
    /// The most memory it may use, in KiB.
    pub max_memory_kib: u64,
    /// The memory it uses, in KiB.
    pub memory_kib: u64,
    /// Virtual processors.
    pub vcpus: u32,
    /// Processor time used, in nanoseconds.
    pub cpu_time_ns: u64,
}

/// The machine that a hypervisor runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// The kind of processor.
    pub model: String,
    /// Memory in KiB.
    pub memory_kib: u64,
    /// Active processors.
    pub cpus: i32,
    /// Their frequency in MHz.
    pub mhz: i32,
    /// NUMA cells.
    pub nodes: i32,
    /// Sockets per cell.
    pub sockets: i32,
    /// Cores per socket.
    pub cores: i32,
    /// Threads per core.
    pub threads: i32,
}

/// The security model of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityModel {
    /// Its name.
    pub model: String,
    /// Its domain of interpretation.
    pub doi: String,
}

/// The security label of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityLabel {
    /// The label.
    pub label: String,
    /// Whether it is enforced.
    pub enforcing: bool,
}

/// Which domains to list: libvirt's bits, in groups of alternatives.
///
/// A group of which no bit is set does not matter; of any other, one of the bits set must fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListFilter(u32);

impl ListFilter {
    /// Every domain.
    pub const ALL: ListFilter = ListFilter(0);

    const GROUPS: [u32; 7] = [0x3, 0xc, 0xf0, 0x300, 0xc00, 0x3000, 0xc000];
    const KNOWN: u32 = 0xffff;

    /// The filter of these bits, known or not.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits without a meaning.
    #[must_use]
    pub const fn unknown_bits(self) -> u32 {
        self.0 & !Self::KNOWN
    }

    /// Whether the filter lets a domain with these traits pass.
    #[must_use]
    pub fn admits(self, traits: DomainTraits) -> bool {
        let fits = traits.bits();
        Self::GROUPS
            .iter()
            .all(|group| self.0 & group == 0 || self.0 & group & fits != 0)
    }
}

/// What a [`ListFilter`] looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainTraits {
    /// Where it is in its life; it is active unless it is off.
    pub state: DomainState,
    /// Whether it is known while it does not run.
    pub persistent: bool,
    /// Whether its state has been saved.
    pub managed_save: bool,
    /// Whether it is started with the machine.
    pub autostart: bool,
    /// Whether it has snapshots.
    pub snapshots: bool,
    /// Whether it has checkpoints.
    pub checkpoints: bool,
}

impl DomainTraits {
    /// Of each group, the one bit that fits.
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
    fn a_filter_of_one_bit_admits_what_has_it() {
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
    fn a_filter_refuses_what_has_none_of_a_groups_bits() {
        for bit in [0x2, 0x8, 0x20, 0x40, 0x80, 0x100, 0x400, 0x1000, 0x4000] {
            assert!(!ListFilter::from_bits(bit).admits(TRAITS), "{bit:#x}");
        }
    }

    #[test]
    fn the_bits_of_a_group_are_alternatives_and_groups_add_up() {
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
