//! Checks that a certificate suits its role (DM-1202, DM-1205, DM-1206).

use super::certificate::Certificate;
use std::fmt;

/// The role of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CertRole {
    Ca,
    Server,
    Client,
    /// A client that is rejected if its certificate was issued for servers only.
    ClientOnly,
}

/// The reason why a certificate does not suit its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertCheckError {
    /// The certificate has expired.
    #[error("it has expired")]
    Expired,
    /// The certificate is not valid yet.
    #[error("it is not valid yet; check the system clock")]
    NotYetValid,
    /// The certificate must sign others, but its basic constraints do not allow that.
    #[error("it is not a CA certificate: its basic constraints lack CA:TRUE")]
    NotCa,
    /// The certificate is that of a CA, which must only sign others.
    #[error("it is a CA certificate (CA:TRUE), not one for a {0}")]
    IsCa(TlsSide),
    /// The key usage lacks the named usage.
    #[error("its key usage does not include {0}")]
    KeyUsage(&'static str),
    /// The extended key usage does not include this side of a TLS connection.
    #[error("its extended key usage does not allow a TLS {0}")]
    ExtendedKeyUsage(TlsSide),
    /// The certificate cannot be parsed.
    #[error("it is malformed")]
    Malformed,
}

/// The side of a TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsSide {
    /// The side that accepts the connection.
    Server,
    /// The side that connects.
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

/// Checks a certificate for its role at `now`, in seconds since 1970. Returns a reason for a
/// warning if only a non-critical extension forbids the role.
///
/// An extended key usage that includes neither side of TLS is an error even if it is not critical
/// (DM-1206): the certificate was issued for another purpose. A client that presents a server's
/// certificate is common and causes a warning, except for [`CertRole::ClientOnly`].
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
        CertRole::Client | CertRole::ClientOnly => (TlsSide::Client, "digital signatures"),
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
        let is_strict = role == CertRole::ClientOnly;
        (
            CertCheckError::ExtendedKeyUsage(side),
            extended_usage.critical || is_unrelated || is_strict,
        )
    }))?;
    Ok(usage.or(extended_usage))
}

/// Returns a problem of a critical extension as an error, and any other as a warning.
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

    fn with_key_usage(
        digital_signature: bool,
        certificate_sign: bool,
        critical: bool,
    ) -> Certificate<'static> {
        Certificate {
            key_usage: Some(KeyUsage {
                digital_signature,
                certificate_sign,
                critical,
            }),
            ..PLAIN
        }
    }

    #[test]
    fn each_role_needs_its_own_key_usage() {
        let signing = CertCheckError::KeyUsage("digital signatures");
        let certifying = CertCheckError::KeyUsage("certificate signing");
        for (role, is_ca, usage, missing) in [
            (CertRole::Ca, true, [false, true], None),
            (CertRole::Ca, true, [true, false], Some(certifying)),
            (CertRole::Server, false, [true, false], None),
            (CertRole::Server, false, [false, true], Some(signing)),
            (CertRole::ClientOnly, false, [true, false], None),
            (CertRole::ClientOnly, false, [false, true], Some(signing)),
        ] {
            for critical in [true, false] {
                let certificate = Certificate {
                    is_ca: Some(is_ca),
                    ..with_key_usage(usage[0], usage[1], critical)
                };
                let expected = match missing {
                    Some(missing) if critical => Err(missing),
                    missing => Ok(missing),
                };
                assert_eq!(check_certificate(&certificate, role, 15), expected);
            }
        }
    }

    #[test]
    fn server_role_needs_its_purpose_and_no_ca() {
        let problem = CertCheckError::ExtendedKeyUsage(TlsSide::Server);
        for (certificate, expected) in [
            (with_extended_usage(true, false, false, true), Ok(None)),
            (with_extended_usage(false, false, true, true), Ok(None)),
            (with_extended_usage(false, true, false, true), Err(problem)),
            (
                with_extended_usage(false, true, false, false),
                Ok(Some(problem)),
            ),
        ] {
            let found = check_certificate(&certificate, CertRole::Server, 15);
            assert_eq!(found, expected);
        }
        let authority = Certificate {
            is_ca: Some(true),
            ..PLAIN
        };
        let refused = check_certificate(&authority, CertRole::Server, 15);
        assert_eq!(refused, Err(CertCheckError::IsCa(TlsSide::Server)));
        let text = CertCheckError::IsCa(TlsSide::Server).to_string();
        assert!(text.ends_with("not one for a server"), "{text}");
        let text = CertCheckError::ExtendedKeyUsage(TlsSide::Client).to_string();
        assert!(text.ends_with("does not allow a TLS client"), "{text}");
    }

    #[test]
    fn client_only_role_refuses_a_server_purpose() {
        let problem = CertCheckError::ExtendedKeyUsage(TlsSide::Client);
        let check = |certificate| check_certificate(&certificate, CertRole::ClientOnly, 15);
        assert_eq!(check(PLAIN), Ok(None));
        for critical in [true, false] {
            let with = |server, client, any| with_extended_usage(server, client, any, critical);
            assert_eq!(check(with(true, false, false)), Err(problem));
            assert_eq!(check(with(true, true, false)), Ok(None));
            assert_eq!(check(with(false, false, true)), Ok(None));
        }
        // A warning about the key usage does not hide the purpose.
        let both = Certificate {
            key_usage: with_key_usage(false, false, false).key_usage,
            ..with_extended_usage(true, false, false, false)
        };
        assert_eq!(check(both.clone()), Err(problem));
        let warned = check_certificate(&both, CertRole::Client, 15);
        assert_eq!(
            warned,
            Ok(Some(CertCheckError::KeyUsage("digital signatures")))
        );
    }
}
