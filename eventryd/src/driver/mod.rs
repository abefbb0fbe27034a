//! The `Driver` trait and the in-memory hypervisor.
//!
//! A [`Driver`] opens [`HypervisorSession`]s. A session returns information about the
//! machine and its domains, and changes them. Both are independent of the wire protocol except for
//! its flags: a domain's id is an `Option`, an error is an enum. Both have no clock: a method whose
//! result depends on the time takes the time as an argument.
//!
//! The caller checks permissions before it calls a session (DM-1103).

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

use eventry::MonotonicTime;

/// A factory of hypervisor sessions.
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
    /// Opens a session with the hypervisor at `uri`. With an empty URI the driver chooses one.
    ///
    /// # Errors
    /// [`DriverError::NoConnection`] if the driver does not serve the URI.
    fn open(&self, uri: &str) -> Result<Box<dyn HypervisorSession>, DriverError>;

    /// Returns `true` if [`open`](Self::open) may block, other than on a lock that is held briefly.
    /// A worker calls it then. Only a driver that answers from memory returns `false`.
    fn may_block(&self) -> bool {
        true
    }
}

/// A session with a hypervisor, closed on drop. Methods may be called concurrently.
///
/// # Errors
/// Methods with a domain as an argument identify it by its UUID alone, and return
/// [`DriverError::DomainGone`] if it does not exist. Other errors are listed at each method.
pub trait HypervisorSession: Send + Sync {
    /// Returns `true` if a method or the drop of the session may block, other than on a lock
    /// that is held briefly. A worker calls it then. Only a session that answers from memory
    /// returns `false`.
    fn may_block(&self) -> bool {
        true
    }

    /// Returns the type of the hypervisor, such as "TEST" or "QEMU".
    fn kind(&self) -> String;

    /// Returns the version of the hypervisor: 1,000,000 × major + 1,000 × minor + release.
    fn version(&self) -> u64;

    /// Returns the version of libvirt that the driver reproduces, in the same encoding.
    fn library_version(&self) -> u64;

    /// Returns the name of the machine.
    fn hostname(&self) -> String;

    /// Returns the URI of the session, also if the driver chose it.
    fn uri(&self) -> String;

    /// Returns the properties of the machine.
    fn node_info(&self) -> NodeInfo;

    /// Returns the security model of the machine.
    fn security_model(&self) -> SecurityModel;

    /// Returns `true` if the hypervisor supports a feature, a value of libvirt's `virDrvFeature`.
    fn supports(&self, feature: i32) -> bool;

    /// Returns the domains that match the filter.
    ///
    /// # Errors
    /// [`DriverError::UnsupportedFlags`] if the filter has an undefined bit.
    fn domains(&self, filter: ListFilter) -> Result<Vec<Domain>, DriverError>;

    /// Returns the running domain with this id.
    ///
    /// # Errors
    /// [`DriverError::NoDomain`] if there is none.
    fn domain_by_id(&self, id: u32) -> Result<Domain, DriverError>;

    /// Returns the domain with this name.
    ///
    /// # Errors
    /// [`DriverError::NoDomain`] if there is none.
    fn domain_by_name(&self, name: &[u8]) -> Result<Domain, DriverError>;

    /// Returns the domain with this UUID.
    ///
    /// # Errors
    /// [`DriverError::NoDomain`] if there is none.
    fn domain_by_uuid(&self, uuid: Uuid) -> Result<Domain, DriverError>;

    /// Returns the state and the resources of a domain at `now`.
    ///
    /// # Errors
    /// [`DriverError::DomainGone`].
    fn info(&self, domain: &Domain, now: MonotonicTime) -> Result<DomainInfo, DriverError>;

    /// Returns the state of a domain and its reason.
    ///
    /// # Errors
    /// [`DriverError::DomainGone`].
    fn state(&self, domain: &Domain) -> Result<(DomainState, StateReason), DriverError>;

    /// Returns the type of a domain's operating system.
    ///
    /// # Errors
    /// [`DriverError::DomainGone`].
    fn os_type(&self, domain: &Domain) -> Result<String, DriverError>;

    /// Returns `true` if the domain starts with the machine.
    ///
    /// # Errors
    /// [`DriverError::DomainGone`].
    fn autostart(&self, domain: &Domain) -> Result<bool, DriverError>;

    /// Returns `true` if the domain's definition persists while it does not run.
    ///
    /// # Errors
    /// [`DriverError::DomainGone`].
    fn is_persistent(&self, domain: &Domain) -> Result<bool, DriverError>;

    /// Returns `true` if the domain has a managed save image.
    ///
    /// # Errors
    /// [`DriverError::DomainGone`].
    fn has_managed_save(&self, domain: &Domain) -> Result<bool, DriverError>;

    /// Returns the security label of a domain.
    ///
    /// # Errors
    /// [`DriverError::DomainGone`].
    fn security_label(&self, domain: &Domain) -> Result<SecurityLabel, DriverError>;

    /// Returns messages about a domain, such as taints.
    ///
    /// # Errors
    /// [`DriverError::DomainGone`].
    fn messages(&self, domain: &Domain) -> Result<Vec<String>, DriverError>;

    /// Pauses a running domain.
    ///
    /// # Errors
    /// [`DriverError::Internal`] if the domain is not running, [`DriverError::DomainGone`].
    fn suspend(&self, domain: &Domain) -> Result<(), DriverError>;

    /// Resumes a paused domain.
    ///
    /// # Errors
    /// [`DriverError::Internal`] if the domain is not paused, [`DriverError::DomainGone`].
    fn resume(&self, domain: &Domain) -> Result<(), DriverError>;

    /// Powers a domain off.
    ///
    /// # Errors
    /// [`DriverError::InvalidOperation`] if the domain is not active, [`DriverError::DomainGone`].
    fn destroy(&self, domain: &Domain) -> Result<(), DriverError>;
}
