//! A program with a time limit, and the end of everything that it has started.

use anyhow::{Context, Result};
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper, wait,
};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Interval between two checks for the end of a program.
const INTERVAL: Duration = Duration::from_millis(20);

/// End of a program.
#[derive(Debug)]
pub(super) enum End {
    Exited(ExitStatus),
    /// The limit passed.
    Late,
    /// `interrupted` was set.
    Interrupted,
}

/// Runs a program with its output in `log`, in a process group of its own. In the end nothing that it has started
/// runs any more, in whatever process group. At the limit the group gets SIGTERM, and everything SIGKILL after
/// `grace`.
///
/// The process must have no other children: they are killed too.
pub(super) fn run(
    command: &mut Command,
    log: &Path,
    limit: Duration,
    grace: Duration,
    interrupted: &AtomicBool,
) -> Result<End> {
    // Whatever loses its parent becomes a child of this process, so that it can be found.
    set_child_subreaper(Some(getpid()))?;
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot run {:?}", command.get_program()))?;
    let group = Pid::from_child(&child);
    let begun = Instant::now();
    let mut end = None;
    let status = loop {
        if let Some(status) = reap(group) {
            break Some(status);
        }
        let elapsed = begun.elapsed();
        if end.is_none() {
            if interrupted.load(Ordering::Relaxed) {
                end = Some((End::Interrupted, elapsed));
            } else if elapsed >= limit {
                end = Some((End::Late, elapsed));
            }
            if end.is_some() {
                // The group may have ended by now.
                let _ = kill_process_group(group, Signal::TERM);
            }
        }
        if end.as_ref().is_some_and(|(_, at)| elapsed >= *at + grace) {
            break None;
        }
        sleep(INTERVAL);
    };
    // A descendant may have started another one before it was killed; one of another user cannot be killed.
    let deadline = Instant::now() + grace;
    while kill_descendants()? && Instant::now() < deadline {
        reap(group);
        sleep(INTERVAL);
    }
    Ok(match (end, status) {
        (Some((end, _)), _) => end,
        (None, Some(status)) => End::Exited(status),
        (None, None) => End::Late,
    })
}

/// Removes the ended children of this process, among them those that have lost their parent: their numbers are in
/// use until then, and a program that waits for the end of one would wait for ever. Returns the status of `child` if
/// it is among them.
fn reap(child: Pid) -> Option<ExitStatus> {
    let mut of_child = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == child {
            of_child = Some(ExitStatus::from_raw(status.as_raw()));
        }
    }
    of_child
}

/// Kills all descendants of this process; returns whether there were any.
fn kill_descendants() -> Result<bool> {
    let own = getpid().as_raw_nonzero().get();
    let found = descendants(own, &parents()?);
    for pid in &found {
        if let Some(pid) = Pid::from_raw(*pid) {
            // It may have ended by now.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    Ok(!found.is_empty())
}

/// Parent of each process.
fn parents() -> Result<BTreeMap<i32, i32>> {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        // The process may have ended by now.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        if let Some(parent) = parent_in(&stat) {
            parents.insert(pid, parent);
        }
    }
    Ok(parents)
}

/// Parent in a line of `/proc/PID/stat`. The name before it may hold spaces and parentheses.
fn parent_in(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

fn descendants(of: i32, parents: &BTreeMap<i32, i32>) -> Vec<i32> {
    let mut found = vec![of];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        let children = parents.iter().filter(|(_, of)| **of == parent);
        found.extend(children.map(|(pid, _)| *pid));
        next += 1;
    }
    found.remove(0);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout;

    #[test]
    fn descendants_include_those_of_children() {
        let parents = BTreeMap::from([(2, 1), (3, 2), (4, 3), (5, 1), (6, 9)]);
        assert_eq!(descendants(2, &parents), [3, 4]);
        assert_eq!(descendants(1, &parents), [2, 5, 3, 4]);
        assert!(descendants(6, &parents).is_empty());
    }

    #[test]
    fn parent_follows_a_name_with_parentheses() {
        assert_eq!(parent_in("7 (a) b) S 42 7 7 0"), Some(42));
        assert_eq!(parent_in("7"), None);
    }

    /// Set in the process that tests `run`, which ends all children of its process: also those of other tests.
    const ALONE: &str = "EVENTRY_XTASK_TEST_ALONE";

    #[test]
    fn run_leaves_no_process_behind() {
        if std::env::var_os(ALONE).is_none() {
            let mut alone = Command::new(std::env::current_exe().unwrap());
            alone.args([
                "--exact",
                "check::group::tests::run_leaves_no_process_behind",
            ]);
            let output = alone.env(ALONE, "1").output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && said.contains("1 passed"),
                "{said}"
            );
            return;
        }
        let never = AtomicBool::new(false);
        let log = layout::output("xtask-tests").join("group.log");
        fs::create_dir_all(log.parent().unwrap()).unwrap();
        let run_script = |script: &str, limit: u64, interrupted: &AtomicBool| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            let limit = Duration::from_millis(limit);
            let grace = Duration::from_millis(100);
            let end = run(&mut command, &log, limit, grace, interrupted).unwrap();
            assert!(!kill_descendants().unwrap(), "{script} left a process");
            end
        };
        let ended = run_script("echo said; setsid sleep 1000 & exit 3", 60_000, &never);
        assert!(
            matches!(ended, End::Exited(status) if status.code() == Some(3)),
            "{ended:?}"
        );
        assert_eq!(fs::read_to_string(&log).unwrap(), "said\n");

        let waits =
            "pid=$(sh -c 'sleep 0 >/dev/null & echo $!'); while kill -0 $pid; do sleep 0.01; done";
        let ended = run_script(waits, 60_000, &never);
        assert!(
            matches!(ended, End::Exited(status) if status.success()),
            "an ended process without a parent is still there: {ended:?}"
        );

        let ignores = "trap '' TERM; setsid sleep 1000 & sleep 1000; sleep 1000";
        let ended = run_script(ignores, 100, &never);
        assert!(matches!(ended, End::Late), "{ended:?}");

        let ended = run_script("exec sleep 1000", 60_000, &AtomicBool::new(true));
        assert!(matches!(ended, End::Interrupted), "{ended:?}");
    }
}
