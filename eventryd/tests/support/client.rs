//! A client of the daemon that speaks in bytes.

use super::framed;
use super::patience::{PATIENCE, wait_until};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub const REMOTE: u32 = 0x2000_8086;
pub const AUTH_LIST: i32 = 66;
pub const CONNECT_OPEN: i32 = 1;
pub const GET_HOSTNAME: i32 = 59;
pub const SUPPORTS_FEATURE: i32 = 60;
/// The feature that says "I answer pings".
pub const FEATURE_KEEPALIVE: [u8; 4] = [0, 0, 0, 10];
/// The program of pings and their answers.
pub const KEEPALIVE: u32 = 0x6b65_6570;
/// The words of the header of a ping.
pub const PING: [u32; 6] = [KEEPALIVE, 1, 1, 2, 0, 0];

/// A client that speaks in bytes.
pub struct RawClient<S: Connection = UnixStream> {
    pub stream: S,
    serial: u32,
}

/// What a client's bytes travel over.
pub trait Connection: Read + Write {
    fn set_patience(&self, patience: Duration) -> io::Result<()>;
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()>;
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
}

macro_rules! connection {
    ($stream:ty) => {
        impl Connection for $stream {
            fn set_patience(&self, patience: Duration) -> io::Result<()> {
                self.set_read_timeout(Some(patience))?;
                self.set_write_timeout(Some(patience))
            }

            fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                <$stream>::set_nonblocking(self, nonblocking)
            }

            fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                <$stream>::shutdown(self, how)
            }
        }
    };
}

connection!(UnixStream);
connection!(TcpStream);

impl<C: Connection + ?Sized> Connection for Box<C> {
    fn set_patience(&self, patience: Duration) -> io::Result<()> {
        (**self).set_patience(patience)
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        (**self).set_nonblocking(nonblocking)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        (**self).shutdown(how)
    }
}

impl RawClient {
    pub fn connect(path: &Path) -> RawClient {
        RawClient::over(UnixStream::connect(path).unwrap())
    }
}

impl RawClient<TcpStream> {
    pub fn connect_tcp(address: SocketAddr) -> RawClient<TcpStream> {
        RawClient::over(TcpStream::connect(address).unwrap())
    }
}

impl<S: Connection> RawClient<S> {
    pub fn over(stream: S) -> RawClient<S> {
        stream.set_patience(PATIENCE).unwrap();
        RawClient { stream, serial: 0 }
    }

    /// Sends a call and returns the payload of its reply, which must be a success.
    pub fn call(&mut self, procedure: i32, arguments: &[u8]) -> Vec<u8> {
        self.serial += 1;
        let message = message(procedure, self.serial, arguments);
        self.stream.write_all(&message).unwrap();
        let (header, payload) = self.read_message().expect("a reply");
        assert_eq!(header[5], 0, "status of the reply to {procedure}");
        assert_eq!(header[4], self.serial, "serial of the reply");
        payload
    }

    /// Opens `test:///default`.
    pub fn open(&mut self) {
        self.call(CONNECT_OPEN, &open_arguments());
    }

    /// Sends calls without reading the answers until the daemon, which is this process or that of a
    /// [`Daemon`], reads no more: there is something to read and its loop sleeps all the same.
    pub fn flood(&mut self, daemon: u32) {
        let calls: Vec<u8> = (0..512)
            .flat_map(|serial| message(GET_HOSTNAME, serial, &[]))
            .collect();
        let mut sent = 0;
        self.stream.set_nonblocking(true).unwrap();
        wait_until("the daemon reads no more", || {
            // Where the last one was cut off, else the daemon takes the rest for something else.
            match self.stream.write(&calls[sent % calls.len()..]) {
                Ok(written) => {
                    sent += written;
                    false
                }
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
                    event_loop_sleeps(daemon)
                }
            }
        });
        self.stream.set_nonblocking(false).unwrap();
        assert!(sent > calls.len(), "it took {sent} bytes only");
    }

    /// The next message: the six words of its header, and its payload. `None` at the end.
    pub fn read_message(&mut self) -> Option<([u32; 6], Vec<u8>)> {
        let mut length = [0; 4];
        if let Err(error) = self.stream.read_exact(&mut length) {
            use std::io::ErrorKind::{ConnectionReset, UnexpectedEof};
            let end = [ConnectionReset, UnexpectedEof].contains(&error.kind());
            assert!(end, "waiting for a message: {error}");
            return None;
        }
        let mut rest = vec![0; u32::from_be_bytes(length) as usize - 4];
        self.stream.read_exact(&mut rest).unwrap();
        let word = |at: usize| u32::from_be_bytes(rest[at * 4..at * 4 + 4].try_into().unwrap());
        let header = [word(0), word(1), word(2), word(3), word(4), word(5)];
        Some((header, rest.split_off(24)))
    }

    /// Whether nothing arrives for a fifth of a second, long after a daemon that would answer has.
    pub fn is_kept_waiting(&mut self) -> bool {
        let moment = Duration::from_millis(200);
        self.stream.set_patience(moment).unwrap();
        let answer = self.stream.read(&mut [0]);
        self.stream.set_patience(PATIENCE).unwrap();
        answer.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Whether the daemon has closed the connection without a byte.
    pub fn is_closed(&mut self) -> bool {
        self.read_message().is_none()
    }
}

impl<S: Connection> Drop for RawClient<S> {
    /// Ends the connection now. Another test that starts a daemon at this moment holds a copy of the socket
    /// until its `exec`, and closing ours alone would not be noticed before that.
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Whether the thread of a daemon's event loop sleeps. What wakes it does so at once, before whoever made it
/// readable goes on.
pub fn event_loop_sleeps(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let mut threads = threads.map(|thread| thread.unwrap().path());
    let is_loop = |thread: &PathBuf| {
        let name = std::fs::read_to_string(thread.join("comm")).unwrap_or_default();
        name.trim_end() == "event-loop"
    };
    let event_loop = threads.find(is_loop).expect("a thread runs the loop");
    let stat = std::fs::read_to_string(event_loop.join("stat")).unwrap();
    // The state follows the name, which may contain anything.
    let (_, after_name) = stat.rsplit_once(") ").unwrap();
    after_name.starts_with('S')
}

/// A connection from 127.0.0.`last`.
pub fn connect_from(last: u8, to: SocketAddr) -> io::Result<TcpStream> {
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&stream, &SocketAddr::from(([127, 0, 0, last], 0)))?;
    connect(&stream, &to)?;
    Ok(TcpStream::from(stream))
}

/// What answers a ping.
pub fn pong() -> Vec<u8> {
    framed([KEEPALIVE, 1, 2, 2, 0, 0], &[])
}

/// A call of the remote program.
pub fn message(procedure: i32, serial: u32, arguments: &[u8]) -> Vec<u8> {
    let words = [REMOTE, 1, procedure as u32, 0, serial, 0];
    framed(words, arguments)
}

/// The arguments of an open of `test:///default`.
pub fn open_arguments() -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 1, 0, 0, 0, 15];
    bytes.extend_from_slice(b"test:///default\0");
    bytes.extend_from_slice(&[0; 4]);
    bytes
}
