//! Tasks of this repository that need more than one cargo command.

mod check;
mod claims;
mod defects;
mod fuzz;
mod instructions;
mod layout;
mod loom;
mod mutants;
mod output;
mod process;
mod tree;

use clap::{Parser, Subcommand};
use std::io::{self, Write};
use std::process::ExitCode;

/// Tasks of this repository that need more than one cargo command.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Check(check::Arguments),
    Claims(claims::Arguments),
    Defects(defects::Arguments),
    Mutants(mutants::Arguments),
    Fuzz(fuzz::Arguments),
    /// Runs the loom models of both packages; builds in target/loom
    Loom,
    CountInstructions(instructions::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Check(arguments) => return exit_code(check::run_task(&arguments)),
        Task::Claims(arguments) => claims::run_task(&arguments),
        Task::Defects(arguments) => defects::run_task(&arguments),
        Task::Mutants(arguments) => mutants::run_task(&arguments),
        Task::Fuzz(arguments) => fuzz::run_task(&arguments),
        Task::Loom => loom::run_task(),
        Task::CountInstructions(arguments) => instructions::run_task(&arguments),
    };
    exit_code(result.map(|()| ExitCode::SUCCESS))
}

/// Prints an error and returns the status of the program.
fn exit_code(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        // Where this fails, the status has to do.
        let _ = writeln!(io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}
