"""Faults of the relation in dispatch.py, each with the promise that it breaks."""
from collections import namedtuple

from z3 import And, If, IntVal, Not, Or

from dispatch import is_id, is_open, removal
from domain import FREEING, IDLE, IN_FLIGHT, OPEN, PUBLISHED, TAKING

# `defect` is the name in verification/defects.toml of the same fault in the code, or None if there is none.
Fault = namedtuple("Fault", "name defect breaks plant")


def changed(action, guard=None, **fields):
    """An action with another guard or other changes."""
    old_guard, old_fields = action
    return (old_guard if guard is None else guard, {**old_fields, **fields})


def lost_cancel(S, actions):
    is_removed = S.by_slot(lambda s: And(S.removed[s], Not(S.out[s])))
    actions["finish"] = changed(actions["finish"], removed=is_removed)


def removed_id_accepted(S, actions):
    guard = And(is_open(S), is_id(S), S.serial[S.entry] == S.serial_of_id, Not(S.out[S.entry]))
    actions["remove_idle"] = changed(actions["remove_idle"], guard)


def serial_ignored(S, actions):
    guard = And(is_open(S), is_id(S), S.serial[S.entry] > 0, Not(S.removed[S.entry]), S.out[S.entry])
    actions["bump_to_update"] = changed(actions["bump_to_update"], guard)


def early_free(S, actions):
    guard = And(S.lock == OPEN, S.step != TAKING, S.left > 0, S.removed[S.entry], S.queue[S.entry] == S.head)
    actions["free"] = changed(actions["free"], guard)


def one_free_only(S, actions):
    guard, _ = actions["end_frees"]
    actions["end_frees"] = changed(actions["end_frees"], And(is_open(S), Or(guard, S.left > 0)))


def endless_frees(S, actions):
    actions["free"] = changed(actions["free"], left=S.tail - S.head - 1)


def unordered_free(S, actions):
    guard = And(S.lock == OPEN, S.step == FREEING, S.left > 0, S.removed[S.entry])
    actions["free"] = changed(actions["free"], guard)


def free_while_running(S, actions):
    actions["remove_taken"] = changed(actions["remove_taken"], **removal(S, IDLE))


def added_is_called(S, actions):
    guard = And(S.step == TAKING, S.serial[S.entry] > 0, Not(S.removed[S.entry]), Not(S.out[S.entry]))
    actions["take"] = changed(actions["take"], guard)


def second_look_omitted(S, actions):
    actions["begin_unchanged"] = changed(actions["begin_unchanged"], S.step == PUBLISHED)


def promise_forgotten(S, actions):
    is_due = And(Not(S.removed[S.current]), S.due[S.current])
    guard, _ = actions["confirm"]
    actions["skip"] = changed(actions["skip"], And(Or(guard, actions["skip"][0]), Not(is_due)))


def rest_not_examined(S, actions):
    guard, _ = actions["confirm"]
    actions["confirm_and_renew"] = changed(actions["confirm_and_renew"], guard)


def later_observation_counts(S, actions):
    actions["update_taken"] = changed(actions["update_taken"], in_flight=S.running)


def removal_in_two_steps(S, actions):
    """The answer follows from an earlier look at the cell: a call that begins in between is not seen."""
    answer = If(S.in_flight == S.serial[S.entry], IntVal(IN_FLIGHT), IntVal(IDLE))
    actions["remove_taken"] = changed(actions["remove_taken"], **removal(S, answer))


FAULTS = [
    Fault("lost_cancel", "LostCancel", "finish.I7_removed_stays_removed", lost_cancel),
    Fault("removed_id_accepted", "RemovedIdAccepted", "remove_idle.I2_removed_once", removed_id_accepted),
    Fault("serial_ignored", "SerialIgnored", "bump_to_update.I2_updated_if_registered", serial_ignored),
    Fault("early_free", "EarlyFree", "free.I5_freed_after_the_batch", early_free),
    Fault("one_free_only", "OneFreeOnly", "end_frees.I16_all_in_the_queue_are_freed", one_free_only),
    Fault("endless_frees", "EndlessFrees", "free.I14_one_free_less", endless_frees),
    Fault("free_while_running", "FreeWhileRunning", "remove_taken.I3_idle_unless_called", free_while_running),
    Fault("added_is_called", "AddedIsCalled", "take.I10_not_added_in_the_turn", added_is_called),
    Fault("removal_in_two_steps", "RemovalInTwoSteps", "remove_taken.I3_idle_unless_called", removal_in_two_steps),
    Fault("unordered_free", None, "free.I5_freed_in_order", unordered_free),
    Fault("second_look_omitted", None, "begin_unchanged.I3_no_call_after_idle", second_look_omitted),
    Fault("promise_forgotten", None, "skip.I3_in_flight_is_not_skipped", promise_forgotten),
    Fault("rest_not_examined", None, "confirm_and_renew.pending_change_is_unseen", rest_not_examined),
    Fault("later_observation_counts", None, "update_taken.in_flight_is_begun_or_promised", later_observation_counts),
]
