//! The floor of the workloads with threads: the table of handles behind one lock, which is taken for each change and
//! each call, and released during the call.

#![allow(
    clippy::disallowed_types,
    reason = "the floor is no part of the library, whose locks loom replaces"
)]

use super::floor::{EVENTS, wait};
use super::{Remote, SharedSubject};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

pub(crate) struct LockedFloor {
    table: Arc<LockedTable>,
    events: Vec<epoll::Event>,
}

pub(crate) struct LockedTable {
    epoll: OwnedFd,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Slot {
    /// Number of earlier handles in this slot. An event of an earlier handle is ignored.
    generation: u32,
    entry: Option<(Arc<OwnedFd>, fn())>,
}

impl SharedSubject for LockedFloor {
    type Remote = Arc<LockedTable>;

    fn new() -> LockedFloor {
        let table = LockedTable {
            epoll: epoll::create(CreateFlags::CLOEXEC).unwrap(),
            slots: Mutex::default(),
        };
        LockedFloor {
            table: Arc::new(table),
            events: Vec::with_capacity(EVENTS),
        }
    }

    fn remote(&self) -> Arc<LockedTable> {
        Arc::clone(&self.table)
    }

    fn turn(&mut self) {
        wait(&self.table.epoll, &mut self.events, None);
        for event in &self.events {
            let data = event.data;
            let (number, generation) = (data.u64() as u32, (data.u64() >> 32) as u32);
            let slots = self.table.slots.lock().unwrap();
            let slot = &slots.slots[number as usize];
            let entry = slot.entry.as_ref();
            let call = entry.filter(|_| slot.generation == generation);
            let call = call.map(|(_, call)| *call);
            drop(slots);
            if let Some(call) = call {
                call();
            }
        }
    }
}

impl Remote for Arc<LockedTable> {
    type Handle = u32;

    fn add(&self, source: &Arc<OwnedFd>, call: fn()) -> u32 {
        let mut slots = self.slots.lock().unwrap();
        let number = slots.free.pop().unwrap_or_else(|| {
            slots.slots.push(Slot::default());
            (slots.slots.len() - 1) as u32
        });
        let slot = &mut slots.slots[number as usize];
        slot.entry = Some((Arc::clone(source), call));
        let data = u64::from(slot.generation) << 32 | u64::from(number);
        let data = EventData::new_u64(data);
        epoll::add(&self.epoll, source, data, EventFlags::IN).unwrap();
        number
    }

    fn remove(&self, number: u32) {
        let mut slots = self.slots.lock().unwrap();
        let slot = &mut slots.slots[number as usize];
        if let Some((source, _)) = slot.entry.take() {
            slot.generation = slot.generation.wrapping_add(1);
            epoll::delete(&self.epoll, &source).unwrap();
            slots.free.push(number);
        }
    }
}
