//! Authentication and admission on the daemon's sockets.

#![cfg(not(loom))]

mod network;
mod passwd;
mod pkcheck;
mod polkit;
mod process;
mod replay;
mod sasl;
mod slots;

use eventryd::driver::{Driver, MemoryDriver};
use eventryd::net::RunDir;
use eventryd::server::{Config, DaemonError, Ready, run};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use test_support::client::RawClient;
use test_support::in_process::InProcess;
use test_support::rpc::{SASL_STEP, message};
use test_support::timeout::bounded;

const POLKIT: i32 = 70;

fn driver() -> Arc<dyn Driver> {
    Arc::new(MemoryDriver::with_hostname("example"))
}

/// A daemon on threads of this process, in its own directory.
struct TestDaemon {
    daemon: InProcess,
    ready: Ready,
    config: Config,
    dir: TempDir,
}

impl TestDaemon {
    fn start(dir: TempDir, change: impl FnOnce(&mut Config)) -> TestDaemon {
        let config = config_in(&dir, change);
        let daemon = InProcess::start(&config, driver);
        let ready = daemon.ready();
        TestDaemon {
            daemon,
            ready,
            config,
            dir,
        }
    }

    fn connect(&self) -> RawClient {
        RawClient::connect(&self.config.socket_path())
    }

    fn stop(self) {
        self.ready.shutdown.request();
        self.daemon.wait().unwrap();
    }
}

fn config_in(dir: &TempDir, change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::new(RunDir::Chosen(dir.path().join("run")));
    config.sasl.password_file = password_file(dir);
    change(&mut config);
    config
}

fn password_file(dir: &TempDir) -> PathBuf {
    dir.path().join("passwords")
}

/// Returns the error at the start of a daemon with this configuration.
fn start_error(dir: &TempDir, change: impl FnOnce(&mut Config)) -> DaemonError {
    let config = config_in(dir, change);
    let ended = bounded("the end of a daemon", move || {
        run(
            &config,
            || Ok::<_, DaemonError>(driver()),
            |_| panic!("the daemon serves"),
        )
    });
    let error = ended.unwrap_err();
    // The start has created nothing.
    assert!(!dir.path().join("run").exists());
    error
}

/// Makes a call that must fail; returns the code, the domain and the text of the error.
fn failure(client: &mut RawClient, procedure: i32, arguments: &[u8]) -> (u32, u32, String) {
    let call = message(procedure, 9, arguments);
    client.stream.write_all(&call).unwrap();
    let (header, payload) = client.read_message().expect("a reply");
    assert_eq!(header[5], 1, "the reply is not an error");
    let word = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
    let length = word(12) as usize;
    let text = String::from_utf8(payload[16..16 + length].to_vec()).unwrap();
    (word(0), word(4), text)
}
