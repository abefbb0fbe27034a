//! The part of GnuTLS's priority strings that means something here (DM-1207).

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

/// A priority string that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the TLS priority {string:?} is not understood at {part:?}; say NORMAL, and :-VERS-TLS1.3 or \
     :-VERS-TLS1.2 to leave a version out"
)]
pub struct PriorityError {
    string: String,
    part: String,
}

/// The versions of TLS that are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsVersions {
    /// TLS 1.2.
    pub tls_12: bool,
    /// TLS 1.3.
    pub tls_13: bool,
}

impl TlsVersions {
    /// The versions that a GnuTLS priority string allows.
    ///
    /// It begins with NORMAL, PERFORMANCE, PFS, SECURE128, SECURE192, SECURE256, SYSTEM, @SYSTEM or
    /// @LIBVIRT, all of which stand for what rustls offers: TLS 1.2 with forward secrecy and TLS 1.3, with
    /// strong ciphers. Then `-VERS-…` leaves a version out and `+VERS-…` takes it in, `-VERS-ALL` and
    /// `-VERS-TLS-ALL` all; versions before 1.2 may be left out and not taken in. `%SERVER_PRECEDENCE` and
    /// `%SAFE_RENEGOTIATION`, which describe what happens here anyway, may follow. Anything else is
    /// refused: who wrote it relies on it.
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
    /// [`PriorityError`], also if no version is left.
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

/// The same for rustls.
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
