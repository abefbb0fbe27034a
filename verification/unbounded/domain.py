"""States of the relation in dispatch.py, over any number of entries or over a few."""
import z3

# The steps of the loop.
HOME, TAKING, NEXT, PUBLISHED, ASKING, CALLING, ENDED, FREEING = range(8)
# The lock between two actions: free, or held by a thread between its bump of `changes` and its observation.
OPEN, REMOVING, UPDATING, LOOKING = range(4)
# The place of a payload.
CALLER, TABLE, LOOP, FREED = range(4)
# The answer to a removal; a removal because the loop is dropped has none.
NO_ANSWER, IDLE, IN_FLIGHT, CLOSED = range(4)

# Ids and positions that a small domain has.
NUMBERS = range(6)

Number = z3.IntSort()
Flag = z3.BoolSort()


class Domain:
    """The slots and numbers over which formulas quantify: all, or three slots and the least numbers.

    In the small domain, every formula is decided, so a solution is a real state that breaks an obligation.
    """

    def __init__(self, is_small):
        self.is_small = is_small
        if is_small:
            self.Slot, self.slots = z3.EnumSort("SmallSlot", ["a", "b", "c"])
        else:
            self.Slot = z3.DeclareSort("Slot")
        self.s, self.t = z3.Consts("s t", self.Slot)
        self.n = z3.Int("n")
        # The parameters of an action: an entry, a serial, a decision of a thread.
        self.entry = z3.Const("entry", self.Slot)
        self.serial = z3.Int("serial_of_id")
        self.choice = z3.Bool("choice")

    def every(self, formula):
        """States the formula for every slot."""
        if self.is_small:
            return z3.And([formula(slot) for slot in self.slots])
        return z3.ForAll([self.s], formula(self.s))

    def pairs(self, formula):
        """States the formula for every two slots."""
        if self.is_small:
            return z3.And([formula(s, t) for s in self.slots for t in self.slots])
        return z3.ForAll([self.s, self.t], formula(self.s, self.t))

    def numbers(self, formula):
        """States the formula for every number."""
        if self.is_small:
            return z3.And([formula(z3.IntVal(n)) for n in NUMBERS])
        return z3.ForAll([self.n], formula(self.n))

    def by_slot(self, element):
        """Returns the map from each slot to `element` of it."""
        return z3.Lambda([self.s], element(self.s))

    def by_number(self, element):
        return z3.Lambda([self.n], element(self.n))

    def limits(self, S):
        """The condition that the numbers of a state are in the domain."""
        if self.is_small:
            return z3.And(S.issued < len(NUMBERS) - 1, self.serial < len(NUMBERS))
        return z3.BoolVal(True)


class State:
    """A state. Its fields are attributes, and so are the quantifiers and parameters of its domain."""

    def __init__(self, domain, fields):
        self.domain = domain
        self.fields = fields
        self.__dict__.update(fields)
        for name in ("every", "pairs", "numbers", "by_slot", "by_number", "entry", "serial_of_id", "choice"):
            self.__dict__[name] = getattr(domain, "serial" if name == "serial_of_id" else name)

    @classmethod
    def free(cls, domain, fields):
        """Creates a state of free constants."""
        constants = {}
        for name, sort in fields.items():
            parts = [domain.Slot if isinstance(part, str) else part for part in sort]
            constants[name] = z3.Const(name, parts[0] if len(parts) == 1 else z3.ArraySort(*parts))
        return cls(domain, constants)

    def after(self, changes):
        """Returns the state after an action that changes some fields."""
        return State(self.domain, {**self.fields, **changes})
