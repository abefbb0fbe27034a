//! One action with the state before it and the state after it, written for a second checker.

use super::relation::{Action, Refusal};
use super::state::{Lock, Payload, Removed, Slot, State, Step};
use std::fmt::{Display, Write};

/// A transition of the relation, or an action that it does not allow in a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    before: State,
    action: Action,
    /// The same state if the action is refused.
    after: State,
    refusal: Option<Refusal>,
}

impl Transition {
    pub(super) fn new(before: State, action: Action, after: State) -> Transition {
        Transition {
            before,
            action,
            after,
            refusal: None,
        }
    }

    /// Tries every action in the state before, with the entry in one of the slots.
    pub fn attempts(&self, slot: usize) -> impl Iterator<Item = Transition> {
        let entry = slot % self.slots().max(1);
        let own = self.before.slot(entry).serial;
        let is_live = |serial: &u64| self.before.slots.iter().any(|slot| slot.serial == *serial);
        // The id of the entry, or else of one that was in the slot before.
        let freed = (1..=self.before.issued).find(|serial| !is_live(serial));
        let serial = if own > 0 { own } else { freed.unwrap_or(0) };
        let actions = Action::all(entry, serial, slot & 1 == 0);
        actions.into_iter().map(|action| {
            let mut after = self.before.clone();
            let refusal = after.apply(action).err();
            Transition {
                before: self.before.clone(),
                action,
                after,
                refusal,
            }
        })
    }

    /// Returns the part of the guard that does not hold, if the action is not allowed.
    #[must_use]
    pub fn refusal(&self) -> Option<&'static str> {
        self.refusal
    }

    /// Returns the name of the action.
    #[must_use]
    pub fn action(&self) -> &'static str {
        self.action.name()
    }

    /// Returns the number of slots of the larger state.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.before.slots.len().max(self.after.slots.len())
    }

    /// Returns the same transition without differences that do not matter to the relation, so that equal ones are
    /// found: slots without an entry are left out, serials are replaced by their ranks, counters begin at zero, and
    /// stale values of both states are zero.
    #[must_use]
    pub fn canonical(mut self) -> Transition {
        self.leave_slots_out();
        self.clear_stale_values();
        self.begin_counters_at_zero();
        self.rank_serials();
        self
    }

    /// Leaves out the slots that have no entry in both states, and numbers the others.
    fn leave_slots_out(&mut self) {
        let count = self.slots();
        self.before.slots.resize(count, Slot::VACANT);
        self.after.slots.resize(count, Slot::VACANT);
        let entry = self.action.parameters().0;
        let is_used = |slot: &usize| {
            let serials = self.before.slot(*slot).serial + self.after.slot(*slot).serial;
            serials > 0 || entry == Some(*slot)
        };
        let used: Vec<usize> = (0..count.max(entry.map_or(0, |entry| entry + 1)))
            .filter(is_used)
            .collect();
        let number = |slot: usize| used.iter().position(|used| *used == slot).unwrap_or(0);
        for state in [&mut self.before, &mut self.after] {
            state.slots = used.iter().map(|slot| state.slot(*slot)).collect();
            // The relation is about at least one slot.
            state.slots.resize(used.len().max(1), Slot::VACANT);
            state.current = number(state.current);
            state.holder = number(state.holder);
        }
        if let Some(entry) = self.action.entry_mut() {
            *entry = number(*entry);
        }
    }

    /// Clears the values that mean nothing in the state before, and nothing in the state after.
    fn clear_stale_values(&mut self) {
        let (before, after) = (&mut self.before, &mut self.after);
        for (before, after) in before.slots.iter_mut().zip(&mut after.slots) {
            if before.serial == 0 {
                let records = Slot::VACANT;
                *before = Slot {
                    queue: before.queue,
                    place: before.place,
                    due: before.due,
                    changed: before.changed,
                    begun: before.begun,
                    ..records
                };
                if after.serial == 0 {
                    *after = *before;
                }
            }
            let (removed, out) = ((before.removed, after.removed), (before.out, after.out));
            clear(removed, &mut before.queue, &mut after.queue);
            clear(out, &mut before.place, &mut after.place);
            clear(out, &mut before.due, &mut after.due);
            clear(out, &mut before.changed, &mut after.changed);
            clear(out, &mut before.begun, &mut after.begun);
        }
        let batch = (before.is_in_batch(), after.is_in_batch());
        let taking = |state: &State, batch| batch || state.step == Step::Taking;
        let length = (taking(before, batch.0), taking(after, batch.1));
        let holds = |state: &State| matches!(state.lock, Lock::Removing | Lock::Updating);
        let held = (holds(before), holds(after));
        clear(length, &mut before.length, &mut after.length);
        clear(batch, &mut before.at, &mut after.at);
        clear(batch, &mut before.current, &mut after.current);
        clear(batch, &mut before.latest, &mut after.latest);
        clear(held, &mut before.holder, &mut after.holder);
        // A counter, which does not begin at zero here.
        if !batch.0 {
            before.seen = before.changes;
            if !batch.1 {
                after.seen = before.changes;
            }
        }
    }

    fn begin_counters_at_zero(&mut self) {
        let (head, seen) = (self.before.head, self.before.seen);
        for state in [&mut self.before, &mut self.after] {
            state.head -= head;
            state.tail -= head;
            state.changes -= seen;
            state.seen -= seen;
            for slot in state.slots.iter_mut().filter(|slot| slot.removed) {
                slot.queue -= head;
            }
        }
        // A freed entry keeps its position.
        for (before, after) in self.before.slots.iter().zip(&mut self.after.slots) {
            if before.removed {
                after.queue = before.queue;
            }
        }
    }

    fn rank_serials(&mut self) {
        let mut serials = vec![0];
        for state in [&mut self.before, &mut self.after] {
            state.each_serial(|serial| serials.push(*serial));
        }
        serials.extend(self.action.parameters().1);
        serials.sort_unstable();
        serials.dedup();
        let rank = |serial: &mut u64| {
            *serial = serials.partition_point(|other| other < serial) as u64;
        };
        for state in [&mut self.before, &mut self.after] {
            state.each_serial(rank);
        }
        if let Some(serial) = self.action.serial_mut() {
            rank(serial);
        }
    }

    /// Returns the transition in JSON, on one line. Fields of a slot are lists over the slots, and fields of a serial
    /// are lists over the serials from zero to the latest one. The records of a serial that is in no slot are those of
    /// a freed entry.
    #[must_use]
    pub fn json(&self) -> String {
        let (entry, serial, choice) = self.action.parameters();
        let mut line = format!("{{\"action\": \"{}\"", self.action());
        for (name, value) in [
            ("entry", entry.map(|entry| entry as u64)),
            ("serial", serial),
            ("choice", choice.map(u64::from)),
        ] {
            if let Some(value) = value {
                write(&mut line, format_args!(", \"{name}\": {value}"));
            }
        }
        if let Some(part) = self.refusal {
            write(&mut line, format_args!(", \"refused\": \"{part}\""));
        }
        for (name, state) in [("before", &self.before), ("after", &self.after)] {
            write(&mut line, format_args!(", \"{name}\": {{"));
            state.write_scalars(&mut line);
            state.write_slots(&mut line);
            self.write_records(&mut line, state);
            line.push('}');
        }
        line.push('}');
        line
    }

    /// Writes the fields of each serial.
    fn write_records(&self, line: &mut String, state: &State) {
        let issued = self.after.issued;
        // The id that the action names may be that of a freed entry.
        let named = match self.action.parameters() {
            (Some(entry), Some(serial), _) => Some((entry, serial)),
            _ => None,
        };
        let record = |serial: u64| {
            let is_own = |slot: &Slot| slot.serial == serial;
            let before = self.before.slots.iter().position(is_own);
            // An entry that was freed is not in a slot any more.
            let home = before.or(state.slots.iter().position(is_own));
            let home = home.filter(|_| serial > 0);
            let slot = home.map(|home| state.slots[home]);
            let freed = if serial == 0 || serial > state.issued {
                Slot::VACANT
            } else {
                FREED
            };
            let is_named = named
                .filter(|(_, own)| *own == serial)
                .map(|(entry, _)| entry);
            (home.or(is_named).unwrap_or(0), slot.unwrap_or(freed))
        };
        let records = || (0..=issued).map(record);
        list(line, "home", records().map(|(home, _)| home));
        list(
            line,
            "registered",
            records().map(|(_, slot)| u8::from(slot.registered)),
        );
        list(
            line,
            "payload",
            records().map(|(_, slot)| slot.payload as u8),
        );
        list(line, "answer", records().map(|(_, slot)| slot.answer as u8));
        list(
            line,
            "young",
            records().map(|(_, slot)| u8::from(slot.young)),
        );
    }
}

/// The records of an entry that was freed.
const FREED: Slot = Slot {
    payload: Payload::Freed,
    answer: Removed::Idle,
    ..Slot::VACANT
};

/// Clears a value of both states if it means nothing in the state before. If it means something in the state after
/// only, the action has set it there.
fn clear<T: Default>(means: (bool, bool), before: &mut T, after: &mut T) {
    if !means.0 {
        *before = T::default();
        if !means.1 {
            *after = T::default();
        }
    }
}

impl Action {
    /// Returns the entry, the serial of the id, and the decision.
    fn parameters(mut self) -> (Option<usize>, Option<u64>, Option<bool>) {
        let choice = match self {
            Action::UpdateTaken { choice, .. } => Some(choice),
            _ => None,
        };
        let entry = self.entry_mut().copied();
        (entry, self.serial_mut().copied(), choice)
    }

    fn entry_mut(&mut self) -> Option<&mut usize> {
        match self {
            Action::Add { entry }
            | Action::UpdateIdle { entry, .. }
            | Action::RemoveIdle { entry, .. }
            | Action::Reject { entry, .. }
            | Action::BumpToRemove { entry, .. }
            | Action::BumpToUpdate { entry, .. }
            | Action::RemoveTaken { entry }
            | Action::UpdateTaken { entry, .. }
            | Action::Close { entry }
            | Action::Take { entry }
            | Action::UnlockBatch { entry }
            | Action::Free { entry }
            | Action::Publish { entry } => Some(entry),
            _ => None,
        }
    }

    fn serial_mut(&mut self) -> Option<&mut u64> {
        match self {
            Action::UpdateIdle { serial, .. }
            | Action::RemoveIdle { serial, .. }
            | Action::Reject { serial, .. }
            | Action::BumpToRemove { serial, .. }
            | Action::BumpToUpdate { serial, .. } => Some(serial),
            _ => None,
        }
    }
}

impl State {
    /// Calls `visit` with each field that is a serial.
    fn each_serial(&mut self, mut visit: impl FnMut(&mut u64)) {
        for slot in &mut self.slots {
            visit(&mut slot.serial);
        }
        visit(&mut self.issued);
        visit(&mut self.turn);
        visit(&mut self.running);
        visit(&mut self.in_flight);
        visit(&mut self.latest);
    }

    fn write_scalars(&self, line: &mut String) {
        let scalars = [
            ("issued", self.issued),
            ("head", self.head),
            ("tail", self.tail),
            ("turn", self.turn),
            ("left", self.left),
            ("length", self.length as u64),
            ("at", self.at as u64),
            ("current", self.current as u64),
            ("running", self.running),
            ("changes", self.changes),
            ("seen", self.seen),
            ("observed", u64::from(self.observed)),
            ("in_flight", self.in_flight),
            ("step", self.step as u64),
            ("lock", self.lock as u64),
            ("holder", self.holder as u64),
            ("latest", self.latest),
        ];
        for (name, value) in scalars {
            write(line, format_args!("\"{name}\": {value}, "));
        }
    }

    fn write_slots(&self, line: &mut String) {
        let slots = || self.slots.iter();
        let flags = |flag: fn(&Slot) -> bool| slots().map(move |slot| u8::from(flag(slot)));
        list(line, "serial", slots().map(|slot| slot.serial));
        list(line, "removed", flags(|slot| slot.removed));
        list(line, "out", flags(|slot| slot.out));
        list(line, "queue", slots().map(|slot| slot.queue));
        list(line, "place", slots().map(|slot| slot.place));
        list(line, "due", flags(|slot| slot.due));
        list(line, "changed", flags(|slot| slot.changed));
        list(line, "begun", flags(|slot| slot.begun));
    }
}

/// Appends a field that is a list, and a comma unless it is the last field.
fn list<T: Display>(line: &mut String, name: &str, values: impl Iterator<Item = T>) {
    let values: Vec<String> = values.map(|value| value.to_string()).collect();
    let comma = if name == "young" { "" } else { ", " };
    write(
        line,
        format_args!("\"{name}\": [{}]{comma}", values.join(", ")),
    );
}

fn write(line: &mut String, text: std::fmt::Arguments<'_>) {
    line.write_fmt(text)
        .expect("writing to a string does not fail");
}
