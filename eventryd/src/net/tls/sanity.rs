//! Whether a certificate suits its part (DM-1202, DM-1205, DM-1206).

use super::certificate::Certificate;
use std::fmt;

/// The part that a certificate plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Authority,
    Server,
    Client,
}

/// Why a certificate does not suit its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsuited {
    /// It has expired.
    #[error("it has expired")]
    Expired,
    /// It is not valid yet.
    #[error("it is not valid yet; is the clock right?")]
    NotYetValid,
    /// It is to sign others, and its basic constraints do not make it an authority's.
    #[error("its basic constraints do not make it an authority's (CA:TRUE)")]
    NotAnAuthority,
    /// It is an authority's, which is for signing others alone.
    #[error("it is an authority's certificate (CA:TRUE), not one for a {0}")]
    Authority(Party),
    /// Its key usage does not allow what is needed.
    #[error("its key usage does not include {0}")]
    Usage(&'static str),
    /// Its extended key usage is another one.
    #[error("its extended key usage is not that of a TLS {0}")]
    Purpose(Party),
    /// It cannot be read.
    #[error("it is malformed")]
    Malformed,
}

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Party {
    /// That which is connected to.
    Server,
    /// That which connects.
    Client,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Party::Server => "server",
            Party::Client => "client",
        })
    }
}

/// Checks a certificate for its part at `now`, in seconds since 1970. What succeeds may come with a
/// reason for a warning: an extension that is not critical forbids it.
///
/// An extended key usage that names no part in TLS at all is refused even so (DM-1206): who wrote it meant
/// something else. A client with a server's certificate is common, and warned of.
pub(super) fn check(
    certificate: &Certificate<'_>,
    role: Role,
    now: i64,
) -> Result<Option<Unsuited>, Unsuited> {
    if now < certificate.not_before {
        return Err(Unsuited::NotYetValid);
    }
    if now > certificate.not_after {
        return Err(Unsuited::Expired);
    }
    let (party, needed) = match role {
        Role::Authority => {
            if certificate.is_authority != Some(true) {
                return Err(Unsuited::NotAnAuthority);
            }
            let usage = certificate.usage.filter(|usage| !usage.certificate_sign);
            return weigh(
                usage.map(|usage| (Unsuited::Usage("certificate signing"), usage.critical)),
            );
        }
        Role::Server => (Party::Server, "digital signatures"),
        Role::Client => (Party::Client, "digital signatures"),
    };
    if certificate.is_authority == Some(true) {
        return Err(Unsuited::Authority(party));
    }
    let usage = certificate.usage.filter(|usage| !usage.digital_signature);
    let usage = weigh(usage.map(|usage| (Unsuited::Usage(needed), usage.critical)))?;
    let purpose = certificate.purpose.filter(|purpose| {
        let named = match party {
            Party::Server => purpose.server,
            Party::Client => purpose.client,
        };
        !(named || purpose.any)
    });
    let purpose = weigh(purpose.map(|purpose| {
        let is_unrelated = !(purpose.server || purpose.client);
        (Unsuited::Purpose(party), purpose.critical || is_unrelated)
    }))?;
    Ok(usage.or(purpose))
}

/// What is critical is an error, anything else a warning.
fn weigh(found: Option<(Unsuited, bool)>) -> Result<Option<Unsuited>, Unsuited> {
    match found {
        Some((unsuited, true)) => Err(unsuited),
        Some((unsuited, false)) => Ok(Some(unsuited)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::certificate::{Purpose, Usage};
    use super::*;

    const PLAIN: Certificate<'_> = Certificate {
        subject: &[],
        not_before: 10,
        not_after: 20,
        is_authority: None,
        usage: None,
        purpose: None,
    };

    fn with_purpose(server: bool, client: bool, any: bool, critical: bool) -> Certificate<'static> {
        let purpose = Purpose {
            server,
            client,
            any,
            critical,
        };
        Certificate {
            purpose: Some(purpose),
            ..PLAIN
        }
    }

    #[test]
    fn a_certificate_is_valid_from_its_first_second_to_its_last() {
        for role in [Role::Server, Role::Client] {
            assert_eq!(check(&PLAIN, role, 9), Err(Unsuited::NotYetValid));
            assert_eq!(check(&PLAIN, role, 10), Ok(None));
            assert_eq!(check(&PLAIN, role, 20), Ok(None));
            assert_eq!(check(&PLAIN, role, 21), Err(Unsuited::Expired));
        }
    }

    #[test]
    fn only_an_authority_signs_and_it_does_nothing_else() {
        let authority = Certificate {
            is_authority: Some(true),
            ..PLAIN
        };
        assert_eq!(check(&authority, Role::Authority, 15), Ok(None));
        let refused = check(&authority, Role::Client, 15);
        assert_eq!(refused, Err(Unsuited::Authority(Party::Client)));
        for said in [None, Some(false)] {
            let other = Certificate {
                is_authority: said,
                ..PLAIN
            };
            let refused = check(&other, Role::Authority, 15);
            assert_eq!(refused, Err(Unsuited::NotAnAuthority));
            assert_eq!(check(&other, Role::Client, 15), Ok(None));
        }
    }

    #[test]
    fn what_is_not_critical_only_warns() {
        for critical in [true, false] {
            let usage = Some(Usage {
                digital_signature: false,
                certificate_sign: false,
                critical,
            });
            let found = check(&Certificate { usage, ..PLAIN }, Role::Client, 15);
            let unsuited = Unsuited::Usage("digital signatures");
            let expected = if critical {
                Err(unsuited)
            } else {
                Ok(Some(unsuited))
            };
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn extended_key_usage_without_tls_is_always_refused() {
        let unsuited = Unsuited::Purpose(Party::Client);
        for (certificate, expected) in [
            (with_purpose(false, true, false, true), Ok(None)),
            (with_purpose(false, false, true, true), Ok(None)),
            (with_purpose(true, false, false, false), Ok(Some(unsuited))),
            (with_purpose(true, false, false, true), Err(unsuited)),
            (with_purpose(false, false, false, false), Err(unsuited)),
            (with_purpose(false, false, false, true), Err(unsuited)),
        ] {
            assert_eq!(check(&certificate, Role::Client, 15), expected);
        }
    }
}
