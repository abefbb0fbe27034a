//! The table of what each engine finds with each defect.

use super::list::Defect;
use std::collections::BTreeMap;
use std::fmt::Write;

/// An engine, in the order of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Engine {
    Search,
    Sequences,
    Bytes,
    Loom,
    Sleep,
    EventLoop,
    Daemon,
}

const ENGINES: [Engine; 7] = [
    Engine::Search,
    Engine::Sequences,
    Engine::Bytes,
    Engine::Loom,
    Engine::Sleep,
    Engine::EventLoop,
    Engine::Daemon,
];

/// Engines that must find a defect of the table, at least two of them.
const OF_THE_TABLE: [Engine; 3] = [Engine::Search, Engine::Sequences, Engine::Bytes];

/// One entry of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// A broken rule or a failing model.
    Found(String),
    /// A test failed or hung.
    Noticed,
    /// The tests were not run: the scheduler decides.
    ByChance,
}

/// Result of all engines for one defect.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Entries of each cell, and whether a named check is among them.
    cells: BTreeMap<Engine, Vec<(Cell, bool)>>,
    faults: Vec<String>,
}

impl Engine {
    pub(super) fn title(self) -> &'static str {
        match self {
            Engine::Search => "search",
            Engine::Sequences => "sequences",
            Engine::Bytes => "bytes",
            Engine::Loom => "loom",
            Engine::Sleep => "sleep",
            Engine::EventLoop => "tests of the loop",
            Engine::Daemon => "tests of the daemon",
        }
    }
}

impl Cell {
    fn text(&self) -> &str {
        match self {
            Cell::Found(text) => text,
            Cell::Noticed => "noticed",
            Cell::ByChance => "by chance",
        }
    }
}

impl Findings {
    pub(super) fn add(&mut self, engine: Engine, cell: Cell) {
        self.cells.entry(engine).or_default().push((cell, false));
    }

    /// Marks an entry as a named check; returns whether there is such an entry.
    pub(super) fn name(&mut self, engine: Engine, text: &str) -> bool {
        let mut entries = self.cells.entry(engine).or_default().iter_mut();
        let entry = entries.find(|(cell, _)| cell.text() == text);
        entry.map(|(_, named)| *named = true).is_some()
    }

    pub(super) fn fault(&mut self, defect: &Defect, fault: &str) {
        self.faults.push(format!("{}: {fault}", defect.name));
    }

    /// Everything that must be so and is not.
    pub(super) fn faults(&self, defect: &Defect) -> Vec<String> {
        let mut faults = self.faults.clone();
        let engines = OF_THE_TABLE.iter();
        let engines = engines.filter(|engine| self.catches(**engine)).count();
        if defect.is_of_the_table() && engines < 2 {
            let name = &defect.name;
            faults.push(format!(
                "{name}: caught by {engines} engines of the table, not two"
            ));
        }
        faults
    }

    fn catches(&self, engine: Engine) -> bool {
        let entries = self.cells.get(&engine);
        entries.is_some_and(|entries| entries.iter().any(|(cell, _)| *cell != Cell::ByChance))
    }

    /// Number of rules, models and test programs that noticed.
    pub(super) fn count(&self) -> usize {
        let entries = self.cells.values().flatten();
        entries.filter(|(cell, _)| *cell != Cell::ByChance).count()
    }

    /// One line about the defect.
    pub(super) fn summary(&self, defect: &Defect) -> String {
        let faults = self.faults(defect);
        let result = if faults.is_empty() {
            "caught".to_owned()
        } else {
            format!("NOT CAUGHT: {}", faults.join("; "))
        };
        let mut line = format!("{:<24} {result}", defect.name);
        for engine in ENGINES.into_iter().filter(|engine| self.catches(*engine)) {
            let _ = write!(line, "; {} {}", engine.title(), self.cell(engine));
        }
        line
    }

    fn cell(&self, engine: Engine) -> String {
        let entries = self.cells.get(&engine).into_iter().flatten();
        let texts: Vec<String> = entries
            .map(|(cell, named)| {
                let text = cell.text();
                if *named {
                    format!("**{text}**")
                } else {
                    text.to_owned()
                }
            })
            .collect();
        if texts.is_empty() {
            "–".to_owned()
        } else {
            texts.join(" ")
        }
    }
}

/// The matrix in Markdown. Named checks are bold.
pub(super) fn table(found: &[(&Defect, &Findings)]) -> String {
    let mut table = "| defect | description |".to_owned();
    for engine in ENGINES {
        let _ = write!(table, " {} |", engine.title());
    }
    table.push_str("\n|---|---|---|---|---|---|---|---|---|\n");
    for (defect, findings) in found {
        let _ = write!(table, "| `{}` | {} |", defect.name, defect.description);
        for engine in ENGINES {
            let _ = write!(table, " {} |", findings.cell(engine));
        }
        table.push('\n');
    }
    let _ = write!(table, "| **{} defects** | caught by |", found.len());
    for engine in ENGINES {
        let caught = found
            .iter()
            .filter(|(_, findings)| findings.catches(engine));
        let _ = write!(table, " {} |", caught.count());
    }
    table.push('\n');
    table
}
