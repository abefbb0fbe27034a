//! A raw client of the daemon.

use crate::rpc::{CONNECT_OPEN, GET_HOSTNAME, message, open_arguments, read_message};
use crate::timeout::{TIMEOUT, wait_until};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A client that sends and receives raw messages.
pub struct RawClient<S: Stream = UnixStream> {
    /// The connection.
    pub stream: S,
    serial: u32,
}

/// A connection of a client.
pub trait Stream: Read + Write {
    /// Sets the timeout of reads and writes.
    fn set_timeout(&self, timeout: Duration) -> io::Result<()>;
    /// Switches non-blocking mode on or off.
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()>;
    /// Shuts down one or both directions.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
}

macro_rules! stream {
    ($stream:ty) => {
        impl Stream for $stream {
            fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
                self.set_read_timeout(Some(timeout))?;
                self.set_write_timeout(Some(timeout))
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

stream!(UnixStream);
stream!(TcpStream);

impl<C: Stream + ?Sized> Stream for Box<C> {
    fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        (**self).set_timeout(timeout)
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        (**self).set_nonblocking(nonblocking)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        (**self).shutdown(how)
    }
}

impl RawClient {
    /// Connects to a Unix socket.
    pub fn connect(path: &Path) -> RawClient {
        RawClient::over(UnixStream::connect(path).unwrap())
    }
}

impl RawClient<TcpStream> {
    /// Connects over TCP.
    pub fn connect_tcp(address: SocketAddr) -> RawClient<TcpStream> {
        RawClient::over(TcpStream::connect(address).unwrap())
    }
}

impl<S: Stream> RawClient<S> {
    /// Wraps a connection.
    pub fn over(stream: S) -> RawClient<S> {
        stream.set_timeout(TIMEOUT).unwrap();
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

    /// Sends calls without reading the replies until the daemon stops reading: its socket is full and its event loop
    /// sleeps. `daemon` is the process id of a [`Daemon`](crate::daemon::Daemon), or of this process.
    pub fn flood(&mut self, daemon: u32) {
        let calls: Vec<u8> = (0..512)
            .flat_map(|serial| message(GET_HOSTNAME, serial, &[]))
            .collect();
        let mut sent = 0;
        self.stream.set_nonblocking(true).unwrap();
        wait_until("the daemon stops reading", || {
            // Continues where the last write was cut off, so that the stream stays valid.
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
        assert!(sent > calls.len(), "the daemon read only {sent} bytes");
    }

    /// Returns the six words of the header and the payload of the next message, or `None` at the end of the stream.
    ///
    /// # Panics
    ///
    /// If no message comes in time.
    pub fn read_message(&mut self) -> Option<([u32; 6], Vec<u8>)> {
        match read_message(&mut self.stream) {
            Ok(message) => Some(message),
            Err(error) => {
                use io::ErrorKind::{ConnectionReset, UnexpectedEof};
                let end = [ConnectionReset, UnexpectedEof].contains(&error.kind());
                assert!(end, "waiting for a message: {error}");
                None
            }
        }
    }

    /// Returns `true` if nothing arrives for 200 ms, which is much longer than a daemon takes to answer.
    pub fn is_kept_waiting(&mut self) -> bool {
        let moment = Duration::from_millis(200);
        self.stream.set_timeout(moment).unwrap();
        let answer = self.stream.read(&mut [0]);
        self.stream.set_timeout(TIMEOUT).unwrap();
        answer.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Returns `true` if the daemon closes the connection without another byte.
    pub fn is_closed(&mut self) -> bool {
        self.read_message().is_none()
    }
}

impl<S: Stream> Drop for RawClient<S> {
    /// Shuts the connection down, because closing the descriptor may not suffice: another test that starts a daemon at
    /// this moment holds a copy of it until the `exec`.
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Returns `true` if the thread of a daemon's event loop sleeps. A write to a socket of the daemon wakes it before the
/// write returns.
pub fn event_loop_sleeps(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let mut threads = threads.map(|thread| thread.unwrap().path());
    let is_loop = |thread: &PathBuf| {
        let name = std::fs::read_to_string(thread.join("comm")).unwrap_or_default();
        name.trim_end() == "event-loop"
    };
    let event_loop = threads.find(is_loop).expect("a thread named event-loop");
    let stat = std::fs::read_to_string(event_loop.join("stat")).unwrap();
    // The state follows the name, which may contain parentheses and blanks.
    let (_, after_name) = stat.rsplit_once(") ").unwrap();
    after_name.starts_with('S')
}

/// Connects from the address 127.0.0.`last`.
pub fn connect_from(last: u8, to: SocketAddr) -> io::Result<TcpStream> {
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&stream, &SocketAddr::from(([127, 0, 0, last], 0)))?;
    connect(&stream, &to)?;
    Ok(TcpStream::from(stream))
}
