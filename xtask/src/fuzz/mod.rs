//! Fuzzing with coverage, and the corpora.

mod log;
mod target;

use crate::layout;
use crate::output::print_line;
use crate::process::output_of;
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;
use std::sync::Mutex;
use std::thread;
use target::{HOST, Target, size_of, work};

/// Version whose options this task knows.
const VERSION: &str = "0.13.2";

/// Runs the fuzz targets, minimises the corpora and reports their coverage
///
/// cargo-fuzz 0.13.2 is installed if it is missing. An input that makes a target fail is saved as
/// target/fuzz/artifacts/TARGET-*; `cargo +nightly fuzz run TARGET FILE` runs it again.
#[derive(clap::Args)]
#[command(after_long_help = help())]
pub(crate) struct Arguments {
    #[command(subcommand)]
    task: Task,
}

/// Variable of the environment and its default: time to fuzz each target, in seconds.
pub(crate) const SECONDS: (&str, &str) = ("EVENTRY_FUZZ_SECONDS", "30");

/// Variable of the environment and its default: toolchain for what needs a nightly one.
pub(crate) const NIGHTLY: (&str, &str) = ("EVENTRY_NIGHTLY", "nightly");

/// Variable of the environment and its default: targets to fuzz at once.
const JOBS: (&str, &str) = ("EVENTRY_FUZZ_JOBS", "2");

fn help() -> String {
    let settings = [
        (SECONDS, "seconds of fuzzing of each target"),
        (JOBS, "number of targets that run at once"),
        (NIGHTLY, "toolchain that builds the targets"),
    ];
    let lines =
        settings.map(|((name, default), about)| format!("  {name:<23} {about} ({default})"));
    format!("Environment:\n{}", lines.join("\n"))
}

#[derive(Subcommand)]
enum Task {
    /// Fuzzes each target for EVENTRY_FUZZ_SECONDS, starting from the corpora in fuzz/corpus
    Check,
    /// Fuzzes one target, or all in turn, until one fails; continues with the inputs of the last run
    Forever {
        /// Name of a target, such as frame [default: all]
        target: Option<String>,
    },
    /// Reduces fuzz/corpus and the inputs of the last runs to a small set with the same coverage
    Minimise {
        /// Name of a target, such as frame [default: all]
        target: Option<String>,
    },
    /// Prints the coverage of src that the corpora reach; needs the component llvm-tools
    Coverage {
        /// Name of a target, such as frame [default: all]
        target: Option<String>,
    },
    /// Prints the targets
    List,
}

/// Settings of the environment.
#[derive(Debug)]
struct Settings {
    seconds: u64,
    jobs: usize,
    nightly: String,
}

impl Settings {
    fn read() -> Result<Settings> {
        Ok(Settings {
            seconds: number(SECONDS)?,
            jobs: number(JOBS)?,
            nightly: env::var(NIGHTLY.0).unwrap_or(NIGHTLY.1.to_owned()),
        })
    }

    /// Prepares cargo of the nightly toolchain.
    fn cargo(&self) -> Command {
        let mut cargo = Command::new("cargo");
        cargo
            .arg(format!("+{}", self.nightly))
            .current_dir(layout::root());
        cargo
    }

    fn targets(&self, wanted: Option<&str>) -> Result<Vec<Target>> {
        let listed = output_of(self.cargo().args(["fuzz", "list"]))?;
        select(&listed, wanted)
    }

    /// Builds all targets.
    fn prepare(&self) -> Result<()> {
        let nightly = &self.nightly;
        output_of(self.cargo().arg("--version")).with_context(|| {
            format!("the toolchain {nightly} is missing: rustup toolchain install {nightly}")
        })?;
        let found = Command::new("cargo").args(["fuzz", "--version"]).output()?;
        if String::from_utf8_lossy(&found.stdout).trim() != format!("cargo-fuzz {VERSION}") {
            let mut install = Command::new("cargo");
            install.args(["install", "--locked"]);
            succeed(install.arg(format!("cargo-fuzz@{VERSION}")))?;
        }
        succeed(self.cargo().args(["fuzz", "build"]))?;
        fs::create_dir_all(work().join("artifacts"))?;
        Ok(())
    }
}

/// Value of an environment variable, or its default.
fn number<T: FromStr>((name, default): (&str, &str)) -> Result<T> {
    let value = env::var(name).unwrap_or(default.to_owned());
    let number = value.parse().ok();
    number.with_context(|| format!("{name} is {value:?} and not a number"))
}

/// Targets of the list of cargo-fuzz, or the one that is wanted.
fn select(listed: &str, wanted: Option<&str>) -> Result<Vec<Target>> {
    let mut targets: Vec<Target> = listed
        .lines()
        .map(|name| Target {
            name: name.to_owned(),
        })
        .collect();
    if targets.is_empty() {
        bail!("there are no fuzz targets");
    }
    if let Some(wanted) = wanted {
        targets.retain(|target| target.name == wanted);
        if targets.is_empty() {
            bail!("there is no fuzz target {wanted}");
        }
    }
    Ok(targets)
}

/// Runs a program with the output of this one, and fails if it does.
fn succeed(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

pub(crate) fn run_task(arguments: &Arguments) -> Result<()> {
    let settings = Settings::read()?;
    if let Task::List = arguments.task {
        for target in settings.targets(None)? {
            print_line(format_args!("{}", target.name))?;
        }
        return Ok(());
    }
    settings.prepare()?;
    match &arguments.task {
        Task::Check => check(&settings),
        Task::Forever { target } => fuzz_in_turn(&settings, &settings.targets(target.as_deref())?),
        Task::Minimise { target } => minimise(&settings.targets(target.as_deref())?),
        Task::Coverage { target } => coverage(&settings, &settings.targets(target.as_deref())?),
        Task::List => Ok(()),
    }
}

/// Fuzzes every target from the beginning, and fails at the end if one of them has a finding.
fn check(settings: &Settings) -> Result<()> {
    let targets = settings.targets(None)?;
    let next = Mutex::new(targets.iter());
    let faults = Mutex::new(Vec::new());
    let work = || {
        loop {
            let target = next.lock().expect("no thread panics").next();
            let Some(target) = target else {
                return;
            };
            if let Err(error) = check_one(target, settings) {
                eprintln!("error: {error:#}");
                faults
                    .lock()
                    .expect("no thread panics")
                    .push(target.name.clone());
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..settings.jobs {
            scope.spawn(work);
        }
    });
    let faults = faults.into_inner().expect("no thread panics");
    if !faults.is_empty() {
        bail!("fuzz targets that failed: {}", faults.join(", "));
    }
    Ok(())
}

fn check_one(target: &Target, settings: &Settings) -> Result<()> {
    let corpus = target.corpus();
    if corpus.exists() {
        fs::remove_dir_all(&corpus)?;
    }
    target.gather()?;
    let (files, _) = size_of(&corpus)?;
    let run = target.run(&mut target.fuzzing(settings))?;
    if !run.status.success() {
        log::finding(&run.log).iter().try_for_each(print_line)?;
        bail!("{}", finding_of(target));
    }
    let executions = log::executions(&run.log);
    print_line(format_args!(
        "fuzz target {}: {executions} executions, {:.0} s of a processor",
        target.name, run.processor_seconds
    ))?;
    if executions <= files {
        bail!("{} ran its corpus and did not fuzz", target.name);
    }
    Ok(())
}

fn finding_of(target: &Target) -> String {
    format!("{} has a finding: {}", target.name, target.log().display())
}

/// Fuzzes one target, or all in turn, until a finding.
pub(crate) fn forever(target: Option<&str>) -> Result<()> {
    let settings = Settings::read()?;
    settings.prepare()?;
    fuzz_in_turn(&settings, &settings.targets(target)?)
}

fn fuzz_in_turn(settings: &Settings, targets: &[Target]) -> Result<()> {
    loop {
        for target in targets {
            print_line(format_args!("fuzz target {}", target.name))?;
            target.gather()?;
            let status = target.fuzzing(settings).status()?;
            if !status.success() {
                bail!("{} has a finding", target.name);
            }
        }
    }
}

fn minimise(targets: &[Target]) -> Result<()> {
    for target in targets {
        target.gather()?;
        let minimised = work().join("minimised");
        if minimised.exists() {
            fs::remove_dir_all(&minimised)?;
        }
        fs::create_dir_all(&minimised)?;
        // Without counters, an input is kept only for an edge that no other input reaches.
        let mut merge = target.command();
        merge.args(["-set_cover_merge=1", "-use_counters=0", "-max_len=512"]);
        merge.arg(&minimised).arg(target.corpus());
        if !target.run(&mut merge)?.status.success() {
            bail!("{}", finding_of(target));
        }
        let kept = target.kept_corpus();
        if kept.exists() {
            fs::remove_dir_all(&kept)?;
        }
        fs::create_dir_all(&kept)?;
        for entry in fs::read_dir(&minimised)? {
            let entry = entry?;
            fs::copy(entry.path(), kept.join(entry.file_name()))?;
        }
        let (files, bytes) = size_of(&kept)?;
        print_line(format_args!(
            "{}: {files} files, {bytes} bytes",
            target.name
        ))?;
    }
    Ok(())
}

fn coverage(settings: &Settings, targets: &[Target]) -> Result<()> {
    let mut sysroot = Command::new("rustc");
    sysroot.arg(format!("+{}", settings.nightly));
    let sysroot = output_of(sysroot.args(["--print", "sysroot"]))?;
    let tools = PathBuf::from(sysroot.trim()).join(format!("lib/rustlib/{HOST}/bin"));
    if !tools.join("llvm-cov").exists() {
        bail!(
            "llvm-cov is missing: rustup component add llvm-tools --toolchain {}",
            settings.nightly
        );
    }
    let mut programs = Vec::new();
    let mut merge = Command::new(tools.join("llvm-profdata"));
    merge.current_dir(layout::root()).args(["merge", "-sparse"]);
    for target in targets {
        target.gather()?;
        let mut fuzz = settings.cargo();
        fuzz.args(["fuzz", "coverage", &target.name])
            .arg(target.corpus());
        if !target.run(&mut fuzz)?.status.success() {
            bail!("{}: {}", target.name, target.log().display());
        }
        programs.push(format!(
            "target/{HOST}/coverage/{HOST}/release/{}",
            target.name
        ));
        merge.arg(format!("fuzz/coverage/{}/coverage.profdata", target.name));
    }
    let data = work().join("coverage.profdata");
    output_of(merge.arg("-o").arg(&data))?;
    let mut report = Command::new(tools.join("llvm-cov"));
    report.current_dir(layout::root()).arg("report");
    for (number, program) in programs.iter().enumerate() {
        // The first program has no option in front of it.
        if number > 0 {
            report.arg("-object");
        }
        report.arg(program);
    }
    report
        .arg(format!("-instr-profile={}", data.display()))
        .args([
            "-show-region-summary=false",
            "-show-branch-summary=false",
            "src",
        ]);
    let report = output_of(&mut report)?;
    fs::write(work().join("coverage.txt"), &report)?;
    print!("{report}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn select_finds_one_or_all_targets() {
        let names = |listed, wanted| {
            let targets = select(listed, wanted).map_err(|error| error.to_string())?;
            Ok(targets.into_iter().map(|target| target.name).collect())
        };
        let all: Result<Vec<String>, String> = names("dn\nframe\n", None);
        assert_eq!(all.unwrap(), ["dn", "frame"]);
        assert_eq!(names("dn\nframe\n", Some("frame")).unwrap(), ["frame"]);
        let error = names("dn\nframe\n", Some("fram")).unwrap_err();
        assert_eq!(error, "there is no fuzz target fram");
        assert_eq!(names("", None).unwrap_err(), "there are no fuzz targets");
    }

    #[test]
    fn number_has_a_default() {
        let absent = number::<u64>(("EVENTRY_VARIABLE_THAT_NO_TEST_SETS", "30"));
        assert_eq!(absent.unwrap(), 30);
    }
}
