//! Conversion of calls for the driver, and of its results for the protocol.
//!
//! A [`PreparedCall`] can be executed on any thread: it has the hypervisor session of the client, and no reference to
//! its connection. The [`Session`](crate::session::Session) has already checked that the client may make the call.

use std::sync::Arc;

use crate::driver::{
    Domain, Driver, DriverError, HypervisorSession, ListFilter, NodeInfo, SecurityLabel,
    SecurityModel,
};
use crate::wire::{
    Array, Call, CharArray, ConnectOpenArgs, DomainInfoRet, DomainRef, DomainRet, DomainStateRet,
    ErrorCode, ErrorDomain, FixedCharArray, FlagRet, GetLibVersionRet, GetVersionRet, HostnameRet,
    ListAllDomainsArgs, ListAllDomainsRet, MessagesRet, NodeInfoRet, Procedure, RemoteError, Reply,
    SecurityLabelRet, SecurityModelRet, TypeRet, UriRet,
};
use eventry::MonotonicTime;

/// Features of the protocol, by libvirt's numbers: events with callback ids (14) and close callbacks (15). The
/// session answers the query for keepalive (10).
const PROTOCOL_FEATURES: [i32; 2] = [14, 15];

/// The handler of the calls of one client.
///
/// ```
/// use std::sync::Arc;
/// use eventry::MonotonicTime;
/// use eventryd::driver::MemoryDriver;
/// use eventryd::server::CallHandler;
/// use eventryd::wire::{Call, ConnectOpenArgs, HostnameRet, Reply};
///
/// let mut calls = CallHandler::new(Arc::new(MemoryDriver::with_hostname("example")));
/// let open = ConnectOpenArgs { name: Some("test:///default".into()), flags: 0 };
/// calls.handle_call(MonotonicTime::ZERO, Call::ConnectOpen(open))?;
/// let reply = calls.handle_call(MonotonicTime::ZERO, Call::ConnectGetHostname(()))?;
/// assert_eq!(reply, Reply::ConnectGetHostname(HostnameRet { hostname: "example".into() }));
/// # Ok::<(), eventryd::wire::RemoteError>(())
/// ```
pub struct CallHandler {
    driver: Arc<dyn Driver>,
    session: Option<Arc<dyn HypervisorSession>>,
}

/// A call that can be executed on any thread.
pub struct PreparedCall {
    target: Target,
    call: Call,
}

/// The object that executes a call.
enum Target {
    Driver(Arc<dyn Driver>),
    Session(Arc<dyn HypervisorSession>),
    /// The call is not permitted in the state of the client.
    None,
}

/// The outcome of a call.
pub struct CallOutcome {
    /// The result for the client.
    pub result: Result<Reply, RemoteError>,
    /// The hypervisor session that the call has opened, for [`CallHandler::keep`].
    pub opened: Option<Arc<dyn HypervisorSession>>,
}

impl CallHandler {
    /// Creates the handler of a client without a hypervisor session.
    #[must_use]
    pub const fn new(driver: Arc<dyn Driver>) -> Self {
        Self {
            driver,
            session: None,
        }
    }

    /// Returns `true` if the client has a hypervisor session.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.session.is_some()
    }

    /// Executes a call at `now`. The reply is of the same procedure.
    ///
    /// # Errors
    /// The error for the client: no hypervisor session is open, or one is already open (DM-1102), or the error
    /// of the driver.
    ///
    /// # Panics
    /// If a hypervisor session is open and [`Session`](crate::session::Session) answers the call itself:
    /// authentication and CONNECT_CLOSE.
    pub fn handle_call(&mut self, now: MonotonicTime, call: Call) -> Result<Reply, RemoteError> {
        let CallOutcome { result, opened } = self.prepare(call).run(now);
        self.keep(opened);
        result
    }

    /// Prepares a call for execution on another thread.
    pub fn prepare(&self, call: Call) -> PreparedCall {
        let target = match (&call, &self.session) {
            (Call::ConnectOpen(_), None) => Target::Driver(Arc::clone(&self.driver)),
            (Call::ConnectOpen(_), Some(_)) | (_, None) => Target::None,
            (_, Some(session)) => Target::Session(Arc::clone(session)),
        };
        PreparedCall { target, call }
    }

    /// Keeps the hypervisor session that a call has opened, if any.
    pub fn keep(&mut self, opened: Option<Arc<dyn HypervisorSession>>) {
        if opened.is_some() {
            self.session = opened;
        }
    }

    /// Takes the hypervisor session of a closed client.
    pub fn close(&mut self) -> Option<Arc<dyn HypervisorSession>> {
        self.session.take()
    }
}

impl PreparedCall {
    /// Returns `true` if the call may block, so that the loop's thread must not execute it.
    pub fn may_block(&self) -> bool {
        match &self.target {
            Target::Driver(driver) => driver.may_block(),
            Target::Session(session) => session.may_block(),
            Target::None => false,
        }
    }

    /// Returns the procedure of the call.
    pub fn procedure(&self) -> &'static Procedure {
        self.call.procedure()
    }

    /// Executes the call at `now`.
    ///
    /// # Panics
    /// In the same cases as [`CallHandler::handle_call`].
    pub fn run(self, now: MonotonicTime) -> CallOutcome {
        let internal = |text| RemoteError::internal(ErrorDomain::RPC, text);
        let mut opened = None;
        let result = match (self.target, self.call) {
            (Target::Driver(driver), Call::ConnectOpen(args)) => {
                open(&*driver, &args).map(|session| {
                    opened = Some(session);
                    Reply::ConnectOpen(())
                })
            }
            (Target::Session(session), call) => {
                run_on_session(&*session, now, call).map_err(remote_error)
            }
            (_, Call::ConnectOpen(_)) => Err(internal("connection already open")),
            (_, _) => Err(internal("hypervisor connection not open")),
        };
        CallOutcome { result, opened }
    }
}

impl CallOutcome {
    /// Creates the outcome of a call that was not executed.
    pub fn failed(error: RemoteError) -> CallOutcome {
        CallOutcome {
            result: Err(error),
            opened: None,
        }
    }
}

fn open(
    driver: &dyn Driver,
    args: &ConnectOpenArgs,
) -> Result<Arc<dyn HypervisorSession>, RemoteError> {
    let name = args.name.as_ref().ok_or_else(|| {
        let text = "connection not open";
        RemoteError::internal(ErrorDomain::RPC, text)
    })?;
    let session = driver.open(&name.to_string_lossy()).map_err(remote_error)?;
    Ok(Arc::from(session))
}

/// Executes a call that needs a hypervisor session.
fn run_on_session(
    session: &dyn HypervisorSession,
    now: MonotonicTime,
    call: Call,
) -> Result<Reply, DriverError> {
    Ok(match call {
        Call::ConnectOpen(_)
        | Call::ConnectClose(())
        | Call::AuthList(())
        | Call::AuthSaslInit(())
        | Call::AuthSaslStart(_)
        | Call::AuthSaslStep(_)
        | Call::AuthPolkit(()) => {
            unreachable!("the protocol session answers these calls, and `run` answers an open")
        }
        Call::ConnectGetType(()) => Reply::ConnectGetType(TypeRet {
            name: session.kind().into(),
        }),
        Call::ConnectGetVersion(()) => Reply::ConnectGetVersion(GetVersionRet {
            hv_ver: session.version(),
        }),
        Call::ConnectGetLibVersion(()) => {
            let lib_ver = session.library_version();
            Reply::ConnectGetLibVersion(GetLibVersionRet { lib_ver })
        }
        Call::ConnectGetHostname(()) => Reply::ConnectGetHostname(HostnameRet {
            hostname: session.hostname().into(),
        }),
        Call::ConnectGetUri(()) => Reply::ConnectGetUri(UriRet {
            uri: session.uri().into(),
        }),
        Call::ConnectSupportsFeature(args) => {
            let supported =
                PROTOCOL_FEATURES.contains(&args.feature) || session.supports(args.feature);
            Reply::ConnectSupportsFeature(flag(supported))
        }
        // No hypervisor session of this driver closes by itself, so the callback is not stored.
        Call::ConnectRegisterCloseCallback(()) => Reply::ConnectRegisterCloseCallback(()),
        Call::ConnectUnregisterCloseCallback(()) => Reply::ConnectUnregisterCloseCallback(()),
        Call::NodeGetInfo(()) => Reply::NodeGetInfo(session.node_info().into()),
        Call::NodeGetSecurityModel(()) => {
            Reply::NodeGetSecurityModel(session.security_model().into())
        }
        Call::ConnectListAllDomains(args) => {
            Reply::ConnectListAllDomains(list_domains(session, &args)?)
        }
        Call::DomainLookupById(args) => {
            // A domain that is not running has no id, so no domain has a negative one.
            let id = u32::try_from(args.id).map_err(|_| DriverError::NoDomain)?;
            Reply::DomainLookupById(session.domain_by_id(id)?.into())
        }
        Call::DomainLookupByName(args) => {
            let found = session.domain_by_name(args.name.as_bytes())?;
            Reply::DomainLookupByName(found.into())
        }
        Call::DomainLookupByUuid(args) => {
            Reply::DomainLookupByUuid(session.domain_by_uuid(args.uuid)?.into())
        }
        Call::DomainGetAutostart(args) => {
            Reply::DomainGetAutostart(flag(session.autostart(&args.dom.into())?))
        }
        Call::DomainGetInfo(args) => {
            let info = session.info(&args.dom.into(), now)?;
            Reply::DomainGetInfo(DomainInfoRet {
                state: info.state.number().into(),
                max_mem: info.max_memory_kib,
                memory: info.memory_kib,
                nr_virt_cpu: info.vcpus,
                cpu_time: info.cpu_time_ns,
            })
        }
        Call::DomainGetState(args) => {
            let (state, reason) = session.state(&args.dom.into())?;
            let (state, reason) = (state.number().into(), reason.number().into());
            Reply::DomainGetState(DomainStateRet { state, reason })
        }
        Call::DomainGetOsType(args) => {
            let name = session.os_type(&args.dom.into())?.into();
            Reply::DomainGetOsType(TypeRet { name })
        }
        Call::DomainGetSecurityLabel(args) => {
            Reply::DomainGetSecurityLabel(session.security_label(&args.dom.into())?.into())
        }
        Call::DomainIsActive(args) => {
            let (state, _) = session.state(&args.dom.into())?;
            Reply::DomainIsActive(flag(state.is_active()))
        }
        Call::DomainIsPersistent(args) => {
            Reply::DomainIsPersistent(flag(session.is_persistent(&args.dom.into())?))
        }
        Call::DomainHasManagedSaveImage(args) => {
            Reply::DomainHasManagedSaveImage(flag(session.has_managed_save(&args.dom.into())?))
        }
        Call::DomainGetMessages(args) => {
            let texts = session.messages(&args.dom.into())?;
            let msgs = Array(texts.into_iter().map(Into::into).collect());
            Reply::DomainGetMessages(MessagesRet { msgs })
        }
        Call::DomainSuspend(args) => Reply::DomainSuspend(session.suspend(&args.dom.into())?),
        Call::DomainResume(args) => Reply::DomainResume(session.resume(&args.dom.into())?),
        Call::DomainDestroy(args) => Reply::DomainDestroy(session.destroy(&args.dom.into())?),
    })
}

fn list_domains(
    session: &dyn HypervisorSession,
    args: &ListAllDomainsArgs,
) -> Result<ListAllDomainsRet, DriverError> {
    let found = session.domains(ListFilter::from_bits(args.flags))?;
    // A list that does not fit cannot be encoded, so a saturated count is never sent.
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

/// Returns the error with the code, the domain and the texts of libvirt's test driver.
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
        // The protocol has no ids above i32::MAX, and -1 means "not running".
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

    fn opened() -> CallHandler {
        let mut calls = CallHandler::new(Arc::new(MemoryDriver::with_hostname("host")));
        assert!(!calls.is_open());
        let open = ConnectOpenArgs {
            name: Some("test:///default".into()),
            flags: 0,
        };
        let opened = calls.handle_call(MonotonicTime::ZERO, Call::ConnectOpen(open));
        assert_eq!(opened, Ok(Reply::ConnectOpen(())));
        assert!(calls.is_open());
        calls
    }

    fn test_domain(calls: &mut CallHandler) -> DomainRef {
        let by_name = Call::DomainLookupByName(LookupByNameArgs {
            name: "test".into(),
        });
        match calls.handle_call(MonotonicTime::ZERO, by_name) {
            Ok(Reply::DomainLookupByName(found)) => found.dom,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn list_without_results_still_counts_them() {
        let mut calls = opened();
        let test = test_domain(&mut calls);
        for (need_results, expected) in [(0, vec![]), (1, vec![test.clone()]), (-1, vec![test])] {
            let list = Call::ConnectListAllDomains(ListAllDomainsArgs {
                need_results,
                flags: 0,
            });
            let reply = ListAllDomainsRet {
                domains: Array(expected),
                ret: 1,
            };
            let listed = calls.handle_call(MonotonicTime::ZERO, list);
            assert_eq!(listed, Ok(Reply::ConnectListAllDomains(reply)));
        }
    }

    #[test]
    fn inactive_domain_has_id_minus_one_which_finds_nothing() {
        let mut calls = opened();
        let dom = test_domain(&mut calls);
        assert_eq!(dom.id, 1);
        let destroy = Call::DomainDestroy(DomainArgs { dom });
        assert_eq!(
            calls.handle_call(MonotonicTime::ZERO, destroy),
            Ok(Reply::DomainDestroy(()))
        );
        assert_eq!(test_domain(&mut calls).id, -1);

        let by_id = Call::DomainLookupById(LookupByIdArgs { id: -1 });
        let error = calls.handle_call(MonotonicTime::ZERO, by_id).unwrap_err();
        assert_eq!(error.code, ErrorCode::NO_DOMAIN);
    }

    #[test]
    fn cpu_time_follows_the_time_of_the_call() {
        let mut calls = opened();
        let dom = test_domain(&mut calls);
        let info = Call::DomainGetInfo(DomainArgs { dom });
        match calls.handle_call(MonotonicTime::from_nanos(77), info) {
            Ok(Reply::DomainGetInfo(info)) => assert_eq!(info.cpu_time, 77),
            other => panic!("{other:?}"),
        }
    }
}
