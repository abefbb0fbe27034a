//! A client's stream of TLS over TCP. Needs the modules `support` and `tls_client` beside it.

#![allow(
    dead_code,
    reason = "each test file has this as a module of its own and uses its part"
)]

use crate::support::{Connection, RawClient};
use crate::tls_client::server_name;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// A stream that can be what a [`RawClient`] speaks over.
pub(crate) struct Tls(pub(crate) StreamOwned<ClientConnection, TcpStream>);

impl Tls {
    /// Nothing is said yet.
    pub(crate) fn over(stream: TcpStream, config: Arc<ClientConfig>) -> Tls {
        let connection = ClientConnection::new(config, server_name()).unwrap();
        Tls(StreamOwned::new(connection, stream))
    }
}

impl Read for Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Connection for Tls {
    fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.0.sock.set_patience(patience)
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.sock.set_nonblocking(nonblocking)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.sock.shutdown(how)
    }
}

/// A client that waits for the byte that says that it was let in.
pub(crate) fn let_in(stream: Tls) -> RawClient<Tls> {
    let mut client = RawClient::over(stream);
    let mut welcome = [0];
    client.stream.read_exact(&mut welcome).unwrap();
    assert_eq!(welcome, [1]);
    client
}
