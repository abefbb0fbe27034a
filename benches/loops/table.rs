//! The table of the results, in Markdown.

use crate::peers::Peer;
use crate::process::Figures;
use crate::rounds::CaseResults;
use crate::rows::{Case, Row, Target, Unit, grouped};

/// The peers that have targets, in the order of their figures.
const SUBJECTS: [&str; 2] = ["eventry", "eventry-c"];

/// Results of one row for one peer.
struct Cell {
    /// Ratios to the floor, by round, in ascending order.
    ratios: Vec<f64>,
    /// Values, by round, in ascending order.
    values: Vec<f64>,
}

pub(crate) fn print(cases: &[Case], results: &[CaseResults], peers: &[Peer]) -> String {
    let mut text = String::from("| row | must reach (Rust / C) | floor |");
    for peer in peers {
        text.push_str(&format!(" {} |", peer.name));
    }
    text.push_str("\n|---|---|---|");
    text.push_str(&"---|".repeat(peers.len()));
    text.push('\n');
    for (case, results) in cases.iter().zip(results) {
        for row in &case.rows {
            text.push_str(&line(row, results, peers));
            text.push('\n');
        }
    }
    text
}

fn line(row: &Row, results: &CaseResults, peers: &[Peer]) -> String {
    let floors = figures(&results.floor, row);
    let mut known: Vec<f64> = floors.iter().copied().flatten().collect();
    known.sort_by(f64::total_cmp);
    let floor = median(&known).map_or_else(|| "failed".to_owned(), |floor| value(row.unit, floor));
    let mut text = format!("| {} | {} | {floor} |", row.name, target(row.target));
    for (peer, results) in peers.iter().zip(&results.peers) {
        let cell = match &peer.program {
            Err(reason) => reason.split(':').next().unwrap_or("").to_owned(),
            Ok(_) if results.iter().all(Option::is_none) => "failed".to_owned(),
            // Empty for a workload that the peer does not have.
            Ok(_) => cell(&figures(results, row), &floors)
                .map_or_else(String::new, |cell| cell.text(row, peer.name)),
        };
        text.push_str(&format!(" {cell} |"));
    }
    text
}

/// Returns the figures of a row by round.
fn figures(rounds: &[Option<Figures>], row: &Row) -> Vec<Option<f64>> {
    let figure = |figures: &Option<Figures>| figures.as_ref()?.get(row.figure).copied();
    rounds.iter().map(figure).collect()
}

fn cell(peer: &[Option<f64>], floors: &[Option<f64>]) -> Option<Cell> {
    let both = peer.iter().zip(floors);
    let mut ratios: Vec<f64> = both
        .filter_map(|(peer, floor)| Some((*peer)? / (*floor)?))
        .collect();
    let mut values: Vec<f64> = peer.iter().copied().flatten().collect();
    ratios.sort_by(f64::total_cmp);
    values.sort_by(f64::total_cmp);
    (!ratios.is_empty()).then_some(Cell { ratios, values })
}

impl Cell {
    /// Returns the median value, the median ratio and its range; for eventry also if the target is missed, which is so
    /// if no round reaches it.
    fn text(&self, row: &Row, peer: &str) -> String {
        let (Some(&least), Some(&most)) = (self.ratios.first(), self.ratios.last()) else {
            return String::new();
        };
        let (Some(middle), Some(ratio)) = (median(&self.values), median(&self.ratios)) else {
            return String::new();
        };
        let interface = SUBJECTS.iter().position(|subject| *subject == peer);
        let is_missed = interface.is_some_and(|interface| match row.target {
            Target::AtMost(limits) => least > limits[interface],
            Target::AtLeast(limits) => most < limits[interface],
            Target::Bytes(limits) => middle > limits[interface],
            Target::None => false,
        });
        let missed = if is_missed { ", missed" } else { "" };
        let middle = value(row.unit, middle);
        format!("{middle}: **{ratio:.2}** ({least:.2}–{most:.2}){missed}")
    }
}

/// Returns the median of sorted numbers.
fn median(sorted: &[f64]) -> Option<f64> {
    let (low, high) = (sorted.len().checked_sub(1)? / 2, sorted.len() / 2);
    Some((sorted[low] + sorted[high]) / 2.0)
}

fn value(unit: Unit, number: f64) -> String {
    let digits = if number < 100.0 {
        format!("{number:.1}")
    } else {
        grouped(number.round() as u64)
    };
    match unit {
        Unit::Nanoseconds => format!("{digits} ns"),
        Unit::PerSecond => format!("{digits}/s"),
        Unit::Bytes => format!("{digits} bytes"),
    }
}

fn target(target: Target) -> String {
    match target {
        Target::AtMost([rust, c]) => format!("≤ {rust} / {c}"),
        Target::AtLeast([rust, c]) => format!("≥ {rust} / {c}"),
        Target::Bytes([rust, c]) => format!("{rust} / {c} bytes"),
        Target::None => "–".to_owned(),
    }
}
