"""The relation of the batched dispatch: the states, the invariant, the actions and the promises.

An action is one step of the loop or of another thread, between two accesses to memory that both use: the table under
its lock, the cell `running` and the counter `changes`. dispatch.mlw states the same relation as programs.
"""
import z3
from z3 import And, BoolVal, If, Implies, IntVal, K, Not, Or, Store

from domain import (
    ASKING, CALLER, CALLING, CLOSED, ENDED, FREED, FREEING, HOME, IDLE, IN_FLIGHT, LOOKING, LOOP, NEXT, NO_ANSWER,
    OPEN, PUBLISHED, REMOVING, TABLE, TAKING, UPDATING, Flag, Number,
)

FIELDS = {
    # The table. An entry is in a slot; its serial is 0 if the slot is vacant.
    "issued": (Number,),  # the latest serial
    "serial": ("slot", Number),
    "removed": ("slot", Flag),
    "out": ("slot", Flag),  # the payload is with the loop
    "queue": ("slot", Number),  # the position in the queue of frees, if it is removed
    "head": (Number,),
    "tail": (Number,),
    "turn": (Number,),  # the latest serial before the turn
    "left": (Number,),  # the free calls left in the turn
    # The batch.
    "place": ("slot", Number),  # the position in the batch, if it is out
    "length": (Number,),
    "at": (Number,),  # the position of the next or running call
    "current": ("slot",),  # the entry published last
    "due": ("slot", Flag),  # a taken entry is still due
    "changed": ("slot", Flag),  # a taken entry was changed after its taking
    # The two cells, and the records of the loop and of the table about them.
    "running": (Number,),
    "changes": (Number,),
    "seen": (Number,),
    "observed": (Flag,),  # a change has observed `running` since `seen` was set
    "in_flight": (Number,),
    "step": (Number,),
    "lock": (Number,),
    "holder": ("slot",),
    # Records for the promises only: the oracle's view of each serial and of the calls of the batch.
    "home": (Number, "slot"),
    "registered": (Number, Flag),
    "payload": (Number, Number),
    "answer": (Number, Number),
    "young": (Number, Flag),  # added during the turn
    "begun": ("slot", Flag),  # its call in this batch has begun
    "latest": (Number,),  # the serial whose call began last in this batch
}


def in_batch(S):
    """A batch is out, and no more entries are taken."""
    return And(S.step >= NEXT, S.step <= ENDED)


def published(S):
    """The loop has published an entry and not decided on its call."""
    return Or(S.step == PUBLISHED, S.step == ASKING)


def between(S):
    """The loop is between two calls of a batch, or after the last, and `running` still has the call before."""
    return And(Or(S.step == NEXT, S.step == ENDED), S.running != 0)


def pending(S, s):
    """The loop has yet to decide on the call of a taken entry."""
    return And(S.out[s], Or(S.place[s] > S.at, And(S.place[s] == S.at, S.step != CALLING)))


def promised(S, s):
    """The loop has published the entry, and learns under the lock that its call counts as begun."""
    return And(s == S.current, published(S), S.in_flight == S.serial[s], S.changes > S.seen)


def invariant(S):
    """The clauses of the inductive invariant, by name. None can be left out."""
    every, pairs, numbers = S.every, S.pairs, S.numbers
    answer = lambda s: S.answer[S.serial[s]]
    lives = lambda s: S.serial[s] > 0
    return {
        "serials_are_issued": And(S.issued >= 0, every(lambda s: And(0 <= S.serial[s], S.serial[s] <= S.issued))),
        "vacant_slots_are_clean": every(
            lambda s: Implies(S.serial[s] == 0, And(Not(S.removed[s]), Not(S.out[s])))
        ),
        "entries_are_at_home": every(lambda s: Implies(lives(s), S.home[S.serial[s]] == s)),
        "registered_unless_removed": every(
            lambda s: Implies(lives(s), S.registered[S.serial[s]] == Not(S.removed[s]))
        ),
        "registered_is_in_the_table": numbers(
            lambda n: Implies(S.registered[n], And(n > 0, S.serial[S.home[n]] == n))
        ),
        "payload_is_out_or_in_the_table": every(
            lambda s: Implies(lives(s), S.payload[S.serial[s]] == If(S.out[s], IntVal(LOOP), IntVal(TABLE)))
        ),
        "payloads_are_not_lost": numbers(
            lambda n: Implies(
                And(0 < n, n <= S.issued, S.payload[n] != FREED), S.serial[S.home[n]] == n
            )
        ),
        "no_payload_before_the_addition": numbers(
            lambda n: Implies(n > S.issued, S.payload[n] == CALLER)
        ),
        "removed_is_queued": every(
            lambda s: Implies(S.removed[s], And(S.head <= S.queue[s], S.queue[s] < S.tail))
        ),
        "queue_positions_are_unique": pairs(
            lambda s, t: Implies(And(S.removed[s], S.removed[t], S.queue[s] == S.queue[t]), s == t)
        ),
        "frees_left_are_queued": And(0 <= S.left, S.left <= S.tail - S.head),
        "turn_is_past": S.turn <= S.issued,
        "young_is_after_the_turn": every(
            lambda s: Implies(And(lives(s), S.young[S.serial[s]]), S.serial[s] > S.turn)
        ),
        "batch_is_counted": S.length >= 0,
        "out_is_in_the_batch": every(
            lambda s: Implies(S.out[s], And(0 <= S.place[s], S.place[s] < S.length))
        ),
        "batch_places_are_unique": pairs(
            lambda s, t: Implies(And(S.out[s], S.out[t], S.place[s] == S.place[t]), s == t)
        ),
        "taken_is_unchanged_at_first": Implies(
            S.step == TAKING, every(lambda s: Implies(S.out[s], Not(Or(S.changed[s], S.begun[s]))))
        ),
        "no_batch_at_home": Implies(
            Or(S.step == HOME, S.step == FREEING), every(lambda s: Not(S.out[s]))
        ),
        "step_exists": And(HOME <= S.step, S.step <= FREEING),
        "taking_excludes_changes": Implies(S.step == TAKING, S.lock == OPEN),
        "published_is_current": Implies(
            Or(published(S), S.step == CALLING),
            And(S.out[S.current], S.place[S.current] == S.at, S.running == S.serial[S.current]),
        ),
        "cell_is_the_call_before": Implies(
            between(S),
            And(S.out[S.current], S.place[S.current] == S.at - 1, S.running == S.serial[S.current]),
        ),
        "holder_is_taken": Implies(
            S.lock != OPEN,
            And(S.changes > S.seen, Or(S.lock == LOOKING, And(Not(S.removed[S.holder]), S.out[S.holder]))),
        ),
        "observed_iff_changed": Implies(
            And(in_batch(S), S.lock == OPEN), S.observed == (S.changes > S.seen)
        ),
        "seen_is_past": Implies(in_batch(S), S.seen <= S.changes),
        "pending_change_is_unseen": Implies(
            in_batch(S),
            every(lambda s: Implies(And(pending(S, s), S.changed[s]), And(S.observed, S.changes > S.seen))),
        ),
        "unchanged_is_due": every(
            lambda s: Implies(And(S.out[s], Not(S.changed[s])), And(S.due[s], Not(S.removed[s])))
        ),
        "begun_is_decided": every(lambda s: Implies(And(S.out[s], S.begun[s]), Not(pending(S, s)))),
        "in_flight_is_begun_or_promised": Implies(
            in_batch(S),
            every(
                lambda s: Implies(
                    And(S.out[s], S.in_flight == S.serial[s]), Or(S.begun[s], promised(S, s))
                )
            ),
        ),
        "call_is_recorded": Implies(
            S.step == CALLING,
            And(
                S.begun[S.current],
                S.latest == S.running,
                Implies(S.observed, S.in_flight == S.running),
            ),
        ),
        "cell_is_latest_unless_skipped": Implies(
            And(between(S), Not(S.observed)), And(S.begun[S.current], S.latest == S.running)
        ),
        "in_flight_is_latest_or_promised": Implies(
            And(in_batch(S), S.observed, S.in_flight != 0),
            Or(S.latest == S.in_flight, promised(S, S.current)),
        ),
        "answered_iff_removed": every(
            lambda s: Implies(lives(s), (answer(s) == NO_ANSWER) == Not(S.removed[s]))
        ),
        "no_answer_before_the_addition": numbers(
            lambda n: Implies(n > S.issued, S.answer[n] == NO_ANSWER)
        ),
        "idle_stays_idle": Implies(
            in_batch(S),
            every(lambda s: Implies(And(pending(S, s), answer(s) == IDLE), S.in_flight != S.serial[s])),
        ),
        "in_flight_is_called": every(
            lambda s: Implies(
                And(S.out[s], answer(s) == IN_FLIGHT), Or(S.begun[s], And(in_batch(S), promised(S, s)))
            )
        ),
    }


def initial(S):
    return And(
        S.issued == 0,
        S.every(lambda s: And(S.serial[s] == 0, Not(S.removed[s]), Not(S.out[s]))),
        S.numbers(lambda n: And(Not(S.registered[n]), S.payload[n] == CALLER, S.answer[n] == NO_ANSWER)),
        And(S.head == 0, S.tail == 0, S.turn == 0, S.left == 0, S.length == 0),
        S.step == HOME,
        S.lock == OPEN,
    )


def is_open(S):
    """A thread can lock the table."""
    return And(S.lock == OPEN, S.step != TAKING)


def is_named(S):
    """The table finds a registered entry by its id, a slot and a serial."""
    return And(S.serial[S.entry] > 0, S.serial[S.entry] == S.serial_of_id, Not(S.removed[S.entry]))


def is_id(S):
    """An addition has returned this id."""
    return And(0 < S.serial_of_id, S.serial_of_id <= S.issued, S.home[S.serial_of_id] == S.entry)


def is_confirmed(S):
    """The table confirms the call: the entry is still due, or its call counts as begun."""
    is_due = And(Not(S.removed[S.current]), S.due[S.current])
    return Or(is_due, S.in_flight == S.serial[S.current])


def removal(S, answer):
    """The fields that a removal changes."""
    return {
        "removed": Store(S.removed, S.entry, True),
        "queue": Store(S.queue, S.entry, S.tail),
        "tail": S.tail + 1,
        "answer": Store(S.answer, S.serial[S.entry], answer),
        "registered": Store(S.registered, S.serial[S.entry], False),
    }


def in_flight_of(S):
    """The call that counts as begun for a thread that has read `running` after its bump.

    It is the first one read since `seen` was set, as long as no other one is published. A call that is published later
    has not begun, because the loop asks before it.
    """
    return If(S.observed, If(S.in_flight == S.running, S.in_flight, IntVal(0)), S.running)


def look(S):
    """The fields that a look at `running` changes."""
    return {"observed": BoolVal(True), "in_flight": in_flight_of(S), "lock": IntVal(OPEN)}


def observation(S):
    """The fields that the look before a change of a taken entry changes."""
    return {**look(S), "changed": Store(S.changed, S.entry, True)}


def answer_of(S):
    """The answer to the removal that holds the lock."""
    return If(in_flight_of(S) == S.serial[S.entry], IntVal(IN_FLIGHT), IntVal(IDLE))


def begin(S, entry):
    """The fields that the begin of a call changes."""
    return {
        "step": IntVal(CALLING),
        "begun": Store(S.begun, entry, True),
        "latest": S.serial[entry],
    }


def actions(S):
    """The guard of each action, and the fields that it changes."""
    entry = S.entry
    bump = {"changes": S.changes + 1, "holder": entry}
    is_taken = And(is_open(S), is_id(S), is_named(S), S.out[entry])
    is_idle = And(is_open(S), is_id(S), is_named(S), Not(S.out[entry]))
    next_entry = {"step": IntVal(NEXT), "at": S.at + 1}
    asks = And(S.step == ASKING, S.lock == OPEN)
    confirmed = {**begin(S, S.current), "in_flight": S.serial[S.current]}
    # A removed or updated entry that is still to come would pass the check if `seen` were renewed.
    rest_is_unchanged = S.every(lambda s: Implies(And(S.out[s], S.place[s] > S.at), Not(S.changed[s])))
    is_back = lambda n: And(S.out[S.home[n]], S.serial[S.home[n]] == n)
    return {
        # Any thread. The first half of a change of a taken entry bumps `changes`, the second reads `running`.
        "add": (And(is_open(S), S.serial[entry] == 0), {
            "issued": S.issued + 1,
            "serial": Store(S.serial, entry, S.issued + 1),
            "home": Store(S.home, S.issued + 1, entry),
            "registered": Store(S.registered, S.issued + 1, True),
            "payload": Store(S.payload, S.issued + 1, TABLE),
            "young": Store(S.young, S.issued + 1, True),
        }),
        "update_idle": (is_idle, {}),
        "remove_idle": (is_idle, removal(S, IDLE)),
        "reject": (And(is_open(S), is_id(S), Not(is_named(S))), {}),
        "bump_to_remove": (is_taken, {**bump, "lock": IntVal(REMOVING)}),
        "bump_to_update": (is_taken, {**bump, "lock": IntVal(UPDATING)}),
        "remove_taken": (
            And(S.lock == REMOVING, entry == S.holder), {**removal(S, answer_of(S)), **observation(S)}
        ),
        "update_taken": (
            And(S.lock == UPDATING, entry == S.holder),
            {**observation(S), "due": Store(S.due, entry, S.choice)},
        ),
        # A look without a change: the entry was removed while it was taken, or all entries are about to be closed.
        "bump_to_look": (
            And(is_open(S), in_batch(S)), {"changes": S.changes + 1, "lock": IntVal(LOOKING)}
        ),
        "look": (S.lock == LOOKING, look(S)),
        # The removal of an entry because the loop is dropped, which returns no answer.
        "close": (
            And(is_open(S), S.serial[entry] > 0, Not(S.removed[entry]), Implies(S.out[entry], S.observed)),
            {**removal(S, CLOSED), "changed": Store(S.changed, entry, S.out[entry])},
        ),
        # The loop, under the lock.
        "begin_turn": (And(is_open(S), S.step == HOME), {"turn": S.issued, "young": K(Number, False)}),
        "lock_to_take": (
            And(is_open(S), S.step == HOME), {"step": IntVal(TAKING), "length": IntVal(0)}
        ),
        "take": (
            And(S.step == TAKING, S.serial[entry] > 0, Not(S.removed[entry]), Not(S.out[entry]),
                S.serial[entry] <= S.turn),
            {
                "out": Store(S.out, entry, True),
                "place": Store(S.place, entry, S.length),
                "length": S.length + 1,
                "payload": Store(S.payload, S.serial[entry], LOOP),
                "due": Store(S.due, entry, True),
                "changed": Store(S.changed, entry, False),
                "begun": Store(S.begun, entry, False),
            },
        ),
        # The first call of a batch begins before the lock is released.
        "unlock_batch": (And(S.step == TAKING, S.out[entry], S.place[entry] == 0), {
            **begin(S, entry),
            "at": IntVal(0),
            "current": entry,
            "running": S.serial[entry],
            "seen": S.changes,
            "observed": BoolVal(False),
            "in_flight": S.serial[entry],
        }),
        "confirm": (And(asks, is_confirmed(S)), confirmed),
        "confirm_and_renew": (
            And(asks, is_confirmed(S), rest_is_unchanged),
            {**confirmed, "seen": S.changes, "observed": BoolVal(False)},
        ),
        "skip": (
            And(asks, Not(is_confirmed(S))), {**next_entry, "running": IntVal(0), "in_flight": IntVal(0)}
        ),
        "finish": (And(S.step == ENDED, S.lock == OPEN), {
            "step": IntVal(HOME),
            "out": K(S.domain.Slot, False),
            "payload": S.by_number(lambda n: If(is_back(n), IntVal(TABLE), S.payload[n])),
            "observed": BoolVal(False),
            "in_flight": IntVal(0),
        }),
        "begin_frees": (
            And(is_open(S), S.step == HOME), {"step": IntVal(FREEING), "left": S.tail - S.head}
        ),
        "free": (
            And(S.lock == OPEN, S.step == FREEING, S.left > 0, S.removed[entry], S.queue[entry] == S.head),
            {
                "serial": Store(S.serial, entry, 0),
                "removed": Store(S.removed, entry, False),
                "payload": Store(S.payload, S.serial[entry], FREED),
                "head": S.head + 1,
                "left": S.left - 1,
            },
        ),
        "end_frees": (And(is_open(S), S.step == FREEING, S.left == 0), {"step": IntVal(HOME)}),
        # The table allows a turn to begin before the last one has ended; the loop does not do that.
        "abandon_frees": (And(is_open(S), S.step == FREEING), {"step": IntVal(HOME), "left": IntVal(0)}),
        # The loop, without the lock.
        "publish": (And(S.step == NEXT, S.out[entry], S.place[entry] == S.at), {
            "current": entry,
            "running": S.serial[entry],
            "step": IntVal(PUBLISHED),
        }),
        "begin_unchanged": (And(S.step == PUBLISHED, S.changes == S.seen), begin(S, S.current)),
        "find_change": (And(S.step == PUBLISHED, S.changes != S.seen), {"step": IntVal(ASKING)}),
        "return": (S.step == CALLING, next_entry),
        "end_batch": (
            And(S.step == NEXT, S.at >= S.length), {"step": IntVal(ENDED), "running": IntVal(0)}
        ),
    }


def promises(S, T):
    """The promises of each action from the state `S` to the state `T`."""
    entry, every, numbers = S.entry, S.every, S.numbers
    serial, current = S.serial[entry], S.serial[S.current]
    begins = {
        "I3_no_call_after_idle": S.answer[current] != IDLE,
        "I5_no_call_after_the_free": S.payload[current] == LOOP,
        "I8_no_call_during_a_call": And(S.step != CALLING, Not(S.begun[S.current])),
    }
    begins_first = {
        "I3_no_call_after_idle": S.answer[serial] == NO_ANSWER,
        "I4_due": And(S.due[entry], Not(S.removed[entry])),
        "I5_no_call_after_the_free": S.payload[serial] == LOOP,
        "I8_no_call_during_a_call": And(S.step != CALLING, Not(S.begun[entry])),
        "I8_one_call_of_the_batch": every(lambda s: Implies(And(S.out[s], S.place[s] == T.at), s == entry)),
    }
    removes = {
        "I2_removed_once": S.registered[serial],
        "I3_idle_unless_called": Implies(
            T.answer[serial] == IDLE, Not(And(S.step == CALLING, S.current == entry))
        ),
        "I3_in_flight_if_called": Implies(
            T.answer[serial] == IN_FLIGHT,
            Or(And(S.begun[entry], S.latest == serial), And(published(S), S.current == entry)),
        ),
    }
    return {
        "add": {
            "I1_serial_is_new": And(
                Not(S.registered[T.issued]),
                S.payload[T.issued] == CALLER,
                every(lambda s: S.serial[s] != T.issued),
            ),
        },
        "remove_idle": removes,
        "remove_taken": removes,
        "bump_to_remove": {"I2_removed_if_registered": S.registered[S.serial_of_id]},
        "bump_to_update": {"I2_updated_if_registered": S.registered[S.serial_of_id]},
        "update_idle": {"I2_updated_if_registered": S.registered[S.serial_of_id]},
        "reject": {"I2_rejected_unless_registered": Not(S.registered[S.serial_of_id])},
        "close": {"I2_removed_once": S.registered[serial]},
        "take": {
            "I3_not_taken_after_idle": S.answer[serial] == NO_ANSWER,
            "I6_taken_from_the_table": S.payload[serial] == TABLE,
            "I10_not_added_in_the_turn": Not(S.young[serial]),
        },
        "unlock_batch": begins_first,
        "publish": {
            "I8_one_call_of_the_batch": every(lambda s: Implies(And(S.out[s], S.place[s] == S.at), s == entry)),
        },
        "begin_unchanged": {**begins, "I4_still_due": And(S.due[S.current], Not(S.removed[S.current]))},
        "confirm": begins,
        "confirm_and_renew": begins,
        "skip": {"I3_in_flight_is_not_skipped": S.answer[current] != IN_FLIGHT},
        "finish": {
            "I3_in_flight_was_called": every(
                lambda s: Implies(And(S.out[s], S.answer[S.serial[s]] == IN_FLIGHT), S.begun[s])
            ),
            "I6_put_back_by_the_loop": every(lambda s: Implies(S.out[s], S.payload[S.serial[s]] == LOOP)),
            "I6_no_payload_is_out": numbers(
                lambda n: Implies(And(0 < n, n <= S.issued), T.payload[n] != LOOP)
            ),
            "I7_removed_stays_removed": every(lambda s: T.removed[s] == S.removed[s]),
        },
        "free": {
            "I5_freed_once": S.payload[serial] == TABLE,
            "I5_freed_after_the_batch": every(lambda s: Not(S.out[s])),
            "I5_freed_in_order": every(lambda s: Implies(S.removed[s], S.queue[entry] <= S.queue[s])),
            "I7_freed_is_removed": Not(S.registered[serial]),
            "I14_one_free_less": And(S.left > 0, T.left == S.left - 1),
        },
        "end_frees": {
            "I16_all_in_the_queue_are_freed": Implies(
                S.tail == S.head + S.left, every(lambda s: Not(S.removed[s]))
            ),
        },
    }


def state_promises(S):
    """The promises of each state."""
    every, numbers = S.every, S.numbers
    lives = lambda s: S.serial[s] > 0
    return {
        "I1_no_two_entries_of_an_id": S.pairs(
            lambda s, t: Implies(And(lives(s), S.serial[s] == S.serial[t]), s == t)
        ),
        "I2_found_iff_registered": Implies(is_id(S), is_named(S) == S.registered[S.serial_of_id]),
        "I6_payload_is_in_one_place": numbers(
            lambda n: Implies(
                And(0 < n, n <= S.issued, S.payload[n] != FREED),
                And(S.serial[S.home[n]] == n, (S.payload[n] == LOOP) == S.out[S.home[n]]),
            )
        ),
        "I7_queue_has_the_removed": every(
            lambda s: Implies(
                lives(s), S.registered[S.serial[s]] == Not(And(S.removed[s], S.queue[s] < S.tail))
            )
        ),
        "I16_empty_queue_without_removed": Implies(S.head == S.tail, every(lambda s: Not(S.removed[s]))),
    }
