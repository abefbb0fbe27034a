//! The in-memory hypervisor: libvirt's `test:///default`, with one running domain.
//!
//! No call blocks: each takes a lock briefly. All sessions of a driver share the domains, which
//! exist while a session is open. The first session after all others were closed starts with the
//! initial state. libvirt's test driver behaves in the same way.

mod host;

use uuid::Uuid;

use super::{
    Domain, DomainInfo, DomainState, Driver, DriverError, HypervisorSession, ListFilter, NodeInfo,
    SecurityLabel, SecurityModel, StateReason,
};
use crate::sync::{Arc, Mutex};
use eventry::MonotonicTime;
use host::Host;

const URI: &str = "test:///default";

/// Supported features of libvirt's `virDrvFeature`: string-typed parameters (9), and network
/// updates with arguments in the documented order (16).
const FEATURES: [i32; 2] = [9, 16];

/// A driver with one hypervisor, `test:///default`, that exists only in memory.
pub struct MemoryDriver {
    hostname: Arc<str>,
    default_uri: Option<&'static str>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    connections: usize,
    host: Host,
}

impl MemoryDriver {
    /// Creates a driver with the host name of this machine.
    ///
    /// ```
    /// use eventryd::driver::{Driver, MemoryDriver};
    ///
    /// let connection = MemoryDriver::new().open("test:///default")?;
    /// assert_eq!(connection.kind(), "TEST");
    /// # Ok::<(), eventryd::driver::DriverError>(())
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::with_hostname(rustix::system::uname().nodename().to_string_lossy())
    }

    /// Creates a driver with this host name.
    #[must_use]
    pub fn with_hostname(hostname: impl Into<String>) -> Self {
        Self {
            hostname: hostname.into().into(),
            default_uri: Some(URI),
            shared: Arc::new(Mutex::new(Shared::default())),
        }
    }

    /// Returns the driver without a default URI. Clients must give a URI then.
    #[must_use]
    pub fn without_default_uri(self) -> Self {
        Self {
            default_uri: None,
            ..self
        }
    }
}

impl Default for MemoryDriver {
    fn default() -> Self {
        Self::new()
    }
}

impl Driver for MemoryDriver {
    fn open(&self, uri: &str) -> Result<Box<dyn HypervisorSession>, DriverError> {
        let chosen = if uri.is_empty() {
            self.default_uri.unwrap_or("<null>")
        } else {
            uri
        };
        if chosen != URI {
            return Err(DriverError::NoConnection {
                uri: chosen.to_owned(),
            });
        }
        self.shared.lock().connections += 1;
        let (hostname, shared) = (Arc::clone(&self.hostname), Arc::clone(&self.shared));
        Ok(Box::new(MemorySession { hostname, shared }))
    }

    fn may_block(&self) -> bool {
        false
    }
}

/// A session; [`Shared`] counts the open ones.
struct MemorySession {
    hostname: Arc<str>,
    shared: Arc<Mutex<Shared>>,
}

impl Drop for MemorySession {
    fn drop(&mut self) {
        let mut shared = self.shared.lock();
        shared.connections -= 1;
        if shared.connections == 0 {
            shared.host = Host::default();
        }
    }
}

impl HypervisorSession for MemorySession {
    fn may_block(&self) -> bool {
        false
    }

    fn kind(&self) -> String {
        "TEST".to_owned()
    }

    fn version(&self) -> u64 {
        2
    }

    fn library_version(&self) -> u64 {
        9_000_000
    }

    fn hostname(&self) -> String {
        self.hostname.to_string()
    }

    fn uri(&self) -> String {
        URI.to_owned()
    }

    fn node_info(&self) -> NodeInfo {
        NodeInfo {
            model: "i686".to_owned(),
            memory_kib: 3_145_728,
            cpus: 16,
            mhz: 1_400,
            nodes: 2,
            sockets: 2,
            cores: 2,
            threads: 2,
        }
    }

    fn security_model(&self) -> SecurityModel {
        SecurityModel {
            model: "testSecurity".to_owned(),
            doi: String::new(),
        }
    }

    fn supports(&self, feature: i32) -> bool {
        FEATURES.contains(&feature)
    }

    fn domains(&self, filter: ListFilter) -> Result<Vec<Domain>, DriverError> {
        match filter.unknown_bits() {
            0 => Ok(self.shared.lock().host.list(filter)),
            flags => Err(DriverError::UnsupportedFlags {
                flags,
                function: "testConnectListAllDomains",
            }),
        }
    }

    fn domain_by_id(&self, id: u32) -> Result<Domain, DriverError> {
        self.shared.lock().host.find(|domain| domain.id == Some(id))
    }

    fn domain_by_name(&self, name: &[u8]) -> Result<Domain, DriverError> {
        self.shared
            .lock()
            .host
            .find(|domain| domain.name.as_bytes() == name)
    }

    fn domain_by_uuid(&self, uuid: Uuid) -> Result<Domain, DriverError> {
        self.shared.lock().host.find(|domain| domain.uuid == uuid)
    }

    fn info(&self, domain: &Domain, now: MonotonicTime) -> Result<DomainInfo, DriverError> {
        self.shared
            .lock()
            .host
            .guest(domain)
            .map(|guest| guest.info(now))
    }

    fn state(&self, domain: &Domain) -> Result<(DomainState, StateReason), DriverError> {
        self.shared
            .lock()
            .host
            .guest(domain)
            .map(|guest| guest.state())
    }

    fn os_type(&self, domain: &Domain) -> Result<String, DriverError> {
        self.shared
            .lock()
            .host
            .guest(domain)
            .map(|_| "linux".to_owned())
    }

    fn autostart(&self, domain: &Domain) -> Result<bool, DriverError> {
        self.shared
            .lock()
            .host
            .guest(domain)
            .map(|guest| guest.traits().autostart)
    }

    fn is_persistent(&self, domain: &Domain) -> Result<bool, DriverError> {
        self.shared
            .lock()
            .host
            .guest(domain)
            .map(|guest| guest.traits().persistent)
    }

    fn has_managed_save(&self, domain: &Domain) -> Result<bool, DriverError> {
        self.shared
            .lock()
            .host
            .guest(domain)
            .map(|guest| guest.traits().managed_save)
    }

    fn security_label(&self, domain: &Domain) -> Result<SecurityLabel, DriverError> {
        let label = SecurityLabel {
            label: "libvirt-test".to_owned(),
            enforcing: true,
        };
        self.shared.lock().host.guest(domain).map(|_| label)
    }

    fn messages(&self, domain: &Domain) -> Result<Vec<String>, DriverError> {
        self.shared.lock().host.guest(domain).map(|_| Vec::new())
    }

    fn suspend(&self, domain: &Domain) -> Result<(), DriverError> {
        self.shared.lock().host.guest(domain)?.suspend()
    }

    fn resume(&self, domain: &Domain) -> Result<(), DriverError> {
        self.shared.lock().host.guest(domain)?.resume()
    }

    fn destroy(&self, domain: &Domain) -> Result<(), DriverError> {
        self.shared.lock().host.guest(domain)?.destroy()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(driver: &MemoryDriver) -> Box<dyn HypervisorSession> {
        driver.open(URI).expect("the driver's own URI")
    }

    fn test_domain(connection: &dyn HypervisorSession) -> Domain {
        connection
            .domain_by_name(b"test")
            .expect("the test domain exists")
    }

    #[test]
    fn sessions_share_domains_until_the_last_one_is_closed() {
        let driver = MemoryDriver::with_hostname("host");
        let (first, second) = (open(&driver), open(&driver));
        let domain = test_domain(&*first);
        first.suspend(&domain).unwrap();
        drop(first);
        let paused = (DomainState::Paused, StateReason::PausedByUser);
        assert_eq!(second.state(&domain), Ok(paused));
        drop(second);
        let fresh = (DomainState::Running, StateReason::Unknown);
        assert_eq!(open(&driver).state(&domain), Ok(fresh));
    }

    #[test]
    fn suspend_resume_and_destroy_check_the_domain_state() {
        let driver = MemoryDriver::with_hostname("host");
        let connection = open(&driver);
        let domain = test_domain(&*connection);
        let not = |what: &str| Err(DriverError::Internal(format!("domain 'test' not {what}")));

        assert_eq!(connection.resume(&domain), not("paused"));
        assert_eq!(connection.suspend(&domain), Ok(()));
        assert_eq!(connection.suspend(&domain), not("running"));
        assert_eq!(connection.resume(&domain), Ok(()));
        assert_eq!(
            connection.state(&domain),
            Ok((DomainState::Running, StateReason::Unpaused))
        );
        assert_eq!(connection.destroy(&domain), Ok(()));
        assert_eq!(
            connection.state(&domain),
            Ok((DomainState::ShutOff, StateReason::Destroyed))
        );
        assert_eq!(connection.suspend(&domain), not("running"));
        assert_eq!(connection.resume(&domain), not("paused"));
        let refused = DriverError::InvalidOperation("domain is not running");
        assert_eq!(connection.destroy(&domain), Err(refused));
    }

    #[test]
    fn destroyed_domain_has_no_id_and_is_inactive() {
        let driver = MemoryDriver::with_hostname("host");
        let connection = open(&driver);
        let domain = test_domain(&*connection);
        let (active, inactive) = (ListFilter::from_bits(1), ListFilter::from_bits(2));
        assert_eq!(
            connection.domains(active).unwrap(),
            std::slice::from_ref(&domain)
        );
        assert_eq!(connection.domains(inactive).unwrap(), []);

        connection.destroy(&domain).unwrap();
        let off = Domain { id: None, ..domain };
        assert_eq!(connection.domains(active).unwrap(), []);
        assert_eq!(connection.domains(inactive).unwrap(), [off]);
        assert_eq!(connection.domain_by_id(1), Err(DriverError::NoDomain));
    }

    #[test]
    fn lookup_uses_only_the_uuid_of_a_domain() {
        let driver = MemoryDriver::with_hostname("host");
        let connection = open(&driver);
        let domain = test_domain(&*connection);
        let renamed = Domain {
            name: "other".to_owned(),
            id: None,
            ..domain.clone()
        };
        assert!(connection.state(&renamed).is_ok());
        let gone = Domain {
            uuid: Uuid::nil(),
            ..domain
        };
        let text = connection.state(&gone).unwrap_err().to_string();
        let expected = "Domain not found: no domain with matching uuid \
                        '00000000-0000-0000-0000-000000000000' (test)";
        assert_eq!(text, expected);
    }

    #[test]
    fn cpu_time_grows_with_the_clock_and_is_never_zero() {
        let driver = MemoryDriver::with_hostname("host");
        let connection = open(&driver);
        let domain = test_domain(&*connection);
        let at = |nanos| {
            connection
                .info(&domain, MonotonicTime::from_nanos(nanos))
                .unwrap()
                .cpu_time_ns
        };
        assert_eq!(at(0), 1);
        assert_eq!(at(5_000), 5_000);
    }

    #[test]
    fn open_without_a_uri_uses_the_default_if_there_is_one() {
        let driver = MemoryDriver::with_hostname("host");
        assert_eq!(driver.open("").unwrap().uri(), URI);
        let refused = driver.without_default_uri().open("").err();
        assert_eq!(
            refused,
            Some(DriverError::NoConnection {
                uri: "<null>".to_owned()
            })
        );
    }
}
