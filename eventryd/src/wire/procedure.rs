//! The one table of procedures. Dispatch, the read-only gate, the log and the tests follow it.

use thiserror::Error;

use super::types::*;
use super::{DecodeError, Decoder, Encoder, Xdr};

/// Whether a call may wait behind others (DM-701).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// It may: it may itself wait for a hypervisor.
    Normal,
    /// It must not: it is answered from memory, and may overtake calls that block.
    High,
}

/// Whether a read-only connection may make a call (DM-1103).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

/// A procedure of [`Program::Remote`](super::Program::Remote): one line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Procedure {
    /// The number in the header.
    pub number: i32,
    /// The name in the protocol, for the log.
    pub name: &'static str,
    /// The public function of libvirt that makes the call, for error texts.
    pub api: &'static str,
    /// Whether it may wait.
    pub priority: Priority,
    /// Whether a read-only connection may make it.
    pub read_only: Permission,
}

impl Procedure {
    /// The procedure with this number, if it is served.
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

    /// Whether a client may make the call before it has authenticated: only those that do just that, 66 to
    /// 70 (DM-805).
    #[must_use]
    pub const fn is_authentication(&self) -> bool {
        matches!(self.number, 66..=70)
    }
}

/// Why a payload is not a call or a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    /// No procedure has the number.
    #[error("unknown procedure: {0}")]
    UnknownProcedure(i32),
    /// The payload does not decode.
    #[error(transparent)]
    Undecodable(#[from] DecodeError),
}

macro_rules! procedures {
    ($(
        $number:literal $name:ident $wire:literal
        $api:ident($args:ty) -> $result:ty, $priority:ident, $read_only:ident;
    )+) => {
        /// Every procedure served, by rising number.
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

        /// The result of a call that succeeded.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Reply {$(
            #[doc = concat!("Procedure ", stringify!($number), ", ", $wire, ".")]
            $name($result),
        )+}

        impl Call {
            /// Reads the arguments of a call of the procedure `number`.
            ///
            /// Bytes after the arguments are ignored, as libvirt does.
            ///
            /// # Errors
            /// [`CallError`] if there is no such procedure or its arguments do not decode.
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

            /// The procedure called.
            #[must_use]
            pub fn procedure(&self) -> &'static Procedure {
                find_served(match self {
                    $(Call::$name(_) => $number,)+
                })
            }
        }

        impl Reply {
            /// Reads the result of the procedure `number`; what a client does.
            ///
            /// # Errors
            /// [`CallError`] if there is no such procedure or its result does not decode.
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

            /// The procedure that returned it.
            #[must_use]
            pub fn procedure(&self) -> &'static Procedure {
                find_served(match self {
                    $(Reply::$name(_) => $number,)+
                })
            }
        }
    };
}

// A procedure that may change anything is `Deny`; so is any new one until someone has thought about it.
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
        None => unreachable!("calls, replies and procedures come from the same lines"),
    }
}

// `find` searches by halves, so the lines must stand in order.
const _: () = {
    let mut next = 1;
    while next < PROCEDURES.len() {
        assert!(
            PROCEDURES[next - 1].number < PROCEDURES[next].number,
            "lines out of order"
        );
        next += 1;
    }
};
