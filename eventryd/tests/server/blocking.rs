//! A hypervisor that takes its time: a driver whose connections say that they may block, and do.

use eventry::Time;
use eventryd::driver::{Domain, DomainInfo, Driver, DriverError, HypervisorSession, MemoryDriver};
use std::sync::mpsc::{Receiver, Sender, channel};
use test_support::{delegate, delegate_rest};

/// The in-memory hypervisor, but that the question for its hostname is answered when the test says so.
pub(crate) struct BlockingDriver {
    inner: MemoryDriver,
    /// The calls are left to workers.
    pub(crate) may_block: bool,
    blocked: Sender<Sender<()>>,
}

/// Calls that wait: each goes on when what is received for it is dropped.
pub(crate) type Blocked = Receiver<Sender<()>>;

impl BlockingDriver {
    pub(crate) fn new() -> (BlockingDriver, Blocked) {
        let (blocked, calls) = channel();
        let inner = MemoryDriver::with_hostname("slow");
        let driver = BlockingDriver {
            inner,
            may_block: true,
            blocked,
        };
        (driver, calls)
    }
}

impl Driver for BlockingDriver {
    fn open(&self, uri: &str) -> Result<Box<dyn HypervisorSession>, DriverError> {
        let inner = self.inner.open(uri)?;
        Ok(Box::new(Blocking {
            inner,
            may_block: self.may_block,
            blocked: self.blocked.clone(),
        }))
    }

    fn may_block(&self) -> bool {
        self.may_block
    }
}

struct Blocking {
    inner: Box<dyn HypervisorSession>,
    may_block: bool,
    blocked: Sender<Sender<()>>,
}

impl HypervisorSession for Blocking {
    fn may_block(&self) -> bool {
        self.may_block
    }

    fn hostname(&self) -> String {
        let (resume, wait) = channel();
        // A test that has ended waits for nobody.
        if self.blocked.send(resume).is_ok() {
            let _ = wait.recv();
        }
        self.inner.hostname()
    }

    /// The version of a hypervisor that is broken.
    fn version(&self) -> u64 {
        panic!("this panic is the test's")
    }

    delegate! {
        domain_by_name(name: &[u8]) -> Result<Domain, DriverError>;
        info(domain: &Domain, now: Time) -> Result<DomainInfo, DriverError>;
        suspend(domain: &Domain) -> Result<(), DriverError>;
        destroy(domain: &Domain) -> Result<(), DriverError>;
    }

    delegate_rest!();
}
