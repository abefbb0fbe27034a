//! The supported part of GnuTLS priority strings (DM-1207).

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

/// A priority string with an unsupported part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "TLS priority {string:?} is not supported at {part:?}; use NORMAL, followed by :-VERS-TLS1.3 \
     or :-VERS-TLS1.2 to disable a version"
)]
pub struct PriorityError {
    string: String,
    part: String,
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

impl TlsVersions {
    /// Parses the versions that a GnuTLS priority string allows.
    ///
    /// The string starts with NORMAL, PERFORMANCE, PFS, SECURE128, SECURE192, SECURE256, SYSTEM,
    /// @SYSTEM or @LIBVIRT. All of them select the defaults of rustls: TLS 1.2 with forward
    /// secrecy, and TLS 1.3. After that, `-VERS-TLS1.2` removes a version and `+VERS-TLS1.2` adds
    /// it, likewise for 1.3; `VERS-ALL` and `VERS-TLS-ALL` stand for both versions. Versions before
    /// 1.2 can be removed but not added. `%SERVER_PRECEDENCE` and `%SAFE_RENEGOTIATION` are
    /// accepted without effect: every offered cipher suite is strong, and rustls never
    /// renegotiates. Any other part is an error, because ignoring it could weaken the operator's
    /// policy.
    ///
    /// ```
    /// use eventryd::net::tls::TlsVersions;
    ///
    /// assert!(TlsVersions::from_priority("NORMAL")?.tls_13);
    /// assert!(!TlsVersions::from_priority("NORMAL:-VERS-TLS1.3")?.tls_13);
    /// assert!(TlsVersions::from_priority("NORMAL:+ARCFOUR-128").is_err());
    /// # Ok::<(), eventryd::net::tls::PriorityError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PriorityError`] for an unsupported part, or if no version is left.
    pub fn from_priority(priority: &str) -> Result<TlsVersions, PriorityError> {
        let unknown = |part: &str| PriorityError {
            string: priority.to_owned(),
            part: part.to_owned(),
        };
        let mut parts = priority.split(':');
        let first = parts.next().unwrap_or_default();
        if !matches!(
            first,
            "NORMAL"
                | "PERFORMANCE"
                | "PFS"
                | "SECURE128"
                | "SECURE192"
                | "SECURE256"
                | "SYSTEM"
                | "@SYSTEM"
                | "@LIBVIRT"
        ) {
            return Err(unknown(first));
        }
        let (mut tls_12, mut tls_13) = (true, true);
        for part in parts {
            match part {
                "-VERS-ALL" | "-VERS-TLS-ALL" => (tls_12, tls_13) = (false, false),
                "+VERS-ALL" | "+VERS-TLS-ALL" => (tls_12, tls_13) = (true, true),
                "-VERS-TLS1.2" => tls_12 = false,
                "+VERS-TLS1.2" => tls_12 = true,
                "-VERS-TLS1.3" => tls_13 = false,
                "+VERS-TLS1.3" => tls_13 = true,
                "-VERS-SSL3.0"
                | "-VERS-TLS1.0"
                | "-VERS-TLS1.1"
                | "%SERVER_PRECEDENCE"
                | "%SAFE_RENEGOTIATION" => {}
                other => return Err(unknown(other)),
            }
        }
        if !tls_12 && !tls_13 {
            return Err(unknown("no version is left"));
        }
        Ok(TlsVersions { tls_12, tls_13 })
    }
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
    fn unsupported_part_is_refused_and_named() {
        for (priority, part) in [
            ("", "\"\""),
            ("LEGACY", "LEGACY"),
            ("NORMAL:+VERS-TLS1.1", "+VERS-TLS1.1"),
            ("NORMAL:-CIPHER-ALL", "-CIPHER-ALL"),
            ("NORMAL:-VERS-ALL", "no version"),
        ] {
            let text = TlsVersions::from_priority(priority)
                .unwrap_err()
                .to_string();
            assert!(text.contains(part), "{text}");
        }
    }
}
