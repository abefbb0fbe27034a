//! Whether a certificate suits its part (DM-1202, DM-1205, DM-1206).

use super::certificate::Certificate;
use std::fmt;

/// The part that a certificate plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CertRole {
    Ca,
    Server,
    Client,
}

/// Why a certificate does not suit its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertCheckError {
    /// It has expired.
    #[error("it has expired")]
    Expired,
    /// It is not valid yet.
    #[error("it is not valid yet; is the clock right?")]
    NotYetValid,
    /// It is to sign others, and its basic constraints do not make it an authority's.
    #[error("its basic constraints do not make it an authority's (CA:TRUE)")]
    NotCa,
    /// It is an authority's, which is for signing others alone.
    #[error("it is an authority's certificate (CA:TRUE), not one for a {0}")]
    IsCa(TlsSide),
    /// Its key usage does not allow what is needed.
    #[error("its key usage does not include {0}")]
    KeyUsage(&'static str),
    /// Its extended key usage is another one.
    #[error("its extended key usage is not that of a TLS {0}")]
    ExtendedKeyUsage(TlsSide),
    /// It cannot be read.
    #[error("it is malformed")]
    Malformed,
}

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsSide {
    /// That which is connected to.
    Server,
    /// That which connects.
    Client,
}

impl fmt::Display for TlsSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsSide::Server => "server",
            TlsSide::Client => "client",
        })
    }
}

/// Checks a certificate for its part at `now`, in seconds since 1970. What succeeds may come with a
/// reason for a warning: an extension that is not critical forbids it.
///
/// An extended key usage that names no part in TLS at all is refused even so (DM-1206): who wrote it meant
/// something else. A client with a server's certificate is common, and warned of.
pub(super) fn check_certificate(
    certificate: &Certificate<'_>,
    role: CertRole,
    now: i64,
) -> Result<Option<CertCheckError>, CertCheckError> {
    if now < certificate.not_before {
        return Err(CertCheckError::NotYetValid);
    }
    if now > certificate.not_after {
        return Err(CertCheckError::Expired);
    }
    let (side, needed) = match role {
        CertRole::Ca => {
            if certificate.is_ca != Some(true) {
                return Err(CertCheckError::NotCa);
            }
            let usage = certificate
                .key_usage
                .filter(|usage| !usage.certificate_sign);
            return error_if_critical(usage.map(|usage| {
                (
                    CertCheckError::KeyUsage("certificate signing"),
                    usage.critical,
                )
            }));
        }
        CertRole::Server => (TlsSide::Server, "digital signatures"),
        CertRole::Client => (TlsSide::Client, "digital signatures"),
    };
    if certificate.is_ca == Some(true) {
        return Err(CertCheckError::IsCa(side));
    }
    let usage = certificate
        .key_usage
        .filter(|usage| !usage.digital_signature);
    let usage =
        error_if_critical(usage.map(|usage| (CertCheckError::KeyUsage(needed), usage.critical)))?;
    let extended_usage = certificate.extended_key_usage.filter(|extended_usage| {
        let is_allowed = match side {
            TlsSide::Server => extended_usage.server,
            TlsSide::Client => extended_usage.client,
        };
        !(is_allowed || extended_usage.any)
    });
    let extended_usage = error_if_critical(extended_usage.map(|extended_usage| {
        let is_unrelated = !(extended_usage.server || extended_usage.client);
        (
            CertCheckError::ExtendedKeyUsage(side),
            extended_usage.critical || is_unrelated,
        )
    }))?;
    Ok(usage.or(extended_usage))
}

/// What is critical is an error, anything else a warning.
fn error_if_critical(
    found: Option<(CertCheckError, bool)>,
) -> Result<Option<CertCheckError>, CertCheckError> {
    match found {
        Some((problem, true)) => Err(problem),
        Some((problem, false)) => Ok(Some(problem)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::certificate::{ExtendedKeyUsage, KeyUsage};
    use super::*;

    const PLAIN: Certificate<'_> = Certificate {
        subject: &[],
        not_before: 10,
        not_after: 20,
        is_ca: None,
        key_usage: None,
        extended_key_usage: None,
    };

    fn with_extended_usage(
        server: bool,
        client: bool,
        any: bool,
        critical: bool,
    ) -> Certificate<'static> {
        let extended_usage = ExtendedKeyUsage {
            server,
            client,
            any,
            critical,
        };
        Certificate {
            extended_key_usage: Some(extended_usage),
            ..PLAIN
        }
    }

    #[test]
    fn certificate_is_valid_from_first_to_last_second() {
        for role in [CertRole::Server, CertRole::Client] {
            assert_eq!(
                check_certificate(&PLAIN, role, 9),
                Err(CertCheckError::NotYetValid)
            );
            assert_eq!(check_certificate(&PLAIN, role, 10), Ok(None));
            assert_eq!(check_certificate(&PLAIN, role, 20), Ok(None));
            assert_eq!(
                check_certificate(&PLAIN, role, 21),
                Err(CertCheckError::Expired)
            );
        }
    }

    #[test]
    fn ca_role_requires_ca_and_others_refuse_it() {
        let authority = Certificate {
            is_ca: Some(true),
            ..PLAIN
        };
        assert_eq!(check_certificate(&authority, CertRole::Ca, 15), Ok(None));
        let refused = check_certificate(&authority, CertRole::Client, 15);
        assert_eq!(refused, Err(CertCheckError::IsCa(TlsSide::Client)));
        for flag in [None, Some(false)] {
            let other = Certificate {
                is_ca: flag,
                ..PLAIN
            };
            let refused = check_certificate(&other, CertRole::Ca, 15);
            assert_eq!(refused, Err(CertCheckError::NotCa));
            assert_eq!(check_certificate(&other, CertRole::Client, 15), Ok(None));
        }
    }

    #[test]
    fn non_critical_key_usage_only_warns() {
        for critical in [true, false] {
            let key_usage = Some(KeyUsage {
                digital_signature: false,
                certificate_sign: false,
                critical,
            });
            let found =
                check_certificate(&Certificate { key_usage, ..PLAIN }, CertRole::Client, 15);
            let problem = CertCheckError::KeyUsage("digital signatures");
            let expected = if critical {
                Err(problem)
            } else {
                Ok(Some(problem))
            };
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn extended_key_usage_without_tls_is_always_refused() {
        let problem = CertCheckError::ExtendedKeyUsage(TlsSide::Client);
        for (certificate, expected) in [
            (with_extended_usage(false, true, false, true), Ok(None)),
            (with_extended_usage(false, false, true, true), Ok(None)),
            (
                with_extended_usage(true, false, false, false),
                Ok(Some(problem)),
            ),
            (with_extended_usage(true, false, false, true), Err(problem)),
            (
                with_extended_usage(false, false, false, false),
                Err(problem),
            ),
            (with_extended_usage(false, false, false, true), Err(problem)),
        ] {
            assert_eq!(
                check_certificate(&certificate, CertRole::Client, 15),
                expected
            );
        }
    }
}
