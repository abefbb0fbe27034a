//! Who is at the other end of a local socket.

use super::Socket;
use crate::auth::{Subject, UnixPeer};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::io::Errno;
use std::num::NonZeroU64;
use std::{fs, io};
use uds::UnixStreamExt;

impl Socket {
    /// The process that has connected to a local socket, as it was then (DM-1006), without names and start.
    /// `None` on a network, and if the system does not say.
    #[must_use]
    pub fn unix_peer(&self) -> Option<UnixPeer> {
        let Socket::Unix(stream) = self else {
            return None;
        };
        let credentials = getsockopt(stream, PeerCredentials).ok()?;
        Some(UnixPeer {
            uid: credentials.uid(),
            gid: credentials.gid(),
            pid: credentials.pid(),
            start_time: None,
            user: None,
            group: None,
            selinux_context: security_context(|buffer| stream.initial_peer_selinux_context(buffer)),
        })
    }
}

/// The context of the process that has connected, as it was then; `None` where no security module gives sockets
/// one (DM-1007). `ask` writes it to a buffer and says how long it is, or that the buffer is too short.
fn security_context(mut ask: impl FnMut(&mut [u8]) -> io::Result<usize>) -> Option<Box<str>> {
    // Nearly every context fits, and it is cleared for every client.
    let mut short = [0; 256];
    match ask(&mut short) {
        Ok(length) => context_in(short.get(..length)?),
        Err(error) if error.raw_os_error() == Some(Errno::RANGE.raw_os_error()) => {
            // It never takes more than a page.
            let mut page = [0; 4096];
            let length = ask(&mut page).ok()?;
            context_in(page.get(..length)?)
        }
        Err(_) => None,
    }
}

/// The context up to its NUL; an empty one is none.
fn context_in(bytes: &[u8]) -> Option<Box<str>> {
    let context = bytes.split(|byte| *byte == 0).next()?;
    (!context.is_empty()).then(|| String::from_utf8_lossy(context).into())
}

/// When the peer's process was started, if it can be told that it is still the one that has connected: the
/// start is read first, and the user after it. So if the number has gone to another process, either it is
/// one of the same user, or there is no start.
#[must_use]
pub fn start_time(peer: &UnixPeer) -> Option<NonZeroU64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", peer.pid)).ok()?;
    let start = start_in(&stat)?;
    let status = fs::read_to_string(format!("/proc/{}/status", peer.pid)).ok()?;
    users_in(&status)?.contains(&peer.uid).then_some(start)
}

/// What polkit is asked about; `None` if the peer's start is not known.
#[must_use]
pub fn subject(peer: &UnixPeer) -> Option<Subject> {
    Some(Subject {
        pid: peer.pid,
        start_time: peer.start_time?.get(),
        uid: peer.uid,
    })
}

/// The twenty-second field, which is not 0. The second is a name in parentheses, which may contain anything.
fn start_in(stat: &str) -> Option<NonZeroU64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let start = after_name.split_ascii_whitespace().nth(22 - 3)?;
    start.parse().ok()
}

/// The user whose process it is, and as whom it acts.
fn users_in(status: &str) -> Option<[u32; 2]> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let mut numbers = line.split_ascii_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(real)), Some(Ok(effective))) => Some([real, effective]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_peer_of_a_socket_is_the_process_that_has_connected() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut peer = Socket::Unix(ours).unix_peer().unwrap();
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
        assert_eq!(peer.gid, rustix::process::getegid().as_raw());
        assert_eq!(peer.pid as u32, std::process::id());
        assert_eq!(subject(&peer), None);
        peer.start_time = start_time(&peer);
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        assert_eq!(peer.start_time, start_in(&stat));
        assert!(subject(&peer).is_some());
    }

    /// Both are the contexts of this process: the one of its socket, and the one of itself, to which some modules
    /// add a mode. A system without such a module knows neither.
    #[test]
    fn unix_peer_has_the_security_context_of_its_process() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let peer = Socket::Unix(ours).unix_peer().unwrap();
        let own = fs::read_to_string("/proc/self/attr/current").unwrap_or_default();
        let own = own.trim_end_matches(['\0', '\n']);
        let of_socket = peer.selinux_context.unwrap_or_default();
        assert!(
            own.starts_with(&*of_socket),
            "{of_socket:?} is not of {own:?}"
        );
        let modules = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
        let labels = ["selinux", "smack", "apparmor"];
        let has_labels = modules
            .trim()
            .split(',')
            .any(|module| labels.contains(&module));
        assert!(
            has_labels || of_socket.is_empty(),
            "{of_socket:?} on {modules:?}"
        );
    }

    #[test]
    fn an_empty_context_is_none_and_any_bytes_can_be_shown() {
        assert_eq!((context_in(b""), context_in(b"\0")), (None, None));
        let context = "system_u:system_r:virtd_t:s0-s0:c0.c1023";
        for end in ["", "\0", "\0\0"] {
            let bytes = format!("{context}{end}");
            assert_eq!(context_in(bytes.as_bytes()).as_deref(), Some(context));
        }
        assert_eq!(context_in(b"a\xff").as_deref(), Some("a\u{fffd}"));
    }

    #[test]
    fn a_context_that_is_longer_than_most_is_asked_for_again() {
        let contexts = [
            "u:r:t",
            &"c".repeat(256),
            &"c".repeat(257),
            &"c".repeat(4096),
        ];
        for context in contexts {
            let seen = security_context(|buffer| match buffer.get_mut(..context.len()) {
                None => Err(Errno::RANGE.into()),
                Some(room) => {
                    room.copy_from_slice(context.as_bytes());
                    Ok(context.len())
                }
            });
            assert_eq!(seen.as_deref(), Some(context));
        }
        let mut asked = 0;
        let seen = security_context(|_| {
            asked += 1;
            Err(Errno::NOPROTOOPT.into())
        });
        assert_eq!((seen, asked), (None, 1));
    }

    #[test]
    fn a_process_that_is_another_users_or_gone_has_no_start() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let peer = Socket::Unix(ours).unix_peer().unwrap();
        let other = UnixPeer {
            uid: peer.uid + 1,
            ..peer.clone()
        };
        assert_eq!(start_time(&other), None);
        let gone = UnixPeer {
            pid: i32::MAX,
            ..peer
        };
        assert_eq!(start_time(&gone), None);
    }

    #[test]
    fn the_start_is_found_behind_a_name_that_looks_like_more_fields() {
        let stat = "7 (a) R 1 ) (b) S 1 7 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";
        assert_eq!(start_in(stat), NonZeroU64::new(4242));
        assert_eq!(start_in("7 (a) S 1 7"), None);
        assert_eq!(start_in(&stat.replace("4242", "0")), None);
    }
}
