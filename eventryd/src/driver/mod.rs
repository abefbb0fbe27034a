//! What a daemon serves: the `Driver` trait and the in-memory hypervisor.
//!
//! A [`Driver`] opens [`HypervisorSession`]s; a session answers questions about the machine and
//! its domains, and changes them. Neither knows anything of the protocol, its flags aside: names are bytes, a
//! domain's number is an `Option`, an error is an enum. Neither reads a clock: where the answer depends on the
//! time, the time is an argument.
//!
//! Whether a caller may do what it asks is decided before a session is asked (DM-1103).

mod error;
pub mod memory;
mod types;

pub use error::DriverError;
pub use memory::MemoryDriver;
pub use types::{
    Domain, DomainInfo, DomainState, DomainTraits, ListFilter, NodeInfo, SecurityLabel,
    SecurityModel, StateReason,
};

use uuid::Uuid;

use eventry::Time;

/// Opens hypervisor sessions.
///
/// ```
/// use eventryd::driver::{Driver, DriverError, ListFilter, MemoryDriver};
///
/// let driver = MemoryDriver::with_hostname("example");
/// let session = driver.open("test:///default")?;
/// assert_eq!(session.domains(ListFilter::ALL)?[0].name, "test");
/// assert!(matches!(driver.open("nosuch:///"), Err(DriverError::NoConnection { .. })));
/// # Ok::<(), DriverError>(())
/// ```
pub trait Driver: Send + Sync {
    /// Opens a session with the hypervisor that `uri` names; an empty one leaves the choice to the driver.
    ///
    /// # Errors
    /// [`DriverError::NoConnection`] if the driver does not serve it.
    fn open(&self, uri: &str) -> Result<Box<dyn HypervisorSession>, DriverError>;

    /// Whether [`open`](Self::open) may wait for anything but a lock that is held for a moment: then it is left
    /// to a worker. Only a driver that answers from memory says no.
    fn may_block(&self) -> bool {
        true
    }
}

/// A session with a hypervisor. It is closed by dropping it. Several calls may be made at the same time.
///
/// # Errors
/// Where a domain is an argument, it is found by its UUID alone, and [`DriverError::DomainGone`] says that
/// there is none. Other errors are named where they occur.
pub trait HypervisorSession: Send + Sync {
    /// Whether a call, or the drop of the session, may wait for anything but a lock that is held for a
    /// moment: then it is left to a worker. Only a session that answers from memory says no.
    fn may_block(&self) -> bool {
        true
    }

    /// The kind of hypervisor, such as "TEST" or "QEMU".
    fn kind(&self) -> String;

    /// The version of the hypervisor: 1,000,000 × major + 1,000 × minor + release.
    fn version(&self) -> u64;

    /// The version of libvirt whose behaviour this is, counted likewise.
    fn library_version(&self) -> u64;

    /// The name of the machine.
    fn hostname(&self) -> String;

    /// The URI opened, even if the client left it to the driver.
    fn uri(&self) -> String;

    /// The machine.
    fn node_info(&self) -> NodeInfo;

    /// The machine's security model.
    fn security_model(&self) -> SecurityModel;

    /// Whether the hypervisor has a feature, by libvirt's number for it.
    fn supports(&self, feature: i32) -> bool;

    /// The domains that pass the filter.
    ///
    /// # Errors
    /// [`DriverError::UnsupportedFlags`] if the filter has a bit without a meaning.
    fn domains(&self, filter: ListFilter) -> Result<Vec<Domain>, DriverError>;

    /// The running domain of this number.
    ///
    /// # Errors
    /// [`DriverError::NoDomain`] if there is none.
    fn domain_by_id(&self, id: u32) -> Result<Domain, DriverError>;

    /// The domain of this name.
    ///
    /// # Errors
    /// [`DriverError::NoDomain`] if there is none.
    fn domain_by_name(&self, name: &[u8]) -> Result<Domain, DriverError>;

    /// The domain of this UUID.
    ///
    /// # Errors
    /// [`DriverError::NoDomain`] if there is none.
    fn domain_by_uuid(&self, uuid: Uuid) -> Result<Domain, DriverError>;

    /// What a domain uses at `now`.
    ///
    /// # Errors
    /// [`DriverError::DomainGone`].
    fn info(&self, domain: &Domain, now: Time) -> Result<DomainInfo, DriverError>;

    /// Where a domain is in its life, and why.
    ///
    /// # Errors
    /// [`DriverError::DomainGone`].
    fn state(&self, domain: &Domain) -> Result<(DomainState, StateReason), DriverError>;

    /// The kind of operating system in a domain.
    ///
    /// # Errors
    /// [`DriverError::DomainGone`].
    fn os_type(&self, domain: &Domain) -> Result<String, DriverError>;

    /// Whether a domain is started with the machine.
    ///
    /// # Errors
    /// [`DriverError::DomainGone`].
    fn autostart(&self, domain: &Domain) -> Result<bool, DriverError>;

    /// Whether a domain is known while it does not run.
    ///
    /// # Errors
    /// [`DriverError::DomainGone`].
    fn is_persistent(&self, domain: &Domain) -> Result<bool, DriverError>;

    /// Whether the state of a domain that does not run has been saved.
    ///
    /// # Errors
    /// [`DriverError::DomainGone`].
    fn has_managed_save(&self, domain: &Domain) -> Result<bool, DriverError>;

    /// The security label of a domain.
    ///
    /// # Errors
    /// [`DriverError::DomainGone`].
    fn security_label(&self, domain: &Domain) -> Result<SecurityLabel, DriverError>;

    /// Remarks about a domain, such as that it is tainted.
    ///
    /// # Errors
    /// [`DriverError::DomainGone`].
    fn messages(&self, domain: &Domain) -> Result<Vec<String>, DriverError>;

    /// Pauses a running domain.
    ///
    /// # Errors
    /// [`DriverError::Internal`] if it does not run or is paused, [`DriverError::DomainGone`].
    fn suspend(&self, domain: &Domain) -> Result<(), DriverError>;

    /// Lets a paused domain go on.
    ///
    /// # Errors
    /// [`DriverError::Internal`] if it is not paused, [`DriverError::DomainGone`].
    fn resume(&self, domain: &Domain) -> Result<(), DriverError>;

    /// Switches a domain off, as by its power button.
    ///
    /// # Errors
    /// [`DriverError::InvalidOperation`] if it does not run, [`DriverError::DomainGone`].
    fn destroy(&self, domain: &Domain) -> Result<(), DriverError>;
}
