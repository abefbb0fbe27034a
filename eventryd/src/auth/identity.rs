//! Who a client is, as far as anybody knows.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;

/// The process at the other end of a Unix socket, as the system saw it when it connected (DM-1006).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixPeer {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its number; 0 if it cannot be seen from here.
    pub pid: i32,
    /// When it was started, in the system's ticks since its own start, which tells it from another process
    /// that got its number later. `None` if nobody has asked, or it is gone.
    pub start_time: Option<NonZeroU64>,
    /// The user's name, if it has one here.
    pub user: Option<Arc<str>>,
    /// The group's name, if it has one here.
    pub group: Option<Arc<str>>,
    /// Its security context (SELinux's, or the label of another security module that gives sockets one); `None`
    /// where the system has none.
    pub selinux_context: Option<Box<str>>,
}

/// Who a client has proved to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthenticatedNames {
    /// The user, by SASL.
    pub sasl_user: Option<Box<str>>,
    /// The distinguished name in its certificate, with TLS.
    pub x509_dn: Option<Box<str>>,
}

/// Everything known of who a client is (DM-1007). Displayed as one piece of a log line: what clients choose
/// themselves is quoted and escaped.
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
    /// The process, on a Unix socket.
    pub process: Option<UnixPeer>,
    /// The address, on a network. Boxed: there are more clients, and less memory is to spare, on a Unix socket.
    pub address: Option<Box<SocketAddr>>,
    /// What it has proved. Boxed for the same reason.
    pub authenticated: Option<Box<AuthenticatedNames>>,
}

impl Identity {
    /// What it has proved, to be added to.
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
