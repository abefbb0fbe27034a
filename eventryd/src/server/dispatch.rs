//! Calls carried out: what the protocol asks, in terms of the driver, and what the driver answers, in terms of
//! the protocol.
//!
//! A [`Dispatcher`] is the part of a client that may be handed to a worker: it knows the client's connection to
//! a hypervisor and nothing of its bytes. What a client may do is decided before, in its
//! [`Session`](crate::session::Session).

use std::sync::Arc;

use crate::driver::{
    Connection, Domain, Driver, DriverError, ListFilter, NodeInfo, SecurityLabel, SecurityModel,
};
use crate::wire::{
    Array, Call, CharArray, ConnectOpenArgs, DomainInfoRet, DomainRef, DomainRet, DomainStateRet,
    ErrorCode, ErrorDomain, FixedCharArray, FlagRet, GetLibVersionRet, GetVersionRet, HostnameRet,
    ListAllDomainsArgs, ListAllDomainsRet, MessagesRet, NodeInfoRet, Procedure, RemoteError, Reply,
    SecurityLabelRet, SecurityModelRet, TypeRet, UriRet,
};
use eventry::Time;

/// The features that concern the protocol, by libvirt's numbers: events with callback ids (14) and close
/// callbacks (15). Keepalive (10) is the session's.
const PROTOCOL_FEATURES: [i32; 2] = [14, 15];

/// Carries out one client's calls.
///
/// ```
/// use std::sync::Arc;
/// use eventry::Time;
/// use eventryd::driver::MemoryDriver;
/// use eventryd::server::Dispatcher;
/// use eventryd::wire::{Call, ConnectOpenArgs, HostnameRet, Reply};
///
/// let mut dispatcher = Dispatcher::new(Arc::new(MemoryDriver::with_hostname("example")));
/// let open = ConnectOpenArgs { name: Some("test:///default".into()), flags: 0 };
/// dispatcher.dispatch(Time::ZERO, Call::ConnectOpen(open))?;
/// let reply = dispatcher.dispatch(Time::ZERO, Call::ConnectGetHostname(()))?;
/// assert_eq!(reply, Reply::ConnectGetHostname(HostnameRet { hostname: "example".into() }));
/// # Ok::<(), eventryd::wire::RemoteError>(())
/// ```
pub struct Dispatcher {
    driver: Arc<dyn Driver>,
    connection: Option<Arc<dyn Connection>>,
}

/// A call and all that is needed to carry it out, on any thread.
pub struct Task {
    on: On,
    call: Call,
}

enum On {
    Driver(Arc<dyn Driver>),
    Connection(Arc<dyn Connection>),
    /// There is nothing that could.
    Nothing,
}

/// What came of a task.
pub struct Outcome {
    result: Result<Reply, RemoteError>,
    /// What an open has opened.
    opened: Option<Arc<dyn Connection>>,
}

impl Dispatcher {
    /// A dispatcher of a client that has opened nothing yet.
    #[must_use]
    pub const fn new(driver: Arc<dyn Driver>) -> Self {
        Self {
            driver,
            connection: None,
        }
    }

    /// Whether the client has an open connection.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.connection.is_some()
    }

    /// Carries out a call at `now`. The reply is of the same procedure.
    ///
    /// # Errors
    /// What to tell the client: that it has not opened a connection, or has already (DM-1102), or why the
    /// driver does not do it.
    ///
    /// # Panics
    /// If a connection is open and the call is one that a session answers itself: those of authentication,
    /// CONNECT_CLOSE.
    pub fn dispatch(&mut self, now: Time, call: Call) -> Result<Reply, RemoteError> {
        let outcome = self.prepare(call).run(now);
        self.finish(outcome)
    }

    /// Makes a task of a call, to be carried out elsewhere. What comes of it is due to [`finish`](Self::finish).
    pub fn prepare(&self, call: Call) -> Task {
        let on = match (&call, &self.connection) {
            (Call::ConnectOpen(_), None) => On::Driver(Arc::clone(&self.driver)),
            (Call::ConnectOpen(_), Some(_)) | (_, None) => On::Nothing,
            (_, Some(connection)) => On::Connection(Arc::clone(connection)),
        };
        Task { on, call }
    }

    /// The reply of a task; keeps what it has opened.
    pub fn finish(&mut self, outcome: Outcome) -> Result<Reply, RemoteError> {
        if outcome.opened.is_some() {
            self.connection = outcome.opened;
        }
        outcome.result
    }

    /// What the client had open.
    pub fn close(self) -> Option<Arc<dyn Connection>> {
        self.connection
    }
}

impl Task {
    /// Whether it may wait for something, so that the loop had better not carry it out.
    pub fn may_block(&self) -> bool {
        match &self.on {
            On::Driver(driver) => driver.may_block(),
            On::Connection(connection) => connection.may_block(),
            On::Nothing => false,
        }
    }

    /// The line of the call in the table.
    pub fn procedure(&self) -> &'static Procedure {
        self.call.procedure()
    }

    /// Carries out the call.
    pub fn run(self, now: Time) -> Outcome {
        let internal = |text| RemoteError::internal(ErrorDomain::RPC, text);
        let mut opened = None;
        let result = match (self.on, self.call) {
            (On::Driver(driver), Call::ConnectOpen(args)) => open(&*driver, &args).map(|new| {
                opened = Some(new);
                Reply::ConnectOpen(())
            }),
            (On::Connection(connection), call) => {
                on_connection(&*connection, now, call).map_err(remote_error)
            }
            (_, Call::ConnectOpen(_)) => Err(internal("connection already open")),
            (_, _) => Err(internal("hypervisor connection not open")),
        };
        Outcome { result, opened }
    }
}

impl Outcome {
    /// What the client is told.
    pub const fn result(&self) -> &Result<Reply, RemoteError> {
        &self.result
    }

    /// That a task was not carried out.
    pub fn failed(error: RemoteError) -> Outcome {
        Outcome {
            result: Err(error),
            opened: None,
        }
    }
}

fn open(driver: &dyn Driver, args: &ConnectOpenArgs) -> Result<Arc<dyn Connection>, RemoteError> {
    let name = args.name.as_ref().ok_or_else(|| {
        let text = "connection not open";
        RemoteError::internal(ErrorDomain::RPC, text)
    })?;
    let connection = driver.open(&name.to_string_lossy()).map_err(remote_error)?;
    Ok(Arc::from(connection))
}

/// Carries out a call that needs an open connection.
fn on_connection(connection: &dyn Connection, now: Time, call: Call) -> Result<Reply, DriverError> {
    Ok(match call {
        Call::ConnectOpen(_)
        | Call::ConnectClose(())
        | Call::AuthList(())
        | Call::AuthSaslInit(())
        | Call::AuthSaslStart(_)
        | Call::AuthSaslStep(_)
        | Call::AuthPolkit(()) => {
            unreachable!("a session answers these, and `dispatch` an open")
        }
        Call::ConnectGetType(()) => Reply::ConnectGetType(TypeRet {
            name: connection.kind().into(),
        }),
        Call::ConnectGetVersion(()) => Reply::ConnectGetVersion(GetVersionRet {
            hv_ver: connection.version(),
        }),
        Call::ConnectGetLibVersion(()) => {
            let lib_ver = connection.library_version();
            Reply::ConnectGetLibVersion(GetLibVersionRet { lib_ver })
        }
        Call::ConnectGetHostname(()) => Reply::ConnectGetHostname(HostnameRet {
            hostname: connection.hostname().into(),
        }),
        Call::ConnectGetUri(()) => Reply::ConnectGetUri(UriRet {
            uri: connection.uri().into(),
        }),
        Call::ConnectSupportsFeature(args) => {
            let supported =
                PROTOCOL_FEATURES.contains(&args.feature) || connection.supports(args.feature);
            Reply::ConnectSupportsFeature(flag(supported))
        }
        // The connection of this driver never closes by itself, so there is nothing to remember.
        Call::ConnectRegisterCloseCallback(()) => Reply::ConnectRegisterCloseCallback(()),
        Call::ConnectUnregisterCloseCallback(()) => Reply::ConnectUnregisterCloseCallback(()),
        Call::NodeGetInfo(()) => Reply::NodeGetInfo(connection.node_info().into()),
        Call::NodeGetSecurityModel(()) => {
            Reply::NodeGetSecurityModel(connection.security_model().into())
        }
        Call::ConnectListAllDomains(args) => {
            Reply::ConnectListAllDomains(list_domains(connection, &args)?)
        }
        Call::DomainLookupById(args) => {
            // A domain that does not run has no number, so a negative one finds nothing.
            let id = u32::try_from(args.id).map_err(|_| DriverError::NoDomain)?;
            Reply::DomainLookupById(connection.domain_by_id(id)?.into())
        }
        Call::DomainLookupByName(args) => {
            let found = connection.domain_by_name(args.name.as_bytes())?;
            Reply::DomainLookupByName(found.into())
        }
        Call::DomainLookupByUuid(args) => {
            Reply::DomainLookupByUuid(connection.domain_by_uuid(args.uuid)?.into())
        }
        Call::DomainGetAutostart(args) => {
            Reply::DomainGetAutostart(flag(connection.autostart(&args.dom.into())?))
        }
        Call::DomainGetInfo(args) => {
            let info = connection.info(&args.dom.into(), now)?;
            Reply::DomainGetInfo(DomainInfoRet {
                state: info.state.number().into(),
                max_mem: info.max_memory_kib,
                memory: info.memory_kib,
                nr_virt_cpu: info.vcpus,
                cpu_time: info.cpu_time_ns,
            })
        }
        Call::DomainGetState(args) => {
            let (state, reason) = connection.state(&args.dom.into())?;
            let (state, reason) = (state.number().into(), reason.number().into());
            Reply::DomainGetState(DomainStateRet { state, reason })
        }
        Call::DomainGetOsType(args) => {
            let name = connection.os_type(&args.dom.into())?.into();
            Reply::DomainGetOsType(TypeRet { name })
        }
        Call::DomainGetSecurityLabel(args) => {
            Reply::DomainGetSecurityLabel(connection.security_label(&args.dom.into())?.into())
        }
        Call::DomainIsActive(args) => {
            let (state, _) = connection.state(&args.dom.into())?;
            Reply::DomainIsActive(flag(state.is_active()))
        }
        Call::DomainIsPersistent(args) => {
            Reply::DomainIsPersistent(flag(connection.is_persistent(&args.dom.into())?))
        }
        Call::DomainHasManagedSaveImage(args) => {
            Reply::DomainHasManagedSaveImage(flag(connection.has_managed_save(&args.dom.into())?))
        }
        Call::DomainGetMessages(args) => {
            let texts = connection.messages(&args.dom.into())?;
            let msgs = Array(texts.into_iter().map(Into::into).collect());
            Reply::DomainGetMessages(MessagesRet { msgs })
        }
        Call::DomainSuspend(args) => Reply::DomainSuspend(connection.suspend(&args.dom.into())?),
        Call::DomainResume(args) => Reply::DomainResume(connection.resume(&args.dom.into())?),
        Call::DomainDestroy(args) => Reply::DomainDestroy(connection.destroy(&args.dom.into())?),
    })
}

fn list_domains(
    connection: &dyn Connection,
    args: &ListAllDomainsArgs,
) -> Result<ListAllDomainsRet, DriverError> {
    let found = connection.domains(ListFilter::from_bits(args.flags))?;
    // A list that does not fit does not encode either, so its saturated count is never sent.
    let ret = u32::try_from(found.len()).unwrap_or(u32::MAX);
    let wanted = if args.need_results == 0 {
        Vec::new()
    } else {
        found
    };
    let domains = Array(wanted.into_iter().map(Into::into).collect());
    Ok(ListAllDomainsRet { domains, ret })
}

const fn flag(value: bool) -> FlagRet {
    FlagRet {
        value: value as i32,
    }
}

/// The error with the number, the origin and the parts that libvirt's test driver gives it.
fn remote_error(error: DriverError) -> RemoteError {
    use ErrorDomain as Origin;
    match error {
        DriverError::NoConnection { uri } => {
            let template = "no connection driver available for %s";
            RemoteError::new(ErrorCode::NO_CONNECT, Origin::NONE, template, &uri)
        }
        DriverError::NoDomain => {
            RemoteError::plain(ErrorCode::NO_DOMAIN, Origin::TEST, "Domain not found")
        }
        DriverError::DomainGone { uuid, name } => {
            let detail = format!("no domain with matching uuid '{uuid}' ({name})");
            RemoteError::new(
                ErrorCode::NO_DOMAIN,
                Origin::TEST,
                "Domain not found: %s",
                &detail,
            )
        }
        DriverError::UnsupportedFlags { flags, function } => {
            RemoteError::unsupported_flags(Origin::TEST, flags, function)
        }
        DriverError::Internal(detail) => RemoteError::internal(Origin::TEST, &detail),
        DriverError::InvalidOperation(detail) => {
            let template = "Requested operation is not valid: %s";
            RemoteError::new(
                ErrorCode::OPERATION_INVALID,
                Origin::DOMAIN,
                template,
                detail,
            )
        }
    }
}

impl From<DomainRef> for Domain {
    fn from(dom: DomainRef) -> Self {
        Self {
            name: dom.name.to_string(),
            uuid: dom.uuid,
            id: u32::try_from(dom.id).ok(),
        }
    }
}

impl From<Domain> for DomainRef {
    fn from(domain: Domain) -> Self {
        // The protocol has no room for numbers above i32::MAX, and -1 means "does not run".
        let id = domain
            .id
            .and_then(|id| i32::try_from(id).ok())
            .unwrap_or(-1);
        Self {
            name: domain.name.into(),
            uuid: domain.uuid,
            id,
        }
    }
}

impl From<Domain> for DomainRet {
    fn from(domain: Domain) -> Self {
        Self { dom: domain.into() }
    }
}

impl From<NodeInfo> for NodeInfoRet {
    fn from(node: NodeInfo) -> Self {
        Self {
            model: FixedCharArray::terminated(&node.model),
            memory: node.memory_kib,
            cpus: node.cpus,
            mhz: node.mhz,
            nodes: node.nodes,
            sockets: node.sockets,
            cores: node.cores,
            threads: node.threads,
        }
    }
}

impl From<SecurityModel> for SecurityModelRet {
    fn from(security: SecurityModel) -> Self {
        Self {
            model: CharArray::terminated(&security.model),
            doi: CharArray::terminated(&security.doi),
        }
    }
}

impl From<SecurityLabel> for SecurityLabelRet {
    fn from(security: SecurityLabel) -> Self {
        Self {
            label: CharArray::terminated(&security.label),
            enforcing: security.enforcing.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::MemoryDriver;
    use crate::wire::{DomainArgs, LookupByIdArgs, LookupByNameArgs};

    fn opened() -> Dispatcher {
        let mut dispatcher = Dispatcher::new(Arc::new(MemoryDriver::with_hostname("host")));
        assert!(!dispatcher.is_open());
        let open = ConnectOpenArgs {
            name: Some("test:///default".into()),
            flags: 0,
        };
        let opened = dispatcher.dispatch(Time::ZERO, Call::ConnectOpen(open));
        assert_eq!(opened, Ok(Reply::ConnectOpen(())));
        assert!(dispatcher.is_open());
        dispatcher
    }

    fn test_domain(dispatcher: &mut Dispatcher) -> DomainRef {
        let by_name = Call::DomainLookupByName(LookupByNameArgs {
            name: "test".into(),
        });
        match dispatcher.dispatch(Time::ZERO, by_name) {
            Ok(Reply::DomainLookupByName(found)) => found.dom,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_list_without_results_still_counts_them() {
        let mut dispatcher = opened();
        let test = test_domain(&mut dispatcher);
        for (need_results, expected) in [(0, vec![]), (1, vec![test.clone()]), (-1, vec![test])] {
            let list = Call::ConnectListAllDomains(ListAllDomainsArgs {
                need_results,
                flags: 0,
            });
            let reply = ListAllDomainsRet {
                domains: Array(expected),
                ret: 1,
            };
            let listed = dispatcher.dispatch(Time::ZERO, list);
            assert_eq!(listed, Ok(Reply::ConnectListAllDomains(reply)));
        }
    }

    #[test]
    fn a_domain_that_is_off_has_the_number_minus_one_which_finds_nothing() {
        let mut dispatcher = opened();
        let dom = test_domain(&mut dispatcher);
        assert_eq!(dom.id, 1);
        let destroy = Call::DomainDestroy(DomainArgs { dom });
        assert_eq!(
            dispatcher.dispatch(Time::ZERO, destroy),
            Ok(Reply::DomainDestroy(()))
        );
        assert_eq!(test_domain(&mut dispatcher).id, -1);

        let by_id = Call::DomainLookupById(LookupByIdArgs { id: -1 });
        let error = dispatcher.dispatch(Time::ZERO, by_id).unwrap_err();
        assert_eq!(error.code, ErrorCode::NO_DOMAIN);
    }

    #[test]
    fn the_processor_time_follows_the_time_of_the_call() {
        let mut dispatcher = opened();
        let dom = test_domain(&mut dispatcher);
        let info = Call::DomainGetInfo(DomainArgs { dom });
        match dispatcher.dispatch(Time::from_nanos(77), info) {
            Ok(Reply::DomainGetInfo(info)) => assert_eq!(info.cpu_time, 77),
            other => panic!("{other:?}"),
        }
    }
}
