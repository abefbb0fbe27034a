//! Sockets created by systemd and passed to the daemon (DM-401…407).
//!
//! The roles follow from the environment alone. The crate listenfd then takes the descriptors and
//! checks that each is a socket of the expected family and type.

use super::{ActivationError, Listener, NetError, TcpListener, UnixListener};
use listenfd::ListenFd;
use std::env;

/// The role of a passed socket, given by its name: `eventryd.socket`, `eventryd-ro.socket`,
/// `eventryd-tcp.socket` or `eventryd-tls.socket` (DM-403).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketRole {
    /// Unix socket, read-write.
    ReadWrite,
    /// Unix socket, read-only.
    ReadOnly,
    /// TCP without encryption.
    Tcp,
    /// TCP with TLS.
    Tls,
}

/// The variables of `sd_listen_fds(3)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ActivationEnv<'a> {
    /// `LISTEN_PID`.
    pub pid: Option<&'a str>,
    /// `LISTEN_FDS`.
    pub fds: Option<&'a str>,
    /// `LISTEN_FDNAMES`.
    pub names: Option<&'a str>,
}

/// Returns the roles of the sockets passed to the process `own_pid`, in the order of the
/// descriptors; `None` if none were passed to it. A name starts with one of `daemons`; names may
/// repeat.
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
/// [`ActivationError::NameCountMismatch`] or [`ActivationError::UnknownName`].
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

/// Returns the roles of the sockets passed to this process, in the order of the descriptors; `None`
/// if none were passed. The descriptors stay untouched.
///
/// # Errors
///
/// [`NetError::Activation`] if the variables are inconsistent.
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

/// Takes the sockets passed to this process; `None` if none were passed. They become non-blocking
/// and close-on-exec, and get a queue of `backlog` connections, regardless of their previous
/// settings (DM-407).
///
/// Call this once, before other threads exist: it removes the variables from the environment.
///
/// # Errors
///
/// [`NetError::Activation`] if the variables are inconsistent or a descriptor is unusable.
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
    const ALREADY_TAKEN: &str = "it was already taken";
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
