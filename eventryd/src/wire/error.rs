//! What a failed call returns to the client.

use std::fmt;

use super::{DecodeError, Decoder, DomainRef, Encoder, NetworkRef, WireString, Xdr};

macro_rules! numbers {
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

numbers! {
    /// What went wrong, by libvirt's number. Clients branch on it, so the numbers are part of the API.
    ErrorCode {
        /// A failure without a number of its own.
        INTERNAL_ERROR = 1;
        /// No driver serves the URI.
        NO_CONNECT = 5;
        /// An argument is not acceptable.
        INVALID_ARG = 8;
        /// The connection is read-only.
        OPERATION_DENIED = 29;
        /// The call itself is at fault.
        RPC = 39;
        /// There is no such domain.
        NO_DOMAIN = 42;
        /// The client is not who it says, or is not let in.
        AUTH_FAILED = 45;
        /// The domain's state does not allow it.
        OPERATION_INVALID = 55;
        /// The user has dismissed the question who it is.
        AUTH_CANCELLED = 79;
        /// There is nobody to ask who the user is.
        AUTH_UNAVAILABLE = 94;
    }
}

numbers! {
    /// Which part of libvirt reports the error.
    ErrorDomain {
        /// No particular part.
        NONE = 0;
        /// The protocol.
        RPC = 7;
        /// The test driver.
        TEST = 12;
        /// The API of domains.
        DOMAIN = 20;
        /// The questions put to polkit.
        POLKIT = 60;
    }
}

super::xdr_struct! {
    /// The error of a failed call, with the fields a libvirt server fills in.
    ///
    /// The constructors fill them the way libvirt's own reporting does: `str1` is the text with `%s` for
    /// the part that varies, `str2` that part.
    ///
    /// ```
    /// use eventryd::wire::{ErrorCode, RemoteError};
    ///
    /// let error = RemoteError::rpc("unknown procedure: 9999");
    /// assert_eq!(error.code, ErrorCode::RPC);
    /// assert_eq!(error.to_string(), "unknown procedure: 9999");
    /// ```
    RemoteError {
        /// What went wrong.
        code: ErrorCode,
        /// Which part reports it.
        domain: ErrorDomain,
        /// The text for people; the only field most clients show.
        message: Option<WireString>,
        /// The severity: 1 is a warning, 2 an error.
        level: i32,
        /// The domain concerned; a server leaves it out.
        dom: Option<Box<DomainRef>>,
        /// The text before the variable part was put in.
        str1: Option<WireString>,
        /// The variable part.
        str2: Option<WireString>,
        /// Not used.
        str3: Option<WireString>,
        /// A number that explains the error, -1 if there is none.
        int1: i32,
        /// Another one.
        int2: i32,
        /// The network concerned; a server leaves it out.
        net: Option<Box<NetworkRef>>,
    }
}

/// The longest text of an error, in bytes; libvirt's own limit. It keeps an error that repeats what the
/// client sent from growing with it.
const TEXT_MAX: usize = 1_024;

/// The longest start of `text` of at most `max` bytes that ends between two characters.
fn truncate(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl RemoteError {
    const LEVEL_ERROR: i32 = 2;

    /// An error whose text is `template` with `detail` in the place of `%s`.
    ///
    /// A detail of more than 1024 bytes is cut.
    #[must_use]
    pub fn new(code: ErrorCode, domain: ErrorDomain, template: &str, detail: &str) -> Self {
        let detail = truncate(detail, TEXT_MAX);
        Self {
            message: Some(template.replacen("%s", detail, 1).into()),
            str2: Some(detail.into()),
            ..Self::plain(code, domain, template)
        }
    }

    /// An error whose text has no variable part.
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

    /// The call itself is at fault: what the protocol layer reports (DM-804, DM-805).
    ///
    /// A client takes a text that begins with "unknown procedure" for "not supported".
    #[must_use]
    pub fn rpc(text: &str) -> Self {
        Self::new(ErrorCode::RPC, ErrorDomain::RPC, "%s", text)
    }

    /// The client has not proved who it is. The text is the same whatever was wrong: nobody learns from it
    /// which users there are.
    #[must_use]
    pub fn authentication_failed() -> Self {
        let (code, domain) = (ErrorCode::AUTH_FAILED, ErrorDomain::RPC);
        let detail = "authentication failed";
        Self::new(code, domain, "authentication failed: %s", detail)
    }

    /// A call that does not fit the state of the connection (DM-1102).
    #[must_use]
    pub fn internal(domain: ErrorDomain, detail: &str) -> Self {
        Self::new(
            ErrorCode::INTERNAL_ERROR,
            domain,
            "internal error: %s",
            detail,
        )
    }

    /// A read-only connection does not allow the call of the public function `api` (DM-1103).
    #[must_use]
    pub fn read_only(api: &str) -> Self {
        let detail = format!("read only access prevents {api}");
        let (code, domain) = (ErrorCode::OPERATION_DENIED, ErrorDomain::DOMAIN);
        Self::new(code, domain, "operation forbidden: %s", &detail)
    }

    /// The function of the driver `domain` does not know these flags.
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
    fn unsupported_flags_name_the_function_and_the_argument() {
        let error = RemoteError::unsupported_flags(ErrorDomain::TEST, 0x10, "testDomainGetState");
        let text = "unsupported flags (0x10) in function testDomainGetState";
        assert_eq!(error.to_string(), text);
        assert_eq!(error.str1, Some("testDomainGetState".into()));
        assert_eq!(error.str2, Some("flags".into()));
        assert_eq!((error.int1, error.int2), (0, 0));
    }

    #[test]
    fn an_error_about_a_domain_carries_it() {
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
