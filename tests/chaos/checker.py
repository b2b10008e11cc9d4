#!/usr/bin/env python3
"""checker.py HISTORY... - decides whether what clients were told can be true, from a kept history

Four questions, over all answers, refusals and reads alike:
  order         per account: is there an order of all effects, each between asking and answering, that explains every
                balance that was told, every refusal and every "there is none"? (linearizability.py) A request that
                was answered 429 or 503 had no effect; what was asked and not answered may have one at any time since.
  keys          does every key have one answer, whoever asks and however often, and is it known for ever?
  entries       does the ledger hold every acknowledged change once, and nothing that nobody asked for?
  conservation  are all balances together what came in less what went out?
"""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import linearizability  # noqa: E402
from history import ANSWERED, READS, UNHEARD, UNKNOWN, History  # noqa: E402
from linearizability import INFINITY, Event  # noqa: E402


class Violation:
    """`question` is one of those above, "answers" for one that nobody should get, or "undecided"."""

    def __init__(self, question, text):
        self.question = question
        self.text = text

    def __str__(self):
        return "%s: %s" % (self.question.upper(), self.text)


class Unfit(Exception):
    """An answer that no rule of the API allows for this request."""


def check(history):
    """All violations; an empty list when everything can be true."""
    found = []
    found += check_keys(history)
    events = {person: [] for person in history.opening}
    for operation in history.operations:
        try:
            for person, event in events_of(operation):
                events[person].append(event)
        except (Unfit, KeyError, TypeError, ValueError) as error:
            found.append(Violation("answers", "%s\n%r" % (error or type(error).__name__, operation)))
    for person, mine in events.items():
        try:
            contradiction = linearizability.check(mine, history.opening[person])
        except linearizability.Undecided as error:
            found.append(Violation("undecided", "customer %s: %s" % (person, error)))
            continue
        if contradiction is not None:
            found.append(Violation("order", "customer %s: %s" % (person, contradiction)))
    found += check_entries(history)
    found += check_total(history)
    return found


# --- answers into events ---

def events_of(operation):
    """(person, event) of one operation."""
    answer = operation.answer
    if operation.kind in READS:
        return [] if answer is None else [(operation.person, read_event(operation, answer))]
    if answer is None:
        return maybe(operation, operation.began)
    if answer.status == 404:  # such an answer is not kept under the key: earlier attempts may still come true
        if operation.kind not in ("earn", "burn"):
            raise Unfit("answered 404")
        unknown = [attempt.began for attempt in operation.attempts if attempt.outcome == UNKNOWN]
        absent = Event("absent", answer.began, answer.ended, source=operation.key)
        return [(operation.person, absent)] + maybe(operation, min(unknown, default=None))
    return told(operation, answer, operation.began, answer.ended)


def read_event(operation, answer):
    body = json.loads(answer.body)
    if answer.status == 404 or (answer.status == 200 and body == []):
        return Event("absent", answer.began, answer.ended, source=operation.key)
    if answer.status != 200:
        raise Unfit("answered %d" % answer.status)
    if operation.kind == "look":
        if len(body) != 1:
            raise Unfit("%d accounts of one customer in one program" % len(body))
        body = body[0]
    return Event("read", answer.began, answer.ended, balance=whole(body["points_balance"]), source=operation.key)


def maybe(operation, began):
    """Nobody was told: it may have happened at any time since, or never."""
    if began is None:
        return []
    one, key = operation, operation.key
    if one.kind == "enrol":
        return [(one.person, Event("enrol", began, INFINITY, source=key))]
    if one.kind == "earn":
        return [(one.person, Event("credit", began, INFINITY, one.points, source=key))]
    events = [(one.person, Event("debit", began, INFINITY, one.points, source=key))]
    if one.kind == "transfer":
        events.append((one.other, Event("credit", began, INFINITY, one.points, source=key)))
    return events


def told(operation, answer, began, ended):
    one, key = operation, operation.key
    body = json.loads(answer.body)
    if answer.status == 400 and one.kind in ("burn", "transfer") and body.get("code") == "insufficient_points":
        if body["metadata"]["required"] != one.points:
            raise Unfit("refused for other points than were asked for")
        return [(one.person, Event("refusal", began, ended, one.points, whole(body["metadata"]["available"]), key))]
    if answer.status != (201 if one.kind == "enrol" else 200):
        raise Unfit("answered %d" % answer.status)
    if one.kind == "enrol":
        return [(one.person, Event("enrol", began, ended, source=key))]
    if body["points"] != one.points:
        raise Unfit("answered for other points than were asked for")
    if one.kind == "transfer":
        return [(one.person, Event("debit", began, ended, one.points, whole(body["from"]["balance_after"]), key)),
                (one.other, Event("credit", began, ended, one.points, whole(body["to"]["balance_after"]), key))]
    kind = "credit" if one.kind == "earn" else "debit"
    return [(one.person, Event(kind, began, ended, one.points, whole(body["balance_after"]), key))]


def whole(number):
    if type(number) is not int:
        raise Unfit("%r is no whole number" % (number,))
    return number


# --- keys ---

def check_keys(history):
    found = []
    for operation in history.operations:
        if operation.kind in READS:
            continue
        for text in wrong_with_key(operation):
            found.append(Violation("keys", "%s\n%r" % (text, operation)))
    return found


def wrong_with_key(operation):
    answers = [one for one in operation.attempts if one.outcome == ANSWERED and one.status != 404]  # 404 is not kept
    if not all(same(answers[0], one) for one in answers[1:]):
        yield "several answers for one key"
    for unheard in operation.attempts:
        if unheard.outcome != UNHEARD:
            continue
        if any(one.ended < unheard.began for one in answers):
            yield "acknowledged, and later never heard of"


def same(one, other):
    """A repeated answer is the same byte for byte; the one that a look-up shows may be laid out in another way."""
    if one.status != other.status:
        return False
    try:
        return one.body == other.body or json.loads(one.body) == json.loads(other.body)
    except ValueError:
        return False


# --- the ledger ---

def check_entries(history):
    """What stands in the ledger under each key, against what was answered. An open one may stand there or not."""
    if history.entries is None:
        return []
    found, left = [], {key: sorted(map(tuple, rows)) for key, rows in history.entries.items()}
    for operation in history.operations:
        if operation.kind not in ("earn", "burn", "transfer"):
            continue
        rows = left.pop(operation.key, [])
        made = {"earn": [(operation.person, operation.points)], "burn": [(operation.person, -(operation.points or 0))],
                "transfer": [(operation.person, -(operation.points or 0)), (operation.other, operation.points)]}
        expected = sorted(made[operation.kind])
        if operation.succeeded:
            good = rows == expected
        elif open_ended(operation):
            good = not rows or rows == expected
        else:
            good = not rows
        if not good:
            found.append(Violation("entries", "the ledger holds %r\n%r" % (rows, operation)))
    for key, rows in left.items():
        found.append(Violation("entries", "the ledger holds %r under %r, which nobody asked for" % (rows, key)))
    return found


def open_ended(operation):
    """Whether it may still have had an effect that nobody was told of."""
    answer = operation.answer
    return (answer is None or answer.status == 404) and any(one.outcome == UNKNOWN for one in operation.attempts)


def check_total(history):
    if history.total is None:
        return []
    low = high = sum(balance or 0 for balance in history.opening.values())
    for operation in history.operations:
        if operation.kind not in ("earn", "burn"):
            continue
        points = operation.points if operation.kind == "earn" else -operation.points
        if operation.succeeded:
            low, high = low + points, high + points
        elif open_ended(operation):
            low, high = low + min(points, 0), high + max(points, 0)
    if any(operation.kind == "transfer" and open_ended(operation) for operation in history.operations):
        low -= sum(operation.points for operation in history.operations
                   if operation.kind == "transfer" and open_ended(operation))  # in transit
    if low <= history.total <= high:
        return []
    return [Violation("conservation", "all balances together are %d; what came in less what went out is %s" %
                      (history.total, low if low == high else "%d to %d" % (low, high)))]


def main(paths):
    bad = 0
    for path in paths:
        history = History.load(path)
        violations = check(history)
        for one in violations:
            print("%s\n" % one)
        print("%s: %d operations, %d violations" % (path, len(history.operations), len(violations)))
        bad += len(violations)
    return 1 if bad or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
