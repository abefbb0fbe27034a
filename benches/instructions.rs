//! Does one case a number of times and nothing else, for a tool that counts the instructions of a process:
//! `tools/count-instructions` runs it with and without, and takes the difference.

#![allow(clippy::print_stdout, reason = "the list of cases is printed")]

mod cases;

use cases::CASES;
use std::env;

/// How often a case that can be repeated is done.
const TIMES: u64 = 10;

fn main() {
    // Cargo adds one of its own when it runs all benchmarks.
    let mut arguments = env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(name) = arguments.next() else {
        for case in CASES {
            let times = if case.repeats { TIMES } else { 1 };
            println!("{}\t{times}\t{}", case.name, case.units);
        }
        return;
    };
    let case = CASES.iter().find(|case| case.name == name);
    let case = case.expect("a case of the list");
    let times: u64 = arguments.next().map_or(0, |times| times.parse().unwrap());
    let mut run = (case.set_up)();
    for _ in 0..times {
        run();
    }
    // Whether anything was run changes what it costs to drop it.
    std::mem::forget(run);
}
