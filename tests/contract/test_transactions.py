"""test_transactions.py - /loyaltyTransactions/ (api-resources 2.4)"""
import datetime
import os
import sys
import unittest
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from shared import ACCOUNTS, API, EARN, ENTRIES, NodeCase  # noqa: E402

FIELDS = {"id", "account", "amount", "transaction_type", "description", "created_at", "recorded_at", "metadata", "delta",
          "balance_after", "reference", "expires_at"}


class Transactions(NodeCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.first = cls.program(cls)

    def opened(self, balance=0):
        return self.account(self.first, points_balance=balance)

    def post(self, account, amount, kind, status=201, headers=None, **members):
        answer = self.client.post(ENTRIES, dict({"account": account, "amount": amount, "transaction_type": kind}, **members),
                                  headers=headers)
        self.assertEqual(answer.status, status, answer)
        return answer

    def rows(self, query):
        return self.check_json(self.client.get(ENTRIES + query), 200)["results"]

    def agrees(self, account, balance, hidden=None):
        """The sum of the visible deltas is the balance, and so is the sum of all."""
        self.assertEqual(self.balance(account), balance)
        seen = self.rows("?account=%d" % account)
        everything = self.rows("?account=%d&include_deleted=true" % account)
        self.assertEqual(sum(row["delta"] for row in seen), balance)
        self.assertEqual(sum(row["delta"] for row in everything), balance)
        if hidden is not None:
            self.assertEqual(len(everything) - len(seen), hidden)
        answer = self.client.get(API + "/services/points/reconcile/%d/" % account)
        self.assertTrue(answer.json["reconciled"], answer)

    # --- create ---

    def test_create_answers_201_with_every_field(self):
        account = self.opened()
        body = self.post(account, 70, "earn", description=" by hand ", metadata={"channel": "desk"}).json
        self.assertEqual(set(body), FIELDS)
        for name, value in {"account": account, "amount": 70, "transaction_type": "earn", "description": "by hand",
                            "metadata": {"channel": "desk"}, "delta": 70, "balance_after": 70, "reference": "",
                            "expires_at": None}.items():
            self.assertEqual(body[name], value, name)
        self.assertEqual(body["created_at"], body["recorded_at"])
        self.assertEqual(self.check_json(self.client.get(ENTRIES + "%d/" % body["id"]), 200), body)

    def test_magnitudes_and_signs(self):
        account = self.opened()
        for kind, amount, delta, after in (("earn", 100, 100, 100), ("redeem", 30, -30, 70), ("adjust", -20, -20, 50),
                                           ("adjust", 5, 5, 55)):
            body = self.post(account, amount, kind).json
            self.assertEqual((body["amount"], body["delta"], body["balance_after"]), (amount, delta, after))
        row = self.client.get(ACCOUNTS + "%d/" % account).json
        self.assertEqual((row["points_balance"], row["lifetime_points_earned"], row["lifetime_points_redeemed"]), (55, 100, 30))
        self.agrees(account, 55, hidden=0)

    def test_an_earn_here_is_raw_and_still_moves_the_tier(self):
        program = self.program(tiers=[{"name": "A", "points_multiplier": "3"}, {"name": "B", "min_points": 50, "priority": 1}])
        account = self.account(program)
        self.assertEqual(self.post(account, 60, "earn").json["delta"], 60)
        tier = self.client.get(ACCOUNTS + "%d/" % account).json["tier"]
        self.assertEqual(self.client.get(API + "/loyaltyTiers/%d/" % tier).json["name"], "B")

    def test_wrong_values_are_400_V_at_their_field(self):
        account = self.opened()
        self.check_v(self.client.post(ENTRIES, {}), "account", "amount", "transaction_type")
        for name, values in {"account": [77, "x", None, 1.5, [], {}, 2 ** 60],
                             "amount": [0, -5, "x", 1.5, "5.5", None, True, [], 2 ** 53, "9007199254740993"],
                             "transaction_type": ["expire", "transfer_in", "reversal", "hold", "spend", "", None, 5],
                             "description": [None, [], {}],
                             "reference": ["x" * 256, None, []]}.items():
            for value in values:
                with self.subTest(field=name, value=value):
                    body = {"account": account, "amount": 5, "transaction_type": "earn"}
                    body[name] = value
                    self.check_v(self.client.post(ENTRIES, body), name)
        self.check_v(self.client.post(ENTRIES, {"account": account, "amount": 0, "transaction_type": "adjust"}), "amount")
        self.agrees(account, 0)

    def test_below_zero_is_400_D(self):
        account = self.opened(170)
        for kind, amount in (("redeem", 99999), ("redeem", 171), ("adjust", -171)):
            self.check_d(self.post(account, amount, kind, status=400), 400)
        self.post(account, 170, "redeem")
        self.agrees(account, 0, hidden=0)

    def test_of_a_suspended_account_is_refused_with_D(self):
        account = self.opened(50)
        self.assertEqual(self.client.ask("PATCH", ACCOUNTS + "%d/" % account, {"status": "suspended"}).status, 200)
        for kind in ("earn", "redeem"):
            self.check_d(self.post(account, 5, kind, status=400), 400)
        self.post(account, 5, "adjust")
        self.agrees(account, 55)

    # --- reference and key ---

    def test_a_reference_is_taken_once_per_account_and_operation(self):
        account, other = self.opened(), self.opened()
        first = self.post(account, 10, "earn", reference="T-9")
        again = self.post(account, 10, "earn", reference="T-9")
        self.assertEqual(again.body, first.body)
        self.assertTrue(self.replayed(again))
        again = self.post(account, 10, "earn", reference="T-9", idempotency_key="another-%d" % account)
        self.assertEqual((again.body, self.replayed(again)), (first.body, True))
        answer = self.post(account, 11, "earn", reference="T-9", status=409)
        self.check_d(answer, 409, "duplicate_transaction")
        self.assertFalse(self.replayed(self.post(other, 10, "earn", reference="T-9")))
        self.agrees(account, 10)
        self.assertEqual(len(self.rows("?account=%d" % account)), 1)

    def test_a_key_posts_once(self):
        account = self.opened()
        key = {"Idempotency-Key": "entry-%d" % account}
        first = self.post(account, 10, "earn", headers=key)
        again = self.post(account, "10", "earn", headers=key)
        self.assertEqual((again.body, self.replayed(again)), (first.body, True))
        self.check_d(self.post(account, 11, "earn", headers=key, status=409), 409, "idempotency_conflict")
        # Refusals are remembered too.
        key = {"Idempotency-Key": "refused-%d" % account}
        refused = self.post(account, 500, "redeem", headers=key, status=400)
        self.earn(account, 1000)
        again = self.post(account, 500, "redeem", headers=key, status=400)
        self.assertEqual((again.body, self.replayed(again)), (refused.body, True))
        self.agrees(account, 1010)

    # --- change ---

    def test_description_and_metadata_change_in_place(self):
        account = self.opened()
        body = self.post(account, 10, "earn").json
        path = ENTRIES + "%d/" % body["id"]
        answer = self.client.ask("PATCH", path, {"description": "now", "metadata": {"a": [1, "2", None]}})
        changed = self.check_json(answer, 200)
        self.assertEqual((changed["description"], changed["metadata"]), ("now", {"a": [1, "2", None]}))
        self.assertEqual((changed["delta"], changed["balance_after"], changed["created_at"]),
                         (10, 10, body["created_at"]))
        self.assertEqual(self.client.get(path).json, changed)
        self.agrees(account, 10, hidden=0)
        self.check_v(self.client.ask("PATCH", path, {"account": self.opened()}), "account")
        self.check_v(self.client.ask("PUT", path, {"description": "x"}), "account", "amount", "transaction_type")
        answer = self.client.ask("PUT", path, {"account": account, "amount": 10, "transaction_type": "earn"})
        self.assertEqual(answer.status, 200, answer)

    def test_a_changed_amount_posts_the_difference_and_shows_the_new_one(self):
        account = self.opened()
        entry = self.post(account, 100, "earn").json["id"]
        path = ENTRIES + "%d/" % entry
        body = self.check_json(self.client.ask("PATCH", path, {"amount": 130}), 200)
        self.assertEqual((body["amount"], body["delta"]), (130, 130))
        self.agrees(account, 130, hidden=1)
        body = self.check_json(self.client.ask("PATCH", path, {"amount": 40}), 200)
        self.assertEqual((body["amount"], body["delta"]), (40, 40))
        self.agrees(account, 40, hidden=2)
        self.post(account, 30, "redeem")
        self.check_d(self.client.ask("PATCH", path, {"amount": 29}), 400)  # would overdraw
        self.agrees(account, 10)
        self.check_v(self.client.ask("PATCH", path, {"amount": 0}), "amount")
        self.check_v(self.client.ask("PATCH", path, {"amount": -4}), "amount")

    def test_a_changed_type_posts_the_difference(self):
        account = self.opened(100)
        entry = self.post(account, 20, "earn").json["id"]
        path = ENTRIES + "%d/" % entry
        body = self.check_json(self.client.ask("PATCH", path, {"transaction_type": "redeem"}), 200)
        self.assertEqual((body["transaction_type"], body["amount"], body["delta"]), ("redeem", 20, -20))
        self.agrees(account, 80)
        row = self.client.get(ACCOUNTS + "%d/" % account).json
        self.assertEqual((row["lifetime_points_earned"], row["lifetime_points_redeemed"]), (0, 20))

    def test_entries_the_engine_made_cannot_become_others(self):
        account = self.opened(100)
        other = self.opened()
        answer = self.client.post(API + "/services/points/transfer/",
                                  {"from_account_id": account, "to_account_id": other, "points": 10})
        entry = int(answer.json["from"]["transaction_id"])
        answer = self.client.ask("PATCH", ENTRIES + "%d/" % entry, {"amount": 5})
        self.assertIn(answer.status, (400, 409), answer)
        answer = self.client.ask("DELETE", ENTRIES + "%d/" % entry)
        self.assertIn(answer.status, (400, 409), answer)
        self.assertEqual((self.balance(account), self.balance(other)), (90, 10))

    def test_if_match(self):
        account = self.opened()
        entry = self.post(account, 10, "earn").json["id"]
        path = ENTRIES + "%d/" % entry
        tag = self.client.get(path).headers["ETag"]
        self.assertEqual(self.client.ask("PATCH", path, {"description": "a"}, headers={"If-Match": tag}).status, 200)
        self.check_d(self.client.ask("PATCH", path, {"description": "b"}, headers={"If-Match": tag}), 412)
        self.check_d(self.client.ask("DELETE", path, headers={"If-Match": tag}), 412)
        tag = self.client.get(path).headers["ETag"]
        self.assertEqual(self.client.ask("DELETE", path, headers={"If-Match": tag}).status, 204)
        self.agrees(account, 0)

    # --- delete ---

    def test_delete_posts_a_reversal_and_hides_both(self):
        account = self.opened()
        entry = self.post(account, 100, "earn").json["id"]
        kept = self.post(account, 7, "earn").json["id"]
        answer = self.client.ask("DELETE", ENTRIES + "%d/" % entry)
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.agrees(account, 7, hidden=2)
        self.assertEqual([row["id"] for row in self.rows("?account=%d" % account)], [kept])
        everything = self.rows("?account=%d&include_deleted=true" % account)
        self.assertEqual(sorted(row["transaction_type"] for row in everything), ["earn", "earn", "reversal"])
        for method, body in (("GET", None), ("PATCH", {"description": "x"}), ("DELETE", None)):
            self.check_d(self.client.ask(method, ENTRIES + "%d/" % entry, body), 404)
        self.assertEqual(self.client.get(ACCOUNTS + "%d/" % account).json["lifetime_points_earned"], 7)

    def test_delete_of_a_redeem_gives_the_points_back(self):
        account = self.opened(50)
        entry = self.post(account, 20, "redeem").json["id"]
        self.assertEqual(self.client.ask("DELETE", ENTRIES + "%d/" % entry).status, 204)
        self.agrees(account, 50, hidden=2)

    def test_a_delete_that_would_overdraw_is_400_D(self):
        account = self.opened()
        entry = self.post(account, 100, "earn").json["id"]
        self.post(account, 60, "redeem")
        self.check_d(self.client.ask("DELETE", ENTRIES + "%d/" % entry), 400)
        self.agrees(account, 40, hidden=0)
        self.assertEqual(self.client.get(ENTRIES + "%d/" % entry).status, 200)

    def test_ids_that_are_none_are_404(self):
        for text in ("0", "1", "abc", "-1", "2.5", "9007199254740993", "1" * 40):
            self.check_d(self.client.get(ENTRIES + text + "/"), 404)
            self.check_d(self.client.ask("PATCH", ENTRIES + text + "/", {}), 404)
            self.check_d(self.client.ask("DELETE", ENTRIES + text + "/"), 404)
        entry = self.post(self.opened(), 1, "earn").json["id"]
        self.check_d(self.client.get(ENTRIES + "%d/explain/" % entry), 404)

    # --- lists ---

    def test_the_filters_of_the_list(self):
        one, two = self.opened(100), self.account(self.program(), points_balance=50)
        self.post(one, 5, "redeem")
        self.post(two, 6, "redeem")
        who = self.client.get(ACCOUNTS + "%d/" % one).json["customer_id"]

        def kinds(query):
            return [(row["account"], row["delta"]) for row in self.rows(query)]

        self.assertEqual(kinds("?account=%d" % one), [(one, -5), (one, 100)])
        self.assertEqual(kinds("?account=%d&transaction_type=redeem" % one), [(one, -5)])
        self.assertEqual(kinds("?customer=%s" % who), [(one, -5), (one, 100)])
        self.assertEqual(kinds("?customer=%s&account=%d" % (who, two)), [])
        program = self.client.get(ACCOUNTS + "%d/" % two).json["program"]
        self.assertEqual(kinds("?program=%d" % program), [(two, -6), (two, 50)])
        self.assertEqual(kinds("?program=%d&transaction_type=adjust" % program), [(two, 50)])
        self.assertEqual(kinds("?program=%d&account=%d" % (program, one)), [])
        for query in ("account=77", "account=%d" % (one + 100000), "program=999999", "transaction_type=nonsense",
                      "customer=%s" % uuid.uuid4(), "account=%d&transaction_type=hold" % one):
            self.assertEqual(self.rows("?" + query), [], query)
        for query in ("account=x", "account=1.5", "program=x", "customer=nonsense", "created_after=yesterday",
                      "created_before=2020-13-01", "include_deleted=maybe"):
            self.check_v(self.client.get(ENTRIES + "?" + query), query.split("=")[0])
        self.assertEqual(kinds("?account=%d&transaction_type=&created_after=&program=" % one), [(one, -5), (one, 100)])

    def test_after_is_from_on_and_before_is_up_to(self):
        account = self.opened()
        now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)

        # Ahead of now, because nothing counts before the day on which the customer joined.
        def text(seconds):
            return (now + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")

        for seconds in (180, 60, 120, 240):
            answer = self.client.post(EARN, {"account_id": account, "transaction_amount": seconds,
                                             "transaction_context": {"transaction_date": text(seconds)}})
            self.assertEqual(answer.status, 200, answer)

        def amounts(query):
            return [row["amount"] for row in self.rows("?account=%d%s" % (account, query))]

        self.assertEqual(amounts(""), [240, 180, 120, 60])
        self.assertEqual(amounts("&created_after=" + text(120)), [240, 180, 120])  # the instant itself counts
        self.assertEqual(amounts("&created_before=" + text(120)), [60])  # and does not here
        self.assertEqual(amounts("&created_after=%s&created_before=%s" % (text(120), text(180))), [120])
        self.assertEqual(amounts("&created_after=%s&created_before=%s" % (text(180), text(120))), [])
        day = (now + datetime.timedelta(days=2)).strftime("%Y-%m-%d")  # a bare date is its first instant
        self.assertEqual(amounts("&created_after=" + day), [])
        self.assertEqual(amounts("&created_before=" + day), [240, 180, 120, 60])
        self.assertEqual(amounts("&created_after=%s" % text(120).replace("Z", "%2B00:00")), [240, 180, 120])
        self.assertEqual(amounts("&ordering=created_at"), [60, 120, 180, 240])
        self.assertEqual(amounts("&ordering=-amount"), [240, 180, 120, 60])
        self.assertEqual(amounts("&ordering=amount"), [60, 120, 180, 240])
        whole = [row["amount"] for row in self.client.get(
            ENTRIES + "?created_after=%s&created_before=%s&page_size=1000" % (text(60), text(180))).json["results"]
                 if row["account"] == account]
        self.assertEqual(sorted(whole), [60, 120])

    def test_of_a_customer_over_all_accounts_newest_first(self):
        who = str(uuid.uuid4())
        one, two = self.account(self.first, who), self.account(self.program(), who)
        for account, amount in ((one, 1), (two, 2), (one, 3), (two, 4)):
            self.post(account, amount, "earn")
        path = ENTRIES + "customer/%s/" % who
        self.assertEqual([row["amount"] for row in self.check_json(self.client.get(path), 200)], [4, 3, 2, 1])
        body = self.check_json(self.client.get(path + "?page=2&page_size=3"), 200)
        self.assertEqual((body["count"], [row["amount"] for row in body["results"]]), (4, [1]))
        self.assertEqual([row["amount"] for row in self.client.get(path + "?page_size=3").json], [4, 3, 2])
        self.assertEqual(self.client.get(ENTRIES + "customer/%s/" % uuid.uuid4()).json, [])
        self.assertEqual(self.client.get(ENTRIES + "customer/nonsense/").status, 400)

    def test_metadata_of_any_shape_comes_back(self):
        account = self.opened()
        for metadata in ({}, {"nested": {"list": [1, -2.5, "x", None, True, {"deep": []}]}, "ü": "✓"},
                         {"big": 12345678901234567890, "small": 1e-7, "exact": 0.1}):
            body = self.post(account, 1, "earn", metadata=metadata).json
            self.assertEqual(body["metadata"], metadata)
        self.assertEqual(self.post(account, 1, "earn", metadata='{"a": 1}').json["metadata"], {"a": 1})


if __name__ == "__main__":
    unittest.main()
