//! Deliberate defects, and the checks that must catch each.
//!
//! The list is `verification/defects.toml`. The defects are not in the source: they are applied to a copy of the
//! tree, each behind a switch, so that one build per engine serves for all of them.

mod check;
mod daemon;
mod engines;
mod list;
mod matrix;
mod plant;

pub(crate) use list::{Check, Defects};
pub(crate) use plant::{PlantedBuild, PlantedTree, SWITCH};

use crate::output::print_line;
use crate::{layout, tree};
use anyhow::{Context, Result, bail};
use engines::Engines;
use list::Defect;
use matrix::Findings;
use std::fs;
use std::sync::Mutex;
use std::thread;

/// Tests that the checks detect each deliberate defect of verification/defects.toml
///
/// The defects are applied to a copy of the tree, target/defects/tree, and enabled one at a time. The command fails if the
/// check of a defect does not detect it. The table of the results is target/defects/matrix.md; the output of
/// each program is in target/defects/logs.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run no check; only verify that the changes still apply, and that the named checks exist
    #[arg(long)]
    check: bool,
    /// Names of defects [default: all]
    #[arg(conflicts_with = "check", value_name = "DEFECT")]
    defects: Vec<String>,
}

pub(crate) fn run_task(arguments: &Arguments) -> Result<()> {
    let files = tree::read(&layout::root())?;
    let defects = Defects::parse(tree::text(&files, layout::DEFECTS)?)?;
    let faults = check::faults(&defects, &files)?;
    if !faults.is_empty() {
        bail!("{}:\n    {}", layout::DEFECTS, faults.join("\n    "));
    }
    if arguments.check {
        print_line(format_args!("defects: {} apply", defects.all.len()))?;
        return Ok(());
    }
    let wanted = defects.select(&arguments.defects)?;
    let planted = PlantedTree::make(&defects, files)?;
    print_line(format_args!(
        "building the engines with the defects in target/defects/tree"
    ))?;
    let engines = Engines::build(planted, &defects)?;
    engines.run_without_defect()?;
    print_line(format_args!("engines: silent without a defect"))?;

    let next = Mutex::new(wanted.iter());
    let found = Mutex::new(Vec::new());
    // Many defects make a program wait for its limit, without using a processor.
    let workers = 2 * thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| -> Result<()> {
        let work = || -> Result<()> {
            loop {
                let defect = next.lock().expect("no thread panics").next();
                let Some(&(place, defect)) = defect else {
                    return Ok(());
                };
                let findings = engines.try_defect(defect)?;
                print_line(format_args!("{}", findings.summary(defect)))?;
                let mut found = found.lock().expect("no thread panics");
                found.push((place, defect, findings));
            }
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let mut results = workers.into_iter().map(|worker| worker.join());
        results.try_for_each(|result| result.expect("no thread panics"))
    })?;
    let mut found = found.into_inner().expect("no thread panics");
    found.sort_by_key(|(place, ..)| *place);
    let found: Vec<_> = found
        .iter()
        .map(|(_, defect, findings)| (*defect, findings))
        .collect();
    report(&found)
}

/// Prints the matrix and fails if a defect was not caught as it must be.
fn report(found: &[(&Defect, &Findings)]) -> Result<()> {
    let matrix = matrix::table(found);
    let path = layout::output("defects").join("matrix.md");
    fs::write(&path, &matrix).with_context(|| format!("cannot write {}", path.display()))?;
    print_line(format_args!("\n{matrix}"))?;
    let faults: Vec<String> = found
        .iter()
        .flat_map(|(defect, findings)| findings.faults(defect))
        .collect();
    if !faults.is_empty() {
        bail!("not caught as they must be:\n    {}", faults.join("\n    "));
    }
    let findings: usize = found.iter().map(|(_, findings)| findings.count()).sum();
    print_line(format_args!(
        "matrix: {} defects, {findings} findings",
        found.len()
    ))?;
    Ok(())
}
