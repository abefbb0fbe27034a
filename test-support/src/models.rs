//! Loom models, each explored in a process of its own: a deadlock that loom finds ends the process.
//!
//! The program explores all models, with `--model NAME` one of them in its own process. With `--list` it prints the
//! models and their floors.

use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Exit status of a model that has fewer executions than its floor.
const VACUOUS: u8 = 3;

/// A small program whose executions are all explored.
pub struct Model {
    /// The name in the lists of defects and claims.
    pub name: &'static str,
    /// The operations that run at the same time.
    pub what: &'static str,
    /// The program.
    pub run: fn(),
    /// The largest number of preemptions of an execution, or `None` for no limit.
    pub preemptions: Option<usize>,
    /// The smallest number of executions. Fewer mean that the model has become vacuous.
    pub floor: usize,
}

/// Explores `models` as the arguments of the process say.
#[must_use]
pub fn main(models: &'static [Model]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    if let Some(name) = value("--model") {
        let model = models.iter().find(|model| model.name == name);
        return explore(model.unwrap_or_else(|| panic!("there is no model {name:?}")));
    }
    if arguments.iter().any(|argument| argument == "--list") {
        for model in models {
            println!("{} {}", model.name, model.floor);
        }
        return ExitCode::SUCCESS;
    }
    let unsound = models.iter().filter(|model| !passes(model)).count();
    if unsound == 0 {
        // The line of the test harness, because tools parse it.
        println!("test result: ok. {} passed; 0 failed", models.len());
        return ExitCode::SUCCESS;
    }
    eprintln!("FAILED: {unsound} models fail");
    ExitCode::FAILURE
}

/// Explores the model in a process of its own; returns `true` if it passes.
fn passes(model: &Model) -> bool {
    let this = std::env::current_exe().expect("the path of this executable");
    let status = Command::new(this).args(["--model", model.name]).status();
    status.expect("this executable runs").success()
}

/// Explores every execution of one model in this process.
fn explore(model: &'static Model) -> ExitCode {
    // An atomic of `std`, because the counter is not part of the model.
    static EXECUTIONS: AtomicUsize = AtomicUsize::new(0);
    let begun = Instant::now();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = model.preemptions;
    builder.check(move || {
        EXECUTIONS.fetch_add(1, Ordering::Relaxed);
        (model.run)();
    });
    let executions = EXECUTIONS.load(Ordering::Relaxed);
    let bound = model
        .preemptions
        .map_or("none".to_owned(), |bound| bound.to_string());
    let (name, what, took) = (model.name, model.what, begun.elapsed());
    println!("{name} {what}: {executions} executions, preemption bound {bound}, {took:.1?}");
    if executions < model.floor {
        eprintln!("{name} is vacuous: fewer than {} executions", model.floor);
        return ExitCode::from(VACUOUS);
    }
    ExitCode::SUCCESS
}
