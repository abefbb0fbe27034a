//! Defects that the checks can plant, to show that they are alive.
//!
//! Only under `--cfg eventry_verification` can one be switched on. In every other build [`planted`] is the
//! constant `false` and nothing of this is left in the code. Which check must catch which defect is in
//! `verification/src/defects.rs`; which ones do is the table in `docs/proof.md`.

macro_rules! defects {
    ($($(#[doc = $what:literal])+ $name:ident,)+) => {
        /// A realistic mistake, each caught by a named check.
        #[cfg_attr(not(eventry_verification), allow(unreachable_pub, dead_code))]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Defect {
            $($(#[doc = $what])+ $name,)+
        }

        #[cfg(eventry_verification)]
        impl Defect {
            /// All of them.
            pub const ALL: &[Defect] = &[$(Defect::$name),+];

            /// What goes wrong, in words.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self {
                    $(Defect::$name => concat!($($what),+),)+
                }
            }
        }
    };
}

// In the order of the layers: the table, the registry, the loop; then the pool of workers.
defects! {
    /// A removal that comes while the callback runs is forgotten when the callback returns.
    LostCancel,
    /// An id goes on naming an entry that was removed, until it is freed.
    RemovedStillNamed,
    /// An id names whatever is in its slot, which may be another entry by now.
    SerialIgnored,
    /// A removed entry is freed although calls of the same turn are still to come.
    EarlyFree,
    /// A turn makes one free call, however many wait.
    OneFreeOnly,
    /// What is removed by a free call is freed in the same turn, so that a turn may never end.
    EndlessFrees,
    /// When the loop is dropped, what is left is not freed in the order in which it was added.
    UnorderedEnd,
    /// A removal that comes while the callback runs is answered with "idle".
    FreeWhileRunning,
    /// A handle is called with all that its descriptor is ready for, wanted or not.
    InterestUnmasked,
    /// A handle that is added in a turn is called in it.
    AddedIsCalled,
    /// A timeout that is armed in a turn may fire in it, also if it was due and has been put off.
    ArmedFires,
    /// A timeout that is late is armed from its old deadline, so that it makes up for what it missed.
    PeriodsMadeUp,
    /// An interval that reaches beyond the end of time begins again at its beginning.
    DeadlineOverflow,
    /// A timeout that is brought nearer keeps its old place among the deadlines.
    NearerNotMoved,
    /// A timeout that was put off is taken for the first one where its old deadline stood.
    PutOffStaysFirst,
    /// The heap of deadlines looks at half of the children of a node.
    HalfSifted,
    /// A thread that comes with an earlier time sets the clock of the table back.
    ClockSetBack,
    /// When the next handle of a descriptor is removed during the call of another, those behind it are not
    /// called.
    WalkCutShort,
    /// An event of an earlier registration of the same descriptor is taken for a fresh one.
    StaleTokenAccepted,
    /// An event that belongs to nobody is dropped without a word, so that phantoms are never noticed.
    StaleUnnamed,
    /// A descriptor that is registered again gets the token of its last registration.
    TokenRepeated,
    /// A registration that is changed keeps its token, so that two files may come to have the same one.
    TokenKept,
    /// What a handle of a registered descriptor wants anew is not told to the poller.
    ChangeForgotten,
    /// The end of a registration that follows from a removal does not reach the poller, although the descriptor
    /// may be closed next and its number used for another.
    DeregistrationDeferred,
    /// A poller's refusal is not reported to the handles of the descriptor.
    RefusalForgotten,
    /// A handle that has heard of a refusal is not disabled by it.
    RefusedStaysEnabled,
    /// A poller that was rebuilt is not told anew what it must report.
    RebuildForgotten,
    /// A timeout that is due before the loop would wake does not wake it.
    NoWakeForNearerDeadline,
    /// A change that the poller must be told of does not wake the loop.
    NoWakeForChange,
    /// What is removed does not wake the loop that is to free it.
    NoWakeForFree,
    /// A stop does not wake the loop.
    NoWakeForStop,
    /// The loop is woken before the change that it is woken for.
    WakeBeforeChange,
    /// A stop from a signal handler wakes the loop before it says what for.
    WakeBeforeSignal,
    /// A removal looks whether the callback runs, and removes only after it has let go of the lock.
    RemovalInTwoSteps,
    /// Who waits for a call to be over is not told.
    WaiterForgotten,
    /// A run forgets a stop that came before it.
    StopForgotten,
    /// The loop lets go of the lock between its last look at the table and the note that it sleeps.
    SleepNotedLate,
    /// The loop that has woken is still taken for asleep.
    WakingNotNoted,
    /// The loop sleeps past the next deadline.
    DeadlineSleptThrough,
    /// What was removed is dropped with the lock held.
    FreedUnderLock,
    /// What the poller has lost is not told to the table.
    LossForgotten,
    /// The table is not told that the poller was rebuilt.
    RebuildUntold,
    /// A job that is added wakes no worker.
    WorkerNotWoken,
    /// A high-priority job wakes none of the workers that are there for it.
    PriorityNotWoken,
    /// A raised limit starts no worker for the jobs that wait already.
    GrowthForgotten,
    /// The workers are not told that the pool has been stopped.
    StopUntold,
}

#[cfg(eventry_verification)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Defect>> = std::cell::Cell::new(of_the_process());
}

/// What the environment variable `EVENTRY_PLANT` plants in every thread of the process, so that a defect can
/// be shown to tests that know nothing of it.
#[cfg(eventry_verification)]
fn of_the_process() -> Option<Defect> {
    let name = std::env::var("EVENTRY_PLANT").ok()?;
    let mut all = Defect::ALL.iter();
    let found = all.find(|defect| format!("{defect:?}") == name);
    Some(*found.unwrap_or_else(|| panic!("there is no defect {name:?}")))
}

/// Plants `defect` in everything the current thread runs from now on, or none.
#[cfg(eventry_verification)]
pub fn plant(defect: Option<Defect>) {
    PLANTED.set(defect);
}

/// Whether `defect` is planted.
#[cfg(eventry_verification)]
pub(crate) fn planted(defect: Defect) -> bool {
    PLANTED.get() == Some(defect)
}

/// Whether `defect` is planted: never, outside the verification configuration.
#[cfg(not(eventry_verification))]
pub(crate) const fn planted(_defect: Defect) -> bool {
    false
}
