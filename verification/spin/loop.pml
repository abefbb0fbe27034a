/*
 * The protocol between the loop and threads that change its table: sleeping, waking, freeing, stopping.
 *
 * One timeout, which one thread removes and another brings nearer; one handle, which a thread enables; a stop by a
 * thread and one by a signal. Each happens at any time or never. The properties are liveness properties of infinite
 * executions, which the loom models cannot check.
 *
 * `models FILE FUNCTION` before a part names the modelled function; `check` fails if it does not exist. A macro
 * with the comment DEFECT plants a mistake, which `check` must detect.
 */

#define NONE 0 /* Not armed, or a sleep without a limit. */
#define NEAR 1 /* Due as soon as time passes. */
#define FAR 2  /* Later than the end of every execution. */

mtype = { Idle, Running, Cancelled, Removed, Absent };

/* models src/sync.rs lock
 * Statements under the lock that use only guarded state are one atomic step. */
bool locked;
inline lock() { !locked -> locked = true }
inline unlock() { locked = false }

/* State guarded by the lock. */
mtype entry = Idle;
byte deadline = FAR;
bool wanted, told, listed;
bool stop;
bool asleep;
byte until;

/* State not guarded by the lock. */
bool signalled;
bool woken;        /* The poller's latch. */
bool ready = true; /* The handle's descriptor. */

/* State for the properties only. */
bool removed, gone, freed, nearer, fired, enabling, served, stopping, ended;

/* models src/table/mod.rs is_busy */
#define is_busy (entry == Cancelled || entry == Removed)

/* models src/table/effects.rs must_wake */
#ifdef NO_WAKE_FOR_NEARER_DEADLINE /* DEFECT */
#define nearer_deadline false
#else
#define nearer_deadline (deadline != NONE && (until == NONE || deadline < until))
#endif
#ifdef NO_WAKE_FOR_CHANGE /* DEFECT */
#define changed false
#else
#define changed listed
#endif
#ifdef NO_WAKE_FOR_STOP /* DEFECT */
#define stops false
#else
#define stops stop
#endif
#ifdef NO_WAKE_FOR_FREE /* DEFECT */
#define busy false
#else
#define busy is_busy
#endif
inline must_wake(wake)
{
	wake = false;
	if
	:: asleep && (nearer_deadline || changed || stops || busy) ->
		asleep = false;
		wake = true
	:: else
	fi
}

/* models src/registry/mod.rs change_at
 * models src/registry/mod.rs wake */
inline begin_change()
{
#ifdef WAKE_BEFORE_CHANGE /* DEFECT */
	woken = true
#else
	skip
#endif
}
inline end_change(wake)
{
	if
#ifndef WAKE_BEFORE_CHANGE
	:: wake -> woken = true
#endif
	:: else
	fi
}

/* models src/registry/timeout.rs remove_timeout
 * models src/table/lifecycle.rs remove */
active proctype Remover()
{
	bool wake;
	begin_change();
	atomic {
		lock();
		if
		:: entry == Idle ->
			entry = Removed;
			deadline = NONE;
			removed = true;
			gone = true /* Removal::Idle */
		:: entry == Running ->
			entry = Cancelled;
			deadline = NONE;
			removed = true;
#ifdef FREE_WHILE_RUNNING /* DEFECT */
			gone = true
#endif
#ifdef FREED_BY_THE_REMOVER /* DEFECT */
			freed = true
#endif
		:: else /* NotRegistered */
		:: true /* No removal. */
		fi;
		must_wake(wake);
		unlock()
	};
	end_change(wake)
}

/* models src/registry/timeout.rs update_timeout */
active proctype Updater()
{
	bool wake;
	begin_change();
	atomic {
		lock();
		if
		:: entry == Idle || entry == Running ->
			deadline = NEAR;
			nearer = true
		:: true
		fi;
		must_wake(wake);
		unlock()
	};
	end_change(wake)
}

/* models src/registry/handle.rs update_handle
 * models src/table/descriptors.rs set_union */
active proctype Enabler()
{
	bool wake;
	begin_change();
	atomic {
		lock();
		if
		:: wanted = true;
			listed = true;
			enabling = true
		:: true
		fi;
		must_wake(wake);
		unlock()
	};
	end_change(wake)
}

/* models src/event_loop/mod.rs stop */
active proctype Stopper()
{
	bool wake;
	begin_change();
	atomic {
		lock();
		if
		:: stop = true;
			stopping = true
		:: true
		fi;
		must_wake(wake);
		unlock()
	};
	end_change(wake)
}

/* models src/registry/signalled.rs stop_by_signal */
active proctype Signal()
{
	if
	:: true
	::
#ifdef WAKE_BEFORE_SIGNAL /* DEFECT */
		woken = true;
		signalled = true;
		stopping = true
#else
		signalled = true;
		stopping = true;
		woken = true
#endif
	fi
}

/* models src/table/turn.rs free
 * Entered with the lock held, which is released. */
inline free_removed()
{
	if
	:: atomic { entry == Removed ->
			entry = Absent;
			unlock()
		};
		freed = true /* The callback is dropped. */
#ifdef LOCK_KEPT /* DEFECT */
	:: else
#else
	:: atomic { else -> unlock() }
#endif
	fi
}

/* models src/event_loop/dispatch.rs dispatch
 * Entered with the lock held, which is released. */
inline dispatch()
{
	if
	:: atomic { deadline == NEAR && entry == Idle ->
			/* models src/table/turn.rs take_timeouts */
			entry = Running;
			deadline = NONE;
			unlock()
		};
		assert(!gone);
		fired = true;
		assert(!gone);
		atomic {
			lock();
			/* models src/table/turn.rs finish */
			if
#ifdef LOST_CANCEL /* DEFECT */
			:: entry == Cancelled -> entry = Idle
#else
			:: entry == Cancelled -> entry = Removed
#endif
			:: else -> entry = Idle
			fi
		}
	:: else
	fi;
	if
	:: atomic { told && ready ->
			/* models src/table/turn.rs take_handles */
			unlock()
		};
		served = true;
		ready = false;
		lock()
	:: else
	fi;
	free_removed()
}

/* models src/event_loop/mod.rs run
 * models src/event_loop/mod.rs run_once */
active proctype Loop()
{
	bool at_once;
	bool ends;
	do
	::
		/* models src/registry/mod.rs begin_run
		 * models src/table/turn.rs begin_frees */
		atomic {
			lock();
#ifdef STOP_FORGOTTEN /* DEFECT */
			stop = false
#else
			skip
#endif
		};
		free_removed();

		/* models src/event_loop/mod.rs prepare_to_wait
		 * models src/registry/mod.rs apply_changes
		 * models src/table/effects.rs fall_asleep */
		atomic {
			lock();
			told = wanted;
			listed = false
		};
		at_once = signalled;
		atomic {
#ifdef BUSY_NOT_LOOKED_AT /* DEFECT */
			at_once = at_once || stop;
#else
			at_once = at_once || stop || is_busy;
#endif
			until = deadline;
#ifdef SLEEP_NOTED_LATE /* DEFECT */
			unlock()
		};
		atomic {
			lock();
#endif
			asleep = !at_once;
			unlock()
		};

		/* models src/poller/mod.rs wait */
#ifdef WAKE_NOT_LATCHED /* DEFECT */
		woken = false;
#endif
end_asleep:	if
		:: woken
		:: told && ready
		:: at_once
#ifndef DEADLINE_SLEPT_THROUGH /* DEFECT */
		:: until == NEAR
#endif
		fi;
		woken = false;

		/* models src/table/effects.rs wake_up
		 * models src/table/turn.rs begin_turn */
		atomic {
			lock();
			asleep = false
		};
		dispatch();

		/* models src/registry/signalled.rs take_stop */
		ends = signalled;
		if
#ifdef STOP_TAKEN_UNSEEN /* DEFECT */
		:: signalled = false
#else
		:: ends -> signalled = false
		:: else
#endif
		fi;
		atomic {
			lock();
			ends = ends || stop;
			stop = false;
			unlock()
		};
		if
		:: ends -> break
		:: else
		fi
	od;
	ended = true;

	/* models src/event_loop/mod.rs drop
	 * models src/table/mod.rs close */
	atomic {
		lock();
		if
		:: entry == Idle ->
			entry = Removed;
			deadline = NONE
		:: else
		fi
	};
	free_removed()
}

ltl a_removed_entry_is_freed { [] (removed -> <> freed) }
ltl a_change_made_while_asleep_is_seen { [] (enabling -> <> (served || ended)) }
ltl a_nearer_deadline_is_met { [] (nearer -> <> (fired || removed || ended)) }
ltl a_stop_ends_the_loop { [] (stopping -> <> ended) }
ltl what_is_freed_is_over { [] (freed -> entry == Absent) }
