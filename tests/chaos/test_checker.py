"""test_checker.py - the checker accepts what can be true, and catches every kind of lie"""
import json
import os
import random
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import checker  # noqa: E402
import linearizability  # noqa: E402
from history import ANSWERED, NOT_APPLIED, UNHEARD, UNKNOWN, History, Operation  # noqa: E402
from linearizability import INFINITY, Event  # noqa: E402

SEEDS = 60


# --- answers as the API gives them ---

def posted(points, balance):
    return 200, json.dumps({"success": True, "points": points, "balance_after": balance})


def refused(points, available):
    return 400, json.dumps({"success": False, "code": "insufficient_points",
                            "metadata": {"required": points, "available": available}})


def moved(points, giver, taker):
    return 200, json.dumps({"success": True, "points": points, "from": {"balance_after": giver},
                            "to": {"balance_after": taker}})


def shown(balance):
    return 200, json.dumps({"points_balance": balance})


class Story:
    """A history, written by hand: every line is one operation with its attempts."""

    def __init__(self, **opening):
        self.history = History(opening)
        self.number = 0

    def tell(self, kind, person, began, ended, answer=None, points=None, other=None, outcome=None, replayed=False):
        self.number += 1
        operation = self.history.add(Operation("k%d" % self.number, kind, person, other, points))
        return self.again(operation, began, ended, answer, outcome, replayed)

    @staticmethod
    def again(operation, began, ended, answer=None, outcome=None, replayed=False):
        status, body = answer or (None, None)
        operation.add(1, began, ended, outcome or (ANSWERED if answer else UNKNOWN), status, body, replayed)
        return operation

    def found(self):
        return sorted({violation.question for violation in checker.check(self.history)})


class Answers(unittest.TestCase):
    """By hand: one story each."""

    def told(self, story, *questions):
        self.assertEqual(story.found(), list(questions), "\n".join(map(str, checker.check(story.history))))

    def test_a_plain_life_is_accepted(self):
        story = Story(ann=100, bob=0)
        story.tell("earn", "ann", 0, 1, posted(10, 110), 10)
        story.tell("burn", "ann", 2, 3, posted(60, 50), 60)
        story.tell("burn", "ann", 4, 5, refused(60, 50), 60)
        story.tell("transfer", "ann", 6, 7, moved(20, 30, 20), 20, "bob")
        story.tell("read", "bob", 8, 9, shown(20))
        story.history.total = 50
        story.history.entries = {"k1": [["ann", 10]], "k2": [["ann", -60]], "k4": [["bob", 20], ["ann", -20]]}
        self.told(story)

    def test_answers_that_overlap_may_come_in_any_order(self):
        story = Story(ann=0)
        story.tell("earn", "ann", 0, 9, posted(5, 12), 5)
        story.tell("earn", "ann", 1, 8, posted(7, 7), 7)
        story.tell("read", "ann", 2, 7, shown(0))
        story.tell("read", "ann", 3, 6, shown(12))
        story.tell("burn", "ann", 0, 9, refused(9, 7), 9)
        self.told(story)

    def test_a_lost_update_is_caught(self):
        story = Story(ann=100)
        story.tell("earn", "ann", 0, 1, posted(10, 110), 10)
        story.tell("earn", "ann", 2, 3, posted(5, 105), 5)
        self.told(story, "order")

    def test_a_lost_update_is_caught_by_the_last_read(self):
        story = Story(ann=100)
        story.tell("earn", "ann", 0, 1, posted(10, 110), 10)
        story.tell("read", "ann", 2, 3, shown(100))
        self.told(story, "order")

    def test_two_at_once_from_one_balance_are_caught(self):
        story = Story(ann=100)
        story.tell("burn", "ann", 0, 2, posted(80, 20), 80)
        story.tell("burn", "ann", 1, 3, posted(80, 20), 80)
        self.told(story, "order")

    def test_a_change_applied_twice_is_caught(self):
        story = Story(ann=100)
        lost = story.tell("earn", "ann", 0, 1, None, 10)
        story.again(lost, 2, 3, posted(10, 120))
        self.told(story, "order")

    def test_a_change_applied_twice_under_one_key_is_caught_in_the_ledger(self):
        story = Story(ann=100)
        story.tell("earn", "ann", 0, 1, posted(10, 110), 10)
        story.history.entries = {"k1": [["ann", 10], ["ann", 10]]}
        self.told(story, "entries")

    def test_an_acknowledged_change_that_is_not_in_the_ledger_is_caught(self):
        story = Story(ann=100)
        story.tell("earn", "ann", 0, 1, posted(10, 110), 10)
        story.history.entries = {}
        self.told(story, "entries")

    def test_a_refused_or_unheard_of_change_in_the_ledger_is_caught(self):
        story = Story(ann=5)
        story.tell("burn", "ann", 0, 1, refused(10, 5), 10)
        story.history.entries = {"k1": [["ann", -10]]}
        self.told(story, "entries")
        story.history.entries = {"k77": [["ann", 1]]}
        self.told(story, "entries")

    def test_a_stale_read_is_caught(self):
        story = Story(ann=100)
        story.tell("earn", "ann", 0, 1, posted(10, 110), 10)
        story.tell("read", "ann", 2, 3, shown(100))
        story.tell("read", "ann", 4, 5, shown(110))
        self.told(story, "order")

    def test_a_read_that_goes_back_in_time_is_caught(self):
        story = Story(ann=100)
        story.tell("earn", "ann", 0, 9, posted(10, 110), 10)
        story.tell("read", "ann", 1, 2, shown(110))
        story.tell("read", "ann", 3, 4, shown(100))
        self.told(story, "order")

    def test_a_stale_refusal_is_caught(self):
        story = Story(ann=0)
        story.tell("earn", "ann", 0, 1, posted(50, 50), 50)
        story.tell("burn", "ann", 2, 3, refused(20, 0), 20)
        self.told(story, "order")

    def test_a_refusal_although_there_was_enough_is_caught(self):
        story = Story(ann=50)
        story.tell("burn", "ann", 2, 3, refused(20, 50), 20)
        self.told(story, "order")

    def test_a_stale_not_found_is_caught(self):
        story = Story(ann=None)
        story.tell("look", "ann", 0, 1, (200, "[]"))
        story.tell("enrol", "ann", 2, 3, (201, "{}"))
        self.told(story)
        story.tell("earn", "ann", 4, 5, (404, "{}"), 5)
        self.told(story, "order")

    def test_an_answer_before_the_account_was_there_is_caught(self):
        story = Story(ann=None)
        story.tell("earn", "ann", 0, 1, posted(5, 5), 5)
        story.tell("enrol", "ann", 2, 3, (201, "{}"))
        self.told(story, "order")

    def test_a_wrong_total_is_caught(self):
        story = Story(ann=100, bob=0)
        story.tell("transfer", "ann", 0, 1, moved(30, 70, 30), 30, "bob")
        for total in (99, 101, 130):
            story.history.total = total
            self.told(story, "conservation")
        story.history.total = 100
        self.told(story)

    def test_a_transfer_that_credits_another_sum_is_caught(self):
        story = Story(ann=100, bob=0)
        story.tell("transfer", "ann", 0, 1, moved(30, 70, 60), 30, "bob")
        self.told(story, "order")

    def test_an_unknown_change_may_have_happened_or_not_or_later(self):
        for balances in ((100, 100, 100), (110, 110, 110), (100, 110, 110), (100, 100, 110)):
            story = Story(ann=100)
            story.tell("earn", "ann", 0, 1, None, 10)
            for place, balance in enumerate(balances):
                story.tell("read", "ann", 2 + 2 * place, 3 + 2 * place, shown(balance))
            story.history.total = balances[-1]
            self.told(story)

    def test_an_unknown_change_that_comes_twice_or_goes_away_again_is_caught(self):
        for balances in ((110, 120), (110, 100), (90, 90)):
            story = Story(ann=100)
            story.tell("earn", "ann", 0, 1, None, 10)
            for place, balance in enumerate(balances):
                story.tell("read", "ann", 2 + 2 * place, 3 + 2 * place, shown(balance))
            self.told(story, "order")

    def test_an_unknown_change_does_not_come_before_it_was_asked_for(self):
        story = Story(ann=100)
        story.tell("read", "ann", 0, 1, shown(110))
        story.tell("earn", "ann", 2, 3, None, 10)
        self.told(story, "order")

    def test_a_total_with_unknown_changes_has_bounds(self):
        story = Story(ann=100)
        story.tell("earn", "ann", 0, 1, None, 10)
        story.tell("burn", "ann", 0, 1, None, 20)
        for total, questions in ((79, ["conservation"]), (80, []), (100, []), (110, []), (111, ["conservation"])):
            story.history.total = total
            self.told(story, *questions)

    def test_an_unknown_change_with_an_answer_later_is_certain(self):
        story = Story(ann=100)
        lost = story.tell("earn", "ann", 0, 1, None, 10)
        story.tell("read", "ann", 2, 3, shown(110))
        story.again(lost, 4, 5, posted(10, 110), replayed=True)
        story.tell("read", "ann", 6, 7, shown(110))
        self.told(story)
        story.tell("read", "ann", 8, 9, shown(100))
        self.told(story, "order")

    def test_two_answers_for_one_key_are_caught(self):
        story = Story(ann=100)
        one = story.tell("earn", "ann", 0, 1, posted(10, 110), 10)
        story.again(one, 2, 3, posted(10, 110), replayed=True)
        self.told(story)
        story.again(one, 4, 5, posted(10, 120))
        self.told(story, "keys")

    def test_what_was_answered_as_not_applied_was_not(self):
        story = Story(ann=100)
        one = story.tell("earn", "ann", 0, 1, (503, "{}"), 10, outcome=NOT_APPLIED)
        story.tell("read", "ann", 2, 3, shown(110))
        story.again(one, 4, 5, posted(10, 110))
        self.told(story, "order")

    def test_a_key_that_was_acknowledged_and_is_never_heard_of_is_caught(self):
        story = Story(ann=100)
        one = story.tell("earn", "ann", 0, 1, posted(10, 110), 10)
        story.again(one, 2, 3, outcome=UNHEARD)
        self.told(story, "keys")

    def test_an_answer_that_nobody_should_get_is_caught(self):
        for answer in ((500, "{}"), (401, "{}"), (409, '{"code":"idempotency_conflict"}'), (200, "{"), (200, "{}"),
                       posted(11, 110)):
            story = Story(ann=100)
            story.tell("earn", "ann", 0, 1, answer, 10)
            self.told(story, "answers")

    def test_a_search_without_end_is_given_up_and_said(self):
        events = [Event("credit", 0, INFINITY, 1 << place) for place in range(40)]
        events.append(Event("read", 1, 2, balance=-1))
        with self.assertRaises(linearizability.Undecided):
            linearizability.check(events, 0, 5000)

    def test_a_kept_history_is_decided_the_same(self):
        story = Story(ann=100, bob=None)
        story.tell("earn", "ann", 0, 1, posted(10, 110), 10)
        story.tell("enrol", "bob", 0, 1)
        story.tell("read", "ann", 2, 3, shown(100))
        story.history.entries = {"k1": [["ann", 10]]}
        story.history.total = 111
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "history.jsonl")
            story.history.save(path)
            kept = checker.check(History.load(path))
        self.assertEqual(list(map(str, kept)), list(map(str, checker.check(story.history))))
        self.assertEqual({one.question for one in kept}, {"order", "conservation"})


class Ledger:
    """Accounts that keep the rules, asked by several clients at once."""

    PEOPLE = 6

    def __init__(self, seed, unknown=0.1):
        self.chance = random.Random(seed)
        self.unknown = unknown
        self.history = History({place: 50 for place in range(self.PEOPLE)}, seed)
        self.balances = dict(self.history.opening)
        self.entries = {}
        self.run()

    def run(self):
        """Effects happen in order of time; what clients saw is written around them."""
        moments = []
        for number in range(400):
            at = self.chance.uniform(0, 100)
            began, ended = at - self.chance.expovariate(2), at + self.chance.expovariate(2)
            moments.append((at, number, began, ended))
        for at, number, began, ended in sorted(moments):
            self.one("k%d" % number, began, ended)
        for person, balance in self.balances.items():
            self.history.add(Operation("last%d" % person, "read", person)).add(0, 200, 201, ANSWERED, *shown(balance))
        self.history.entries = self.entries
        self.history.total = sum(self.balances.values())

    def one(self, key, began, ended):
        chance, balances = self.chance, self.balances
        kind = chance.choice(("earn", "burn", "burn", "transfer", "transfer", "read"))
        person, other = chance.sample(range(self.PEOPLE), 2)
        points = chance.randint(1, 60)
        operation = self.history.add(Operation(key, kind, person, other if kind == "transfer" else None,
                                               None if kind == "read" else points))
        lost = kind != "read" and chance.random() < self.unknown
        if lost and chance.random() < 0.5:  # never arrives
            operation.add(1, began, ended, UNKNOWN)
            return
        if kind == "read":
            answer = shown(balances[person])
        elif kind != "earn" and balances[person] < points:
            answer = refused(points, balances[person])
        else:
            rows = [(person, points if kind == "earn" else -points)] + ([(other, points)] if kind == "transfer" else [])
            for who, delta in rows:
                balances[who] += delta
            self.entries[key] = rows
            answer = moved(points, balances[person], balances[other]) if kind == "transfer" else \
                posted(points, balances[person])
        if lost:
            # The client hears nothing, long before or after it happened; sometimes it asks again later.
            operation.add(1, began - 1, began - 0.5 if chance.random() < 0.5 else ended, UNKNOWN)
            if chance.random() < 0.7:
                operation.add(2, ended + 3, ended + 4, ANSWERED, *answer, replayed=True)
        else:
            if chance.random() < 0.1:
                operation.add(2, began - 2, began - 1, NOT_APPLIED, 503, "{}")
            operation.add(1, began, ended, ANSWERED, *answer)


class Searches(unittest.TestCase):
    """From seeds: right histories with unknown outcomes are accepted, and none of them survives a lie."""

    def test_right_histories_are_accepted(self):
        for seed in range(SEEDS):
            self.assertEqual(list(map(str, checker.check(Ledger(seed).history))), [], seed)

    def change(self, seed, kinds, statuses, edit):
        """One answered operation of a right history, picked by the seed, with other words; says what was found."""
        history = Ledger(seed).history
        candidates = [one for one in history.operations if one.kind in kinds and one.answer is not None and
                      one.answer.status in statuses and one.answer.began < 150]
        operation = random.Random(seed).choice(candidates)
        edit(operation, operation.answer)
        return {violation.question for violation in checker.check(history)}

    def every(self, question, kinds, statuses, edit):
        for seed in range(SEEDS):
            self.assertIn(question, self.change(seed, kinds, statuses, edit), seed)

    def test_a_balance_that_cannot_be_is_caught(self):
        def off(_, answer):
            body = json.loads(answer.body)
            place = body["from"] if "from" in body else body
            name = "points_balance" if "points_balance" in body else "balance_after"
            place[name] += 10007  # more than all that is unknown
            answer.body = json.dumps(body)
        self.every("order", ("earn", "burn", "transfer", "read"), (200,), off)

    def test_a_change_that_was_answered_and_lost_is_caught(self):
        def lose(operation, answer):
            # Answered like the refusal of nothing: the balance did not move, but the ledger's did.
            answer.status, answer.body = refused(10 ** 6, 10 ** 5)
            operation.points = 10 ** 6
        self.every("order", ("burn",), (200,), lose)

    def test_a_change_that_took_effect_twice_is_caught(self):
        for seed in range(SEEDS):
            history = Ledger(seed).history
            chance = random.Random(seed)
            one = chance.choice([one for one in history.operations if one.kind == "earn" and one.answer])
            for other in history.operations:  # from then on everything about the customer is higher
                answer = other.answer
                if answer is None or answer.began < one.answer.ended or one is other:
                    continue
                body = json.loads(answer.body)
                for person, place in ((other.person, body.get("from", body)), (other.other, body.get("to", {}))):
                    for name in ("balance_after", "points_balance"):
                        if person == one.person and name in place:
                            place[name] += one.points
                answer.body = json.dumps(body)
            self.assertIn("order", {violation.question for violation in checker.check(history)}, seed)

    def test_a_read_of_the_past_is_caught(self):
        for seed in range(SEEDS):
            history = Ledger(seed, unknown=0).history  # what might still come would make many balances true
            person = seed % Ledger.PEOPLE
            told = [json.loads(one.answer.body)["points_balance"] for one in history.operations
                    if one.kind == "read" and one.person == person]
            past = random.Random(seed).choice([balance for balance in told if balance != told[-1]])
            history.add(Operation("stale", "read", person)).add(0, 202, 203, ANSWERED, *shown(past))
            self.assertEqual({violation.question for violation in checker.check(history)}, {"order"}, seed)

    def test_a_total_or_an_entry_that_is_wrong_is_caught(self):
        for seed in range(SEEDS):
            history = Ledger(seed).history
            history.total += 10 ** 6
            self.assertEqual({one.question for one in checker.check(history)}, {"conservation"}, seed)
            history.total -= 10 ** 6
            sure = [one.key for one in history.operations if one.succeeded and one.kind != "read"]
            history.entries.pop(random.Random(seed).choice(sure))
            self.assertEqual({one.question for one in checker.check(history)}, {"entries"}, seed)


if __name__ == "__main__":
    unittest.main()
