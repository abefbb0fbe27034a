//! Programs that a task runs: cargo, and the tests that cargo builds.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// End of a program, with its output.
pub(crate) struct Ended {
    /// Exit status; none if the program exceeded its limit and was killed.
    pub(crate) status: Option<ExitStatus>,
    /// Standard output and standard error, in the order of writing.
    pub(crate) output: String,
}

impl Ended {
    /// Whether the program ended by itself with success.
    pub(crate) fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }
}

/// Runs a program in a process group of its own, with its output in the file `log`, and kills the group
/// when `limit` has passed.
pub(crate) fn run(command: &mut Command, log: &Path, limit: Option<Duration>) -> Result<Ended> {
    if let Some(directory) = log.parent() {
        fs::create_dir_all(directory)?;
    }
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .process_group(0);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run {:?}", command.get_program()))?;
    let group = Pid::from_child(&child);
    let (ended, end) = channel();
    let waiter = thread::spawn(move || {
        let status = child.wait();
        // The receiver waits for the end of this thread.
        let _ = ended.send(());
        status
    });
    let in_time = match limit {
        None => end.recv().is_ok(),
        Some(limit) => end.recv_timeout(limit) != Err(RecvTimeoutError::Timeout),
    };
    if !in_time {
        // The group may have ended by now.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let status = waiter
        .join()
        .expect("the wait for a child does not panic")?;
    let mut output = Vec::new();
    File::open(log)?.read_to_end(&mut output)?;
    Ok(Ended {
        status: in_time.then_some(status),
        output: String::from_utf8_lossy(&output).into_owned(),
    })
}

/// A build of programs by `cargo test --no-run` or `cargo bench --no-run`.
pub(crate) struct Build<'a> {
    /// Directory in which cargo runs.
    pub(crate) directory: PathBuf,
    /// `test` or `bench`.
    pub(crate) subcommand: &'a str,
    /// Arguments of cargo, which select profile, features and targets.
    pub(crate) arguments: &'a [&'a str],
    /// Environment of cargo.
    pub(crate) environment: &'a [(&'a str, &'a str)],
    /// Target directory.
    pub(crate) target: PathBuf,
}

/// Test programs of one build, or the output of the compiler.
pub(crate) type Built = std::result::Result<Vec<Program>, String>;

/// A test program.
#[derive(Debug)]
pub(crate) struct Program {
    /// Name of the cargo target.
    pub(crate) name: String,
    /// File to run.
    pub(crate) path: PathBuf,
}

/// A message of `cargo --message-format=json`.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    target: Option<Target>,
    message: Option<Diagnostic>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Diagnostic {
    rendered: Option<String>,
}

impl Build<'_> {
    /// Builds the programs.
    pub(crate) fn run(&self, log: &Path) -> Result<Built> {
        let mut cargo = Command::new("cargo");
        cargo
            .args([
                self.subcommand,
                "--locked",
                "--no-run",
                "--message-format=json",
            ])
            .args(self.arguments)
            .current_dir(&self.directory)
            .env("CARGO_TARGET_DIR", &self.target)
            .envs(self.environment.iter().copied());
        let ended = run(&mut cargo, log, None)?;
        let mut programs = Vec::new();
        let mut said = String::new();
        for line in ended.output.lines() {
            let Ok(message) = serde_json::from_str::<Message>(line) else {
                said.extend([line, "\n"]);
                continue;
            };
            said.extend(message.message.and_then(|message| message.rendered));
            if let (Some(path), Some(target)) = (message.executable, message.target) {
                let name = target.name;
                programs.push(Program { name, path });
            }
        }
        if !ended.succeeded() {
            return Ok(Err(said));
        }
        if programs.is_empty() {
            bail!("cargo built no test program: {}", log.display());
        }
        Ok(Ok(programs))
    }
}

/// Runs a program to its end and returns its standard output.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot run {program:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program:?} failed with {}: {said}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
