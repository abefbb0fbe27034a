//! Runs the models, each in its own process, and the planted defects that they must notice.

use crate::models::{MODELS, Model};
use eventry::planted::{Defect, plant};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Which model notices which defect, and what it says.
const NOTICED: [(Defect, &str, &str); 9] = [
    (Defect::NoWakeForNearerDeadline, "L3", "deadlock"),
    (Defect::NoWakeForNearerDeadline, "L3b", "deadlock"),
    (Defect::NoWakeForChange, "L3c", "deadlock"),
    (Defect::NoWakeForChange, "L3d", "deadlock"),
    (Defect::WakeBeforeSignal, "L6b", "deadlock"),
    (Defect::FreeWhileRunning, "L1", "I3"),
    (Defect::LostCancel, "L4", "I5"),
    (Defect::WaiterForgotten, "L9", "deadlock"),
    (Defect::FreeWhileRunning, "L9", "I3"),
];

pub(crate) fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    if let Some(name) = value("--model") {
        return explore(model(name), value("--plant").map(defect));
    }
    let unsound = MODELS.iter().filter(|model| !passes(model)).count();
    let missed = NOTICED
        .iter()
        .filter(|planted| !is_noticed(planted))
        .count();
    if unsound + missed == 0 {
        return ExitCode::SUCCESS;
    }
    eprintln!("FAILED: {unsound} models fail, {missed} planted defects are not noticed");
    ExitCode::FAILURE
}

/// This binary, about to explore one model in a process of its own.
fn process(name: &str) -> Command {
    let this = std::env::current_exe().expect("a process knows its executable");
    let mut process = Command::new(this);
    process.args(["--model", name]);
    process
}

fn passes(model: &Model) -> bool {
    let status = process(model.name).status();
    status.expect("this executable can be run").success()
}

/// Whether the model fails with the defect planted, and for the right reason.
fn is_noticed((defect, name, reason): &(Defect, &str, &str)) -> bool {
    let ended = process(name)
        .args(["--plant", &format!("{defect:?}")])
        .output();
    let ended = ended.expect("this executable can be run");
    let said = String::from_utf8_lossy(&ended.stderr);
    let noticed = !ended.status.success() && said.contains(reason);
    let verdict = if noticed { "noticed" } else { "NOT NOTICED" };
    println!("{name} with {defect:?} planted: {verdict} ({reason})");
    noticed
}

/// Explores every execution of one model in this process.
fn explore(model: &'static Model, planted: Option<Defect>) -> ExitCode {
    // Not one of loom's: it counts executions, it is not part of them.
    static EXECUTIONS: AtomicUsize = AtomicUsize::new(0);
    let begun = Instant::now();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = model.preemptions;
    builder.check(move || {
        EXECUTIONS.fetch_add(1, Ordering::Relaxed);
        // Every loom thread of a model runs on this one, so it is planted for all of them.
        plant(planted);
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
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn model(name: &str) -> &'static Model {
    let found = MODELS.iter().find(|model| model.name == name);
    found.unwrap_or_else(|| panic!("there is no model {name:?}"))
}

fn defect(name: &str) -> Defect {
    let mut defects = NOTICED.iter().map(|(defect, ..)| *defect);
    let found = defects.find(|defect| format!("{defect:?}") == name);
    found.unwrap_or_else(|| panic!("no model notices {name:?}"))
}
