//! One fuzz target: its corpus and its program.

use super::Settings;
use super::log::processor_seconds;
use crate::layout;
use crate::process::output_of;
use anyhow::{Context, Result};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// Limit of one input. A longer one hangs, for example because a callback was called under the lock.
const LONGEST_INPUT_SECONDS: u32 = 20;

pub(super) const HOST: &str = "x86_64-unknown-linux-gnu";

/// Folder for what the fuzzer finds. `minimise` takes the best of it into [`layout::FUZZ`].
pub(super) fn work() -> PathBuf {
    layout::output("fuzz")
}

/// A fuzz target.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) name: String,
}

/// End of a fuzz target that was run to a log.
pub(super) struct Run {
    pub(super) status: ExitStatus,
    pub(super) processor_seconds: f64,
    pub(super) log: String,
}

impl Target {
    /// Folder of the corpus to which the fuzzer adds.
    pub(super) fn corpus(&self) -> PathBuf {
        work().join("corpus").join(&self.name)
    }

    /// Folder of the corpus in the tree.
    pub(super) fn kept_corpus(&self) -> PathBuf {
        layout::root()
            .join(layout::FUZZ)
            .join("corpus")
            .join(&self.name)
    }

    pub(super) fn log(&self) -> PathBuf {
        work().join(format!("{}.log", self.name))
    }

    /// Adds the corpus of the tree and the recorded sessions to the corpus of the fuzzer.
    pub(super) fn gather(&self) -> Result<()> {
        let corpus = self.corpus();
        fs::create_dir_all(&corpus)?;
        let kept = self.kept_corpus();
        if kept.is_dir() {
            for entry in fs::read_dir(&kept)? {
                let entry = entry?;
                fs::copy(entry.path(), corpus.join(entry.file_name()))?;
            }
        }
        let seeds = layout::root()
            .join(layout::FUZZ)
            .join(format!("{}_seeds.py", self.name));
        if seeds.exists() {
            output_of(Command::new("python3").arg(seeds).arg(&corpus))?;
        }
        Ok(())
    }

    /// Prepares the program itself and not `cargo fuzz run`, so that two do not wait for each other's build.
    pub(super) fn command(&self) -> Command {
        let program = layout::root()
            .join(layout::FUZZ)
            .join("target")
            .join(HOST)
            .join("release")
            .join(&self.name);
        let artifacts = work().join("artifacts");
        let mut command = Command::new(program);
        command
            .current_dir(layout::root())
            .env("ASAN_OPTIONS", "detect_odr_violation=0")
            .arg(format!(
                "-artifact_prefix={}/{}-",
                artifacts.display(),
                self.name
            ))
            .arg(format!("-timeout={LONGEST_INPUT_SECONDS}"));
        command
    }

    /// Prepares the program to fuzz for as long as the settings say.
    pub(super) fn fuzzing(&self, settings: &Settings) -> Command {
        let mut command = self.command();
        command
            .arg(format!("-max_total_time={}", settings.seconds))
            .args(["-print_final_stats=1", "-verbosity=1"])
            .arg(self.corpus());
        command
    }

    /// Runs a program of this target with its output in the log.
    pub(super) fn run(&self, command: &mut Command) -> Result<Run> {
        let file = File::create(self.log())
            .with_context(|| format!("cannot write {}", self.log().display()))?;
        command.stdout(file.try_clone()?).stderr(file);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot run {:?}", command.get_program()))?;
        let pid = Pid::from_child(&child);
        // The times of a process can be read until its status is taken.
        waitid(
            WaitId::Pid(pid),
            WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
        )?;
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
        let ticks = rustix::param::clock_ticks_per_second();
        Ok(Run {
            status: child.wait()?,
            processor_seconds: processor_seconds(&stat, ticks)
                .with_context(|| format!("{stat:?} is not the status of a process"))?,
            log: String::from_utf8_lossy(&fs::read(self.log())?).into_owned(),
        })
    }
}

/// Number and total size in bytes of the files in a folder.
pub(super) fn size_of(folder: &Path) -> Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(folder)? {
        let metadata = entry?.metadata()?;
        if metadata.is_file() {
            files += 1;
            bytes += metadata.len();
        }
    }
    Ok((files, bytes))
}
