//! The slower checks, for what survives the tests that take seconds.

use super::modules::{Module, module_of};
use super::outcomes::{Outcome, Summary};
use super::tool::work;
use crate::layout;
use crate::output::print_line;
use crate::process::{output_of, run};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Gives the survivors that are not listed to the slower checks of their modules, and notes which are caught. The
/// slower checks would take an hour to say the same of those that are listed.
pub(super) fn run_task(outcomes: &mut [Outcome], listed: &BTreeSet<String>) -> Result<()> {
    let unexplained = outcomes
        .iter_mut()
        .filter(|outcome| outcome.is_missed() && !listed.contains(&outcome.stable_name()));
    let unexplained: Vec<&mut Outcome> = unexplained.collect();
    if unexplained.is_empty() {
        return Ok(());
    }
    let copy = make_copy()?;
    for outcome in unexplained {
        let module = module_of(&outcome.file)
            .with_context(|| format!("{} is in no module with checks", outcome.file))?;
        patch(&copy, outcome, false)?;
        let caught = caught_by(&copy, module)?;
        patch(&copy, outcome, true)?;
        match caught {
            Some(check) => {
                print_line(format_args!("caught by {check}: {}", outcome.name))?;
                outcome.summary = Summary::CaughtMutant;
            }
            None => print_line(format_args!("SURVIVES: {}", outcome.name))?,
        }
    }
    Ok(())
}

/// Makes the copy of the tree. One that is there is brought up to date, so that its builds serve again.
fn make_copy() -> Result<PathBuf> {
    let root = layout::root();
    let copy = work().join("copy");
    let git = |directory: &Path| {
        let mut git = Command::new("git");
        git.current_dir(directory);
        git
    };
    if !copy.exists() {
        let mut clone = git(&root);
        clone.args(["clone", "--quiet", "--no-hardlinks"]);
        output_of(clone.arg(&root).arg(&copy))?;
    }
    output_of(git(&copy).args(["fetch", "--quiet"]).arg(&root).arg("HEAD"))?;
    output_of(git(&copy).args(["reset", "--quiet", "--hard", "FETCH_HEAD"]))?;
    // Changes that are not committed are tested too.
    let changes = output_of(git(&root).args(["diff", "HEAD"]))?;
    if !changes.is_empty() {
        let mut apply = git(&copy)
            .arg("apply")
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot run git")?;
        let mut input = apply.stdin.take().context("git has no standard input")?;
        input.write_all(changes.as_bytes())?;
        drop(input);
        if !apply.wait()?.success() {
            bail!("git cannot apply the changes that are not committed");
        }
    }
    Ok(copy)
}

/// Makes the change of a mutant in the copy, or takes it back.
fn patch(copy: &Path, outcome: &Outcome, reverse: bool) -> Result<()> {
    let mut command = Command::new("patch");
    command.args(["--silent", "--no-backup-if-mismatch"]);
    command.arg(copy.join(&outcome.file)).arg(&outcome.diff);
    if reverse {
        command.arg("--reverse");
    }
    output_of(&mut command).map(drop)
}

/// Runs the slower checks of a module until one fails or hangs, and returns its name.
fn caught_by(copy: &Path, module: &Module) -> Result<Option<String>> {
    for check in module.slow {
        let mut command = Command::new(check.program[0]);
        command
            .args(&check.program[1..])
            .args(check.arguments)
            .current_dir(copy.join(check.directory))
            .envs(check.environment.iter().copied());
        let limit = Duration::from_secs(check.seconds);
        let ended = run(&mut command, &work().join("check.log"), Some(limit))?;
        if ended.succeeded() {
            continue;
        }
        let name = format!("{} {}", check.directory, check.arguments.join(" "));
        return Ok(Some(match ended.status {
            Some(_) => name,
            None => format!("{name}, which hangs"),
        }));
    }
    Ok(None)
}
