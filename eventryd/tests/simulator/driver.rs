//! The in-memory hypervisor, which remembers who had it do what.

use eventry::MonotonicTime;
use eventryd::driver::{Domain, DomainInfo, Driver, DriverError, HypervisorSession, MemoryDriver};
use std::sync::{Arc, Mutex};
use test_support::{pass_on, pass_on_the_rest};

/// The names under which calls asked for the domain: each is of one call of one client.
pub(crate) type Done = Arc<Mutex<Vec<String>>>;

pub(crate) struct Hypervisor {
    inner: MemoryDriver,
    may_block: bool,
    done: Done,
}

impl Hypervisor {
    /// The machine's name is as long as its answers are to be.
    pub(crate) fn new(may_block: bool, hostname: &str) -> Hypervisor {
        Hypervisor {
            inner: MemoryDriver::with_hostname(hostname),
            may_block,
            done: Done::default(),
        }
    }

    pub(crate) fn done(&self) -> Done {
        Arc::clone(&self.done)
    }
}

impl Driver for Hypervisor {
    fn open(&self, uri: &str) -> Result<Box<dyn HypervisorSession>, DriverError> {
        Ok(Box::new(Remembering {
            inner: self.inner.open(uri)?,
            may_block: self.may_block,
            done: Arc::clone(&self.done),
        }))
    }

    fn may_block(&self) -> bool {
        self.may_block
    }
}

struct Remembering {
    inner: Box<dyn HypervisorSession>,
    may_block: bool,
    done: Done,
}

impl Remembering {
    fn remember(&self, name: &str) {
        self.done.lock().unwrap().push(name.to_owned());
    }
}

impl HypervisorSession for Remembering {
    fn may_block(&self) -> bool {
        self.may_block
    }

    fn domain_by_name(&self, name: &[u8]) -> Result<Domain, DriverError> {
        self.remember(&String::from_utf8_lossy(name));
        self.inner.domain_by_name(b"test")
    }

    fn info(&self, domain: &Domain, now: MonotonicTime) -> Result<DomainInfo, DriverError> {
        self.remember(&domain.name);
        self.inner.info(domain, now)
    }

    fn suspend(&self, domain: &Domain) -> Result<(), DriverError> {
        self.remember(&domain.name);
        self.inner.suspend(domain)
    }

    fn destroy(&self, domain: &Domain) -> Result<(), DriverError> {
        self.remember(&domain.name);
        self.inner.destroy(domain)
    }

    pass_on! {
        version() -> u64;
        hostname() -> String;
    }

    pass_on_the_rest!();
}
