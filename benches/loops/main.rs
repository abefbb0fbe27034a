//! The cost of the loop beside other loops: `cargo bench -p eventry --bench loops -- --help`.
//!
//! Each measurement is a process of its own: this program for the floor and for eventry in Rust, a C program (`c/`) for
//! eventry through C and the C libraries, a program of its own package for tokio (`benches/tokio`). All have the same
//! workloads. A round measures each case with the floor, every peer in turn, and the floor again. A ratio is a peer's
//! figure divided by the mean of the floor's two figures of the same round. The table has the medians over the rounds.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock, as the loop does not"
)]
#![allow(clippy::print_stdout, reason = "the results are printed")]
#![allow(clippy::print_stderr, reason = "the progress is printed")]

mod options;
mod peers;
mod process;
mod progress;
mod rounds;
mod rows;
mod section;
mod subject;
mod table;
mod workloads;

use options::{HELP, Options, Request};
use peers::{MEASURE, NAMES, Peer};
use rows::{Case, cases};
use std::env;
use std::process::ExitCode;
use std::time::Duration;
use workloads::Measurement;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == MEASURE) {
        return measure(&arguments[1..]);
    }
    // `cargo bench` adds this argument. `cargo test --benches` does not, and measures nothing.
    let Some(at) = arguments.iter().position(|argument| argument == "--bench") else {
        return ExitCode::SUCCESS;
    };
    arguments.remove(at);
    match options::parse(arguments) {
        Ok(Request::Help) => print!("{HELP}"),
        Ok(Request::List) => list(),
        Ok(Request::Compare(options)) => return compare(&options),
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Measures one case in this process: PEER WORKLOAD MILLISECONDS NUMBER…
fn measure(arguments: &[String]) -> ExitCode {
    let [peer, workload, duration, numbers @ ..] = arguments else {
        return ExitCode::from(2);
    };
    let numbers: Result<Vec<u64>, _> = numbers.iter().map(|number| number.parse()).collect();
    let (Ok(duration), Ok(numbers)) = (duration.parse(), numbers) else {
        return ExitCode::from(2);
    };
    let measurement = Measurement {
        peer,
        workload,
        duration: Duration::from_millis(duration),
        numbers: &numbers,
    };
    for (name, figure) in measurement.run().unwrap_or_default() {
        println!("{name} {figure}");
    }
    ExitCode::SUCCESS
}

fn list() {
    println!("peers: {}", NAMES.join(", "));
    for row in cases().iter().flat_map(|case| &case.rows) {
        println!("{}", row.name);
    }
}

fn compare(options: &Options) -> ExitCode {
    let unknown = options
        .peers
        .iter()
        .find(|peer| !NAMES.contains(&peer.as_str()));
    if let Some(unknown) = unknown {
        eprintln!("unknown peer {unknown:?}: one of {}", NAMES.join(", "));
        return ExitCode::from(2);
    }
    let cases = wanted_cases(options);
    if cases.is_empty() {
        eprintln!(
            "no row matches --cases {}: see --list",
            options.cases.join(",")
        );
        return ExitCode::from(2);
    }
    let wanted = NAMES.into_iter().filter(|name| options.wants_peer(name));
    let peers: Vec<Peer> = wanted
        .map(|name| {
            eprintln!("preparing {name}");
            let peer = Peer::build(name);
            if let Err(reason) = &peer.program {
                eprintln!("{name}: {reason}");
            }
            peer
        })
        .collect();
    let results = rounds::run(options, &cases, &peers);
    println!(
        "Medians of {} rounds of {} ms of CPU time: value: **ratio to the floor** (lowest–highest ratio)\n",
        options.rounds,
        options.duration().as_millis()
    );
    print!("{}", table::print(&cases, &results, &peers));
    ExitCode::SUCCESS
}

/// Returns the cases with the wanted rows.
fn wanted_cases(options: &Options) -> Vec<Case> {
    let mut wanted = cases();
    for case in &mut wanted {
        case.rows.retain(|row| options.wants_row(&row.name));
    }
    wanted.retain(|case| !case.rows.is_empty());
    if options.is_quick {
        wanted.retain(|case| !case.is_long);
    }
    wanted.retain(|case| {
        let has_descriptors = case.has_descriptors();
        if !has_descriptors {
            let (name, needed) = (&case.rows[0].name, case.descriptors);
            eprintln!("{name}: left out, it needs {needed} descriptors: see ulimit -Hn");
        }
        has_descriptors
    });
    wanted
}
