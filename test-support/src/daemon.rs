//! `eventryd` as a child process.

use crate::client::RawClient;
use crate::rpc::AUTH_LIST;
use crate::timeout::{bounded, wait_until};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// A running daemon in a directory of its own; killed if the test does not stop it.
pub struct Daemon {
    process: Process,
    dir: TempDir,
    announced: Vec<String>,
}

/// A running program whose standard error is kept; killed if it outlives the test.
struct Process(Child);

/// How a program ended.
pub struct Exit {
    /// The exit status, unless a signal ended it.
    pub status: Option<i32>,
    /// Everything it wrote to its standard error.
    pub stderr: String,
}

/// What a daemon left behind.
pub struct Ended {
    /// The exit status, unless a signal ended it.
    pub status: Option<i32>,
    /// Everything it wrote to its standard error.
    pub log: String,
    /// The files in its run directory.
    pub left_behind: Vec<String>,
}

/// Returns a command for the program under test, with a clean environment.
///
/// Cargo builds it for the tests of its package, and puts it into the folder above that of the tests.
///
/// # Panics
///
/// If the program is not there.
#[must_use]
pub fn eventryd() -> Command {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("eventryd");
    assert!(program.exists(), "there is no {}", program.display());
    let mut command = Command::new(program);
    command.env_remove("XDG_RUNTIME_DIR").stdin(Stdio::null());
    command
}

/// The same, with its sockets in `run_dir`.
fn serving_in(run_dir: &Path) -> Command {
    let mut command = eventryd();
    command
        .arg("--run-dir")
        .arg(run_dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Where in its directory a daemon has its sockets; it makes the place itself.
fn run_dir_in(dir: &TempDir) -> PathBuf {
    dir.path().join("run")
}

impl Daemon {
    /// Starts a daemon and waits until it says that it serves.
    pub fn start() -> Daemon {
        Daemon::start_in(tempfile::tempdir().unwrap(), &[])
    }

    /// Starts a daemon with sockets in a directory in `dir`.
    pub fn start_in(dir: TempDir, options: &[&str]) -> Daemon {
        let mut command = serving_in(&run_dir_in(&dir));
        command.args(options);
        Daemon::start_by(&mut command, dir)
    }

    /// Starts a daemon that has the umask `umask`.
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

    /// Starts a daemon whose memory, as the system counts it, grows by what it keeps and by nothing else.
    ///
    /// glibc does not join small chunks that were freed with their neighbours for a while. Larger requests
    /// are cut from the end of its two arenas instead, so that 500 clients touch pages they do not need,
    /// 4 KiB for each ten of them, until the arenas are used up to their 132 KiB and everything is joined.
    /// Without the bins in which such chunks wait there is nothing of that.
    pub fn start_for_measuring() -> Daemon {
        Daemon::start_for_measuring_with(|_| Vec::new())
    }

    /// The same with options that may name files in its directory.
    pub fn start_for_measuring_with(options: impl FnOnce(&TempDir) -> Vec<String>) -> Daemon {
        let dir = tempfile::tempdir().unwrap();
        let mut command = serving_in(&run_dir_in(&dir));
        command.args(options(&dir));
        command.env("GLIBC_TUNABLES", "glibc.malloc.mxfast=0");
        Daemon::start_by(&mut command, dir)
    }

    /// Starts a daemon that tells who listens on the socket `manager` how it does.
    pub fn start_notifying(manager: &Path) -> Daemon {
        let dir = tempfile::tempdir().unwrap();
        let mut command = serving_in(&run_dir_in(&dir));
        command.env("NOTIFY_SOCKET", manager);
        Daemon::start_by(&mut command, dir)
    }

    /// Starts the daemon that `command` runs, with its sockets, if it has some, in the usual place in `dir`.
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

    /// Starts a daemon whose standard output nobody reads; it may not serve yet.
    pub fn start_unheard() -> Daemon {
        let dir = tempfile::tempdir().unwrap();
        let mut process = Process::start(&mut serving_in(&run_dir_in(&dir)));
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

    /// Returns the directory of its sockets.
    pub fn run_dir(&self) -> PathBuf {
        run_dir_in(&self.dir)
    }

    /// What it printed when it was ready.
    pub fn announced(&self) -> &[String] {
        &self.announced
    }

    /// The addresses of the network it listens on, of those announced with `kind`.
    pub fn addresses(&self, kind: &str) -> Vec<SocketAddr> {
        let kind = format!("(read-write, {kind})");
        let lines = self.announced.iter().filter(|line| line.ends_with(&kind));
        let addresses = lines.map(|line| line.split_whitespace().next().unwrap().parse());
        addresses.collect::<Result<_, _>>().unwrap()
    }

    /// Returns its process id.
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.pid());
        std::fs::read_dir(path).unwrap().count()
    }

    /// How much memory of its own it has resident, in KiB: not the pages of its program, which come as they
    /// are first used.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:"));
        let number = line.unwrap().split_whitespace().nth(1);
        number.unwrap().parse().unwrap()
    }

    /// How many descriptors it has open once everything that happened before has been dealt with, two
    /// fresh clients included: the turn that answered the first is over when the second is accepted, and
    /// with it every client that came before.
    pub fn settled_descriptors(&self) -> usize {
        let mut probes: Vec<RawClient> = Vec::new();
        for _ in 0..2 {
            let mut probe = self.connect();
            assert_eq!(probe.call(AUTH_LIST, &[]), [0, 0, 0, 1, 0, 0, 0, 0]);
            probes.push(probe);
        }
        self.descriptors()
    }

    /// A raw client of the read-write socket.
    pub fn connect(&self) -> RawClient {
        RawClient::connect(&self.socket())
    }

    /// Sends it a signal.
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

    /// Waits for the daemon's end, and gives its directory away.
    pub fn wait_and_keep(mut self) -> TempDir {
        let exit = self.process.wait();
        assert_eq!(exit.status, Some(0), "{}", exit.stderr);
        std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }

    /// Stops the daemon in order.
    pub fn stop(self) -> Ended {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    /// Kills it, so that it leaves its sockets behind, and gives its directory away.
    pub fn kill(mut self) -> TempDir {
        self.process.kill();
        std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }
}

impl Process {
    fn start(command: &mut Command) -> Process {
        Process(command.spawn().unwrap())
    }

    /// Waits for its end.
    fn wait(&mut self) -> Exit {
        let mut from = self.0.stderr.take().unwrap();
        let stderr = bounded("a program that was to end", move || {
            let mut text = String::new();
            from.read_to_string(&mut text).unwrap();
            text
        });
        let mut status = None;
        wait_until("a program has ended", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        Exit {
            status: status.and_then(|status| status.code()),
            stderr,
        }
    }

    fn kill(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts a program that is to end by itself.
pub fn started_to_end(command: &mut Command) -> Exit {
    Process::start(command).wait()
}

/// Starts a daemon in `run_dir` that is to end by itself.
pub fn refused(run_dir: &Path) -> Exit {
    refused_with(run_dir, &[])
}

/// The same with options.
pub fn refused_with(run_dir: &Path, options: &[&str]) -> Exit {
    Process::start(serving_in(run_dir).args(options)).wait()
}

/// Runs the real virsh; the test fails if there is none.
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
        .expect("virsh is needed: install libvirt-clients, or run tests/run, which does");
    let input = child.stdin.take().unwrap();
    (&input)
        .write_all(stdin.unwrap_or_default().as_bytes())
        .unwrap();
    drop(input);
    bounded("a virsh", move || child.wait_with_output().unwrap())
}
