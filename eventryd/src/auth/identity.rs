//! Identity of a client: its process, its address, and the names that it has authenticated.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;

/// Process at the other end of a Unix socket, as the kernel recorded it at `connect` (DM-1006).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixPeer {
    /// User ID.
    pub uid: u32,
    /// Group ID.
    pub gid: u32,
    /// Process ID, or 0 if the process is outside the PID namespace of the daemon.
    pub pid: i32,
    /// Start time of the process in clock ticks since boot (field 22 of `/proc/PID/stat`). It
    /// distinguishes the process from a later one with the same ID. `None` if it was not looked up,
    /// or the process has exited.
    pub start_time: Option<NonZeroU64>,
    /// User name, or `None` if `uid` is not in `/etc/passwd`.
    pub user: Option<Arc<str>>,
    /// Group name, or `None` if `gid` is not in `/etc/group`.
    pub group: Option<Arc<str>>,
    /// Security context of the socket (`SO_PEERSEC`): the label of SELinux or of another security
    /// module. `None` if the system has no such module.
    pub selinux_context: Option<Box<str>>,
}

/// Names that a client has authenticated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthenticatedNames {
    /// User name, if SASL was used.
    pub sasl_user: Option<Box<str>>,
    /// Distinguished name of the client certificate, if TLS was used with one.
    pub x509_dn: Option<Box<str>>,
}

/// Identity of a client (DM-1007).
///
/// `Display` writes one line for the log. Text that the client chose is quoted and escaped.
///
/// ```
/// use eventryd::auth::Identity;
///
/// let mut identity = Identity::default();
/// identity.authenticated_mut().sasl_user = Some("fred".into());
/// assert_eq!(identity.to_string(), r#"sasl="fred""#);
/// assert_eq!(Identity::default().to_string(), "unknown");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Process of the peer, on a Unix socket.
    pub process: Option<UnixPeer>,
    /// Address of the peer, on a network socket. Boxed to keep clients of Unix sockets small.
    pub address: Option<Box<SocketAddr>>,
    /// Authenticated names. Boxed because most clients of Unix sockets have none.
    pub authenticated: Option<Box<AuthenticatedNames>>,
}

impl Identity {
    /// Returns the authenticated names for modification, and creates them if there are none.
    pub fn authenticated_mut(&mut self) -> &mut AuthenticatedNames {
        self.authenticated.get_or_insert_default()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(process) = &self.process {
            write!(f, "{process}")?;
            separator = " ";
        }
        if let Some(address) = &self.address {
            write!(f, "{separator}address={address}")?;
            separator = " ";
        }
        if let Some(names) = &self.authenticated {
            let authenticated = [("sasl", &names.sasl_user), ("x509", &names.x509_dn)];
            for (name, value) in authenticated {
                if let Some(value) = value {
                    write!(f, "{separator}{name}={value:?}")?;
                    separator = " ";
                }
            }
        }
        if separator.is_empty() {
            f.write_str("unknown")?;
        }
        Ok(())
    }
}

impl fmt::Display for UnixPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = [
            ("uid", self.uid, &self.user),
            ("gid", self.gid, &self.group),
        ];
        for (kind, id, name) in ids {
            write!(f, "{kind}={id}")?;
            if let Some(name) = name {
                write!(f, "({name})")?;
            }
            f.write_str(" ")?;
        }
        write!(f, "pid={}", self.pid)?;
        match &self.selinux_context {
            Some(context) => write!(f, " context={context:?}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_without_names_displays_numbers() {
        let process = UnixPeer {
            uid: 4_000_000,
            gid: 0,
            pid: 7,
            start_time: None,
            user: None,
            group: Some("root".into()),
            selinux_context: None,
        };
        let confined = UnixPeer {
            selinux_context: Some("a_u:a_r:a_t:s0".into()),
            ..process.clone()
        };
        let expected = r#"uid=4000000 gid=0(root) pid=7 context="a_u:a_r:a_t:s0""#;
        assert_eq!(confined.to_string(), expected);
        let mut identity = Identity {
            process: Some(process),
            ..Identity::default()
        };
        identity.authenticated_mut().x509_dn = Some("CN=a\nb".into());
        let expected = r#"uid=4000000 gid=0(root) pid=7 x509="CN=a\nb""#;
        assert_eq!(identity.to_string(), expected);
        let mut remote = Identity {
            address: Some(Box::new(([127, 0, 0, 1], 5).into())),
            ..Identity::default()
        };
        remote.authenticated_mut().sasl_user = Some("fred".into());
        assert_eq!(remote.to_string(), r#"address=127.0.0.1:5 sasl="fred""#);
    }
}
