//! Sockets that systemd has made, and passes to the daemon it starts (DM-401…407).
//!
//! What the environment says is decided without looking at a descriptor; the descriptors are then taken by the
//! crate listenfd, which checks that they are sockets of the suffix that is expected.

use super::{Listener, NetError, TcpListener, UnixListener};
use listenfd::ListenFd;
use std::env;

/// What a socket that was passed is for, by its name: `eventryd.socket`, `eventryd-ro.socket`,
/// `eventryd-tcp.socket` and `eventryd-tls.socket` (DM-403).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketRole {
    /// A local socket, read-write.
    ReadWrite,
    /// A local socket, read-only.
    ReadOnly,
    /// A TCP socket.
    Tcp,
    /// A TCP socket for TLS.
    Tls,
}

/// What the environment says: the variables of `sd_listen_fds(3)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ActivationEnv<'a> {
    /// `LISTEN_PID`.
    pub pid: Option<&'a str>,
    /// `LISTEN_FDS`.
    pub fds: Option<&'a str>,
    /// `LISTEN_FDNAMES`.
    pub names: Option<&'a str>,
}

/// What was passed is not what it should be. libvirtd serves on, and leaves the clients of such sockets
/// waiting for ever (DM-402).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ActivationError {
    /// There are not as many names as descriptors.
    #[error(
        "{fds} sockets were passed with {names} names (LISTEN_FDNAMES); give each socket unit a \
         FileDescriptorName= such as eventryd.socket"
    )]
    NameCountMismatch {
        /// How many descriptors.
        fds: usize,
        /// How many names.
        names: usize,
    },
    /// A name stands for nothing here.
    #[error(
        "a socket was passed as {0:?}; the names are eventryd.socket, eventryd-ro.socket, \
         eventryd-tcp.socket and eventryd-tls.socket"
    )]
    UnknownName(String),
    /// A descriptor is not the socket that its name promises.
    #[error("the socket passed as {name:?} cannot be used: {reason}")]
    Unusable {
        /// The name.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

/// What the sockets that were passed to the process `own_pid` are for, in their order; `None` if none were
/// passed to it. Names may begin with any of `daemons`, and several sockets may have the same.
///
/// ```
/// use eventryd::net::{ActivationEnv, SocketRole, parse_activation_env};
///
/// let environment = ActivationEnv {
///     pid: Some("42"),
///     fds: Some("2"),
///     names: Some("eventryd.socket:eventryd-ro.socket"),
/// };
/// let passed = parse_activation_env(environment, 42, &["eventryd"])?;
/// assert_eq!(passed, Some(vec![SocketRole::ReadWrite, SocketRole::ReadOnly]));
/// assert_eq!(parse_activation_env(environment, 43, &["eventryd"])?, None);
/// # Ok::<(), eventryd::net::ActivationError>(())
/// ```
///
/// # Errors
///
/// [`ActivationError`]
pub fn parse_activation_env(
    environment: ActivationEnv<'_>,
    own_pid: u32,
    daemons: &[&str],
) -> Result<Option<Vec<SocketRole>>, ActivationError> {
    let is_ours = environment.pid.and_then(|pid| pid.parse().ok()) == Some(own_pid);
    let fds: Option<usize> = environment.fds.and_then(|fds| fds.parse().ok());
    let Some(fds) = fds.filter(|fds| is_ours && *fds > 0) else {
        return Ok(None);
    };
    let names: Vec<&str> = match environment.names {
        None | Some("") => Vec::new(),
        Some(names) => names.split(':').collect(),
    };
    if names.len() != fds {
        let names = names.len();
        return Err(ActivationError::NameCountMismatch { fds, names });
    }
    let role = |name: &&str| {
        let unknown = || ActivationError::UnknownName((*name).to_owned());
        let mut candidates = daemons.iter().filter_map(|daemon| {
            let suffix = name.strip_prefix(daemon)?.strip_suffix(".socket")?;
            match suffix {
                "" => Some(SocketRole::ReadWrite),
                "-ro" => Some(SocketRole::ReadOnly),
                "-tcp" => Some(SocketRole::Tcp),
                "-tls" => Some(SocketRole::Tls),
                _ => None,
            }
        });
        candidates.next().ok_or_else(unknown)
    };
    names.iter().map(role).collect::<Result<_, _>>().map(Some)
}

/// What the sockets that were passed to this process are for, in their order; `None` if none were passed. They
/// are not touched.
///
/// # Errors
///
/// [`NetError::Activation`]
pub fn activation_roles(daemons: &[&str]) -> Result<Option<Vec<SocketRole>>, NetError> {
    let [pid, fds, names] =
        ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"].map(|name| env::var(name).ok());
    let environment = ActivationEnv {
        pid: pid.as_deref(),
        fds: fds.as_deref(),
        names: names.as_deref(),
    };
    parse_activation_env(environment, std::process::id(), daemons).map_err(NetError::Activation)
}

/// Takes the sockets that were passed to this process, non-blocking, close-on-exec, and with room for
/// `backlog` connections whatever they were made with (DM-407). `None` if none were passed.
///
/// To be called once, before there are other threads: the variables are removed from the environment.
///
/// # Errors
///
/// [`NetError::Activation`]
pub fn take_activated_listeners(
    daemons: &[&str],
    backlog: u32,
) -> Result<Option<Vec<(SocketRole, Listener)>>, NetError> {
    let Some(roles) = activation_roles(daemons)? else {
        return Ok(None);
    };
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut descriptors = ListenFd::from_env();
    let listeners = roles.into_iter().zip(names.split(':')).enumerate();
    let listeners = listeners.map(|(index, (role, name))| {
        let taken = take_listener(&mut descriptors, index, role, backlog);
        let listener = taken.map_err(|reason| {
            NetError::Activation(ActivationError::Unusable {
                name: name.to_owned(),
                reason,
            })
        })?;
        Ok((role, listener))
    });
    listeners.collect::<Result<_, _>>().map(Some)
}

fn take_listener(
    descriptors: &mut ListenFd,
    index: usize,
    role: SocketRole,
    backlog: u32,
) -> Result<Listener, String> {
    const ALREADY_TAKEN: &str = "it was taken before";
    let to_text = |error: std::io::Error| error.to_string();
    match role {
        SocketRole::ReadWrite | SocketRole::ReadOnly => {
            let taken = descriptors.take_unix_listener(index).map_err(to_text)?;
            let socket =
                UnixListener::from_std(taken.ok_or(ALREADY_TAKEN)?, backlog).map_err(to_text)?;
            Ok(Listener::Unix(socket))
        }
        SocketRole::Tcp | SocketRole::Tls => {
            let taken = descriptors.take_tcp_listener(index).map_err(to_text)?;
            let socket =
                TcpListener::from_std(taken.ok_or(ALREADY_TAKEN)?, backlog).map_err(to_text)?;
            Ok(Listener::Tcp(socket))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(
        pid: &str,
        fds: &str,
        names: Option<&str>,
    ) -> Result<Option<Vec<SocketRole>>, ActivationError> {
        let environment = ActivationEnv {
            pid: Some(pid),
            fds: Some(fds),
            names,
        };
        parse_activation_env(environment, 42, &["eventryd", "libvirtd"])
    }

    #[test]
    fn sockets_of_another_process_or_bad_variables_are_ignored() {
        let name = Some("eventryd.socket");
        for (pid, fds) in [
            ("43", "1"),
            ("", "1"),
            ("x", "1"),
            ("42", "0"),
            ("42", ""),
            ("42", "-1"),
            ("42", "99999999999999999999999"),
        ] {
            assert_eq!(parse(pid, fds, name), Ok(None), "{pid} {fds}");
        }
        let none = parse_activation_env(ActivationEnv::default(), 42, &["eventryd"]);
        assert_eq!(none, Ok(None));
    }

    #[test]
    fn names_give_roles_and_may_repeat() {
        use SocketRole::{ReadOnly, ReadWrite, Tcp, Tls};
        for (names, roles) in [
            ("eventryd.socket", vec![ReadWrite]),
            ("eventryd-tls.socket:eventryd-tls.socket", vec![Tls, Tls]),
            (
                "libvirtd-ro.socket:libvirtd-tcp.socket",
                vec![ReadOnly, Tcp],
            ),
        ] {
            let fds = roles.len().to_string();
            assert_eq!(parse("42", &fds, Some(names)), Ok(Some(roles)), "{names}");
        }
    }

    #[test]
    fn wrong_number_of_names_is_an_error() {
        for (fds, names, count) in [
            ("1", None, 0),
            ("1", Some(""), 0),
            ("2", Some("eventryd.socket"), 1),
            ("1", Some("eventryd.socket:eventryd.socket"), 2),
            ("4000000000", Some("eventryd.socket"), 1),
        ] {
            let fds_passed = fds.parse().unwrap();
            let expected = ActivationError::NameCountMismatch {
                fds: fds_passed,
                names: count,
            };
            assert_eq!(parse("42", fds, names), Err(expected));
        }
    }

    #[test]
    fn unknown_name_is_an_error() {
        for name in [
            "eventryd-admin.socket",
            "unknown",
            "eventryd",
            "virtqemud.socket",
        ] {
            let unknown = ActivationError::UnknownName(name.to_owned());
            assert_eq!(parse("42", "1", Some(name)), Err(unknown));
        }
    }
}
