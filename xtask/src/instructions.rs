//! Instructions of the benchmark cases, compared with benches/instructions.tsv.

use crate::layout;
use crate::output::print_line;
use crate::process::output_of;
use anyhow::{Context, Result, bail};
use regex::Regex;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Counts the instructions of the benchmark cases and compares them with those in benches/instructions.tsv
///
/// Fails if a case needs over 2 % more instructions than in the file. Valgrind counts the instructions of the process,
/// without those of the kernel. The counts are equal in every run, but depend on compiler and C library: update the file
/// when these change.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Update benches/instructions.tsv
    #[arg(long)]
    write: bool,
}

/// Percentage by which a case may cost more.
const TOLERANCE: f64 = 2.0;

/// A case of the program `instructions`.
#[derive(Debug, PartialEq)]
struct Case {
    name: String,
    /// Number of repetitions of the case.
    times: u64,
    /// Operations of one repetition.
    units: u64,
}

pub(crate) fn run_task(arguments: &Arguments) -> Result<()> {
    let valgrind = Command::new("valgrind").arg("--version").output();
    valgrind.context("valgrind is missing: apt-get install valgrind")?;
    let program = build()?;
    let file = layout::root().join(layout::INSTRUCTIONS);
    let text = if arguments.write {
        String::new()
    } else {
        fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", layout::INSTRUCTIONS))?
    };
    let mut written = parse_counts(&text)?;
    let mut new = String::new();
    let mut is_worse = false;
    for case in parse_cases(&output_of(&mut Command::new(&program))?)? {
        let per_unit = count(&program, &case)?;
        if arguments.write {
            let line = format!("{}\t{per_unit:.1}\n", case.name);
            print!("{line}");
            new.push_str(&line);
            continue;
        }
        let comparison = compare(&case.name, per_unit, written.remove(&case.name));
        print_line(format_args!("{}", comparison.line))?;
        is_worse |= comparison.is_fault;
    }
    if arguments.write {
        return fs::write(&file, new)
            .with_context(|| format!("cannot write {}", layout::INSTRUCTIONS));
    }
    for name in written.keys() {
        print_line(format_args!("{name}: in the file, but not a case"))?;
    }
    if is_worse || !written.is_empty() {
        bail!("{} does not hold what the cases cost", layout::INSTRUCTIONS);
    }
    Ok(())
}

/// Builds the program, without the other benchmarks and what they need.
fn build() -> Result<PathBuf> {
    let build = crate::process::Build {
        directory: layout::root(),
        subcommand: "bench",
        arguments: &[
            "--package=eventry",
            "--no-default-features",
            "--bench=instructions",
        ],
        environment: &[],
        target: layout::target(),
    };
    let log = layout::output("count-instructions").join("build.log");
    let programs = match build.run(&log)? {
        Ok(programs) => programs,
        Err(said) => bail!("the benchmark does not compile:\n{said}"),
    };
    let program = programs
        .into_iter()
        .find(|program| program.name == "instructions");
    Ok(program.context("cargo built no program instructions")?.path)
}

/// Instructions of one operation. Those of the set-up are counted alone and taken off.
fn count(program: &Path, case: &Case) -> Result<f64> {
    let run = |times: u64| -> Result<u64> {
        let output = Command::new("valgrind")
            .args([
                "--tool=cachegrind",
                "--cache-sim=no",
                "--cachegrind-out-file=/dev/null",
            ])
            .arg(program)
            .args([&case.name, &times.to_string()])
            .output()
            .context("cannot run valgrind")?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!(
                "{} under valgrind ended with {}:\n{said}",
                case.name,
                output.status
            );
        }
        parse_instructions(&said)
    };
    let without = run(0)?;
    let with = run(case.times)?;
    let total = with as f64 - without as f64;
    Ok(total / (case.times * case.units) as f64)
}

/// Cases in the output of the program: name, times and units with tabs in between.
fn parse_cases(text: &str) -> Result<Vec<Case>> {
    let parse = |line: &str| {
        let mut fields = line.split('\t');
        let case = Case {
            name: fields.next()?.to_owned(),
            times: fields.next()?.parse().ok()?,
            units: fields.next()?.parse().ok()?,
        };
        Some(case)
    };
    let cases = text
        .lines()
        .map(|line| parse(line).with_context(|| format!("{line:?} is not a case")));
    cases.collect()
}

/// Counts of `benches/instructions.tsv` by name.
fn parse_counts(text: &str) -> Result<BTreeMap<String, f64>> {
    let parse = |line: &str| {
        let (name, count) = line.split_once('\t')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    let counts = text
        .lines()
        .map(|line| parse(line).with_context(|| format!("{line:?} is not a count")));
    counts.collect()
}

/// Instructions in the output of valgrind.
fn parse_instructions(said: &str) -> Result<u64> {
    let pattern = Regex::new(r"I\s+refs:\s+([0-9,]+)")?;
    let found = pattern.captures(said);
    let found = found.with_context(|| format!("valgrind does not count instructions:\n{said}"))?;
    Ok(found[1].replace(',', "").parse()?)
}

/// Line about a case.
#[derive(Debug, PartialEq)]
struct Comparison {
    line: String,
    is_fault: bool,
}

fn compare(name: &str, counted: f64, written: Option<f64>) -> Comparison {
    let mut line = format!("{name:<32} {counted:10.1}  ");
    let Some(written) = written else {
        line.push_str("not in the file");
        return Comparison {
            line,
            is_fault: true,
        };
    };
    let change = 100.0 * (counted / written - 1.0);
    let is_fault = change > TOLERANCE;
    let judgement = if is_fault {
        "TOO MANY"
    } else if change < -TOLERANCE {
        "fewer: update the file"
    } else {
        "unchanged"
    };
    // Writing to a string does not fail.
    let _ = write!(line, "was {written:10.1}  {change:+6.1} %  {judgement}");
    Comparison { line, is_fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_instructions_reads_cachegrind() {
        let said = "==7== Cachegrind\n==7== I   refs:      1,234,567\n";
        assert_eq!(parse_instructions(said).unwrap(), 1_234_567);
        assert!(parse_instructions("==7== Cachegrind\n").is_err());
    }

    #[test]
    fn parse_cases_and_counts_reject_other_lines() {
        let case = Case {
            name: "add/1 of 2".to_owned(),
            times: 10,
            units: 100,
        };
        assert_eq!(parse_cases("add/1 of 2\t10\t100\n").unwrap(), [case]);
        assert!(parse_cases("add\t10\n").is_err());
        assert_eq!(parse_counts("add\t1.5\n").unwrap()["add"], 1.5);
        assert!(parse_counts("add 1.5\n").is_err());
    }

    #[test]
    fn compare_fails_over_two_percent_more() {
        let compared = |counted| compare("add", counted, Some(100.0));
        assert!(!compared(101.9).is_fault);
        assert!(compared(101.9).line.ends_with("+1.9 %  unchanged"));
        assert!(compared(102.1).is_fault);
        assert!(compared(102.1).line.ends_with("TOO MANY"));
        assert!(!compared(97.0).is_fault);
        assert!(compared(97.0).line.ends_with("fewer: update the file"));
        assert!(compare("add", 1.0, None).is_fault);
    }
}
