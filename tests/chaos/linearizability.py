"""linearizability.py - can the answers about one account be put in one order that its balance explains?

Every event has an effect at one moment between its beginning and its end. The search goes through the beginnings and
ends in order of time and keeps all pairs (balance, which open events had their effect already) that explain everything
up to there; when an event ends, it must have had its effect, so the search tries what open events could have come right
before it (Wing and Gong's search, each effect as late as it can be; Lowe 2017). Pairs that were met are not tried again.
Events that change nothing have their effect as soon as the balance fits: that never excludes a later choice.
"""

INFINITY = float("inf")
STEPS_MAX = 400000  # per account; a history of a few hundred events takes some thousands


class Event:
    """What one account was asked and said. `balance` is what the answer said, None when nobody was told.

    kind: "credit" and "debit" of `points`, with the balance after it; "refusal" of a debit of `points` for want of
    points, with the balance it named; "read"; "absent": there is no such account; "enrol": there is one from now on.
    An event that nobody was told of ends never, and perhaps never happens.
    """

    __slots__ = ("kind", "began", "ended", "points", "balance", "source")

    def __init__(self, kind, began, ended, points=None, balance=None, source=None):
        self.kind = kind
        self.began = began
        self.ended = ended
        self.points = points
        self.balance = balance
        self.source = source  # for people

    @property
    def changes(self):
        return self.kind in ("credit", "debit", "enrol")

    def after(self, balance):
        """The balance after its effect on `balance`; raises Impossible where it does not fit. None: no account."""
        if self.kind == "enrol" or self.kind == "absent":
            if balance is not None:
                raise Impossible
            return 0 if self.kind == "enrol" else None
        if balance is None:
            raise Impossible
        if self.kind == "credit":
            left = balance + self.points
        elif self.kind == "debit":
            left = balance - self.points
        else:
            left = balance
        told = self.balance is not None
        if left < 0 or (told and left != self.balance) or (self.kind == "refusal" and left >= self.points):
            raise Impossible
        return left

    def __repr__(self):
        return "%.4f to %.4f %s%s%s" % (self.began, self.ended, self.kind,
                                        "" if self.points is None else " of %d" % self.points,
                                        "" if self.balance is None else ", balance %d" % self.balance)


class Impossible(Exception):
    """An event does not fit a balance."""


class Undecided(Exception):
    """The search was given up."""


class Contradiction:
    """At the end of `event` no balance explained all answers up to there."""

    def __init__(self, event, balances, around):
        self.event = event
        self.balances = balances
        self.around = around

    def __str__(self):
        lines = ["no order explains: %r" % self.event,
                 "  the balance before it could be %s" % ", ".join(map(str, self.balances[:8])),
                 "  answers around it:"]
        return "\n".join(lines + ["    %r  [%s]" % (event, event.source) for event in self.around])


def check(events, opening, steps_max=STEPS_MAX):
    """None when the answers can be explained, else a Contradiction. Raises Undecided after steps_max."""
    timeline = []
    for event in events:
        # At the same instant beginnings come first: what might have overlapped did.
        timeline.append((event.began, 0, id(event), event))
        if event.ended != INFINITY:
            timeline.append((event.ended, 1, id(event), event))
    timeline.sort(key=lambda item: item[:3])
    search = Search(opening, steps_max)
    for position, (_, ends, _, event) in enumerate(timeline):
        if not ends:
            search.begin(event)
        elif not search.end(event):
            near = [item[3] for item in timeline[max(0, position - 24):position + 12]]
            near += list(search.open.values())
            around = sorted(dict.fromkeys(near), key=lambda one: (one.began, one.ended))
            return Contradiction(event, sorted({balance for balance, _ in search.explained}, key=str), around)
    return None


class Search:
    def __init__(self, opening, steps_max):
        self.explained = {(opening, 0)}  # (balance, bits of open events that had their effect)
        self.open = {}                   # bit: event
        self.bits = {}                   # event: bit
        self.free = []
        self.steps = 0
        self.steps_max = steps_max

    def begin(self, event):
        bit = self.free.pop() if self.free else 1 << len(self.open)
        self.open[bit] = event
        self.bits[event] = bit

    def end(self, event):
        """Whether something still explains everything; `explained` stays as it was when nothing does."""
        bit = self.bits.pop(event)
        found, seen = set(), set()
        waiting = [self.settled(*one) for one in self.explained]
        while waiting:
            one = waiting.pop()
            if one in seen:
                continue
            seen.add(one)
            balance, done = one
            if done & bit:
                found.add((balance, done & ~bit))
                continue
            for other, candidate in self.open.items():
                if done & other or not candidate.changes:
                    continue
                self.steps += 1
                if self.steps > self.steps_max:
                    raise Undecided("gave up after %d steps with %d open events" % (self.steps_max, len(self.open)))
                try:
                    left = candidate.after(balance)
                except Impossible:
                    continue
                waiting.append(self.settled(left, done | other))
        if not found:
            return False
        self.explained = found
        del self.open[bit]
        self.free.append(bit)
        return True

    def settled(self, balance, done):
        """The same with every open event that changes nothing and fits."""
        for bit, event in self.open.items():
            if not done & bit and not event.changes:
                try:
                    event.after(balance)
                except Impossible:
                    continue
                done |= bit
        return balance, done
