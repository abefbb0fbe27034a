//! Addresses of a family that the machine has on its loopback interface only, in network namespaces.

#![allow(clippy::print_stdout, reason = "a test that could not run says so")]

use std::process::{Command, Stdio};
use test_support::daemon::{Daemon, eventryd};

/// Commands that give a new network namespace loopback addresses only.
const LOOPBACK: &str = "ip link set lo up";
/// A global address of IPv4; IPv6 has its loopback address only. The interface of the address is irrelevant.
const IPV4: &str = "ip link set lo up && ip addr add 192.0.2.1/24 dev lo";
/// A global address of IPv6; IPv4 has its loopback address only.
const IPV6: &str = "ip link set lo up && ip addr add 2001:db8::1/64 dev lo nodad";

fn in_namespace(interfaces: &str) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--net", "sh", "-c", &format!("{interfaces} && exec \"$@\"")])
        .arg("sh")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Returns `false`, and prints that the test was not run, if this process cannot make the interfaces.
fn can_make(interfaces: &str) -> bool {
    let made = in_namespace(interfaces).arg("true").output();
    let is_made = made.is_ok_and(|made| made.status.success());
    if !is_made {
        println!("not run: no network namespace can be made with: {interfaces}");
    }
    is_made
}

/// Starts a daemon with `listen_addr` set to `host`; returns its addresses without the ports.
fn listening_on(interfaces: &str, host: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("a.conf");
    let text = format!("listen_tcp = 1\nauth_tcp = 'none'\nlisten_addr = '{host}'\n");
    std::fs::write(&config, text).unwrap();
    let mut command = in_namespace(interfaces);
    command
        .arg(eventryd().get_program())
        .arg("--run-dir")
        .arg(dir.path().join("run"))
        .arg("-f")
        .arg(&config);
    let daemon = Daemon::start_by(&mut command, dir);
    let addresses = daemon.addresses("TCP");
    // unshare and the shell have replaced themselves by the daemon.
    assert_eq!(daemon.stop().status, Some(0));
    addresses
        .iter()
        .map(|address| address.ip().to_string())
        .collect()
}

#[test]
fn addresses_of_a_family_on_loopback_only_are_served() {
    for interfaces in [LOOPBACK, IPV4, IPV6] {
        if !can_make(interfaces) {
            continue;
        }
        for host in ["127.0.0.1", "0.0.0.0", "::1", "::"] {
            assert_eq!(listening_on(interfaces, host), [host], "{interfaces}");
        }
        let local = listening_on(interfaces, "localhost");
        assert!(
            local
                .iter()
                .any(|address| address == "127.0.0.1" || address == "::1"),
            "{interfaces}: {local:?}"
        );
    }
}
