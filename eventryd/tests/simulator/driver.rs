//! The in-memory hypervisor with a record of the executed calls.

use eventry::MonotonicTime;
use eventryd::driver::{Domain, DomainInfo, Driver, DriverError, HypervisorSession, MemoryDriver};
use std::sync::{Arc, Mutex};
use test_support::{delegate, delegate_rest};

/// The domain names of the executed calls. Each name belongs to one call of one client.
pub(crate) type ExecutedCalls = Arc<Mutex<Vec<String>>>;

pub(crate) struct Hypervisor {
    inner: MemoryDriver,
    may_block: bool,
    executed: ExecutedCalls,
}

impl Hypervisor {
    /// Creates a hypervisor. The length of `hostname` sets the length of the replies.
    pub(crate) fn new(may_block: bool, hostname: &str) -> Hypervisor {
        Hypervisor {
            inner: MemoryDriver::with_hostname(hostname),
            may_block,
            executed: ExecutedCalls::default(),
        }
    }

    pub(crate) fn executed(&self) -> ExecutedCalls {
        Arc::clone(&self.executed)
    }
}

impl Driver for Hypervisor {
    fn open(&self, uri: &str) -> Result<Box<dyn HypervisorSession>, DriverError> {
        Ok(Box::new(Recorder {
            inner: self.inner.open(uri)?,
            may_block: self.may_block,
            executed: Arc::clone(&self.executed),
        }))
    }

    fn may_block(&self) -> bool {
        self.may_block
    }
}

struct Recorder {
    inner: Box<dyn HypervisorSession>,
    may_block: bool,
    executed: ExecutedCalls,
}

impl Recorder {
    fn record(&self, name: &str) {
        self.executed.lock().unwrap().push(name.to_owned());
    }
}

impl HypervisorSession for Recorder {
    fn may_block(&self) -> bool {
        self.may_block
    }

    fn domain_by_name(&self, name: &[u8]) -> Result<Domain, DriverError> {
        self.record(&String::from_utf8_lossy(name));
        self.inner.domain_by_name(b"test")
    }

    fn info(&self, domain: &Domain, now: MonotonicTime) -> Result<DomainInfo, DriverError> {
        self.record(&domain.name);
        self.inner.info(domain, now)
    }

    fn suspend(&self, domain: &Domain) -> Result<(), DriverError> {
        self.record(&domain.name);
        self.inner.suspend(domain)
    }

    fn destroy(&self, domain: &Domain) -> Result<(), DriverError> {
        self.record(&domain.name);
        self.inner.destroy(domain)
    }

    delegate! {
        version() -> u64;
        hostname() -> String;
    }

    delegate_rest!();
}
