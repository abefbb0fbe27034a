//! Runs the models, each in its own process, and the planted defects that they must notice.

use crate::models::{self, Model};
use crate::workers;
use eventry::planted::{Defect, plant};
use eventry_verification::defects::{Check, named_checks};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// What a model says that has fewer executions than it should.
const VACUOUS: &str = "is vacuous";
/// A model with a floor of so many executions takes too long to be run with every defect.
const MANY: usize = 10_000;

fn models() -> impl Iterator<Item = &'static Model> + Clone {
    models::MODELS.iter().chain(workers::MODELS)
}

pub(crate) fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    if let Some(name) = value("--model") {
        return explore(model(name), value("--plant").map(defect));
    }
    if arguments.iter().any(|argument| argument == "--matrix") {
        print_matrix();
        return ExitCode::SUCCESS;
    }
    let unsound = models().filter(|model| !passes(model)).count();
    let missed = named()
        .filter(|(defect, model, says)| !is_noticed(*defect, model, says))
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

/// Which model must notice which defect, and what it says.
fn named() -> impl Iterator<Item = (Defect, &'static str, &'static str)> {
    Defect::ALL.iter().flat_map(|&defect| {
        let checks = named_checks(defect).iter();
        checks.filter_map(move |check| match *check {
            Check::Model(model, says) => Some((defect, model, says)),
            Check::Search(_) | Check::Properties(_) | Check::Test(_) => None,
        })
    })
}

/// What the model says when it fails with the defect planted.
fn fails(defect: Defect, name: &str) -> Option<String> {
    let ended = process(name)
        .args(["--plant", &format!("{defect:?}")])
        .output();
    let ended = ended.expect("this executable can be run");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    (!ended.status.success() && !said.contains(VACUOUS)).then_some(said)
}

/// Whether the model fails with the defect planted, and for the right reason.
fn is_noticed(defect: Defect, name: &str, says: &str) -> bool {
    let noticed = fails(defect, name).is_some_and(|said| said.contains(says));
    let verdict = if noticed { "noticed" } else { "NOT NOTICED" };
    println!("{name} with {defect:?} planted: {verdict} ({says})");
    noticed
}

/// Prints which models notice which defects, whether they are named for it or not, for `tools/proof-matrix`.
/// Those with very many executions are left out.
fn print_matrix() {
    let small = models().filter(|model| model.floor < MANY);
    for &defect in Defect::ALL {
        for model in small
            .clone()
            .filter(|model| fails(defect, model.name).is_some())
        {
            println!("matrix {defect:?} loom {}", model.name);
        }
    }
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
        eprintln!("{name} {VACUOUS}: fewer than {} executions", model.floor);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn model(name: &str) -> &'static Model {
    let found = models().find(|model| model.name == name);
    found.unwrap_or_else(|| panic!("there is no model {name:?}"))
}

fn defect(name: &str) -> Defect {
    let mut defects = Defect::ALL.iter().copied();
    let found = defects.find(|defect| format!("{defect:?}") == name);
    found.unwrap_or_else(|| panic!("there is no defect {name:?}"))
}
