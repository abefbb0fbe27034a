//! Identity of the peer of a Unix socket.

use super::Socket;
use crate::auth::{Subject, UnixPeer};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::io::Errno;
use std::num::NonZeroU64;
use std::{fs, io};
use uds::UnixStreamExt;

impl Socket {
    /// Returns the credentials of the process that connected, as of that moment (DM-1006), without
    /// names and start time. `None` for TCP, or if the system call fails.
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

/// Reads the security context of the process that connected; `None` if no security module labels
/// sockets (DM-1007). `query` fills a buffer and returns the length, or `ERANGE` if the buffer is
/// too small.
fn security_context(mut query: impl FnMut(&mut [u8]) -> io::Result<usize>) -> Option<Box<str>> {
    // Nearly every context fits. A small buffer is cheaper to clear for each client.
    let mut buffer = [0; 256];
    match query(&mut buffer) {
        Ok(length) => parse_context(buffer.get(..length)?),
        Err(error) if error.raw_os_error() == Some(Errno::RANGE.raw_os_error()) => {
            // A context is at most a page long.
            let mut page = [0; 4096];
            let length = query(&mut page).ok()?;
            parse_context(page.get(..length)?)
        }
        Err(_) => None,
    }
}

/// Returns the context up to its NUL; `None` if it is empty.
fn parse_context(bytes: &[u8]) -> Option<Box<str>> {
    let context = bytes.split(|byte| *byte == 0).next()?;
    (!context.is_empty()).then(|| String::from_utf8_lossy(context).into())
}

/// Returns the start time of the peer's process in clock ticks since boot, `None` if the process
/// may not be the one that connected. The start time is read before the user: if the pid was
/// reused, either the new process has the same user or this returns `None`.
#[must_use]
pub fn process_start_time(peer: &UnixPeer) -> Option<NonZeroU64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", peer.pid)).ok()?;
    let start = parse_start_time(&stat)?;
    let status = fs::read_to_string(format!("/proc/{}/status", peer.pid)).ok()?;
    parse_uids(&status)?.contains(&peer.uid).then_some(start)
}

/// Returns the subject for a polkit check; `None` without a start time.
#[must_use]
pub fn polkit_subject(peer: &UnixPeer) -> Option<Subject> {
    Some(Subject {
        pid: peer.pid,
        start_time: peer.start_time?.get(),
        uid: peer.uid,
    })
}

/// Parses field 22 of `/proc/PID/stat`, which is never 0. Field 2 is the command in parentheses,
/// which may contain spaces and parentheses.
fn parse_start_time(stat: &str) -> Option<NonZeroU64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let start = after_name.split_ascii_whitespace().nth(22 - 3)?;
    start.parse().ok()
}

/// Parses the real and the effective user id in `/proc/PID/status`.
fn parse_uids(status: &str) -> Option<[u32; 2]> {
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
    fn unix_peer_is_the_process_that_connected() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut peer = Socket::Unix(ours).unix_peer().unwrap();
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
        assert_eq!(peer.gid, rustix::process::getegid().as_raw());
        assert_eq!(peer.pid as u32, std::process::id());
        assert_eq!(polkit_subject(&peer), None);
        peer.start_time = process_start_time(&peer);
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        assert_eq!(peer.start_time, parse_start_time(&stat));
        assert!(polkit_subject(&peer).is_some());
    }

    /// The context of the socket is compared with that of this process, to which some modules
    /// append a mode. A system without such a module has neither.
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
    fn parse_context_drops_nul_and_accepts_any_bytes() {
        assert_eq!((parse_context(b""), parse_context(b"\0")), (None, None));
        let context = "system_u:system_r:virtd_t:s0-s0:c0.c1023";
        for end in ["", "\0", "\0\0"] {
            let bytes = format!("{context}{end}");
            assert_eq!(parse_context(bytes.as_bytes()).as_deref(), Some(context));
        }
        assert_eq!(parse_context(b"a\xff").as_deref(), Some("a\u{fffd}"));
    }

    #[test]
    fn long_security_context_is_queried_again() {
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
    fn process_start_time_of_another_user_or_no_process_is_none() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let peer = Socket::Unix(ours).unix_peer().unwrap();
        let other = UnixPeer {
            uid: peer.uid + 1,
            ..peer.clone()
        };
        assert_eq!(process_start_time(&other), None);
        let gone = UnixPeer {
            pid: i32::MAX,
            ..peer
        };
        assert_eq!(process_start_time(&gone), None);
    }

    #[test]
    fn parse_start_time_skips_a_name_with_parentheses() {
        let stat = "7 (a) R 1 ) (b) S 1 7 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";
        assert_eq!(parse_start_time(stat), NonZeroU64::new(4242));
        assert_eq!(parse_start_time("7 (a) S 1 7"), None);
        assert_eq!(parse_start_time(&stat.replace("4242", "0")), None);
    }
}
