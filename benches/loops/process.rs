//! One process of a measurement, with a time limit.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// Time after which a process is ended.
const LIMIT: Duration = Duration::from_secs(20);

/// The figures of a measurement, by name.
pub(crate) type Figures = BTreeMap<String, f64>;

/// A process that is ended by the drop.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // An error means that the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a measurement. The figures are lines of a name and a number; a peer without this workload prints none.
///
/// # Errors
///
/// The reason why there are no figures.
pub(crate) fn measure(command: &mut Command) -> Result<Figures, String> {
    let command = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn();
    let mut process = Ended(child.map_err(|error| format!("cannot start: {error}"))?);
    let mut stdout = process.0.stdout.take().expect("stdout is a pipe");
    let (sender, receiver) = channel();
    // It ends when the process has ended.
    thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.read_to_string(&mut text);
        // The receiver is gone if the time is over.
        let _ = sender.send(read.map(|_| text));
    });
    let text = receiver
        .recv_timeout(LIMIT)
        .map_err(|_| format!("took over {} s", LIMIT.as_secs()))?
        .map_err(|error| format!("cannot read the figures: {error}"))?;
    let status = process.0.wait().map_err(|error| error.to_string())?;
    if !status.success() {
        let mut message = String::new();
        let stderr = process.0.stderr.take();
        // Without a message, the status is the reason.
        let _ = stderr.map(|mut stderr| stderr.read_to_string(&mut message));
        let message = message.lines().find(|line| !line.is_empty()).unwrap_or("");
        return Err(format!("failed ({status}): {message}"));
    }
    parse(&text).ok_or_else(|| format!("unexpected figures: {text:?}"))
}

fn parse(text: &str) -> Option<Figures> {
    let lines = text.lines().map(|line| {
        let (name, number) = line.split_once(' ')?;
        Some((name.to_owned(), number.parse().ok()?))
    });
    lines.collect()
}
