//! The error that a failed call returns to the client.

use std::fmt;

use super::{DecodeError, Decoder, DomainRef, Encoder, NetworkRef, WireString, Xdr};

macro_rules! code_newtypes {
    ($(#[$meta:meta])* $name:ident { $( $(#[$const_meta:meta])* $constant:ident = $number:literal; )+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(pub i32);

        impl $name {
            $( $(#[$const_meta])* pub const $constant: $name = $name($number); )+
        }

        impl Xdr for $name {
            const MIN_LEN: usize = 4;

            fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                from.i32().map($name)
            }

            fn encode(&self, to: &mut Encoder<'_>) {
                to.i32(self.0);
            }
        }
    };
}

code_newtypes! {
    /// libvirt's error number. Clients branch on it, so the numbers are part of the protocol.
    ErrorCode {
        /// A failure without a number of its own.
        INTERNAL_ERROR = 1;
        /// No driver serves the URI.
        NO_CONNECT = 5;
        /// An argument is invalid.
        INVALID_ARG = 8;
        /// The connection is read-only.
        OPERATION_DENIED = 29;
        /// The call violates the protocol.
        RPC = 39;
        /// The domain does not exist.
        NO_DOMAIN = 42;
        /// Authentication failed.
        AUTH_FAILED = 45;
        /// The state of the domain does not allow the operation.
        OPERATION_INVALID = 55;
        /// The user cancelled the authentication dialog.
        AUTH_CANCELLED = 79;
        /// No authentication agent is available.
        AUTH_UNAVAILABLE = 94;
    }
}

code_newtypes! {
    /// The part of libvirt that reports the error.
    ErrorDomain {
        /// No specific part.
        NONE = 0;
        /// The RPC protocol.
        RPC = 7;
        /// The test driver.
        TEST = 12;
        /// The domain API.
        DOMAIN = 20;
        /// The polkit authentication.
        POLKIT = 60;
    }
}

super::xdr_struct! {
    /// The error of a failed call, with the fields that a libvirt server sets.
    ///
    /// The constructors set the fields as libvirt's error reporting does: `str1` is the message
    /// with `%s` in place of the variable part, `str2` is that part.
    ///
    /// ```
    /// use eventryd::wire::{ErrorCode, RemoteError};
    ///
    /// let error = RemoteError::rpc("unknown procedure: 9999");
    /// assert_eq!(error.code, ErrorCode::RPC);
    /// assert_eq!(error.to_string(), "unknown procedure: 9999");
    /// ```
    RemoteError {
        /// The error number.
        code: ErrorCode,
        /// The part that reports the error.
        domain: ErrorDomain,
        /// The message for the user. Most clients show no other field.
        message: Option<WireString>,
        /// The severity: 1 for a warning, 2 for an error.
        level: i32,
        /// The affected domain; unset by libvirt's servers.
        dom: Option<Box<DomainRef>>,
        /// The message with a placeholder for the variable part.
        str1: Option<WireString>,
        /// The variable part.
        str2: Option<WireString>,
        /// Unused.
        str3: Option<WireString>,
        /// A number with further information, -1 if there is none.
        int1: i32,
        /// A second number of this kind.
        int2: i32,
        /// The affected network; unset by libvirt's servers.
        net: Option<Box<NetworkRef>>,
    }
}

/// Maximum length of the variable part, in bytes: libvirt's limit. It bounds errors that repeat
/// input of the client.
const ERROR_TEXT_MAX: usize = 1_024;

/// Returns the longest prefix of `text` of at most `max` bytes that ends at a character boundary.
fn truncate(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl RemoteError {
    const LEVEL_ERROR: i32 = 2;

    /// Creates an error with the message `template`, in which `detail` replaces `%s`.
    ///
    /// A detail of more than 1024 bytes is truncated.
    #[must_use]
    pub fn new(code: ErrorCode, domain: ErrorDomain, template: &str, detail: &str) -> Self {
        let detail = truncate(detail, ERROR_TEXT_MAX);
        Self {
            message: Some(template.replacen("%s", detail, 1).into()),
            str2: Some(detail.into()),
            ..Self::plain(code, domain, template)
        }
    }

    /// Creates an error whose message has no variable part.
    #[must_use]
    pub fn plain(code: ErrorCode, domain: ErrorDomain, text: &str) -> Self {
        Self {
            code,
            domain,
            message: Some(text.into()),
            level: Self::LEVEL_ERROR,
            dom: None,
            str1: Some(text.into()),
            str2: None,
            str3: None,
            int1: -1,
            int2: -1,
            net: None,
        }
    }

    /// Creates the error for a call that violates the protocol (DM-804, DM-805).
    ///
    /// libvirt's clients treat a message that starts with "unknown procedure" as "not supported".
    #[must_use]
    pub fn rpc(text: &str) -> Self {
        Self::new(ErrorCode::RPC, ErrorDomain::RPC, "%s", text)
    }

    /// Creates the error for a failed authentication. Its text does not depend on the cause, so
    /// that clients cannot find out which users exist.
    #[must_use]
    pub fn authentication_failed() -> Self {
        let (code, domain) = (ErrorCode::AUTH_FAILED, ErrorDomain::RPC);
        let detail = "authentication failed";
        Self::new(code, domain, "authentication failed: %s", detail)
    }

    /// Creates the error for an internal failure, or for a call that the state of the connection
    /// does not allow (DM-1102).
    #[must_use]
    pub fn internal(domain: ErrorDomain, detail: &str) -> Self {
        Self::new(
            ErrorCode::INTERNAL_ERROR,
            domain,
            "internal error: %s",
            detail,
        )
    }

    /// Creates the error for a call of the public function `api` on a read-only connection
    /// (DM-1103).
    #[must_use]
    pub fn read_only(api: &str) -> Self {
        let detail = format!("read only access prevents {api}");
        let (code, domain) = (ErrorCode::OPERATION_DENIED, ErrorDomain::DOMAIN);
        Self::new(code, domain, "operation forbidden: %s", &detail)
    }

    /// Creates the error for unsupported flags of the driver function `function`.
    #[must_use]
    pub fn unsupported_flags(domain: ErrorDomain, flags: u32, function: &str) -> Self {
        let text = format!("unsupported flags (0x{flags:x}) in function {function}");
        Self {
            str1: Some(function.into()),
            str2: Some("flags".into()),
            int1: 0,
            int2: 0,
            ..Self::plain(ErrorCode::INVALID_ARG, domain, &text)
        }
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => message.fmt(f),
            None => write!(f, "error {} without text", self.code.0),
        }
    }
}

impl std::error::Error for RemoteError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_detail_is_cut_at_a_character_boundary() {
        let error = RemoteError::rpc(&"é".repeat(4_000_000));
        assert_eq!(error.to_string(), "é".repeat(512));
        let error = RemoteError::rpc(&format!("e{}", "é".repeat(512)));
        assert_eq!(error.to_string(), format!("e{}", "é".repeat(511)));
    }

    #[test]
    fn unsupported_flags_fill_the_fields_as_libvirt_does() {
        let error = RemoteError::unsupported_flags(ErrorDomain::TEST, 0x10, "testDomainGetState");
        let text = "unsupported flags (0x10) in function testDomainGetState";
        assert_eq!(error.to_string(), text);
        assert_eq!(error.str1, Some("testDomainGetState".into()));
        assert_eq!(error.str2, Some("flags".into()));
        assert_eq!((error.int1, error.int2), (0, 0));
    }

    #[test]
    fn error_with_a_domain_survives_encoding() {
        let dom = DomainRef {
            name: "test".into(),
            uuid: uuid::uuid!("6695eb01-f6a4-8304-79aa-97f2502e193f"),
            id: 1,
        };
        let error = RemoteError {
            dom: Some(Box::new(dom)),
            ..RemoteError::rpc("gone")
        };
        let mut bytes = Vec::new();
        error.encode(&mut Encoder::new(&mut bytes));
        assert_eq!(RemoteError::decode(&mut Decoder::new(&bytes)), Ok(error));
    }
}
