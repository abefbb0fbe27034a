#!/usr/bin/python3
"""Proves with z3 that the relation in dispatch.py keeps its promises, for any number of entries, calls and changes.

An obligation states that the initial state has a clause of the invariant, that an action keeps it, or that the
invariant implies a promise. Each must hold over all numbers of entries. Then the checks are checked: without any one
clause of the invariant, and with any fault of faults.py, z3 must find a state over three entries that breaks a named
obligation.
"""
import re
import sys
from pathlib import Path

try:
    import z3
except ImportError:
    sys.exit("relation: Debian's package python3-z3 is missing, or this is not Debian's python3")

import dispatch
from domain import Domain, State
from faults import FAULTS

# The least numbers of obligations, clauses and faults. With fewer, a part of the relation is not checked any more.
FLOORS = {"obligations": 1_080, "clauses": 34, "faults": 14, "defects": 9}
# The time for one obligation, in milliseconds. Each takes some hundredths of a second.
LIMIT = 20_000


class Prover:
    """The obligations of the relation over a domain, without a clause of the invariant or with a fault."""

    def __init__(self, is_small, left_out=None, fault=None):
        self.domain = Domain(is_small)
        self.left_out = left_out
        self.before = State.free(self.domain, dispatch.FIELDS)
        self.actions = dispatch.actions(self.before)
        if fault is not None:
            fault.plant(self.before, self.actions)
        self.solver = z3.Solver()
        self.solver.set("timeout", LIMIT)

    def invariant(self, state):
        clauses = dispatch.invariant(state)
        return {name: clause for name, clause in clauses.items() if name != self.left_out}

    def solve(self, assumptions, goals):
        """Yields the names of the goals, each with `unsat` if it follows from the assumptions."""
        self.solver.push()
        self.solver.add(self.domain.limits(self.before), *assumptions)
        for name, formula in goals.items():
            self.solver.push()
            self.solver.add(z3.Not(formula))
            yield name, self.solver.check()
            self.solver.pop()
        self.solver.pop()

    def groups(self):
        """Yields the obligations of each action: its name, the assumptions and the goals. The promises come first,
        because their failures are easier to understand."""
        before, assumed = self.before, list(self.invariant(self.before).values())
        after = {action: before.after(fields) for action, (_, fields) in self.actions.items()}
        yield "state", assumed, dispatch.state_promises(before)
        for action, (guard, _) in self.actions.items():
            yield action, [*assumed, guard], dispatch.promises(before, after[action]).get(action, {})
        yield "initial", [dispatch.initial(before)], self.invariant(before)
        for action, (guard, _) in self.actions.items():
            yield action, [*assumed, guard], self.invariant(after[action])

    def results(self, wanted=None):
        """Yields the name and the result of every obligation, or of one."""
        for action, assumptions, goals in self.groups():
            names = {goal: f"{action}.{goal}" for goal in goals}
            goals = {names[goal]: formula for goal, formula in goals.items() if wanted in (None, names[goal])}
            yield from self.solve(assumptions, goals)


def check_clauses():
    """Leaves out each clause; yields its name and the obligation that fails, or None."""
    for clause in dispatch.invariant(State.free(Domain(is_small=True), dispatch.FIELDS)):
        results = Prover(is_small=True, left_out=clause).results()
        yield clause, next((name for name, result in results if result == z3.sat), None)


def check_faults():
    """Plants each fault; yields it, and whether the promise that it breaks fails."""
    for fault in FAULTS:
        results = list(Prover(is_small=True, fault=fault).results(fault.breaks))
        yield fault, results == [(fault.breaks, z3.sat)]


def main():
    failures = []

    def complain(message):
        print(f"relation: {message}")
        failures.append(message)

    count = 0
    for obligation, result in Prover(is_small=False).results():
        count += 1
        if result != z3.unsat:
            complain(f"{obligation} is not proved")
    # A failure in the small domain must have its cause in the change that is made there.
    for obligation, result in Prover(is_small=True).results():
        if result != z3.unsat:
            complain(f"{obligation} fails over three entries")
    clauses = 0
    for clause, failing in check_clauses():
        clauses += 1
        if failing is None:
            complain(f"no obligation fails without the clause {clause}")
        else:
            print(f"without {clause}: {failing} fails")
    defects = (Path(__file__).parent.parent / "defects.toml").read_text(encoding="utf-8")
    defects = set(re.findall(r'^name = "(.*)"', defects, re.MULTILINE))
    for fault, is_found in check_faults():
        print(f"{fault.breaks} detects {fault.name}" + (f", the defect {fault.defect}" if fault.defect else ""))
        if not is_found:
            complain(f"{fault.breaks} does not detect {fault.name}")
        if fault.defect is not None and fault.defect not in defects:
            complain(f"there is no defect {fault.defect}")
    named = {fault.defect for fault in FAULTS} - {None}
    counts = {"obligations": count, "clauses": clauses, "faults": len(FAULTS), "defects": len(named)}
    for counted, floor in FLOORS.items():
        if counts[counted] < floor:
            complain(f"{counts[counted]} {counted}, and there must be {floor}")
    print(f"relation: {count} obligations, {clauses} clauses needed, {len(FAULTS)} faults detected")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
