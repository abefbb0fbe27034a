//! The timers of the floor: a heap with four children per node, and one-shot callbacks.

use crate::section::now;
use std::time::Duration;

const CHILDREN: usize = 4;

/// Position of a timer that is not armed.
const NOT_ARMED: u32 = u32::MAX;

/// Number of timers for which address space is reserved, so that no growth is measured. Memory is used only as far as
/// there are timers.
const RESERVED: usize = 1 << 20;

/// Number of a timer in the list of timers.
pub(crate) type TimerNumber = u32;

type Callback = Box<dyn FnMut() + Send>;

/// All timers of a loop. The clock is read once per turn.
pub(crate) struct Timers {
    heap: Vec<Armed>,
    /// Index in the heap, by number. Apart from the callbacks, because most changes move several timers.
    positions: Vec<u32>,
    callbacks: Vec<Option<Callback>>,
    free: Vec<TimerNumber>,
    now: u64,
}

#[derive(Clone, Copy)]
struct Armed {
    /// Nanoseconds of the monotonic clock.
    deadline: u64,
    number: TimerNumber,
}

impl Timers {
    pub(crate) fn new() -> Timers {
        Timers {
            heap: Vec::with_capacity(RESERVED),
            positions: Vec::with_capacity(RESERVED),
            callbacks: Vec::with_capacity(RESERVED),
            free: Vec::new(),
            now: now(),
        }
    }

    pub(crate) fn add(&mut self, after: Duration, callback: Callback) -> TimerNumber {
        let number = match self.free.pop() {
            Some(number) => {
                self.callbacks[number as usize] = Some(callback);
                number
            }
            None => {
                self.positions.push(NOT_ARMED);
                self.callbacks.push(Some(callback));
                (self.callbacks.len() - 1) as TimerNumber
            }
        };
        self.restart(number, after);
        number
    }

    pub(crate) fn restart(&mut self, number: TimerNumber, after: Duration) {
        let deadline = self.now + after.as_nanos() as u64;
        let armed = Armed { deadline, number };
        match self.positions[number as usize] {
            NOT_ARMED => {
                self.heap.push(armed);
                self.move_up(self.heap.len() - 1, armed);
            }
            position => self.place(position as usize, armed),
        }
    }

    pub(crate) fn remove(&mut self, number: TimerNumber) {
        self.disarm(number);
        self.callbacks[number as usize] = None;
        self.free.push(number);
    }

    /// Reads the clock.
    pub(crate) fn update_now(&mut self) {
        self.now = now();
    }

    /// Returns the time until the first deadline.
    pub(crate) fn until_first(&self) -> Option<Duration> {
        let first = self.heap.first()?;
        Some(Duration::from_nanos(first.deadline.saturating_sub(now())))
    }

    /// Disarms the first timer if it is due, and returns its number and its callback, which the caller returns after
    /// the call.
    pub(crate) fn take_due(&mut self) -> Option<(TimerNumber, Callback)> {
        let first = self
            .heap
            .first()
            .filter(|first| first.deadline <= self.now)?;
        let number = first.number;
        self.disarm(number);
        let callback = self.callbacks[number as usize].take()?;
        Some((number, callback))
    }

    pub(crate) fn put_back(&mut self, number: TimerNumber, callback: Callback) {
        self.callbacks[number as usize] = Some(callback);
    }

    fn disarm(&mut self, number: TimerNumber) {
        let position = &mut self.positions[number as usize];
        let position = std::mem::replace(position, NOT_ARMED) as usize;
        if position == NOT_ARMED as usize {
            return;
        }
        let Some(last) = self.heap.pop() else { return };
        if position < self.heap.len() {
            self.place(position, last);
        }
    }

    /// Puts a timer at a position, or where its deadline belongs.
    fn place(&mut self, position: usize, armed: Armed) {
        let parent = position.saturating_sub(1) / CHILDREN;
        if armed.deadline < self.heap[parent].deadline {
            self.move_up(position, armed);
        } else {
            self.move_down(position, armed);
        }
    }

    fn move_up(&mut self, mut position: usize, armed: Armed) {
        while position > 0 {
            let parent = (position - 1) / CHILDREN;
            if self.heap[parent].deadline <= armed.deadline {
                break;
            }
            self.put(position, self.heap[parent]);
            position = parent;
        }
        self.put(position, armed);
    }

    fn move_down(&mut self, mut position: usize, armed: Armed) {
        loop {
            let first = position * CHILDREN + 1;
            let last = (first + CHILDREN).min(self.heap.len());
            let children = self.heap.get(first..last).unwrap_or_default();
            let children = (first..).zip(children);
            let Some((index, least)) = children.min_by_key(|(_, child)| child.deadline) else {
                break;
            };
            if least.deadline >= armed.deadline {
                break;
            }
            self.put(position, *least);
            position = index;
        }
        self.put(position, armed);
    }

    fn put(&mut self, position: usize, armed: Armed) {
        self.heap[position] = armed;
        self.positions[armed.number as usize] = position as u32;
    }
}
