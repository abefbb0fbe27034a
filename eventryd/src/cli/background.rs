//! Start in the background (DM-106).
//!
//! `fork` would need `unsafe`. Instead, the program starts itself again as a child with the hidden
//! option `--in-background`. The child creates its own session, and reports a successful start by
//! one byte on its standard output.

use super::print_messages;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use signal_hook::low_level::{emulate_default_handler, pipe, signal_name};
use std::env;
use std::fs;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, Stdio};

/// Signals that end the waiting parent. It passes them on to the daemon, SIGHUP as SIGTERM: the daemon would reload its
/// configuration.
const FORWARDED: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// Starts the daemon in the background. Waits until it accepts clients or has failed, and returns
/// its exit status. The child prints its own errors.
///
/// A signal that ends this process before that ends the child too. The process then waits for the
/// end of the child, and ends by the signal. SIGHUP has no effect if it is ignored, as by `nohup`.
pub(super) fn launch() -> io::Result<ExitCode> {
    // Before the child exists, which would be left behind otherwise.
    let child_changed = CaughtSignal::catch(Signal::CHILD)?;
    let forwarded = FORWARDED
        .into_iter()
        .filter(|signal| *signal != Signal::HUP || !is_ignored(Signal::HUP));
    let forwarded = forwarded.map(CaughtSignal::catch);
    let forwarded = forwarded.collect::<io::Result<Vec<_>>>()?;
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_else(|| "eventryd".into());
    // The child has called `exec` when `spawn` returns, so it has no handler of this process.
    let mut child = Command::new("/proc/self/exe")
        .arg0(name)
        .args(arguments)
        .arg("--in-background")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut report = child.stdout.take();
    let mut ended_by = None;
    let exit = loop {
        let signals = forwarded.iter().chain([&child_changed]);
        let mut inputs: Vec<_> = signals
            .map(|caught| PollFd::new(&caught.reader, PollFlags::IN))
            .collect();
        inputs.extend(
            report
                .iter()
                .map(|report| PollFd::new(report, PollFlags::IN)),
        );
        match poll(&mut inputs, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_readable = |input: &PollFd<'_>| !input.revents().is_empty();
        if report.is_some() && inputs.last().is_some_and(is_readable) {
            let mut status = [0];
            let read = report.take().map(|mut report| report.read(&mut status));
            if read.transpose()? == Some(1) {
                return Ok(ExitCode::from(status[0]));
            }
        }
        for caught in forwarded.iter().filter(|caught| caught.take()) {
            // The number is that of the child, which is not reaped before the end of the loop.
            let passed_on = match caught.signal {
                Signal::HUP => Signal::TERM,
                signal => signal,
            };
            let _ = kill_process(Pid::from_child(&child), passed_on);
            ended_by = Some(caught.signal);
            // The daemon does not go on, also if it has just reported its start.
            report = None;
        }
        child_changed.take();
        if let Some(exit) = child.try_wait()? {
            break exit;
        }
    };
    if let Some(signal) = ended_by {
        emulate_default_handler(signal.as_raw())?;
    }
    // The child has exited without a report. It prints the cause, except that of a signal.
    if let Some(signal) = exit.signal() {
        let name = signal_name(signal).unwrap_or("an unknown signal");
        print_messages([format!(
            "ended by signal {signal} ({name}) while it started"
        )]);
    }
    let code = exit.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

/// Returns `true` if this process ignores the signal, because the program that started it does.
fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}

/// Signal that is caught, for the life of the process, with a socket that gets a byte for each.
struct CaughtSignal {
    signal: Signal,
    reader: UnixStream,
}

impl CaughtSignal {
    fn catch(signal: Signal) -> io::Result<CaughtSignal> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        pipe::register(signal.as_raw(), writer)?;
        Ok(CaughtSignal { signal, reader })
    }

    /// Returns `true` if the signal has come since the last call.
    fn take(&self) -> bool {
        let mut bytes = [0; 64];
        (&self.reader)
            .read(&mut bytes)
            .is_ok_and(|length| length > 0)
    }
}

/// Detaches the child from the terminal and from standard input, which the configuration may have been read from.
pub(super) fn leave_terminal() -> io::Result<()> {
    // `setsid` fails only for the leader of a process group, which a new child is not.
    rustix::process::setsid()?;
    dup2_stdin(&File::open("/dev/null")?)?;
    Ok(())
}

/// Reports to the parent that the daemon accepts clients, and redirects standard output and
/// standard error to `/dev/null`.
pub(super) fn detach() -> io::Result<()> {
    // The parent may have exited.
    let _ = io::stdout()
        .write_all(&[0])
        .and_then(|()| io::stdout().flush());
    let null = OpenOptions::new().write(true).open("/dev/null")?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}
