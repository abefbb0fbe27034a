//! Every check of the project, in stages.

mod figures;
mod group;
mod stages;
mod summary;

use crate::output::print_line;
use crate::{fuzz, layout};
use anyhow::{Context, Result, bail};
use group::End;
use stages::{STAGES, Stage, When};
use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use summary::{Outcome, Summary};

/// Runs all checks of the project, or only the given stages; a failed stage does not end the run
///
/// `./tests/run` installs the packages that the build needs, and calls this command. CI calls `./tests/run`. Stages that
/// need a nightly toolchain (fuzz, asan, tsan) are not run if none is installed; with CI=true in the environment they
/// fail instead. The output of a stage is in target/run-logs/STAGE.log. A stage that exceeds its time limit fails, and
/// its processes are killed.
///
/// Exit status: 0 all stages passed; 1 a stage failed; 3 no stage failed, but one was not run. Tests that this machine
/// does not allow, such as a test that needs namespaces in a container, are listed at the end.
#[derive(clap::Args)]
#[command(override_usage = USAGE, after_long_help = help())]
pub(crate) struct Arguments {
    /// Stages to run instead of all, in this order
    #[arg(value_name = "STAGE")]
    stages: Vec<String>,
    /// Run with longer bounds, for hours; see docs/proof.md
    #[arg(long)]
    deep: bool,
    /// Print the names of the stages
    #[arg(long, exclusive = true)]
    list: bool,
    /// Fuzz one target, or all in turn, until a finding or an interrupt; see fuzz/README.md
    #[arg(long, exclusive = true, value_name = "TARGET")]
    fuzz_forever: Option<Option<String>>,
    /// Run the stage soak for this number of minutes (20 without a number); see docs/soak.md
    #[arg(long, exclusive = true, value_name = "MINUTES",
        value_parser = clap::value_parser!(u64).range(..=MOST_MINUTES))]
    soak: Option<Option<u64>>,
}

const USAGE: &str = "./tests/run [OPTIONS] [STAGE]...
       cargo xtask check [OPTIONS] [STAGE]...";

/// The largest number of minutes that is a number of seconds.
const MOST_MINUTES: u64 = u64::MAX / 60;

/// Exit status of a stage without a nightly toolchain.
const NOT_RUN: i32 = 77;

/// Exit status of a run in which nothing failed but something was not run.
const INCOMPLETE: u8 = 3;

/// Exit status after an interrupt, by convention.
const INTERRUPTED: u8 = 130;

/// Time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

/// A variable of the environment with which the stages run.
struct Setting {
    name: &'static str,
    default: &'static str,
    /// Default with `--deep`.
    deep: &'static str,
    about: &'static str,
}

const SETTINGS: &[Setting] = &[
    Setting {
        name: "EVENTRY_SEEDS",
        default: "10000",
        deep: "1000000",
        about: "number of simulated runs",
    },
    Setting {
        name: "EVENTRY_STRICT_SECONDS",
        default: "4",
        deep: "60",
        about: "seconds of the stage strict",
    },
    Setting {
        name: "EVENTRY_STRICT_THREADS",
        default: "2",
        deep: "4",
        about: "threads that remove in the stage strict",
    },
    Setting {
        name: "EVENTRY_STRESS_SECONDS",
        default: "3",
        deep: "3",
        about: "seconds of the stress test, on each backend",
    },
    Setting {
        name: fuzz::SECONDS.0,
        default: fuzz::SECONDS.1,
        deep: "900",
        about: "seconds of fuzzing of each target",
    },
    Setting {
        name: "EVENTRY_SOAK_SECONDS",
        default: "20",
        deep: "20",
        about: "seconds of the stage soak",
    },
    Setting {
        name: NIGHTLY,
        default: fuzz::NIGHTLY.1,
        deep: fuzz::NIGHTLY.1,
        about: "toolchain for the fuzz targets and the sanitizers",
    },
    Setting {
        name: STAGE_SECONDS,
        default: "900",
        deep: "14400",
        about: "time limit of a stage in seconds",
    },
];

const NIGHTLY: &str = fuzz::NIGHTLY.0;
const STAGE_SECONDS: &str = "EVENTRY_STAGE_SECONDS";

/// Variables of `--deep` alone: what is marked `deep` is run too, and the generated sequences are fresh ones.
const DEEP: [(&str, &str); 2] = [("EVENTRY_DEEP", "1"), ("EVENTRY_CASES", "100000")];

fn help() -> String {
    let settings = SETTINGS.iter().map(|setting| {
        let Setting { name, about, .. } = setting;
        format!(
            "  {name:<23} {about} ({})",
            setting.value(false, own_variable)
        )
    });
    let deep = STAGES.iter().filter(|stage| stage.when == When::Deep);
    let deep: Vec<&str> = deep.map(|stage| stage.name).collect();
    format!(
        "Stages:\n{}\n\nOnly if it is given on the command line:\n{}\n\nStages of --deep, if no stage is given:\n  {}\n\n\
         Environment:\n{}",
        stages::descriptions(|when| when != When::Named),
        stages::descriptions(|when| when == When::Named),
        deep.join(" "),
        settings.collect::<Vec<_>>().join("\n")
    )
}

impl Setting {
    /// Value in the environment, or the default.
    fn value(&self, deep: bool, variable: impl Fn(&str) -> Option<String>) -> String {
        let default = if deep { self.deep } else { self.default };
        variable(self.name).unwrap_or(default.to_owned())
    }
}

/// Variable in the environment of this process.
fn own_variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// Environment of the stages. `variable` is what a user has set.
fn environment(
    deep: bool,
    variable: impl Fn(&str) -> Option<String>,
) -> Vec<(&'static str, String)> {
    let mut environment: Vec<_> = SETTINGS
        .iter()
        .map(|setting| (setting.name, setting.value(deep, &variable)))
        .collect();
    if deep {
        let of_deep = DEEP.map(|(name, default)| match name {
            "EVENTRY_CASES" => (name, variable(name).unwrap_or(default.to_owned())),
            _ => (name, default.to_owned()),
        });
        environment.extend(of_deep);
    }
    environment
}

pub(crate) fn run_task(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.list {
        STAGES.iter().try_for_each(|stage| print_line(stage.name))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(target) = &arguments.fuzz_forever {
        return fuzz::forever(target.as_deref()).map(|()| ExitCode::SUCCESS);
    }
    if let Some(minutes) = arguments.soak {
        return soak(minutes.unwrap_or(20));
    }
    let stages = select(&arguments.stages, arguments.deep)?;
    run_stages(&stages, &environment(arguments.deep, own_variable))
}

/// Stages with these names in their order, or those that a run has without names.
fn select(names: &[String], deep: bool) -> Result<Vec<&'static Stage>> {
    if names.is_empty() {
        let is_wanted = |stage: &&Stage| match stage.when {
            When::Deep => true,
            When::Always => !deep,
            When::Named => false,
        };
        return Ok(STAGES.iter().filter(is_wanted).collect());
    }
    let find = |name: &String| {
        let stage = STAGES.iter().find(|stage| stage.name == name);
        stage.with_context(|| format!("there is no stage {name}; see ./tests/run --list"))
    };
    names.iter().map(find).collect()
}

/// Becomes the test of the soak.
fn soak(minutes: u64) -> Result<ExitCode> {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(layout::root())
        .args(["test", "--locked", "--release"])
        .args(["--package=eventryd", "--test=soak", "--", "--nocapture"])
        .env("EVENTRY_SOAK_SECONDS", (60 * minutes).to_string());
    Err(cargo.exec()).context("cannot run cargo")
}

fn run_stages(stages: &[&Stage], environment: &[(&str, String)]) -> Result<ExitCode> {
    let value = |wanted: &str| {
        let mut settings = environment.iter();
        let setting = settings.find(|(name, _)| *name == wanted);
        setting.map_or("", |(_, value)| value.as_str())
    };
    let limit = value(STAGE_SECONDS);
    let Ok(seconds) = limit.parse() else {
        bail!("{STAGE_SECONDS} is {limit:?} and not a number");
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGHUP,
    ] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let logs = layout::target().join("run-logs");
    fs::create_dir_all(&logs)?;
    let begun = Instant::now();
    let mut summary = Summary::new(value(NIGHTLY));
    for stage in stages {
        print_line(format_args!("---- {} ...", stage.name))?;
        let log = logs.join(format!("{}.log", stage.name));
        let begun = Instant::now();
        let mut script = Command::new(layout::root().join(layout::RUN));
        script
            .args(["--alone", stage.name])
            .current_dir(layout::root())
            .envs(environment.iter().map(|(name, value)| (name, value)));
        let limit = Duration::from_secs(seconds);
        let end = group::run(&mut script, &log, limit, GRACE, &interrupted)?;
        let outcome = match end {
            End::Interrupted => return Ok(INTERRUPTED.into()),
            End::Late => Outcome::Late { seconds },
            End::Exited(status) if status.code() == Some(NOT_RUN) => Outcome::NotRun,
            End::Exited(status) if status.success() => Outcome::Succeeded,
            End::Exited(status) => Outcome::Failed { status },
        };
        let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let lines = summary.add(stage, outcome, begun.elapsed(), &said);
        lines.iter().try_for_each(print_line)?;
    }
    let lines = summary.closing_lines(stages.len(), begun.elapsed());
    lines.iter().try_for_each(print_line)?;
    Ok(summary.exit_status().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn names(wanted: &[&str], deep: bool) -> std::result::Result<Vec<&'static str>, String> {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let selected = select(&wanted, deep).map_err(|error| error.to_string());
        selected.map(|stages| stages.iter().map(|stage| stage.name).collect())
    }

    #[test]
    fn select_keeps_the_order_of_the_names() {
        assert_eq!(names(&["tsan", "fmt"], false).unwrap(), ["tsan", "fmt"]);
        let error = names(&["fmt", "format"], false).unwrap_err();
        assert_eq!(error, "there is no stage format; see ./tests/run --list");
    }

    #[test]
    fn select_without_names_takes_all_or_the_deep_ones() {
        let all = names(&[], false).unwrap();
        assert_eq!(all.len(), STAGES.len() - 1);
        assert!(!all.contains(&"tsan"));
        assert_eq!(
            names(&[], true).unwrap(),
            ["simulator", "strict", "exhaustive", "properties", "fuzz"]
        );
    }

    #[test]
    fn deep_has_longer_bounds() {
        let value = |deep, wanted: &str| {
            // Not the variables of this process: the runner sets them for the tests too.
            let environment = environment(deep, |_| None);
            let mut found = environment.iter().filter(|(name, _)| *name == wanted);
            found.next().map(|(_, value)| value.clone())
        };
        assert_eq!(value(true, "EVENTRY_DEEP").as_deref(), Some("1"));
        assert_eq!(value(false, "EVENTRY_DEEP"), None);
        assert_ne!(
            value(true, "EVENTRY_STAGE_SECONDS"),
            value(false, "EVENTRY_STAGE_SECONDS")
        );
        let set = environment(true, |name| Some(format!("own {name}")));
        assert!(set.contains(&("EVENTRY_SEEDS", "own EVENTRY_SEEDS".to_owned())));
    }

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(arguments: &[&str]) -> std::result::Result<Arguments, String> {
        let arguments = ["check"].iter().chain(arguments);
        let parsed = Program::try_parse_from(arguments).map_err(|error| error.to_string());
        parsed.map(|program| program.arguments)
    }

    #[test]
    fn soak_takes_minutes_that_are_a_number_of_seconds() {
        let soak = |value: &str| parse(&[value]).map(|arguments| arguments.soak);
        assert_eq!(soak("--soak").unwrap(), Some(None));
        assert_eq!(soak("--soak=3").unwrap(), Some(Some(3)));
        assert_eq!(
            soak("--soak=307445734561825860").unwrap(),
            Some(Some(MOST_MINUTES))
        );
        for value in ["--soak=307445734561825861", "--soak=18446744073709551615"] {
            assert!(soak(value).unwrap_err().contains("is not in 0..="));
        }
    }

    #[test]
    fn help_names_stages_and_settings() {
        let help = help();
        assert!(help.contains("  tsan "));
        assert!(help.contains("simulator strict exhaustive properties fuzz"));
        assert!(help.contains("  EVENTRY_STAGE_SECONDS "));
    }
}
