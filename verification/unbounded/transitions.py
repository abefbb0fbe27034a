#!/usr/bin/python3 -O
"""Checks with z3 that the relation in dispatch.py and its twin in Rust allow the same transitions.

The twin, `verification/src/refinement`, checks every step of the table in the search, the sequences and the ops from
bytes, and writes some of its transitions to a file: an action with its parameters, and the states before and after.
dispatch.py must allow each of them, and forbid a changed copy of each: with another value of one field in the state
after, another parameter or another action. The file also has actions that the twin refuses in a state, for each part of
each guard: dispatch.py must refuse them. A tenth of the states must have the invariant of dispatch.py.

    verification/unbounded/transitions.py FILE
"""
import collections
import json
import multiprocessing
import os
import random
import sys

try:
    import z3
except ImportError:
    sys.exit("transitions: Debian's package python3-z3 is missing, or this is not Debian's python3")

import dispatch
from domain import Domain, State

# The least numbers of distinct transitions that are allowed, of changed ones that are forbidden, of actions that are
# refused in a state, and of states that have the invariant.
FLOORS = {"allowed": 10_000, "forbidden": 10_000, "refused": 3_000, "states": 900}
# The least number of refused actions and parts of their guards.
PARTS = 60
# The share of the states before in which the invariant is checked, which takes longer than a transition.
STATES_CHECKED = 0.1
# The actions that no transition has, and the reason.
NOT_WRITTEN = {
    "confirm_and_renew": "the loop asks about every later call of a batch after a change, and does not renew `seen`",
}
# The changes that give an allowed transition, and the reason: pairs of actions, and actions with other parameters.
STILL_ALLOWED = {
    ("end_frees", "abandon_frees"): "both end the free calls of a turn in the same way if none is left",
    ("abandon_frees", "end_frees"): "the same",
    ("reject", "reject"): "every id that is not registered is rejected, without a change",
}
# The greatest number of them.
MOST_STILL_ALLOWED = 20
# The greatest values of the fields that number alternatives.
ALTERNATIVES = {"step": 7, "lock": 3, "payload": 3, "answer": 3}


SLOT, NUMBER, FLAG = "slot", "number", "flag"
# The fields, with the kinds of their indices and values.
KINDS = {
    name: tuple(SLOT if isinstance(sort, str) else FLAG if sort.eq(dispatch.Flag) else NUMBER for sort in sorts)
    for name, sorts in dispatch.FIELDS.items()
}


class Slots(Domain):
    """Some slots, and the numbers up to the serial that follows the latest one."""

    sorts = {}

    def __init__(self, count, latest):
        super().__init__(is_small=False)
        if count not in Slots.sorts:
            Slots.sorts[count] = z3.EnumSort(f"Slots{count}", [f"slot{count}_{number}" for number in range(count)])
        self.Slot, self.slots = Slots.sorts[count]
        self.entry = z3.Const("entry", self.Slot)
        self.latest = latest

    def every(self, formula):
        return z3.And([formula(slot) for slot in self.slots])

    def pairs(self, formula):
        return z3.And([formula(s, t) for s in self.slots for t in self.slots])

    def numbers(self, formula):
        return z3.And([formula(z3.IntVal(number)) for number in range(self.latest + 1)])


class Relation:
    """The formulas of dispatch.py over some slots, with the fields of both states and the parameters as constants."""

    def __init__(self, count, latest):
        self.domain = Slots(count, latest)
        self.indices = {SLOT: self.domain.slots, NUMBER: [z3.IntVal(number) for number in range(latest + 1)]}
        self.before = State.free(self.domain, dispatch.FIELDS)
        renamed = {name: z3.Const(f"{name} after", field.sort()) for name, field in self.before.fields.items()}
        self.after = State(self.domain, renamed)
        self.actions = dispatch.actions(self.before)
        self.invariant = z3.And(list(dispatch.invariant(self.before).values()))
        self.formulas = {}
        self.values = {}

    def formula(self, action):
        """Returns the formula that the action leads from one state to the other."""
        if action not in self.formulas:
            guard, fields = self.actions[action]
            parts = [guard]
            for name, (*index_kind, _) in KINDS.items():
                field, after = fields.get(name, self.before.fields[name]), self.after.fields[name]
                if index_kind:
                    parts += [z3.Select(field, index) == after[index] for index in self.indices[index_kind[0]]]
                else:
                    parts.append(field == after)
            self.formulas[action] = z3.And(parts)
        return self.formulas[action]

    def value(self, kinds, value):
        """Returns the term of a value, or of a list of the values of a map."""
        key = (kinds, tuple(value) if isinstance(value, list) else value)
        if key not in self.values:
            self.values[key] = self.term(kinds, value)
        return self.values[key]

    def term(self, kinds, value):
        if len(kinds) == 2:
            sort = self.domain.Slot if kinds[0] == SLOT else dispatch.Number
            term = z3.K(sort, self.value(kinds[1:], 0))
            for index, each in zip(self.indices[kinds[0]], value):
                term = z3.Store(term, index, self.value(kinds[1:], each)) if each != 0 else term
            return term
        if kinds[0] == SLOT:
            return self.domain.slots[value]
        return z3.BoolVal(value != 0) if kinds[0] == FLAG else z3.IntVal(value)

    def state(self, constants, fields):
        """Returns the substitution of the constants of a state."""
        return [(constants.fields[name], self.value(kinds, fields[name])) for name, kinds in KINDS.items()]

    def decide(self, formula, substitution):
        decided = z3.simplify(z3.substitute(formula, *substitution))
        if not (z3.is_true(decided) or z3.is_false(decided)):
            raise ValueError(f"z3 does not decide {decided}")
        return z3.is_true(decided)

    def start(self, transition):
        """Returns the substitution of the parameters and of the state before."""
        return [
            (self.domain.entry, self.value((SLOT,), transition.get("entry", 0))),
            (self.domain.serial, self.value((NUMBER,), transition.get("serial", 0))),
            (self.domain.choice, self.value((FLAG,), transition.get("choice", 0))),
            *self.state(self.before, transition["before"]),
        ]

    def allows(self, transition):
        after = self.state(self.after, transition["after"])
        return self.decide(self.formula(transition["action"]), [*self.start(transition), *after])

    def refuses(self, transition):
        guard, _ = self.actions[transition["action"]]
        return not self.decide(guard, self.start(transition))

    def has_invariant(self, state):
        return self.decide(self.invariant, self.state(self.before, state))


def greatest(name, last_slot):
    """Returns the greatest value of a field, or None if there is none."""
    return {FLAG: 1, SLOT: last_slot}.get(KINDS[name][-1], ALTERNATIVES.get(name))


def other(value, most, chance):
    """Returns another value: another one up to `most`, or a neighbour."""
    if most is None:
        return value + chance.choice([-2, -1, 1, 2])
    return (value + chance.randint(1, most)) % (most + 1)


def changed(transition, actions, chance):
    """Returns a changed copy of a transition, and the key of STILL_ALLOWED if its action or a parameter is changed."""
    action, last_slot = transition["action"], len(transition["before"]["serial"]) - 1
    kind = chance.random()
    if kind < 0.15:
        new = chance.choice([name for name in actions if name != action])
        return {**transition, "action": new}, (action, new)
    most = {"entry": last_slot, "serial": None, "choice": 1}
    present = [name for name in most if name in transition and most[name] != 0]
    if kind < 0.3 and present:
        name = chance.choice(present)
        return {**transition, name: other(transition[name], most[name], chance)}, (action, action)
    name = chance.choice([name for name in KINDS if greatest(name, last_slot) != 0])
    value, most = transition["after"][name], greatest(name, last_slot)
    if isinstance(value, list):
        at = chance.randrange(len(value))
        new = [*value[:at], other(value[at], most, chance), *value[at + 1 :]]
    else:
        new = other(value, most, chance)
    return {**transition, "after": {**transition["after"], name: new}}, None


def check(transitions):
    """Checks transitions over the same number of slots. Returns the counts and complaints."""
    slots = len(transitions[0]["before"]["serial"])
    relation = Relation(slots, max(transition["after"]["issued"] for transition in transitions) + 1)
    counts, complaints = collections.Counter(), []
    for transition in transitions:
        if "refused" in transition:
            counts["refused"] += 1
            if not relation.refuses(transition):
                complaints.append(f"dispatch.py does not refuse {json.dumps(transition)}")
            continue
        chance = random.Random(json.dumps(transition))
        if relation.allows(transition):
            counts["allowed"] += 1
        else:
            complaints.append(f"dispatch.py does not allow {json.dumps(transition)}")
        copy, key = changed(transition, [*relation.actions], chance)
        if not relation.allows(copy):
            counts["forbidden"] += 1
        elif key in STILL_ALLOWED:
            counts["still allowed"] += 1
        else:
            complaints.append(f"dispatch.py allows {json.dumps(copy)}")
        if chance.random() < STATES_CHECKED:
            counts["states"] += 1
            if not relation.has_invariant(transition["before"]):
                complaints.append(f"the invariant does not hold in {json.dumps(transition['before'])}")
    return counts, complaints


def pieces(transitions):
    """Returns pieces of the transitions, each over the same number of slots."""
    by_slots = collections.defaultdict(list)
    for transition in transitions:
        by_slots[len(transition["before"]["serial"])].append(transition)
    size = 1_000
    return [each[at : at + size] for each in by_slots.values() for at in range(0, len(each), size)]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        transitions = json.load(file)
    distinct = {json.dumps(transition): transition for transition in transitions}
    counts, complaints = collections.Counter(), []
    with multiprocessing.Pool(os.cpu_count()) as pool:
        for piece, found in pool.imap_unordered(check, pieces(distinct.values())):
            counts += piece
            complaints += found
    written = {transition["action"] for transition in transitions if "refused" not in transition}
    parts = {(transition["action"], transition["refused"]) for transition in transitions if "refused" in transition}
    names = dispatch.actions(State.free(Domain(is_small=True), dispatch.FIELDS)).keys()
    complaints += [f"no transition has the action {name}" for name in names - written - NOT_WRITTEN.keys()]
    complaints += [f"the action {name} is in a transition, and must not be" for name in NOT_WRITTEN.keys() & written]
    complaints += [
        f"{counts[counted]} transitions are {counted}, and there must be {floor}"
        for counted, floor in FLOORS.items() if counts[counted] < floor
    ]
    if len(parts) < PARTS:
        complaints.append(f"{len(parts)} parts of guards are not met, and there must be {PARTS}")
    if counts["still allowed"] > MOST_STILL_ALLOWED:
        complaints.append(f"{counts['still allowed']} changed transitions are still allowed")
    print(
        f"transitions: {counts['allowed']} of {len(written)} actions allowed, {counts['forbidden']} changed ones "
        f"forbidden, {counts['refused']} refused by {len(parts)} parts of guards, {counts['still allowed']} changed "
        f"ones allowed with a reason, {counts['states']} states have the invariant"
    )
    for complaint in complaints[:20]:
        print(f"transitions: {complaint}")
    sys.exit(bool(complaints))


if __name__ == "__main__":
    main()
