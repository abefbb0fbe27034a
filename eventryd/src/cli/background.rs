//! Serving in the background (DM-106).
//!
//! There is no `fork`, which would need `unsafe`: the daemon starts itself once more, as a child in a session
//! of its own, and waits until that has said through its standard output how its start went.

use rustix::stdio::{dup2_stderr, dup2_stdout};
use std::env;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

/// Starts the daemon in the background and waits until it serves or has failed. What it has to say about
/// that, it says itself.
pub(super) fn launch() -> io::Result<ExitCode> {
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_else(|| "eventryd".into());
    let mut child = Command::new("/proc/self/exe")
        .arg0(name)
        .args(arguments)
        .arg("--in-background")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut status = [0];
    let output = child.stdout.take().expect("it was asked for");
    let is_reported = output.take(1).read(&mut status)? == 1;
    if is_reported {
        return Ok(ExitCode::from(status[0]));
    }
    // It has ended without a word.
    let exit = child.wait()?;
    let code = exit.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

/// In the background: leaves the terminal, and the directory that the daemon was started in.
pub(super) fn leave_terminal() -> io::Result<()> {
    // A child that was just started leads no group, so this cannot be refused.
    rustix::process::setsid()?;
    env::set_current_dir("/")
}

/// In the background: says that the daemon serves, and has nothing more to do with who started it.
pub(super) fn detach() -> io::Result<()> {
    // Who started it may be gone.
    let _ = io::stdout()
        .write_all(&[0])
        .and_then(|()| io::stdout().flush());
    let null = OpenOptions::new().write(true).open("/dev/null")?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}
