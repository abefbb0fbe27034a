//! `eventryd` as a child process.

use crate::client::RawClient;
use crate::rpc::AUTH_LIST;
use crate::timeout::{bounded, wait_until};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use tempfile::TempDir;

/// A running daemon in its own directory. It is killed on drop.
pub struct Daemon {
    process: Process,
    dir: TempDir,
    announced: Vec<String>,
}

/// A running program with a captured standard error. It is killed on drop.
struct Process(Child);

/// The exit of a program.
pub struct Exit {
    /// The exit status, unless a signal ended it.
    pub status: Option<i32>,
    /// The contents of its standard error.
    pub stderr: String,
}

/// The exit of a daemon, its log, and the files that are left.
pub struct Ended {
    /// The exit status, unless a signal ended it.
    pub status: Option<i32>,
    /// The contents of its standard error.
    pub log: String,
    /// The files in its run directory.
    pub left_behind: Vec<String>,
}

/// Returns a command for the program under test, with a clean environment.
///
/// Cargo builds the program for the tests of its package, in the parent directory of the tests. The environment variable
/// `EVENTRYD` names another program, such as an optimised one.
///
/// # Panics
///
/// If the program does not exist.
#[must_use]
pub fn eventryd() -> Command {
    let program = std::env::var_os("EVENTRYD").map_or_else(built_for_the_test, PathBuf::from);
    assert!(program.exists(), "{} does not exist", program.display());
    let mut command = Command::new(program);
    command
        .env_remove("XDG_RUNTIME_DIR")
        // For names that do not exist: a name server that does not answer must not delay the tests for long.
        .env("RES_OPTIONS", "timeout:1 attempts:1")
        .stdin(Stdio::null());
    command
}

fn built_for_the_test() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("eventryd")
}

/// Returns a command for a daemon with its sockets in `run_dir`.
fn serving_in(run_dir: &Path) -> Command {
    let mut command = eventryd();
    command
        .arg("--run-dir")
        .arg(run_dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Returns the run directory of a daemon in `dir`. The daemon creates it.
fn run_dir_in(dir: &TempDir) -> PathBuf {
    dir.path().join("run")
}

impl Daemon {
    /// Starts a daemon, and waits until it announces that it serves.
    pub fn start() -> Daemon {
        Daemon::start_in(tempfile::tempdir().unwrap(), &[])
    }

    /// Starts a daemon with its run directory in `dir`.
    pub fn start_in(dir: TempDir, options: &[&str]) -> Daemon {
        let mut command = serving_in(&run_dir_in(&dir));
        command.args(options);
        Daemon::start_by(&mut command, dir)
    }

    /// Starts a daemon with a umask.
    pub fn start_with_umask(umask: &str) -> Daemon {
        let dir = tempfile::tempdir().unwrap();
        let daemon = serving_in(&run_dir_in(&dir));
        let mut command = Command::new("sh");
        command
            .args(["-c", "umask \"$0\" && exec \"$@\"", umask])
            .arg(daemon.get_program())
            .args(daemon.get_args())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Daemon::start_by(&mut command, dir)
    }

    /// Starts a daemon whose resident memory grows only by the memory that it keeps.
    ///
    /// glibc keeps small freed chunks in bins and does not merge them with adjacent chunks for a while. Larger requests
    /// then come from the end of its two arenas, so that 500 clients touch pages that they do not need: 4 KiB for each ten
    /// clients, until the arenas reach 132 KiB and all chunks are merged. The tunable switches these bins off.
    pub fn start_for_measuring() -> Daemon {
        Daemon::start_for_measuring_with(|_| Vec::new())
    }

    /// Starts such a daemon with options that may name files in its directory.
    pub fn start_for_measuring_with(options: impl FnOnce(&TempDir) -> Vec<String>) -> Daemon {
        let dir = tempfile::tempdir().unwrap();
        let mut command = serving_in(&run_dir_in(&dir));
        command.args(options(&dir));
        command.env("GLIBC_TUNABLES", "glibc.malloc.mxfast=0");
        Daemon::start_by(&mut command, dir)
    }

    /// Starts a daemon that notifies the service manager on the socket `manager`.
    pub fn start_notifying(manager: impl AsRef<OsStr>) -> Daemon {
        let dir = tempfile::tempdir().unwrap();
        let mut command = serving_in(&run_dir_in(&dir));
        command.env("NOTIFY_SOCKET", manager);
        Daemon::start_by(&mut command, dir)
    }

    /// Starts the daemon that `command` runs. Its own sockets, if there are any, are in the run directory in `dir`.
    pub fn start_by(command: &mut Command, dir: TempDir) -> Daemon {
        let mut process = Process::start(command);
        let stdout = BufReader::new(process.0.stdout.take().unwrap());
        let announced = bounded("the start of eventryd", move || {
            let mut announced = Vec::new();
            for line in stdout.lines() {
                announced.push(line.unwrap());
                if announced.last().unwrap().contains("virsh") {
                    return Some(announced);
                }
            }
            None
        });
        let Some(announced) = announced else {
            panic!("eventryd did not start: {}", process.wait().stderr);
        };
        Daemon {
            process,
            dir,
            announced,
        }
    }

    /// Starts a daemon with a closed standard output, and does not wait until it serves.
    pub fn start_without_stdout() -> Daemon {
        let dir = tempfile::tempdir().unwrap();
        Daemon::start_silent(&mut serving_in(&run_dir_in(&dir)), dir)
    }

    /// Starts the daemon that `command` runs, closes the reader of its standard output, and does not wait until it serves.
    pub fn start_silent(command: &mut Command, dir: TempDir) -> Daemon {
        let mut process = Process::start(command);
        drop(process.0.stdout.take());
        Daemon {
            process,
            dir,
            announced: Vec::new(),
        }
    }

    /// Returns the path of the read-write socket.
    pub fn socket(&self) -> PathBuf {
        self.run_dir().join("eventry-sock")
    }

    /// Returns the path of the read-only socket.
    pub fn read_only_socket(&self) -> PathBuf {
        self.run_dir().join("eventry-sock-ro")
    }

    /// Returns the run directory.
    pub fn run_dir(&self) -> PathBuf {
        run_dir_in(&self.dir)
    }

    /// Returns the lines that the daemon printed when it was ready.
    pub fn announced(&self) -> &[String] {
        &self.announced
    }

    /// Returns the network addresses that are announced with `kind`, which is `TCP` or `TLS`.
    pub fn addresses(&self, kind: &str) -> Vec<SocketAddr> {
        let kind = format!("(read-write, {kind})");
        let lines = self.announced.iter().filter(|line| line.ends_with(&kind));
        let addresses = lines.map(|line| line.split_whitespace().next().unwrap().parse());
        addresses.collect::<Result<_, _>>().unwrap()
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Returns the number of open descriptors.
    pub fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.pid());
        std::fs::read_dir(path).unwrap().count()
    }

    /// Returns the resident anonymous memory in KiB. Pages of the program file do not count, because the system loads
    /// them at their first use.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:"));
        let number = line.unwrap().split_whitespace().nth(1);
        number.unwrap().parse().unwrap()
    }

    /// Returns the number of open descriptors after the daemon has handled all earlier events, including two new clients:
    /// when the second one is accepted, the turn that answered the first one is over.
    pub fn idle_descriptors(&self) -> usize {
        let mut probes: Vec<RawClient> = Vec::new();
        for _ in 0..2 {
            let mut probe = self.connect();
            assert_eq!(probe.call(AUTH_LIST, &[]), [0, 0, 0, 1, 0, 0, 0, 0]);
            probes.push(probe);
        }
        self.descriptors()
    }

    /// Connects a raw client to the read-write socket.
    pub fn connect(&self) -> RawClient {
        RawClient::connect(&self.socket())
    }

    /// Sends a signal to the daemon.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.process.0);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for the daemon's end.
    pub fn wait(mut self) -> Ended {
        let exit = self.process.wait();
        let left = std::fs::read_dir(self.run_dir()).unwrap();
        Ended {
            status: exit.status,
            log: exit.stderr,
            left_behind: left
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect(),
        }
    }

    /// Waits for the daemon's end, and reads its standard error only then, so that the daemon ends beside a full pipe.
    pub fn wait_without_reading(mut self) -> Ended {
        self.process.wait_for_status();
        self.wait()
    }

    /// Returns the daemon's standard error, which is not in the log of [`Ended`] then.
    pub fn take_stderr(&mut self) -> ChildStderr {
        self.process.0.stderr.take().unwrap()
    }

    /// Waits for the daemon's end, and returns its directory.
    pub fn wait_and_keep(mut self) -> TempDir {
        let exit = self.process.wait();
        assert_eq!(exit.status, Some(0), "{}", exit.stderr);
        std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }

    /// Stops the daemon with SIGTERM, and waits for its end.
    pub fn stop(self) -> Ended {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    /// Kills the daemon, so that its sockets are left, and returns its directory.
    pub fn kill(mut self) -> TempDir {
        self.process.kill();
        std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }
}

impl Process {
    fn start(command: &mut Command) -> Process {
        Process(command.spawn().unwrap())
    }

    /// Waits for the end of the program.
    fn wait(&mut self) -> Exit {
        let from = self.0.stderr.take();
        let stderr = bounded("the end of a program", move || {
            let mut text = String::new();
            if let Some(mut from) = from {
                from.read_to_string(&mut text).unwrap();
            }
            text
        });
        Exit {
            status: self.wait_for_status(),
            stderr,
        }
    }

    /// Waits for the end of the program without reading its standard error.
    fn wait_for_status(&mut self) -> Option<i32> {
        let mut status = None;
        wait_until("a program has ended", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.and_then(|status| status.code())
    }

    fn kill(&mut self) {
        // The program may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program that ends by itself.
pub fn run_to_end(command: &mut Command) -> Exit {
    Process::start(command).wait()
}

/// Runs a daemon in `run_dir` whose start fails.
pub fn refused(run_dir: &Path) -> Exit {
    refused_with(run_dir, &[])
}

/// Runs a daemon in `run_dir` whose start fails, with options.
pub fn refused_with(run_dir: &Path, options: &[&str]) -> Exit {
    Process::start(serving_in(run_dir).args(options)).wait()
}

/// Runs the virsh of the system; the test fails if it is not installed.
pub fn virsh(arguments: &[String], stdin: Option<&str>) -> Output {
    let mut child = Command::new("virsh")
        .args(arguments)
        .env("LC_ALL", "C")
        .env_remove("VIRSH_DEFAULT_CONNECT_URI")
        .env_remove("LIBVIRT_DEFAULT_URI")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("virsh is not installed: install libvirt-clients, or use tests/run, which does");
    let input = child.stdin.take().unwrap();
    (&input)
        .write_all(stdin.unwrap_or_default().as_bytes())
        .unwrap();
    drop(input);
    bounded("virsh", move || child.wait_with_output().unwrap())
}
