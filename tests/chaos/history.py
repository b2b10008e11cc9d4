"""history.py - what clients asked and what they were told, with the times of both

An operation is one wish of a client with one key, or without one and then tried once. It has as many attempts as it took to get an answer; every attempt
that may have reached a node is kept. Times are seconds of one monotonic clock, that of the process with all clients.
"""
import json
import threading

# What an attempt says about the operation's effect.
ANSWERED = "answered"        # final: `status` and `body` are the answer for this key, for ever
UNKNOWN = "unknown"          # it may have happened, may still happen, or not
NOT_APPLIED = "not applied"  # this attempt had no effect and will have none
UNHEARD = "unheard of"       # asked what became of the key, a node said that it was never seen

READS = ("read", "look")
WRITES = ("enrol", "earn", "burn", "transfer")


class Attempt:
    __slots__ = ("node", "began", "ended", "outcome", "status", "body", "replayed")

    def __init__(self, node, began, ended, outcome, status=None, body=None, replayed=False):
        self.node = node
        self.began = began
        self.ended = ended
        self.outcome = outcome
        self.status = status
        self.body = body
        self.replayed = replayed

    def __repr__(self):
        said = "" if self.status is None else " %d %s" % (self.status, self.body)
        return "%.4f to %.4f through node %s: %s%s%s" % (self.began, self.ended, self.node, self.outcome, said,
                                                         " (replayed)" if self.replayed else "")


class Operation:
    """`person` and `other` number the customers; what a kind does not need is None."""

    __slots__ = ("key", "kind", "person", "other", "points", "attempts")

    def __init__(self, key, kind, person, other=None, points=None):
        self.key = key
        self.kind = kind
        self.person = person
        self.other = other
        self.points = points
        self.attempts = []

    def add(self, *values, **named):
        attempt = Attempt(*values, **named)
        self.attempts.append(attempt)
        return attempt

    @property
    def answer(self):
        """The first attempt that was answered, or None."""
        return next((attempt for attempt in self.attempts if attempt.outcome == ANSWERED), None)

    @property
    def began(self):
        """From when on it may have had its effect: attempts that certainly had none before that do not count."""
        return min((attempt.began for attempt in self.attempts if attempt.outcome in (ANSWERED, UNKNOWN)), default=None)

    @property
    def succeeded(self):
        answer = self.answer
        return answer is not None and answer.status in (200, 201)

    def __repr__(self):
        what = "%s %s of customer %s" % (self.key, self.kind, self.person)
        if self.other is not None:
            what += " to %s" % self.other
        if self.points is not None:
            what += ", %d points" % self.points
        return "\n    ".join([what] + [repr(attempt) for attempt in self.attempts])


class History:
    """`opening` is the balance each customer began with, None for one without an account."""

    def __init__(self, opening, seed=0):
        self.opening = dict(opening)
        self.seed = seed
        self.operations = []
        self.entries = None  # {key: [(person, delta)]} as the ledger lists them at the end
        self.total = None    # of all balances, as the list of accounts says at the end
        self.lock = threading.Lock()

    def add(self, operation):
        with self.lock:
            self.operations.append(operation)
        return operation

    def save(self, path):
        with open(path, "w", encoding="utf-8") as out:
            out.write(json.dumps({"seed": self.seed, "opening": sorted(self.opening.items()), "entries": self.entries,
                                  "total": self.total}) + "\n")
            for one in list(self.operations):
                attempts = [[getattr(attempt, name) for name in Attempt.__slots__] for attempt in one.attempts]
                out.write(json.dumps([one.key, one.kind, one.person, one.other, one.points, attempts]) + "\n")

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as lines:
            head = json.loads(next(lines))
            history = cls(map(tuple, head["opening"]), head["seed"])
            history.entries, history.total = head["entries"], head["total"]
            for line in lines:
                key, kind, person, other, points, attempts = json.loads(line)
                operation = Operation(key, kind, person, other, points)
                operation.attempts = [Attempt(*values) for values in attempts]
                history.operations.append(operation)
        return history
