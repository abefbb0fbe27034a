//! The table of procedures, used by the server, the read-only check, the log and the tests.

use thiserror::Error;

use super::types::*;
use super::{DecodeError, Decoder, Encoder, Xdr};

/// The priority of a call (DM-701).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// The call may wait for a hypervisor, and behind other calls that do.
    Normal,
    /// The call is answered from memory and may overtake calls that block.
    High,
}

/// The permission of read-only connections for a call (DM-1103).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Read-only connections may make the call.
    Allow,
    /// Read-only connections may not make the call.
    Deny,
}

/// A procedure of [`Program::Remote`](super::Program::Remote): one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Procedure {
    /// Procedure number in the header.
    pub number: i32,
    /// Name in libvirt's protocol definition, for the log.
    pub name: &'static str,
    /// Public function of libvirt that makes the call, for error messages.
    pub api: &'static str,
    /// Priority of the call.
    pub priority: Priority,
    /// Permission of read-only connections.
    pub read_only: Permission,
}

impl Procedure {
    /// Returns the procedure with this number, if it is served.
    ///
    /// ```
    /// use eventryd::wire::{Permission, Procedure};
    ///
    /// let destroy = Procedure::find(12).expect("served");
    /// assert_eq!(destroy.api, "virDomainDestroy");
    /// assert_eq!(destroy.read_only, Permission::Deny);
    /// assert_eq!(Procedure::find(9999), None);
    /// ```
    #[must_use]
    pub fn find(number: i32) -> Option<&'static Procedure> {
        let index = PROCEDURES
            .binary_search_by_key(&number, |procedure| procedure.number)
            .ok()?;
        Some(&PROCEDURES[index])
    }

    /// Returns `true` for the calls that authenticate, numbers 66 to 70. Clients may make only
    /// these before they are authenticated (DM-805).
    #[must_use]
    pub const fn is_authentication(&self) -> bool {
        matches!(self.number, 66..=70)
    }
}

/// The reason why a payload is not a valid call or reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    /// No served procedure has this number.
    #[error("unknown procedure: {0}")]
    UnknownProcedure(i32),
    /// The payload cannot be decoded.
    #[error(transparent)]
    Undecodable(#[from] DecodeError),
}

macro_rules! procedures {
    ($(
        $number:literal $name:ident $wire:literal
        $api:ident($args:ty) -> $result:ty, $priority:ident, $read_only:ident;
    )+) => {
        /// All served procedures, in ascending order of their numbers.
        pub static PROCEDURES: &[Procedure] = &[$(
            Procedure {
                number: $number,
                name: $wire,
                api: stringify!($api),
                priority: Priority::$priority,
                read_only: Permission::$read_only,
            },
        )+];

        /// A call with its arguments.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Call {$(
            #[doc = concat!("Procedure ", stringify!($number), ", ", $wire, ".")]
            $name($args),
        )+}

        /// The result of a successful call.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Reply {$(
            #[doc = concat!("Procedure ", stringify!($number), ", ", $wire, ".")]
            $name($result),
        )+}

        impl Call {
            /// Decodes the arguments of a call of the procedure `number`.
            ///
            /// Bytes after the arguments are ignored, as in libvirt.
            ///
            /// # Errors
            /// [`CallError`] if the procedure is not served or the arguments cannot be decoded.
            pub fn decode(number: i32, payload: &[u8]) -> Result<Self, CallError> {
                let mut from = Decoder::new(payload);
                Ok(match number {
                    $($number => Call::$name(<$args>::decode(&mut from)?),)+
                    _ => return Err(CallError::UnknownProcedure(number)),
                })
            }

            /// Appends the arguments.
            pub fn encode(&self, to: &mut Encoder<'_>) {
                match self {
                    $(Call::$name(args) => args.encode(to),)+
                }
            }

            /// Returns the called procedure.
            #[must_use]
            pub fn procedure(&self) -> &'static Procedure {
                find_served(match self {
                    $(Call::$name(_) => $number,)+
                })
            }
        }

        impl Reply {
            /// Decodes the result of the procedure `number`, on the side of the client.
            ///
            /// # Errors
            /// [`CallError`] if the procedure is not served or the result cannot be decoded.
            pub fn decode(number: i32, payload: &[u8]) -> Result<Self, CallError> {
                let mut from = Decoder::new(payload);
                Ok(match number {
                    $($number => Reply::$name(<$result>::decode(&mut from)?),)+
                    _ => return Err(CallError::UnknownProcedure(number)),
                })
            }

            /// Appends the result.
            pub fn encode(&self, to: &mut Encoder<'_>) {
                match self {
                    $(Reply::$name(result) => result.encode(to),)+
                }
            }

            /// Returns the procedure that produced the result.
            #[must_use]
            pub fn procedure(&self) -> &'static Procedure {
                find_served(match self {
                    $(Reply::$name(_) => $number,)+
                })
            }
        }
    };
}

// A procedure that can change state is `Deny`. A new procedure starts as `Deny`, too, until its
// effects are reviewed.
procedures! {
    1 ConnectOpen "CONNECT_OPEN" virConnectOpen(ConnectOpenArgs) -> (), High, Allow;
    2 ConnectClose "CONNECT_CLOSE" virConnectClose(()) -> (), High, Allow;
    3 ConnectGetType "CONNECT_GET_TYPE" virConnectGetType(()) -> TypeRet, High, Allow;
    4 ConnectGetVersion "CONNECT_GET_VERSION" virConnectGetVersion(()) -> GetVersionRet, High, Allow;
    6 NodeGetInfo "NODE_GET_INFO" virNodeGetInfo(()) -> NodeInfoRet, High, Allow;
    12 DomainDestroy "DOMAIN_DESTROY" virDomainDestroy(DomainArgs) -> (), High, Deny;
    15 DomainGetAutostart "DOMAIN_GET_AUTOSTART" virDomainGetAutostart(DomainArgs) -> FlagRet, High, Allow;
    16 DomainGetInfo "DOMAIN_GET_INFO" virDomainGetInfo(DomainArgs) -> DomainInfoRet, Normal, Allow;
    19 DomainGetOsType "DOMAIN_GET_OS_TYPE" virDomainGetOSType(DomainArgs) -> TypeRet, High, Allow;
    22 DomainLookupById "DOMAIN_LOOKUP_BY_ID" virDomainLookupByID(LookupByIdArgs) -> DomainRet, High, Allow;
    23 DomainLookupByName "DOMAIN_LOOKUP_BY_NAME" virDomainLookupByName(LookupByNameArgs) -> DomainRet, High, Allow;
    24 DomainLookupByUuid "DOMAIN_LOOKUP_BY_UUID" virDomainLookupByUUID(LookupByUuidArgs) -> DomainRet, High, Allow;
    28 DomainResume "DOMAIN_RESUME" virDomainResume(DomainArgs) -> (), Normal, Deny;
    34 DomainSuspend "DOMAIN_SUSPEND" virDomainSuspend(DomainArgs) -> (), Normal, Deny;
    59 ConnectGetHostname "CONNECT_GET_HOSTNAME" virConnectGetHostname(()) -> HostnameRet, High, Allow;
    60 ConnectSupportsFeature "CONNECT_SUPPORTS_FEATURE" virConnectSupportsFeature(FeatureArgs) -> FlagRet, High, Allow;
    66 AuthList "AUTH_LIST" virConnectOpenAuth(()) -> AuthListRet, High, Allow;
    67 AuthSaslInit "AUTH_SASL_INIT" virConnectOpenAuth(()) -> SaslInitRet, High, Allow;
    68 AuthSaslStart "AUTH_SASL_START" virConnectOpenAuth(SaslStartArgs) -> SaslRet, High, Allow;
    69 AuthSaslStep "AUTH_SASL_STEP" virConnectOpenAuth(SaslStepArgs) -> SaslRet, High, Allow;
    70 AuthPolkit "AUTH_POLKIT" virConnectOpenAuth(()) -> PolkitRet, High, Allow;
    110 ConnectGetUri "CONNECT_GET_URI" virConnectGetURI(()) -> UriRet, High, Allow;
    121 DomainGetSecurityLabel "DOMAIN_GET_SECURITY_LABEL" virDomainGetSecurityLabel(DomainArgs) -> SecurityLabelRet, High, Allow;
    122 NodeGetSecurityModel "NODE_GET_SECURITY_MODEL" virNodeGetSecurityModel(()) -> SecurityModelRet, High, Allow;
    150 DomainIsActive "DOMAIN_IS_ACTIVE" virDomainIsActive(DomainArgs) -> FlagRet, High, Allow;
    151 DomainIsPersistent "DOMAIN_IS_PERSISTENT" virDomainIsPersistent(DomainArgs) -> FlagRet, High, Allow;
    157 ConnectGetLibVersion "CONNECT_GET_LIB_VERSION" virConnectGetLibVersion(()) -> GetLibVersionRet, High, Allow;
    183 DomainHasManagedSaveImage "DOMAIN_HAS_MANAGED_SAVE_IMAGE" virDomainHasManagedSaveImage(DomainFlagsArgs) -> FlagRet, Normal, Allow;
    212 DomainGetState "DOMAIN_GET_STATE" virDomainGetState(DomainFlagsArgs) -> DomainStateRet, High, Allow;
    273 ConnectListAllDomains "CONNECT_LIST_ALL_DOMAINS" virConnectListAllDomains(ListAllDomainsArgs) -> ListAllDomainsRet, High, Allow;
    360 ConnectRegisterCloseCallback "CONNECT_REGISTER_CLOSE_CALLBACK" virConnectRegisterCloseCallback(()) -> (), High, Allow;
    361 ConnectUnregisterCloseCallback "CONNECT_UNREGISTER_CLOSE_CALLBACK" virConnectUnregisterCloseCallback(()) -> (), High, Allow;
    426 DomainGetMessages "DOMAIN_GET_MESSAGES" virDomainGetMessages(DomainFlagsArgs) -> MessagesRet, Normal, Allow;
}

fn find_served(number: i32) -> &'static Procedure {
    match Procedure::find(number) {
        Some(procedure) => procedure,
        None => unreachable!("calls, replies and procedures are generated from the same rows"),
    }
}

// `find` uses a binary search, so the rows must be sorted.
const _: () = {
    let mut next = 1;
    while next < PROCEDURES.len() {
        assert!(
            PROCEDURES[next - 1].number < PROCEDURES[next].number,
            "rows must be sorted by number"
        );
        next += 1;
    }
};
