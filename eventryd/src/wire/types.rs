//! The structures that calls and replies are made of.
//!
//! Fields carry libvirt's names where those say enough. Flags that are words on the wire stay words: what
//! they mean is the driver's business.

use uuid::Uuid;

use super::{Array, CharArray, FixedCharArray, WireString, xdr_struct};

/// The most domains one reply may list.
pub const DOMAIN_LIST_MAX: usize = 16_384;

/// The most bytes of SASL data in one message (DM-802).
pub const SASL_DATA_MAX: usize = 65_536;

xdr_struct! {
    /// A domain as clients name it. Only the UUID identifies it; name and id may be stale.
    DomainRef {
        /// The name.
        name: WireString,
        /// The UUID.
        uuid: Uuid,
        /// The number while it runs, -1 otherwise.
        id: i32,
    }

    /// A network as clients name it; it occurs in errors only.
    NetworkRef {
        /// The name.
        name: WireString,
        /// The UUID.
        uuid: Uuid,
    }

    /// How to open the connection to a hypervisor (DM-1101).
    ConnectOpenArgs {
        /// The URI; empty if the client named none.
        name: Option<WireString>,
        /// Bit 0 asks for read-only; clients set other bits by accident.
        flags: u32,
    }

    /// A type or kind, by name.
    TypeRet {
        /// The name.
        name: WireString,
    }

    /// The version of the hypervisor: 1,000,000 × major + 1,000 × minor + release.
    GetVersionRet {
        /// The version.
        hv_ver: u64,
    }

    /// The version of the library, counted like that of the hypervisor.
    GetLibVersionRet {
        /// The version.
        lib_ver: u64,
    }

    /// The machine that the hypervisor runs on.
    NodeInfoRet {
        /// The kind of processor.
        model: FixedCharArray<32>,
        /// Memory in KiB.
        memory: u64,
        /// Active processors.
        cpus: i32,
        /// Their frequency in MHz.
        mhz: i32,
        /// NUMA cells.
        nodes: i32,
        /// Sockets per cell.
        sockets: i32,
        /// Cores per socket.
        cores: i32,
        /// Threads per core.
        threads: i32,
    }

    /// Which domain.
    DomainArgs {
        /// The domain.
        dom: DomainRef,
    }

    /// Which domain, and flags.
    DomainFlagsArgs {
        /// The domain.
        dom: DomainRef,
        /// The call's flags.
        flags: u32,
    }

    /// The domain found.
    DomainRet {
        /// The domain.
        dom: DomainRef,
    }

    /// A yes or no about a domain or the connection.
    FlagRet {
        /// 1 for yes, 0 for no.
        value: i32,
    }

    /// What a domain uses.
    DomainInfoRet {
        /// The state.
        state: u32,
        /// The most memory it may use, in KiB.
        max_mem: u64,
        /// The memory it uses, in KiB.
        memory: u64,
        /// Virtual processors.
        nr_virt_cpu: u32,
        /// Processor time used, in nanoseconds.
        cpu_time: u64,
    }

    /// The number of the domain sought.
    LookupByIdArgs {
        /// The number.
        id: i32,
    }

    /// The name of the domain sought.
    LookupByNameArgs {
        /// The name.
        name: WireString,
    }

    /// The UUID of the domain sought.
    LookupByUuidArgs {
        /// The UUID.
        uuid: Uuid,
    }

    /// The machine's name.
    HostnameRet {
        /// The name.
        hostname: WireString,
    }

    /// The feature asked about.
    FeatureArgs {
        /// Its number.
        feature: i32,
    }

    /// The ways to authenticate.
    AuthListRet {
        /// Their code_newtypes; the client takes the first.
        types: Array<i32, 20>,
    }

    /// The SASL mechanisms offered.
    SaslInitRet {
        /// Their names, separated by commas.
        mechlist: WireString,
    }

    /// The mechanism chosen, and what the client begins it with.
    SaslStartArgs {
        /// The mechanism's name.
        mech: WireString,
        /// 1 if there is no data, which is not the same as no bytes of it.
        nil: i32,
        /// The data.
        data: CharArray<SASL_DATA_MAX>,
    }

    /// The client's answer to what the server said.
    SaslStepArgs {
        /// 1 if there is no data, which is not the same as no bytes of it.
        nil: i32,
        /// The data.
        data: CharArray<SASL_DATA_MAX>,
    }

    /// What the server says next.
    SaslRet {
        /// 1 if the client has authenticated.
        complete: i32,
        /// 1 if there is no data, which is not the same as no bytes of it.
        nil: i32,
        /// The data.
        data: CharArray<SASL_DATA_MAX>,
    }

    /// What polkit has decided; a denial is an error.
    PolkitRet {
        /// 1 if the client has authenticated.
        complete: i32,
    }

    /// The URI opened.
    UriRet {
        /// The URI.
        uri: WireString,
    }

    /// The security label of a domain.
    SecurityLabelRet {
        /// The label with a terminating NUL.
        label: CharArray<4097>,
        /// 1 if it is enforced.
        enforcing: i32,
    }

    /// The security model of the machine.
    SecurityModelRet {
        /// The model's name with a terminating NUL.
        model: CharArray<257>,
        /// Its domain of interpretation with a terminating NUL.
        doi: CharArray<257>,
    }

    /// Where a domain is in its life.
    DomainStateRet {
        /// The state.
        state: i32,
        /// Why; the meaning depends on the state.
        reason: i32,
    }

    /// Which domains to list.
    ListAllDomainsArgs {
        /// 0 to learn only how many there are.
        need_results: i32,
        /// The filter.
        flags: u32,
    }

    /// The domains listed.
    ListAllDomainsRet {
        /// The domains, none if only their number was asked for.
        domains: Array<DomainRef, DOMAIN_LIST_MAX>,
        /// How many there are.
        ret: u32,
    }

    /// Remarks about a domain.
    MessagesRet {
        /// One text each.
        msgs: Array<WireString, 2048>,
    }
}
