//! The socket of the service manager (DM-109).

use super::*;
use rustix::process::Signal;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use test_support::timeout::wait_until;

fn receive(manager: &UnixDatagram) -> String {
    let mut message = [0; 1024];
    let length = manager.recv(&mut message).expect("a notification");
    String::from_utf8_lossy(&message[..length]).into_owned()
}

#[test]
fn abstract_socket_gets_the_notifications() {
    let name = format!("eventryd-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = UnixDatagram::bind_addr(&address).unwrap();
    manager.set_read_timeout(Some(TIMEOUT)).unwrap();
    let daemon = Daemon::start_notifying(format!("@{name}"));
    assert_eq!(receive(&manager), "READY=1\n");
    daemon.signal(Signal::TERM);
    assert!(receive(&manager).starts_with("STOPPING=1\n"));
    assert_eq!(daemon.wait().status, Some(0));
}

#[test]
fn full_socket_delays_neither_start_nor_reload_nor_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let other = UnixDatagram::unbound().unwrap();
    other.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while other.send_to(b"X=1", &path).is_ok() {
        sent += 1;
    }
    assert!(sent > 0);
    let mut daemon = Daemon::start_notifying(&path);
    let mut client = daemon.connect();
    client.open();
    let log = daemon.take_stderr();
    for _ in 0..3 {
        daemon.signal(Signal::HUP);
        assert_served(&daemon, &mut client);
    }
    // A reload ends on a thread, after the calls.
    let log = read_until(log, &["the settings are unchanged"]);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait_without_reading().status, Some(0), "{log}");
    drop(manager);
}

#[test]
fn notifications_arrive_once_the_socket_has_room() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(TIMEOUT)).unwrap();
    let other = UnixDatagram::unbound().unwrap();
    other.set_nonblocking(true).unwrap();
    while other.send_to(b"X=1", &path).is_ok() {}
    let daemon = Daemon::start_notifying(&path);
    daemon.connect().open();
    wait_until("READY=1 arrives", || receive(&manager) == "READY=1\n");
    assert_eq!(daemon.stop().status, Some(0));
}

#[test]
fn unusable_socket_is_reported_and_stops_nothing() {
    for address in ["relative", "/nowhere/notify", "@"] {
        let daemon = Daemon::start_notifying(address);
        daemon.connect().open();
        let ended = daemon.stop();
        assert_eq!(ended.status, Some(0));
        assert!(
            ended.log.contains("cannot notify the service manager"),
            "{address}: {}",
            ended.log
        );
    }
}
