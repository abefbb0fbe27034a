//! The start-up order of the daemon (DM-101…105).

use eventryd::driver::{Driver, MemoryDriver};
use eventryd::net::RunDir;
use eventryd::server::{Config, DaemonError, run};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use test_support::client::RawClient;
use test_support::in_process::InProcess;
use test_support::rpc::{AUTH_LIST, message};
use test_support::timeout::{TIMEOUT, bounded, wait_until};

fn config(dir: &tempfile::TempDir) -> Config {
    Config::new(RunDir::Chosen(dir.path().to_owned()))
}

fn driver() -> Arc<dyn Driver> {
    Arc::new(MemoryDriver::with_hostname("example"))
}

/// Runs a daemon whose start fails.
fn run_failing(
    config: &Config,
    initialise_driver: impl FnOnce() -> Result<Arc<dyn Driver>, &'static str> + Send + 'static,
) -> Result<(), DaemonError> {
    let config = config.clone();
    bounded("the end of a daemon", move || {
        run(&config, initialise_driver, |_| panic!("the daemon serves"))
    })
}

/// DM-104: a client that connects before the services are enabled is answered when they are.
#[test]
fn early_client_is_served_once_services_are_enabled() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    let (initialising, initialised): (Sender<()>, Receiver<()>) = channel();
    let (resume, gate): (Sender<()>, Receiver<()>) = channel();
    let daemon = InProcess::start(&config, move || {
        initialising.send(()).unwrap();
        gate.recv().unwrap();
        driver()
    });

    initialised
        .recv_timeout(TIMEOUT)
        .expect("the initialisation of the driver");
    // During the initialisation of the driver both sockets accept connections into their queues.
    let mut early = RawClient::connect(&config.socket_path());
    let mut early_reader = RawClient::connect(&config.read_only_socket_path());
    for client in [&mut early, &mut early_reader] {
        let call = message(AUTH_LIST, 7, &[]);
        client.stream.write_all(&call).unwrap();
    }
    assert!(early.is_kept_waiting() && early_reader.is_kept_waiting());
    assert!(!daemon.is_ready());

    resume.send(()).unwrap();
    let state = daemon.ready();
    for client in [&mut early, &mut early_reader] {
        let (header, _) = client.read_message().unwrap();
        assert_eq!((header[4], header[5]), (7, 0));
    }
    state.shutdown.request();
    daemon.wait().unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// DM-502: connections that one event leaves in the queue are accepted in later turns.
#[test]
fn more_clients_than_one_turn_accepts_are_all_served() {
    const CLIENTS: usize = 40;
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    let (connect, gate) = channel::<()>();
    let daemon = InProcess::start(&config, move || {
        gate.recv().unwrap();
        driver()
    });
    wait_until("the socket exists", || config.socket_path().exists());
    let mut early: Vec<RawClient> = (0..CLIENTS)
        .map(|_| RawClient::connect(&config.socket_path()))
        .collect();
    connect.send(()).unwrap();
    early.iter_mut().for_each(RawClient::open);
    daemon.ready().shutdown.request();
    daemon.wait().unwrap();
}

/// DM-105: a driver that fails to initialise ends the daemon in order.
#[test]
fn driver_failure_ends_the_daemon_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ended = run_failing(&config(&dir), || Err("no hypervisor today"));
    let error = ended.unwrap_err();
    assert!(matches!(error, DaemonError::Driver(_)));
    assert_eq!(error.exit_status(), 11);
    assert!(error.to_string().contains("no hypervisor today"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_client_that_came_early_sees_the_end_when_the_driver_fails() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    let (sender, receiver) = channel();
    let socket = config.socket_path();
    let ended = run_failing(&config, move || {
        sender.send(RawClient::connect(&socket)).unwrap();
        Err("no hypervisor today")
    });
    assert!(ended.is_err());
    assert!(receiver.try_recv().unwrap().is_closed());
}

#[test]
fn a_socket_that_cannot_be_made_ends_the_daemon_with_a_status() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    std::fs::write(config.read_only_socket_path(), "not a socket").unwrap();
    let ended = run_failing(&config, || Ok(driver()));
    let error = ended.unwrap_err();
    assert_eq!(error.exit_status(), 6, "{error}");
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(left, [config.read_only_socket_path()]);
}

/// A file at the path of a socket is replaced only if it is a socket without a listener (DM-202).
#[test]
fn file_that_is_no_dead_socket_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    let (path, beside) = (config.socket_path(), dir.path().join("beside"));
    type Make = fn(&Path, &Path);
    let make: [(&str, Make); 4] = [
        ("a directory", |path, _| std::fs::create_dir(path).unwrap()),
        ("a symbolic link to nothing", |path, beside| {
            symlink(beside, path).unwrap()
        }),
        ("a symbolic link to a file", |path, beside| {
            std::fs::write(beside, "precious").unwrap();
            symlink(beside, path).unwrap();
        }),
        ("a symbolic link to a socket", |path, beside| {
            std::fs::remove_file(beside).unwrap();
            drop(UnixListener::bind(beside).unwrap());
            symlink(beside, path).unwrap();
        }),
    ];
    for (what, make) in make {
        make(&path, &beside);
        let before = std::fs::symlink_metadata(&path).unwrap().ino();
        let error = run_failing(&config, || Ok(driver())).unwrap_err();
        assert_eq!(error.exit_status(), 6, "{what}: {error}");
        assert!(
            error.to_string().contains("is not a socket"),
            "{what}: {error}"
        );
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{what}: {error}"
        );
        assert_eq!(
            std::fs::symlink_metadata(&path).unwrap().ino(),
            before,
            "{what}"
        );
        if std::fs::remove_file(&path).is_err() {
            std::fs::remove_dir(&path).unwrap();
        }
    }
    assert!(beside.exists());
}

/// A waiting client gets the slot of a client that disconnects (DM-601, DM-605).
#[test]
fn a_client_beyond_the_limit_waits_until_one_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&dir);
    config.max_clients = 2.try_into().unwrap();
    config.max_anonymous_clients = 2;
    let daemon = InProcess::start(&config, driver);
    let state = daemon.ready();
    let mut clients: Vec<RawClient> = (0..2)
        .map(|_| RawClient::connect(&config.socket_path()))
        .collect();
    clients.iter_mut().for_each(RawClient::open);

    let mut third = RawClient::connect(&config.socket_path());
    third.stream.write_all(&message(AUTH_LIST, 1, &[])).unwrap();
    assert!(third.is_kept_waiting());

    drop(clients.pop());
    assert!(third.read_message().is_some());
    state.shutdown.request();
    daemon.wait().unwrap();
}
