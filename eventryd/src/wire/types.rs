//! The argument and result structures of calls.
//!
//! Fields have libvirt's names where those are clear. Flags are plain words here; the driver
//! interprets them.

use uuid::Uuid;

use super::{Array, CharArray, FixedCharArray, WireString, xdr_struct};

/// Maximum number of domains in a reply.
pub const DOMAIN_LIST_MAX: usize = 16_384;

/// Maximum number of bytes of SASL data in a message (DM-802).
pub const SASL_DATA_MAX: usize = 65_536;

xdr_struct! {
    /// A domain as clients refer to it. Only the UUID identifies the domain; name and id may be out
    /// of date.
    DomainRef {
        /// Name.
        name: WireString,
        /// UUID.
        uuid: Uuid,
        /// Id while the domain runs, -1 otherwise.
        id: i32,
    }

    /// A network as clients refer to it. It occurs only in errors.
    NetworkRef {
        /// Name.
        name: WireString,
        /// UUID.
        uuid: Uuid,
    }

    /// Arguments for opening a connection to a hypervisor (DM-1101).
    ConnectOpenArgs {
        /// URI; `None` if the client gave none.
        name: Option<WireString>,
        /// Bit 0 requests read-only access. Some clients set undefined bits.
        flags: u32,
    }

    /// The name of a type.
    TypeRet {
        /// Name.
        name: WireString,
    }

    /// Version of the hypervisor.
    GetVersionRet {
        /// 1,000,000 × major + 1,000 × minor + release.
        hv_ver: u64,
    }

    /// Version of the libvirt library.
    GetLibVersionRet {
        /// 1,000,000 × major + 1,000 × minor + release.
        lib_ver: u64,
    }

    /// Properties of the hypervisor's machine.
    NodeInfoRet {
        /// CPU model.
        model: FixedCharArray<32>,
        /// Memory in KiB.
        memory: u64,
        /// Number of active CPUs.
        cpus: i32,
        /// CPU frequency in MHz.
        mhz: i32,
        /// Number of NUMA cells.
        nodes: i32,
        /// Number of sockets per cell.
        sockets: i32,
        /// Number of cores per socket.
        cores: i32,
        /// Number of threads per core.
        threads: i32,
    }

    /// The domain of a call.
    DomainArgs {
        /// Domain.
        dom: DomainRef,
    }

    /// The domain and the flags of a call.
    DomainFlagsArgs {
        /// Domain.
        dom: DomainRef,
        /// Flags, defined by the procedure.
        flags: u32,
    }

    /// The domain that a lookup found.
    DomainRet {
        /// Domain.
        dom: DomainRef,
    }

    /// A boolean property of a domain or connection.
    FlagRet {
        /// 1 for true, 0 for false.
        value: i32,
    }

    /// State and resources of a domain.
    DomainInfoRet {
        /// State, a value of `virDomainState`.
        state: u32,
        /// Maximum memory, in KiB.
        max_mem: u64,
        /// Used memory, in KiB.
        memory: u64,
        /// Number of virtual CPUs.
        nr_virt_cpu: u32,
        /// Used CPU time, in nanoseconds.
        cpu_time: u64,
    }

    /// Arguments of a lookup by id.
    LookupByIdArgs {
        /// Domain id.
        id: i32,
    }

    /// Arguments of a lookup by name.
    LookupByNameArgs {
        /// Domain name.
        name: WireString,
    }

    /// Arguments of a lookup by UUID.
    LookupByUuidArgs {
        /// Domain UUID.
        uuid: Uuid,
    }

    /// Host name of the machine.
    HostnameRet {
        /// Host name.
        hostname: WireString,
    }

    /// A feature to query.
    FeatureArgs {
        /// Feature, a value of `virDrvFeature`.
        feature: i32,
    }

    /// Supported authentication types.
    AuthListRet {
        /// Values of `remote_auth_type`. The client uses the first.
        types: Array<i32, 20>,
    }

    /// Supported SASL mechanisms.
    SaslInitRet {
        /// Mechanism names, separated by commas.
        mechlist: WireString,
    }

    /// First SASL message of the client.
    SaslStartArgs {
        /// Name of the chosen mechanism.
        mech: WireString,
        /// 1 if there is no data, which differs from empty data.
        nil: i32,
        /// SASL data.
        data: CharArray<SASL_DATA_MAX>,
    }

    /// Further SASL message of the client.
    SaslStepArgs {
        /// 1 if there is no data, which differs from empty data.
        nil: i32,
        /// SASL data.
        data: CharArray<SASL_DATA_MAX>,
    }

    /// SASL message of the server.
    SaslRet {
        /// 1 if the authentication is complete.
        complete: i32,
        /// 1 if there is no data, which differs from empty data.
        nil: i32,
        /// SASL data.
        data: CharArray<SASL_DATA_MAX>,
    }

    /// Result of a polkit authentication. A denial is an error instead.
    PolkitRet {
        /// 1 if the authentication is complete.
        complete: i32,
    }

    /// URI of the opened connection.
    UriRet {
        /// URI.
        uri: WireString,
    }

    /// Security label of a domain.
    SecurityLabelRet {
        /// Label with a terminating NUL.
        label: CharArray<4097>,
        /// 1 if the label is enforced.
        enforcing: i32,
    }

    /// Security model of the machine.
    SecurityModelRet {
        /// Name of the model with a terminating NUL.
        model: CharArray<257>,
        /// Domain of interpretation with a terminating NUL.
        doi: CharArray<257>,
    }

    /// State of a domain.
    DomainStateRet {
        /// State, a value of `virDomainState`.
        state: i32,
        /// Reason; its values depend on the state.
        reason: i32,
    }

    /// Arguments for listing domains.
    ListAllDomainsArgs {
        /// 0 to request only the number of domains.
        need_results: i32,
        /// Filter, bits of `virConnectListAllDomainsFlags`.
        flags: u32,
    }

    /// List of domains.
    ListAllDomainsRet {
        /// Domains; empty if only the number was requested.
        domains: Array<DomainRef, DOMAIN_LIST_MAX>,
        /// Number of domains.
        ret: u32,
    }

    /// Messages about a domain, such as taints.
    MessagesRet {
        /// Messages.
        msgs: Array<WireString, 2048>,
    }
}
