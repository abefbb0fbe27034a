//! Tasks of this repository that need more than one cargo command.

mod defects;
mod layout;
mod process;
mod tree;

use clap::{Parser, Subcommand};
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
    Defects(defects::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Defects(arguments) => defects::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
