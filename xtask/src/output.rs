//! Standard output, which may be a pipe that is closed or a disk that is full.

use anyhow::{Context, Result};
use std::fmt::Display;
use std::io::{self, Write};

/// Prints a line. `println!` would panic where this fails.
pub(crate) fn print_line(line: impl Display) -> Result<()> {
    let mut output = io::stdout().lock();
    let printed = writeln!(output, "{line}").and_then(|()| output.flush());
    printed.context("cannot write to standard output")
}
