//! A hypervisor that takes its time: a driver whose connections say that they may block, and do.

use eventry::Time;
use eventry::driver::{
    Connection, Domain, DomainInfo, DomainState, Driver, DriverError, ListFilter, MemoryDriver,
    NodeInfo, SecurityLabel, SecurityModel, StateReason,
};
use std::sync::mpsc::{Receiver, Sender, channel};
use uuid::Uuid;

/// The in-memory hypervisor, but that the question for its hostname is answered when the test says so.
pub(crate) struct BlockingDriver {
    inner: MemoryDriver,
    blocked: Sender<Sender<()>>,
}

/// Calls that wait: each goes on when what is received for it is dropped.
pub(crate) type Blocked = Receiver<Sender<()>>;

impl BlockingDriver {
    pub(crate) fn new() -> (BlockingDriver, Blocked) {
        let (blocked, calls) = channel();
        let inner = MemoryDriver::with_hostname("slow");
        (BlockingDriver { inner, blocked }, calls)
    }
}

impl Driver for BlockingDriver {
    fn open(&self, uri: &str) -> Result<Box<dyn Connection>, DriverError> {
        let inner = self.inner.open(uri)?;
        let blocked = self.blocked.clone();
        Ok(Box::new(Blocking { inner, blocked }))
    }
}

struct Blocking {
    inner: Box<dyn Connection>,
    blocked: Sender<Sender<()>>,
}

/// Passes calls on.
macro_rules! pass_on {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        fn $name(&self $(, $argument: $type)*) -> $result {
            self.inner.$name($($argument),*)
        }
    )*};
}

impl Connection for Blocking {
    fn hostname(&self) -> String {
        let (go_on, wait) = channel();
        // A test that has ended waits for nobody.
        if self.blocked.send(go_on).is_ok() {
            let _ = wait.recv();
        }
        self.inner.hostname()
    }

    /// The version of a hypervisor that is broken.
    fn version(&self) -> u64 {
        panic!("this panic is the test's")
    }

    pass_on! {
        kind() -> String;
        library_version() -> u64;
        uri() -> String;
        node_info() -> NodeInfo;
        security_model() -> SecurityModel;
        supports(feature: i32) -> bool;
        domains(filter: ListFilter) -> Result<Vec<Domain>, DriverError>;
        domain_by_id(id: u32) -> Result<Domain, DriverError>;
        domain_by_name(name: &[u8]) -> Result<Domain, DriverError>;
        domain_by_uuid(uuid: Uuid) -> Result<Domain, DriverError>;
        info(domain: &Domain, now: Time) -> Result<DomainInfo, DriverError>;
        state(domain: &Domain) -> Result<(DomainState, StateReason), DriverError>;
        os_type(domain: &Domain) -> Result<String, DriverError>;
        autostart(domain: &Domain) -> Result<bool, DriverError>;
        is_persistent(domain: &Domain) -> Result<bool, DriverError>;
        has_managed_save(domain: &Domain) -> Result<bool, DriverError>;
        security_label(domain: &Domain) -> Result<SecurityLabel, DriverError>;
        messages(domain: &Domain) -> Result<Vec<String>, DriverError>;
        suspend(domain: &Domain) -> Result<(), DriverError>;
        resume(domain: &Domain) -> Result<(), DriverError>;
        destroy(domain: &Domain) -> Result<(), DriverError>;
    }
}
