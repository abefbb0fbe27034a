//! An echo server on one thread.
//!
//! `cargo run --example echo_server 127.0.0.1:7777` serves until it is interrupted. Without an address it
//! serves three clients of the example and ends.

#![cfg(not(loom))]
#![allow(clippy::print_stdout, reason = "it is what an example does")]

use eventry::{EventLoop, Events, Registry};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut event_loop = EventLoop::new()?;
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0"))?;
    listener.set_nonblocking(true)?;
    let server = listener.local_addr()?;
    println!("listening on {server}");

    event_loop
        .registry()
        .add_handle(listener, Events::READABLE, |event| {
            while let Ok((stream, peer)) = event.source.accept() {
                println!("{peer} connected");
                if let Err(error) = serve(event.registry, stream, peer) {
                    println!("{peer} cannot be served: {error}");
                }
            }
        })?;

    if address.is_none() {
        let stopper = event_loop.stopper();
        thread::spawn(move || {
            for name in ["one", "two", "three"] {
                println!("{name}: {}", ask(server, name).unwrap());
            }
            stopper.stop();
        });
    }
    event_loop.run()?;
    Ok(())
}

/// Echoes the input of `stream` until its end.
fn serve(registry: &Registry, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    // Bytes that were read and not yet written. While there are any, no more bytes are read.
    let mut unsent: Vec<u8> = Vec::new();
    let added = registry.add_handle(stream, Events::READABLE, move |event| {
        let stream: &TcpStream = event.source;
        let next = match echo(stream, &mut unsent) {
            Ok(Echo::Ended) => None,
            Ok(Echo::Waits) if unsent.is_empty() => Some(Events::READABLE),
            Ok(Echo::Waits) => Some(Events::WRITABLE),
            Err(error) => {
                println!("{peer}: {error}");
                None
            }
        };
        let done = match next {
            Some(interest) => event.registry.update_handle(event.id, interest).is_err(),
            None => true,
        };
        if done {
            // The stream is closed when the loop drops this callback.
            let _ = event.registry.remove_handle(event.id);
            println!("{peer} disconnected");
        }
    });
    added.map(|_| ()).map_err(io::Error::other)
}

enum Echo {
    Waits,
    Ended,
}

/// Writes the unsent bytes; if there are none, reads some first.
fn echo(mut stream: &TcpStream, unsent: &mut Vec<u8>) -> io::Result<Echo> {
    if unsent.is_empty() {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(Echo::Ended),
            Ok(length) => unsent.extend(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Echo::Waits),
            Err(error) => return Err(error),
        }
    }
    match stream.write(unsent) {
        Ok(length) => drop(unsent.drain(..length)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    Ok(Echo::Waits)
}

/// Sends a message as a client, and returns the answer.
fn ask(server: SocketAddr, name: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(server)?;
    write!(stream, "hello from {name}")?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
