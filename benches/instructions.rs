//! Runs one case a given number of times, for a tool that counts the instructions of a process.
//! `cargo xtask count-instructions` runs it with and without repetitions and takes the difference.

#![allow(clippy::print_stdout, reason = "the list of cases is printed")]

mod cases;

use cases::CASES;
use std::env;

/// The number of runs of a case that can be repeated.
const TIMES: u64 = 10;

fn main() {
    // `cargo bench` adds `--bench`.
    let mut arguments = env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(name) = arguments.next() else {
        for case in CASES {
            let times = if case.repeats { TIMES } else { 1 };
            println!("{}\t{times}\t{}", case.name, case.units);
        }
        return;
    };
    let case = CASES.iter().find(|case| case.name == name);
    let case = case.expect("the name is in the list of cases");
    let times: u64 = arguments.next().map_or(0, |times| times.parse().unwrap());
    let mut run = (case.set_up)();
    for _ in 0..times {
        run();
    }
    // The cost of the drop depends on the number of runs.
    std::mem::forget(run);
}
