//! A driver whose calls block until the test lets them return.

use eventry::MonotonicTime;
use eventryd::driver::{Domain, DomainInfo, Driver, DriverError, HypervisorSession, MemoryDriver};
use std::sync::mpsc::{Receiver, Sender, channel};
use test_support::{delegate, delegate_rest};

/// The in-memory hypervisor with a `hostname` call that blocks.
pub(crate) struct BlockingDriver {
    inner: MemoryDriver,
    /// Workers run the calls.
    pub(crate) may_block: bool,
    blocked: Sender<Sender<()>>,
}

/// The blocked calls. Each one returns when its sender is dropped.
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
        // The receiver is gone at the end of the test.
        if self.blocked.send(resume).is_ok() {
            let _ = wait.recv();
        }
        self.inner.hostname()
    }

    /// Panics, like a broken hypervisor.
    fn version(&self) -> u64 {
        panic!("this panic is part of the test")
    }

    delegate! {
        domain_by_name(name: &[u8]) -> Result<Domain, DriverError>;
        info(domain: &Domain, now: MonotonicTime) -> Result<DomainInfo, DriverError>;
        suspend(domain: &Domain) -> Result<(), DriverError>;
        destroy(domain: &Domain) -> Result<(), DriverError>;
    }

    delegate_rest!();
}
