"""test_points.py - earn, burn, transfer, reconcile (api-services 3.1 to 3.3, 3.6, 3.7) and keys (semantics R-2.5 to R-2.8)"""
import datetime
import json
import os
import sys
import unittest
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from shared import ACCOUNTS, API, BURN, EARN, ENTRIES, PROGRAMS, TRANSFER, Client, NodeCase, together  # noqa: E402

JSON = {"Content-Type": "application/json"}


class PointsCase(NodeCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.first = cls.program(cls)

    def opened(self, balance=0, program=None):
        return self.account(program or self.first, points_balance=balance)

    def post(self, path, body, status=200, headers=None):
        answer = self.client.post(path, body, headers=headers)
        self.assertEqual(answer.status, status, answer)
        return answer

    def key(self):
        return str(uuid.uuid4())

    def entries(self, account):
        return self.client.get(ENTRIES + "?account=%d" % account).json["results"]


class Later(PointsCase):
    def test_members_that_would_change_the_meaning_are_refused_by_name(self):
        account = self.opened(balance=100)
        for member, value in (("dry_run", True), ("lines", [{"amount": 5}]), ("excluded", [])):
            answer = self.client.post(EARN, {"account_id": account, "transaction_amount": 5, member: value})
            self.assertEqual(answer.status, 400, answer)
            self.assertIn(member, answer.json["error"])
        self.assertEqual(self.balance(account), 100)
        self.post(EARN, {"account_id": account, "transaction_amount": 5, "dry_run": False})


class Earn(PointsCase):
    def test_one_point_per_unit_rounded_down_once(self):
        for amount, points in ((100, 100), ("123.45", 123), (0.999999, None), ("1.999999", 1), (1e2, 100), ("007", 7),
                               (1.5E1, 15), ("999999999.5", 999999999)):
            account = self.opened()
            answer = self.client.post(EARN, {"account_id": account, "transaction_amount": amount})
            if points is None:
                self.check_s(answer, "zero")
                self.assertEqual(self.entries(account), [])
                continue
            body = self.check_json(answer, 200)
            self.assertEqual((body["points"], body["balance_after"]), (points, points))
            self.assertEqual(self.balance(account), points)

    def test_the_answer_has_every_member_and_the_entry_is_there(self):
        account = self.opened()
        body = self.post(EARN, {"account_id": account, "transaction_amount": "50.5", "transaction_context": {
            "description": "Shoes", "channel": "web", "product_category": "shoes", "reference": "T-1", "own": {"x": [1]}}}).json
        self.assertEqual(set(body), {"success", "transaction_id", "points", "balance_after", "metadata"})
        self.assertIs(body["success"], True)
        self.assertRegex(body["transaction_id"], r"^\d+$")
        self.assertEqual(body["metadata"], {"base_points": 50, "calculated_points": 50, "tier_multiplier": 1,
                                            "rules_applied": False, "rules": [], "caps": [], "clipped_points": 0})
        row = self.check_json(self.client.get(ENTRIES + body["transaction_id"] + "/"), 200)
        self.assertEqual((row["account"], row["transaction_type"], row["amount"], row["delta"], row["balance_after"],
                          row["description"], row["reference"]), (account, "earn", 50, 50, 50, "Shoes", "T-1"))
        self.assertEqual((row["metadata"]["channel"], row["metadata"]["own"]), ("web", {"x": [1]}))
        figures = self.client.get(ACCOUNTS + "%d/" % account).json
        self.assertEqual((figures["lifetime_points_earned"], figures["lifetime_points_redeemed"]), (50, 0))

    def test_customer_and_program_name_the_account_too(self):
        who = str(uuid.uuid4())
        account = self.account(self.first, who)
        for customer, program in ((who, self.first), (who.upper(), str(self.first)), (who, float(self.first))):
            self.post(EARN, {"customer_id": customer, "program_id": program, "transaction_amount": 1})
        self.post(EARN, {"account_id": str(account), "transaction_amount": 1})
        self.post(EARN, {"account_id": account, "program_id": self.first, "transaction_amount": 1})
        self.assertEqual(self.balance(account), 5)

    def test_malformed_input_is_400_E(self):
        account = self.opened()
        who = str(uuid.uuid4())
        for body in ({}, {"transaction_amount": 5}, {"account_id": account}, {"customer_id": who, "transaction_amount": 5},
                     {"program_id": self.first, "transaction_amount": 5},
                     {"customer_id": "nonsense", "program_id": self.first, "transaction_amount": 5},
                     {"customer_id": 5, "program_id": self.first, "transaction_amount": 5},
                     {"customer_id": [who], "program_id": self.first, "transaction_amount": 5},
                     {"customer_id": who, "program_id": "x", "transaction_amount": 5},
                     {"customer_id": who, "program_id": 1.5, "transaction_amount": 5},
                     {"account_id": "x", "transaction_amount": 5}, {"account_id": 1.5, "transaction_amount": 5},
                     {"account_id": "5.5", "transaction_amount": 5}, {"account_id": True, "transaction_amount": 5},
                     {"account_id": {}, "transaction_amount": 5}):
            with self.subTest(body=body):
                self.check_e(self.client.post(EARN, body), 400)
        for amount in (-1, "-1", "x", "", None, True, [], {}, "1e2", "1.2345678", 0.0000001, "1234567890123456", 1e16, "1.",
                       ".5", " 5", "5 ", "+5", "0x5", "NaN", "Infinity", "1,5", "١"):
            with self.subTest(amount=amount):
                self.check_e(self.client.post(EARN, {"account_id": account, "transaction_amount": amount}), 400)
        for context in (5, [], "text", True, {"transaction_date": "yesterday"}, {"transaction_date": 5},
                        {"transaction_date": "2020-01-01"}, {"reference": 5}, {"reference": "x" * 256},
                        {"description": []}, {"reference": "a\0b"}):
            with self.subTest(context=context):
                self.check_e(self.client.post(EARN, {"account_id": account, "transaction_amount": 5,
                                                     "transaction_context": context}), 400)
        self.assertEqual(self.entries(account), [])

    def test_bodies_that_are_no_objects_or_have_a_member_twice_are_400_D(self):
        for path in (EARN, BURN, TRANSFER, API + "/points/reconcile/"):
            for body in ("[]", "5", '"text"', "null", "true", "", "{", "{]", '{"a":1,}', "{'a':1}", '{"a":01}', '{"a":+1}',
                         '{"account_id":1,"account_id":1}', '{"x":{"a":1,"a":2}}', "{} {}", "\ufeff{}", '{"a":NaN}'):
                with self.subTest(path=path, body=body):
                    self.check_d(self.client.post(path, body.encode(), headers=JSON), 400)

    def test_unknown_accounts_are_404_E(self):
        for body in ({"account_id": 77}, {"account_id": 2 ** 53 - 1}, {"account_id": 0}, {"account_id": -3},
                     {"customer_id": str(uuid.uuid4()), "program_id": self.first},
                     {"customer_id": str(uuid.uuid4()), "program_id": 999999}):
            self.check_e(self.client.post(EARN, dict(body, transaction_amount=5)), 404)

    def test_a_program_that_is_closed_ahead_or_over_refuses(self):
        for members in ({"is_active": False}, {"start_date": "2098-01-01T00:00:00Z"}, {"end_date": "2021-01-01T00:00:00Z"}):
            account = self.opened(program=self.program(**members))
            self.check_s(self.client.post(EARN, {"account_id": account, "transaction_amount": 5}), "program_status")

    def test_all_failures_are_collected(self):
        program = self.program(is_active=False, start_date="2098-01-01T00:00:00Z")
        account = self.account(program, status="suspended")
        answer = self.client.post(EARN, {"account_id": account, "transaction_amount": 5})
        body = self.check_json(answer, 400)
        self.assertEqual(body["code"], "account_status")
        self.assertEqual(len(body["errors"]), 3, answer)
        self.assertEqual(body["error"], body["errors"][0])

    def test_the_date_of_a_purchase(self):
        account = self.opened()
        now = datetime.datetime.now(datetime.timezone.utc)

        def at(when):
            return self.client.post(EARN, {"account_id": account, "transaction_amount": 5, "transaction_context": {
                "transaction_date": when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}})

        answer = at(now + datetime.timedelta(minutes=4))
        entry = self.client.get(ENTRIES + self.check_json(answer, 200)["transaction_id"] + "/").json
        self.assertGreater(entry["created_at"], entry["recorded_at"])
        self.check_s(at(now + datetime.timedelta(minutes=6)), "effective_at_out_of_range")
        self.check_s(at(now - datetime.timedelta(days=31)), "effective_at_out_of_range")
        self.check_s(at(now - datetime.timedelta(days=3)), "effective_at_out_of_range")  # before the customer joined

    def test_the_other_path_and_forms(self):
        account = self.opened()
        for path in (EARN, EARN[:-1], API + "/points/earn/", API + "/points/earn", EARN[:-1] + ".json", EARN + "?format=json"):
            self.post(path, {"account_id": account, "transaction_amount": 1})
        answer = self.client.post(EARN, "account_id=%d&transaction_amount=2.5&unknown=x" % account,
                                  headers={"Content-Type": "application/x-www-form-urlencoded"})
        self.assertEqual(self.check_json(answer, 200)["points"], 2)
        parts = "".join('--XX\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % item for item in
                        (("account_id", account), ("transaction_amount", "3")))
        answer = self.client.post(EARN, parts + "--XX--\r\n", headers={"Content-Type": "multipart/form-data; boundary=XX"})
        self.assertEqual(self.check_json(answer, 200)["points"], 3)
        self.assertEqual(self.balance(account), 11)

    def test_numbers_are_exact_up_to_the_limit_and_refused_above(self):
        account = self.opened()
        self.post(EARN, {"account_id": account, "transaction_amount": "999999999999999.999999"})
        self.assertEqual(self.balance(account), 999999999999999)
        program = self.program(tiers=[{"name": "T", "points_multiplier": "999.999"}])
        rich = self.account(program)
        answer = self.client.post(EARN, {"account_id": rich, "transaction_amount": "999999999999999"})
        self.check_s(answer, "amount_out_of_range")
        self.assertEqual(self.entries(rich), [])
        top = self.opened(2 ** 53 - 1)
        answer = self.client.post(EARN, {"account_id": top, "transaction_amount": 1})
        self.assertEqual(answer.status, 400, answer)
        self.assertEqual(self.balance(top), 2 ** 53 - 1)


class Burn(PointsCase):
    def test_spends_and_answers(self):
        account = self.opened(100)
        body = self.post(BURN, {"account_id": account, "reward_cost": 30, "description": "Mug", "reward_id": 7,
                                "reference": "B-1"}).json
        self.assertEqual(set(body), {"success", "transaction_id", "points", "balance_after", "metadata"})
        self.assertEqual((body["points"], body["balance_after"]), (30, 70))
        self.assertEqual(body["metadata"], {"reward_cost": 30, "actual_cost": 30, "tier_discount": 0})
        row = self.client.get(ENTRIES + body["transaction_id"] + "/").json
        self.assertEqual((row["transaction_type"], row["amount"], row["delta"], row["description"], row["reference"]),
                         ("redeem", 30, -30, "Mug", "B-1"))
        self.assertEqual(row["metadata"].get("reward_id"), 7)
        self.assertEqual(self.client.get(ACCOUNTS + "%d/" % account).json["lifetime_points_redeemed"], 30)

    def test_too_little_is_400_S_and_changes_nothing(self):
        account = self.opened(100)
        answer = self.client.post(BURN, {"account_id": account, "reward_cost": 101})
        self.check_s(answer, "insufficient_points")
        self.assertEqual(answer.json["metadata"], {"required": 101, "available": 100})
        self.assertEqual(self.balance(account), 100)
        self.post(BURN, {"account_id": account, "reward_cost": 100})
        self.check_s(self.client.post(BURN, {"account_id": account, "reward_cost": 1}), "insufficient_points")

    def test_the_minimum_balance_stays(self):
        account = self.opened(100, self.program(min_balance=40))
        self.check_s(self.client.post(BURN, {"account_id": account, "points": 61}), "insufficient_points")
        self.assertEqual(self.post(BURN, {"account_id": account, "points": 60}).json["balance_after"], 40)
        other = self.account(self.client.get(ACCOUNTS + "%d/" % account).json["program"])
        answer = self.client.post(TRANSFER, {"from_account_id": account, "to_account_id": other, "points": 1})
        self.check_s(answer, "insufficient_points")

    def test_malformed_input_is_400_E(self):
        account = self.opened(10)
        for body in ({"account_id": account}, {"account_id": account, "points": "x"}, {"account_id": account, "points": 1.5},
                     {"account_id": account, "points": "1.5"}, {"account_id": account, "points": True},
                     {"account_id": account, "points": None}, {"account_id": account, "points": 1, "reward_cost": 2},
                     {"account_id": account, "points": 10 ** 20}, {"account_id": account, "points": 1, "reward_id": "x"},
                     {"points": 1}):
            with self.subTest(body=body):
                self.check_e(self.client.post(BURN, body), 400)
        for points in (0, -5):
            self.assertEqual(self.client.post(BURN, {"account_id": account, "points": points}).status, 400)
        self.check_e(self.client.post(BURN, {"account_id": 77, "points": 1}), 404)
        self.assertEqual(self.balance(account), 10)

    def test_integers_in_all_forms(self):
        account = self.opened(100)
        for points in (5, 5.0, "5", 5e0):
            self.post(BURN, {"account_id": account, "points": points})
        self.post(BURN, '{"account_id": %d, "reward_cost": 0.5e1}' % account)
        self.assertEqual(self.balance(account), 75)

    def test_after_the_end_points_may_still_be_spent_but_not_before_the_start(self):
        self.post(BURN, {"account_id": self.opened(5, self.program(end_date="2021-01-01T00:00:00Z")), "points": 5})
        for members in ({"is_active": False}, {"start_date": "2098-01-01T00:00:00Z"}):
            account = self.opened(5, self.program(**members))
            self.check_s(self.client.post(BURN, {"account_id": account, "points": 5}), "program_status")

    def test_the_other_path(self):
        account = self.opened(10)
        for path in (BURN[:-1], API + "/points/burn/", API + "/points/burn"):
            self.post(path, {"account_id": account, "points": 1})
        self.assertEqual(self.balance(account), 7)

    def test_many_at_once_never_go_below_zero(self):
        account = self.opened(100)
        clients = [Client(self.node.port, self.token) for _ in range(16)]
        answers = together(16, lambda place: [clients[place].post(BURN, {"account_id": account, "points": 7}).status
                                              for _ in range(5)])
        for client in clients:
            client.close()
        statuses = [status for some in answers for status in some]
        self.assertEqual(statuses.count(200), 14)
        self.assertEqual(statuses.count(400), 66)
        self.assertEqual(self.balance(account), 2)


class Transfer(PointsCase):
    def test_moves_points_between_any_two_customers(self):
        accounts = [self.opened(100) for _ in range(8)]
        for giver, taker in zip(accounts, accounts[1:]):
            body = self.post(TRANSFER, {"from_account_id": giver, "to_account_id": taker, "points": 10}).json
            self.assertEqual(set(body), {"success", "transfer_id", "points", "from", "to"})
            self.assertRegex(body["transfer_id"], r"^\d+$")
            for side, account, kind, delta in (("from", giver, "transfer_out", -10), ("to", taker, "transfer_in", 10)):
                self.assertEqual(body[side]["account_id"], account)
                row = self.client.get(ENTRIES + body[side]["transaction_id"] + "/").json
                self.assertEqual((row["account"], row["transaction_type"], row["amount"], row["delta"],
                                  row["balance_after"]), (account, kind, 10, delta, body[side]["balance_after"]))
        self.assertEqual([self.balance(account) for account in accounts], [90] + [100] * 6 + [110])
        for account in accounts:
            row = self.client.get(ACCOUNTS + "%d/" % account).json
            self.assertEqual((row["lifetime_points_earned"], row["lifetime_points_redeemed"]), (0, 0))
            self.assertTrue(self.client.get(API + "/services/points/reconcile/%d/" % account).json["reconciled"])

    def test_customers_and_program_name_the_sides_too(self):
        one, two = str(uuid.uuid4()), str(uuid.uuid4())
        giver, taker = self.account(self.first, one, points_balance=10), self.account(self.first, two)
        for path in (TRANSFER, API + "/points/transfer/", TRANSFER[:-1]):
            body = self.post(path, {"from_customer_id": one, "to_customer_id": two, "program_id": self.first, "points": 3}).json
            self.assertEqual((body["from"]["account_id"], body["to"]["account_id"]), (giver, taker))
        self.assertEqual((self.balance(giver), self.balance(taker)), (1, 9))

    def test_refusals_leave_both_whole(self):
        giver, taker = self.opened(50), self.opened(5)
        foreign = self.opened(5, self.program())
        answer = self.client.post(TRANSFER, {"from_account_id": giver, "to_account_id": taker, "points": 51})
        self.check_s(answer, "insufficient_points")
        self.assertEqual(self.client.post(TRANSFER, {"from_account_id": giver, "to_account_id": giver, "points": 1}).status, 400)
        self.assertEqual(self.client.post(TRANSFER, {"from_account_id": giver, "to_account_id": foreign, "points": 1}).status,
                         400)
        for missing in (77, taker + 100000):
            self.check_e(self.client.post(TRANSFER, {"from_account_id": giver, "to_account_id": missing, "points": 1}), 404)
            self.check_e(self.client.post(TRANSFER, {"from_account_id": missing, "to_account_id": taker, "points": 1}), 404)
        self.check_e(self.client.post(TRANSFER, {"from_account_id": giver, "to_customer_id": str(uuid.uuid4()), "points": 1,
                                                 "program_id": self.first}), 404)
        self.assertEqual((self.balance(giver), self.balance(taker), self.balance(foreign)), (50, 5, 5))
        self.assertEqual(len(self.entries(taker)), 1)
        self.assertTrue(self.client.get(API + "/services/points/reconcile/%d/" % giver).json["reconciled"])

    def test_malformed_input_is_400_E(self):
        giver, taker = self.opened(50), self.opened()
        good = {"from_account_id": giver, "to_account_id": taker, "points": 1}
        for change in ({"points": None}, {"points": "x"}, {"points": 1.5}, {"points": []}, {"from_account_id": "x"},
                       {"from_account_id": None}, {"to_account_id": None}, {"to_account_id": 1.5}, {"points": 10 ** 30}):
            with self.subTest(change=change):
                self.check_e(self.client.post(TRANSFER, dict(good, **change)), 400)
        self.check_e(self.client.post(TRANSFER, {"from_customer_id": "x", "to_account_id": taker, "program_id": self.first,
                                                 "points": 1}), 400)
        for points in (0, -1):
            self.assertEqual(self.client.post(TRANSFER, dict(good, points=points)).status, 400)
        self.assertEqual((self.balance(giver), self.balance(taker)), (50, 0))

    def test_a_key_belongs_to_the_giver_and_replays(self):
        giver, taker = self.opened(50), self.opened()
        key = self.key()
        body = {"from_account_id": giver, "to_account_id": taker, "points": 10, "idempotency_key": key}
        first = self.post(TRANSFER, body)
        again = self.post(TRANSFER, body)
        self.assertEqual((again.body, self.replayed(again)), (first.body, True))
        self.check_d(self.client.post(TRANSFER, dict(body, points=11)), 409, "idempotency_conflict")
        refused = self.client.post(TRANSFER, dict(body, points=1000, idempotency_key=key + "r"))
        self.check_s(refused, "insufficient_points")
        self.earn(giver, 5000)
        again = self.client.post(TRANSFER, dict(body, points=1000, idempotency_key=key + "r"))
        self.assertEqual((again.status, again.body, self.replayed(again)), (400, refused.body, True))
        self.assertEqual((self.balance(giver), self.balance(taker)), (5040, 10))
        # A receiver that could not take them: the refusal is kept too.
        self.client.ask("PATCH", ACCOUNTS + "%d/" % taker, {"status": "suspended"})
        refused = self.client.post(TRANSFER, dict(body, idempotency_key=key + "s"))
        self.check_s(refused, "account_status")
        self.client.ask("PATCH", ACCOUNTS + "%d/" % taker, {"status": "active"})
        again = self.client.post(TRANSFER, dict(body, idempotency_key=key + "s"))
        self.assertEqual((again.status, again.body, self.replayed(again)), (400, refused.body, True))
        self.assertEqual((self.balance(giver), self.balance(taker)), (5040, 10))

    def test_many_at_once_in_a_ring_conserve_the_total(self):
        accounts = [self.opened(100) for _ in range(6)]
        clients = [Client(self.node.port, self.token) for _ in range(12)]

        def work(place):
            statuses = []
            for turn in range(10):
                giver, taker = accounts[(place + turn) % 6], accounts[(place + 1 + turn * 2) % 6]
                if giver == taker:
                    continue
                statuses.append(clients[place].post(TRANSFER, {"from_account_id": giver, "to_account_id": taker,
                                                               "points": 13}).status)
            return statuses

        answers = together(12, work)
        for client in clients:
            client.close()
        self.assertEqual({status for some in answers for status in some} - {200, 400}, set())
        self.assertEqual(sum(self.balance(account) for account in accounts), 600)
        moved = sum(row["delta"] for account in accounts for row in self.entries(account)
                    if row["transaction_type"] == "transfer_in")
        self.assertEqual(moved, 13 * sum(some.count(200) for some in answers))


class Keys(PointsCase):
    """Each on earn; burn, transfer and the resources have their own above and in their files."""

    def test_e_2_5a_the_second_answer_is_the_first_byte_for_byte(self):
        account, key = self.opened(), self.key()
        body = {"account_id": account, "transaction_amount": 100, "idempotency_key": key}
        first = self.post(EARN, body)
        self.assertFalse(self.replayed(first))
        self.earn(account, 50)
        for path, headers in ((EARN, None), (API + "/points/earn/", None), (EARN[:-1], {"Idempotency-Key": key})):
            again = self.post(path, body, headers=headers)
            self.assertEqual((again.body, self.replayed(again)), (first.body, True))
        header_only = {"account_id": account, "transaction_amount": 100}
        again = self.post(EARN, header_only, headers={"Idempotency-Key": key})
        self.assertEqual((again.body, self.replayed(again)), (first.body, True))
        self.assertEqual(self.balance(account), 150)

    def test_e_2_5b_another_body_is_409_D_with_a_code(self):
        account, key = self.opened(), self.key()
        self.earn(account, 100, idempotency_key=key)
        for members in ({"transaction_amount": 101}, {"transaction_amount": 100, "extra": 1},
                        {"transaction_amount": 100, "transaction_context": {}},
                        {"transaction_amount": 100, "transaction_context": {"channel": "web"}}):
            body = dict({"account_id": account, "idempotency_key": key}, **members)
            self.check_d(self.client.post(EARN, body), 409, "idempotency_conflict")
        self.assertEqual(self.balance(account), 100)

    def test_e_2_5c_refusals_are_remembered_too(self):
        account, key = self.opened(100), self.key()
        body = {"account_id": account, "points": 500, "idempotency_key": key}
        first = self.client.post(BURN, body)
        self.check_s(first, "insufficient_points")
        self.earn(account, 900)
        again = self.client.post(BURN, body)
        self.assertEqual((again.status, again.body, self.replayed(again)), (400, first.body, True))
        self.post(BURN, dict(body, idempotency_key=key + "3"))
        self.assertEqual(self.balance(account), 500)

    def test_numbers_and_aliases_are_one(self):
        account, key = self.opened(), self.key()
        first = self.earn(account, 100, idempotency_key=key)
        for amount in ("100", "100.0", "100.00", 100.0, "100.000000", "00100"):
            again = self.post(EARN, {"transaction_amount": amount, "idempotency_key": key, "account_id": str(account)})
            self.assertEqual((again.json, self.replayed(again)), (first, True), amount)
        again = self.post(EARN, '{"idempotency_key":"%s" , "transaction_amount":1E2,"account_id":%d.0}' % (key, account))
        self.assertTrue(self.replayed(again))
        key = self.key()
        first = self.post(BURN, {"account_id": account, "points": 10, "idempotency_key": key})
        again = self.post(BURN, {"account_id": account, "reward_cost": "10", "idempotency_key": key})
        self.assertEqual((again.body, self.replayed(again)), (first.body, True))
        self.assertEqual(self.balance(account), 90)

    def test_order_and_blanks_of_the_body_do_not_count(self):
        account, key = self.opened(), self.key()
        first = self.post(EARN, '{"account_id":%d,"transaction_amount":5,"transaction_context":{"a":"x","b":[1,2]},'
                                '"idempotency_key":"%s"}' % (account, key))
        again = self.post(EARN, '{ "transaction_context" : {"b":[1, 2],"a":"\\u0078"},\n"idempotency_key":"%s",'
                                '"transaction_amount":5.0, "account_id":%d}' % (key, account))
        self.assertEqual((again.body, self.replayed(again)), (first.body, True))

    def test_a_key_is_of_its_operation_and_customer(self):
        one, two, key = self.opened(10), self.opened(10), self.key()
        self.earn(one, 5, idempotency_key=key)
        self.assertFalse(self.replayed(self.post(EARN, {"account_id": two, "transaction_amount": 5, "idempotency_key": key})))
        self.assertFalse(self.replayed(self.post(BURN, {"account_id": one, "points": 5, "idempotency_key": key})))
        self.assertFalse(self.replayed(self.post(TRANSFER, {"from_account_id": one, "to_account_id": two, "points": 5,
                                                            "idempotency_key": key})))
        self.assertEqual((self.balance(one), self.balance(two)), (5, 20))

    def test_different_keys_in_header_and_body_are_400_E(self):
        account = self.opened()
        answer = self.client.post(EARN, {"account_id": account, "transaction_amount": 5, "idempotency_key": "a"},
                                  headers={"Idempotency-Key": "b"})
        self.check_e(answer, 400)
        for key in (5, [], {}, True, "", "x" * 300, "a\0b"):
            with self.subTest(key=key):
                answer = self.client.post(EARN, {"account_id": account, "transaction_amount": 5, "idempotency_key": key})
                self.check_e(answer, 400)
        self.assertEqual(self.entries(account), [])

    def test_malformed_and_unknown_take_no_key(self):
        key = self.key()
        who = str(uuid.uuid4())
        body = {"customer_id": who, "program_id": self.first, "transaction_amount": 5, "idempotency_key": key}
        self.check_e(self.client.post(EARN, body), 404)
        self.check_e(self.client.post(EARN, dict(body, transaction_amount="x")), 400)
        account = self.account(self.first, who)
        self.assertFalse(self.replayed(self.post(EARN, body)))
        self.assertEqual(self.balance(account), 5)

    def test_e_2_7a_a_reference_is_unique_for_ever(self):
        account, key = self.opened(), self.key()
        context = {"reference": "T-9", "channel": "pos"}
        first = self.post(EARN, {"account_id": account, "transaction_amount": 100, "idempotency_key": key,
                                 "transaction_context": context})
        for members in ({"idempotency_key": key + "7"}, {}):
            again = self.post(EARN, dict({"account_id": account, "transaction_amount": 100, "transaction_context": context},
                                         **members))
            self.assertEqual((again.body, self.replayed(again)), (first.body, True))
        self.assertEqual(self.balance(account), 100)
        self.assertEqual(len(self.entries(account)), 1)

    def test_e_2_7b_with_another_body_it_is_409(self):
        account = self.opened()
        self.earn(account, 100, transaction_context={"reference": "T-9"}, idempotency_key="k1")
        answer = self.client.post(EARN, {"account_id": account, "transaction_amount": 200, "idempotency_key": "k7",
                                         "transaction_context": {"reference": "T-9"}})
        self.check_d(answer, 409, "duplicate_transaction")
        # Another operation and another account have references of their own; a refusal takes none.
        self.post(BURN, {"account_id": account, "points": 50, "reference": "T-9"})
        self.post(EARN, {"account_id": self.opened(), "transaction_amount": 200, "transaction_context": {"reference": "T-9"}})
        self.check_s(self.client.post(BURN, {"account_id": account, "points": 500, "reference": "T-10"}),
                     "insufficient_points")
        self.post(BURN, {"account_id": account, "points": 5, "reference": "T-10"})
        self.assertEqual(self.balance(account), 45)

    def test_e_2_8a_64_copies_at_once_make_one_posting_and_64_equal_answers(self):
        account, key = self.opened(), self.key()
        clients = [Client(self.node.port, self.token) for _ in range(64)]
        body = json.dumps({"account_id": account, "transaction_amount": "12.50", "idempotency_key": key})

        def work(place):
            while True:
                answer = clients[place].post(EARN, body)
                if answer.status != 409 or answer.json.get("code") != "in_progress":
                    return answer

        answers = together(64, work)
        for client in clients:
            client.close()
        self.assertEqual({(answer.status, answer.body) for answer in answers}, {(200, answers[0].body)})
        self.assertEqual(sum(not self.replayed(answer) for answer in answers), 1)
        self.assertEqual(self.balance(account), 12)
        self.assertEqual(len(self.entries(account)), 1)

    def test_64_copies_of_a_transfer_move_the_points_once(self):
        giver, taker, key = self.opened(100), self.opened(), self.key()
        clients = [Client(self.node.port, self.token) for _ in range(64)]
        body = {"from_account_id": giver, "to_account_id": taker, "points": 10, "idempotency_key": key}
        answers = together(64, lambda place: clients[place].post(TRANSFER, body))
        for client in clients:
            client.close()
        self.assertEqual({(answer.status, answer.body) for answer in answers}, {(200, answers[0].body)})
        self.assertEqual((self.balance(giver), self.balance(taker)), (90, 10))

    def test_a_replay_needs_no_open_program_and_no_active_account(self):
        program = self.program()
        account, key = self.account(program), self.key()
        body = {"account_id": account, "transaction_amount": 5, "idempotency_key": key}
        first = self.post(EARN, body)
        self.client.ask("PATCH", ACCOUNTS + "%d/" % account, {"status": "blocked"})
        self.client.ask("PATCH", PROGRAMS + "%d/" % program, {"is_active": False})
        again = self.post(EARN, body)
        self.assertEqual((again.body, self.replayed(again)), (first.body, True))


class Reconcile(PointsCase):
    def test_both_verbs_under_both_prefixes(self):
        who = str(uuid.uuid4())
        account = self.account(self.first, who, points_balance=10)
        self.earn(account, 30)
        self.post(BURN, {"account_id": account, "points": 15})
        expected = {"expected_balance": 25, "actual_balance": 25, "discrepancy": 0, "reconciled": True, "ledger_entries": 3,
                    "lots_balance": 25, "auto_corrected": False}
        for prefix in (API + "/services/points/reconcile/", API + "/points/reconcile/"):
            self.assertEqual(self.check_json(self.client.get(prefix + "%d/" % account), 200), expected)
            for body in ({"account_id": account}, {"customer_id": who, "program_id": self.first}):
                self.assertEqual(self.check_json(self.client.post(prefix, body), 200), expected)
            repaired = self.check_json(self.client.post(prefix, {"account_id": account, "repair": True}), 200)
            self.assertEqual(repaired, dict(expected, auto_corrected=True))
        self.assertEqual(len(self.entries(account)), 3)  # no entry is posted

    def test_unknown_and_malformed(self):
        for text in ("77", "x", "-1", "99999999999999999999"):
            self.check_e(self.client.get(API + "/services/points/reconcile/%s/" % text), 404)
        for body in ({}, {"account_id": "x"}, {"customer_id": "x", "program_id": 1}, {"customer_id": str(uuid.uuid4())},
                     {"account_id": 1.5}):
            self.check_e(self.client.post(API + "/points/reconcile/", body), 400)
        self.check_e(self.client.post(API + "/points/reconcile/", {"account_id": 77}), 404)
        self.check_e(self.client.post(API + "/points/reconcile/", {"customer_id": str(uuid.uuid4()), "program_id": 1}), 404)

    def test_what_comes_later_is_not_routed(self):
        for path in ("/services/points/expire/", "/points/expire/", "/points/process-expiry/", "/services/points/reverse/",
                     "/services/points/hold/", "/services/points/holds/", "/services/points/capture/", "/points/reverse/"):
            self.check_d(self.client.post(API + path, {}), 404)


if __name__ == "__main__":
    unittest.main()
