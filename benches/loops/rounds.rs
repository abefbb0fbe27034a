//! The rounds of the comparison: each case with the floor, every peer, and the floor again.

use crate::options::Options;
use crate::peers::{Peer, command, floor_program};
use crate::process::{Figures, measure};
use crate::progress::Progress;
use crate::rows::Case;

/// Results of all rounds, by case.
pub(crate) type Results = Vec<CaseResults>;

/// Results of a case.
pub(crate) struct CaseResults {
    /// Figures of the floor by round: the means of its two measurements.
    pub(crate) floor: Vec<Option<Figures>>,
    /// Figures by peer and round.
    pub(crate) peers: Vec<Vec<Option<Figures>>>,
}

pub(crate) fn run(options: &Options, cases: &[Case], peers: &[Peer]) -> Results {
    let programs: Vec<&[String]> = peers
        .iter()
        .map(|peer| peer.program.as_deref().unwrap_or_default())
        .collect();
    let mut results: Results = cases
        .iter()
        .map(|_| CaseResults {
            floor: Vec::new(),
            peers: peers.iter().map(|_| Vec::new()).collect(),
        })
        .collect();
    let mut progress = Progress::new(options.rounds as usize * cases.len());
    for round in 0..options.rounds {
        for (case, results) in cases.iter().zip(&mut results) {
            progress.begin(&format!("round {}, {}", round + 1, case.rows[0].name));
            let measured = |name: &str, program: &[String]| {
                let mut command = command(program, case, options.duration());
                let figures = measure(&mut command);
                figures
                    .inspect_err(|error| {
                        progress.warn(&format!("{name}, {}: {error}", case.workload))
                    })
                    .ok()
            };
            let floor = floor_program(case.floor);
            let before = measured("floor", &floor);
            let mut of_peers: Vec<Option<Figures>> = peers.iter().map(|_| None).collect();
            // Another order in each round, because a measurement may affect the next one.
            for turn in 0..peers.len() {
                let index = (turn + round as usize) % peers.len();
                if !programs[index].is_empty() {
                    of_peers[index] = measured(peers[index].name, programs[index]);
                }
            }
            let after = measured("floor", &floor);
            results.floor.push(mean(before, after));
            for (all, figures) in results.peers.iter_mut().zip(of_peers) {
                all.push(figures);
            }
        }
    }
    progress.end();
    results
}

fn mean(before: Option<Figures>, after: Option<Figures>) -> Option<Figures> {
    let (before, mut mean) = (before?, after?);
    for (name, figure) in &mut mean {
        *figure = (*figure + before.get(name)?) / 2.0;
    }
    Some(mean)
}
