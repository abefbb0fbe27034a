//! Sockets that systemd has made, and passes to the daemon it starts (DM-401…407).
//!
//! What the environment says is decided without looking at a descriptor; the descriptors are then taken by the
//! crate listenfd, which checks that they are sockets of the kind that is expected.

use super::{Listener, NetError, TcpSocket, UnixSocket};
use listenfd::ListenFd;
use std::env;

/// What a socket that was passed is for, by its name: `eventryd.socket`, `eventryd-ro.socket`,
/// `eventryd-tcp.socket` and `eventryd-tls.socket` (DM-403).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
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
pub struct Environment<'a> {
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
    Names {
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
    Unknown(String),
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
/// use eventryd::net::{Environment, Purpose, activation};
///
/// let environment = Environment {
///     pid: Some("42"),
///     fds: Some("2"),
///     names: Some("eventryd.socket:eventryd-ro.socket"),
/// };
/// let passed = activation(environment, 42, &["eventryd"])?;
/// assert_eq!(passed, Some(vec![Purpose::ReadWrite, Purpose::ReadOnly]));
/// assert_eq!(activation(environment, 43, &["eventryd"])?, None);
/// # Ok::<(), eventryd::net::ActivationError>(())
/// ```
///
/// # Errors
///
/// [`ActivationError`]
pub fn activation(
    environment: Environment<'_>,
    own_pid: u32,
    daemons: &[&str],
) -> Result<Option<Vec<Purpose>>, ActivationError> {
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
        return Err(ActivationError::Names { fds, names });
    }
    let purpose = |name: &&str| {
        let unknown = || ActivationError::Unknown((*name).to_owned());
        let mut kinds = daemons.iter().filter_map(|daemon| {
            let kind = name.strip_prefix(daemon)?.strip_suffix(".socket")?;
            match kind {
                "" => Some(Purpose::ReadWrite),
                "-ro" => Some(Purpose::ReadOnly),
                "-tcp" => Some(Purpose::Tcp),
                "-tls" => Some(Purpose::Tls),
                _ => None,
            }
        });
        kinds.next().ok_or_else(unknown)
    };
    names
        .iter()
        .map(purpose)
        .collect::<Result<_, _>>()
        .map(Some)
}

/// What the sockets that were passed to this process are for, in their order; `None` if none were passed. They
/// are not touched.
///
/// # Errors
///
/// [`NetError::Activation`]
pub fn passed_purposes(daemons: &[&str]) -> Result<Option<Vec<Purpose>>, NetError> {
    let [pid, fds, names] =
        ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"].map(|name| env::var(name).ok());
    let environment = Environment {
        pid: pid.as_deref(),
        fds: fds.as_deref(),
        names: names.as_deref(),
    };
    activation(environment, std::process::id(), daemons).map_err(NetError::Activation)
}

/// Takes the sockets that were passed to this process, non-blocking, close-on-exec, and with room for
/// `backlog` connections whatever they were made with (DM-407). `None` if none were passed.
///
/// To be called once, before there are other threads: the variables are removed from the environment.
///
/// # Errors
///
/// [`NetError::Activation`]
pub fn activated_listeners(
    daemons: &[&str],
    backlog: u32,
) -> Result<Option<Vec<(Purpose, Listener)>>, NetError> {
    let Some(purposes) = passed_purposes(daemons)? else {
        return Ok(None);
    };
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut descriptors = ListenFd::from_env();
    let listeners = purposes.into_iter().zip(names.split(':')).enumerate();
    let listeners = listeners.map(|(index, (purpose, name))| {
        let taken = take(&mut descriptors, index, purpose, backlog);
        let listener = taken.map_err(|reason| {
            NetError::Activation(ActivationError::Unusable {
                name: name.to_owned(),
                reason,
            })
        })?;
        Ok((purpose, listener))
    });
    listeners.collect::<Result<_, _>>().map(Some)
}

fn take(
    descriptors: &mut ListenFd,
    index: usize,
    purpose: Purpose,
    backlog: u32,
) -> Result<Listener, String> {
    const GONE: &str = "it was taken before";
    let text = |error: std::io::Error| error.to_string();
    match purpose {
        Purpose::ReadWrite | Purpose::ReadOnly => {
            let taken = descriptors.take_unix_listener(index).map_err(text)?;
            let socket = UnixSocket::adopt(taken.ok_or(GONE)?, backlog).map_err(text)?;
            Ok(Listener::Unix(socket))
        }
        Purpose::Tcp | Purpose::Tls => {
            let taken = descriptors.take_tcp_listener(index).map_err(text)?;
            let socket = TcpSocket::adopt(taken.ok_or(GONE)?, backlog).map_err(text)?;
            Ok(Listener::Tcp(socket))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(
        pid: &str,
        fds: &str,
        names: Option<&str>,
    ) -> Result<Option<Vec<Purpose>>, ActivationError> {
        let environment = Environment {
            pid: Some(pid),
            fds: Some(fds),
            names,
        };
        activation(environment, 42, &["eventryd", "libvirtd"])
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
            assert_eq!(decide(pid, fds, name), Ok(None), "{pid} {fds}");
        }
        let none = activation(Environment::default(), 42, &["eventryd"]);
        assert_eq!(none, Ok(None));
    }

    #[test]
    fn every_socket_has_a_name_and_several_may_have_the_same() {
        use Purpose::{ReadOnly, ReadWrite, Tcp, Tls};
        for (names, purposes) in [
            ("eventryd.socket", vec![ReadWrite]),
            ("eventryd-tls.socket:eventryd-tls.socket", vec![Tls, Tls]),
            (
                "libvirtd-ro.socket:libvirtd-tcp.socket",
                vec![ReadOnly, Tcp],
            ),
        ] {
            let fds = purposes.len().to_string();
            assert_eq!(
                decide("42", &fds, Some(names)),
                Ok(Some(purposes)),
                "{names}"
            );
        }
    }

    #[test]
    fn names_that_are_missing_or_too_many_are_an_error() {
        for (fds, names, count) in [
            ("1", None, 0),
            ("1", Some(""), 0),
            ("2", Some("eventryd.socket"), 1),
            ("1", Some("eventryd.socket:eventryd.socket"), 2),
            ("4000000000", Some("eventryd.socket"), 1),
        ] {
            let fds_passed = fds.parse().unwrap();
            let expected = ActivationError::Names {
                fds: fds_passed,
                names: count,
            };
            assert_eq!(decide("42", fds, names), Err(expected));
        }
    }

    #[test]
    fn a_name_that_stands_for_nothing_is_an_error() {
        for name in [
            "eventryd-admin.socket",
            "unknown",
            "eventryd",
            "virtqemud.socket",
        ] {
            let unknown = ActivationError::Unknown(name.to_owned());
            assert_eq!(decide("42", "1", Some(name)), Err(unknown));
        }
    }
}
