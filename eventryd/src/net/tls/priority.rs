//! The supported part of GnuTLS priority strings (DM-1207).

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

/// A priority string with an unsupported part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "TLS priority {string:?} is not supported at {part:?}: {reason}; use NORMAL, followed by \
     :-VERS-TLS1.3 or :-VERS-TLS1.2 to disable a version"
)]
pub struct PriorityError {
    string: String,
    part: String,
    reason: &'static str,
}

/// The versions of TLS that the server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsVersions {
    /// TLS 1.2.
    pub tls_12: bool,
    /// TLS 1.3.
    pub tls_13: bool,
}

/// Initial keywords. All of them select the defaults of rustls, which are as strict as the strictest.
const KEYWORDS: [&str; 7] = [
    "NORMAL",
    "PERFORMANCE",
    "PFS",
    "SECURE128",
    "SECURE192",
    "SECURE256",
    "SYSTEM",
];

/// Versions that rustls does not have.
const OLD_VERSIONS: [&str; 7] = [
    "VERS-SSL3.0",
    "VERS-TLS1.0",
    "VERS-TLS1.1",
    "VERS-DTLS-ALL",
    "VERS-DTLS0.9",
    "VERS-DTLS1.0",
    "VERS-DTLS1.2",
];

/// Algorithms that rustls does not have, or not in a way that could be removed.
const ABSENT: [&str; 27] = [
    "3DES-CBC",
    "AES-128-CBC",
    "AES-192-CBC",
    "AES-256-CBC",
    "AES-128-CCM",
    "AES-256-CCM",
    "AES-128-CCM-8",
    "AES-256-CCM-8",
    "ARCFOUR-128",
    "ARCFOUR-40",
    "CAMELLIA-128-CBC",
    "CAMELLIA-256-CBC",
    "CAMELLIA-128-GCM",
    "CAMELLIA-256-GCM",
    "DES-CBC",
    "RC2-40",
    "NULL",
    "MD5",
    "SHA1",
    "RSA",
    "RSA-EXPORT",
    "DHE-RSA",
    "DHE-DSS",
    "PSK",
    "SRP",
    "SIGN-RSA-MD5",
    "SIGN-RSA-SHA1",
];

/// Algorithms that every rustls server offers, so that adding them changes nothing.
const PRESENT: [&str; 9] = [
    "AES-128-GCM",
    "AES-256-GCM",
    "CHACHA20-POLY1305",
    "AEAD",
    "ECDHE-RSA",
    "ECDHE-ECDSA",
    "COMP-NULL",
    "CTYPE-X509",
    "CTYPE-X.509",
];

/// Options without effect: they concern renegotiation, tickets, compression and old clients, which
/// rustls does not have, or loosen a check, which is not done here.
const OPTIONS: [&str; 13] = [
    "%COMPAT",
    "%SERVER_PRECEDENCE",
    "%SAFE_RENEGOTIATION",
    "%PARTIAL_RENEGOTIATION",
    "%UNSAFE_RENEGOTIATION",
    "%DISABLE_SAFE_RENEGOTIATION",
    "%STATELESS_COMPRESSION",
    "%LATEST_RECORD_VERSION",
    "%SSL3_RECORD_VERSION",
    "%NO_TICKETS",
    "%NO_TICKETS_TLS12",
    "%PROFILE_LOW",
    "%PROFILE_LEGACY",
];

impl TlsVersions {
    /// Parses the versions that a GnuTLS priority string allows. Upper and lower case are the same.
    ///
    /// The string starts with NORMAL, PERFORMANCE, PFS, SECURE128, SECURE192, SECURE256, SYSTEM, or
    /// `@` and names of system policies, separated by commas (`@LIBVIRT,SYSTEM`, the default of
    /// Fedora). All of them select the defaults of rustls: TLS 1.2 with forward secrecy, and TLS
    /// 1.3; see [`system_policy`]. After that, `-VERS-TLS1.2` or `!VERS-TLS1.2` removes a version
    /// and `+VERS-TLS1.2` adds it, likewise for 1.3; `VERS-ALL` and `VERS-TLS-ALL` stand for both
    /// versions. Versions before 1.2 can be removed but not added. Parts that ask for less than
    /// rustls offers without them, such as the removal of a cipher that it lacks, are accepted
    /// without effect. Any other part is an error, because ignoring it could weaken the operator's
    /// policy.
    ///
    /// ```
    /// use eventryd::net::tls::TlsVersions;
    ///
    /// assert!(TlsVersions::from_priority("@LIBVIRT,SYSTEM")?.tls_13);
    /// assert!(!TlsVersions::from_priority("NORMAL:!VERS-TLS1.3")?.tls_13);
    /// assert!(TlsVersions::from_priority("NORMAL:+ARCFOUR-128").is_err());
    /// # Ok::<(), eventryd::net::tls::PriorityError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PriorityError`] for an unsupported part, or if no version is left.
    pub fn from_priority(priority: &str) -> Result<TlsVersions, PriorityError> {
        let unsupported = |part: &str, reason| PriorityError {
            string: priority.to_owned(),
            part: part.to_owned(),
            reason,
        };
        let mut parts = priority.split(':');
        let first = parts.next().unwrap_or_default();
        if system_policy(first).is_none() && !KEYWORDS.contains(&&*first.to_ascii_uppercase()) {
            return Err(unsupported(first, "it does not name a set of algorithms"));
        }
        let (mut tls_12, mut tls_13) = (true, true);
        for part in parts {
            let upper = part.to_ascii_uppercase();
            if OPTIONS.contains(&&*upper) {
                continue;
            }
            let (is_added, name) = if let Some(name) = upper.strip_prefix('+') {
                (true, name)
            } else if let Some(name) = upper.strip_prefix(['-', '!']) {
                (false, name)
            } else {
                return Err(unsupported(part, "it is unknown"));
            };
            match name {
                "VERS-ALL" | "VERS-TLS-ALL" => (tls_12, tls_13) = (is_added, is_added),
                "VERS-TLS1.2" => tls_12 = is_added,
                "VERS-TLS1.3" => tls_13 = is_added,
                _ if !is_added && (OLD_VERSIONS.contains(&name) || ABSENT.contains(&name)) => {}
                _ if is_added && PRESENT.contains(&name) => {}
                _ if is_added && OLD_VERSIONS.contains(&name) => {
                    return Err(unsupported(part, "versions before TLS 1.2 are not offered"));
                }
                _ => {
                    let reason = "algorithms other than versions cannot be chosen";
                    return Err(unsupported(part, reason));
                }
            }
        }
        if !tls_12 && !tls_13 {
            return Err(unsupported(priority, "no version is left"));
        }
        Ok(TlsVersions { tls_12, tls_13 })
    }
}

/// Returns the names of the system policies that a priority string starts with, or `None` if it
/// starts with another keyword.
///
/// GnuTLS looks up the names in its configuration file and takes the first that exists. That file
/// is not read here: the defaults of rustls apply instead.
///
/// ```
/// use eventryd::net::tls::system_policy;
///
/// assert_eq!(system_policy("@LIBVIRT,SYSTEM:-VERS-TLS1.2"), Some("@LIBVIRT,SYSTEM"));
/// assert_eq!(system_policy("NORMAL"), None);
/// ```
#[must_use]
pub fn system_policy(priority: &str) -> Option<&str> {
    let first = priority.split(':').next()?;
    let is_name = |name: &str| {
        let is_valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        !name.is_empty() && name.chars().all(is_valid)
    };
    first
        .strip_prefix('@')?
        .split(',')
        .all(is_name)
        .then_some(first)
}

/// Returns the versions as rustls names them.
pub(super) fn rustls_versions(versions: TlsVersions) -> Vec<&'static SupportedProtocolVersion> {
    let TlsVersions { tls_12, tls_13 } = versions;
    let offered = [(tls_13, &TLS13), (tls_12, &TLS12)].into_iter();
    offered
        .filter_map(|(offered, version)| offered.then_some(version))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(priority: &str) -> (bool, bool) {
        let versions = TlsVersions::from_priority(priority).unwrap();
        (versions.tls_12, versions.tls_13)
    }

    #[test]
    fn priority_removes_and_adds_versions() {
        assert_eq!(offered("NORMAL"), (true, true));
        let harmless = "@LIBVIRT:-VERS-TLS1.0:%SERVER_PRECEDENCE";
        assert_eq!(offered(harmless), (true, true));
        assert_eq!(offered("NORMAL:-VERS-TLS1.3"), (true, false));
        let only_13 = "SECURE256:-VERS-TLS-ALL:+VERS-TLS1.3";
        assert_eq!(offered(only_13), (false, true));
    }

    #[test]
    fn every_documented_form_is_understood() {
        let both = (true, true);
        for (priority, expected) in [
            // The defaults of Debian, Fedora and RHEL.
            ("NORMAL", both),
            ("@LIBVIRT,SYSTEM", both),
            ("@SYSTEM", both),
            ("@LIBVIRT", both),
            ("@A,B-1,C_2,NORMAL", both),
            ("PERFORMANCE", both),
            ("PFS", both),
            ("SECURE128", both),
            ("SECURE192", both),
            ("SECURE256", both),
            ("SYSTEM", both),
            ("normal:-vers-tls1.3", (true, false)),
            ("NORMAL:!VERS-TLS1.3", (true, false)),
            ("NORMAL:!VERS-TLS1.2:-VERS-TLS1.1", (false, true)),
            ("@LIBVIRT,SYSTEM:!VERS-ALL:+VERS-TLS1.2", (true, false)),
            ("NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2", both),
            ("NORMAL:-VERS-TLS1.2:+VERS-ALL", both),
            ("NORMAL:-VERS-TLS1.3:+VERS-TLS-ALL", both),
            ("SECURE256:!RSA:!3DES-CBC:!MD5:-SHA1:-VERS-SSL3.0", both),
            ("NORMAL:+AES-256-GCM:+ECDHE-RSA:+COMP-NULL", both),
            ("NORMAL:%COMPAT:%NO_TICKETS:%SERVER_PRECEDENCE", both),
            ("NORMAL:-VERS-DTLS-ALL:-VERS-TLS1.0:!ARCFOUR-128", both),
        ] {
            assert_eq!(offered(priority), expected, "{priority}");
        }
    }

    #[test]
    fn system_policy_is_at_the_start_and_has_names() {
        for (priority, policy) in [
            ("@A:-VERS-TLS1.2", Some("@A")),
            ("@A,B", Some("@A,B")),
            ("@", None),
            ("@A,", None),
            ("@,A", None),
            ("@A B", None),
            ("NORMAL", None),
            ("NORMAL:@A", None),
            ("", None),
        ] {
            assert_eq!(system_policy(priority), policy, "{priority}");
            assert!(
                policy.is_some()
                    || priority == "NORMAL"
                    || TlsVersions::from_priority(priority).is_err()
            );
        }
    }

    #[test]
    fn unsupported_part_is_refused_and_named() {
        for (priority, part) in [
            ("", "at \"\": it does not name"),
            ("LEGACY", "LEGACY"),
            ("NONE:+VERS-TLS1.3", "\"NONE\""),
            ("NORMAL:", "at \"\": it is unknown"),
            ("NORMAL:VERS-TLS1.2", "\"VERS-TLS1.2\": it is unknown"),
            ("NORMAL:%PROFILE_HIGH", "\"%PROFILE_HIGH\": it is unknown"),
            ("NORMAL:+VERS-TLS1.1", "\"+VERS-TLS1.1\": versions before"),
            ("NORMAL:-CIPHER-ALL", "\"-CIPHER-ALL\": algorithms"),
            ("NORMAL:-AES-256-GCM", "\"-AES-256-GCM\": algorithms"),
            ("NORMAL:+RSA", "\"+RSA\": algorithms"),
            ("NORMAL:!VERS-ALL", "no version"),
            ("NORMAL:-VERS-TLS1.2:-VERS-TLS1.3", "no version"),
            ("NORMAL:@SYSTEM", "\"@SYSTEM\""),
        ] {
            let text = TlsVersions::from_priority(priority)
                .unwrap_err()
                .to_string();
            assert!(text.contains(part), "{text}");
            assert!(
                text.contains(&format!("TLS priority {priority:?}")),
                "{text}"
            );
        }
    }
}
