"""test_requests_key.py - GET /requests/{key}: what became of a request (api-services 3.10)"""
import os
import sys
import unittest
import urllib.parse
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from shared import ACCOUNTS, API, BURN, EARN, LIFE, PROGRAMS, TRANSFER, NodeCase  # noqa: E402

REQUESTS = API + "/requests/"


class Requests(NodeCase):
    def setUp(self):
        self.program_id = self.program()
        self.who = str(uuid.uuid4())
        self.key = "key-%s" % uuid.uuid4()
        self.own = self.account(self.program_id, self.who, points_balance=100)

    def results(self, key, query=""):
        body = self.check_json(self.client.get(REQUESTS + urllib.parse.quote(key, safe="") + "/" + query), 200)
        self.assertEqual(set(body), {"key", "results"})
        self.assertEqual(body["key"], key)
        for row in body["results"]:
            self.assertEqual(set(row), {"operation", "customer_id", "account_id", "state", "status", "body", "recorded_at"})
            self.assertEqual(row["state"], "done")
            self.assertRegex(row["recorded_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z$")
        return body["results"]

    def test_the_body_is_the_original_answer(self):
        answer = self.client.post(EARN, {"account_id": self.own, "transaction_amount": 50, "idempotency_key": self.key})
        for query in ("", "?customer_id=" + self.who, "?operation=earn", "?customer_id=%s&operation=earn" % self.who.upper()):
            row, = self.results(self.key, query)
            self.assertEqual((row["operation"], row["customer_id"], row["account_id"], row["status"], row["body"]),
                             ("earn", self.who, self.own, 200, answer.json))
        self.assertIn(b'"body":' + answer.body, self.client.get(REQUESTS + self.key + "/").body)  # byte for byte

    def test_refusals_are_there_and_malformed_requests_are_not(self):
        refused = self.client.post(BURN, {"account_id": self.own, "points": 5000, "idempotency_key": self.key})
        row, = self.results(self.key)
        self.assertEqual((row["operation"], row["status"], row["body"]), ("burn", 400, refused.json))
        for body in ({"account_id": self.own, "points": "x"}, {"account_id": 77, "points": 1}):
            self.assertIn(self.client.post(BURN, dict(body, idempotency_key="no-" + self.key)).status, (400, 404))
        self.check_d(self.client.get(REQUESTS + "no-%s/" % self.key), 404)

    def test_a_key_used_for_several_things_lists_them_all(self):
        other_who = str(uuid.uuid4())
        other = self.account(self.program_id, other_who)
        for path, body in ((EARN, {"account_id": self.own, "transaction_amount": 5}),
                           (BURN, {"account_id": self.own, "points": 5}),
                           (TRANSFER, {"from_account_id": self.own, "to_account_id": other, "points": 5}),
                           (EARN, {"account_id": other, "transaction_amount": 5})):
            self.assertEqual(self.client.post(path, dict(body, idempotency_key=self.key)).status, 200)
        found = sorted((row["operation"], row["account_id"]) for row in self.results(self.key))
        self.assertEqual(found, sorted([("earn", self.own), ("burn", self.own), ("transfer", self.own), ("earn", other)]))
        self.assertEqual(sorted(row["account_id"] for row in self.results(self.key, "?operation=earn")),
                         sorted([self.own, other]))
        row, = self.results(self.key, "?customer_id=" + other_who)
        self.assertEqual(row["account_id"], other)
        for query in ("?customer_id=%s&operation=burn" % other_who, "?operation=adjust", "?operation=nonsense",
                      "?customer_id=" + str(uuid.uuid4())):
            self.check_d(self.client.get(REQUESTS + self.key + "/" + query), 404)

    def test_keys_of_resources_are_there_too(self):
        account = self.client.post(ACCOUNTS, {"customer_id": str(uuid.uuid4()), "program": self.program_id},
                                   headers={"Idempotency-Key": self.key})
        self.assertEqual(account.status, 201)
        row, = self.results(self.key)
        self.assertEqual((row["status"], row["body"], row["account_id"]), (201, account.json, account.json["id"]))
        program = self.client.post(PROGRAMS, dict(LIFE, name="P"), headers={"Idempotency-Key": self.key})
        self.assertEqual(program.status, 201)
        rows = self.results(self.key)
        self.assertEqual(len(rows), 2)
        row = next(row for row in rows if row["customer_id"] is None)
        self.assertEqual((row["account_id"], row["status"], row["body"]["id"]), (None, 201, program.json["id"]))

    def test_never_seen_is_404_D(self):
        for query in ("", "?customer_id=" + self.who, "?operation=earn", "?operation=define"):
            self.check_d(self.client.get(REQUESTS + "never-%s/" % self.key + query), 404)
        self.check_d(self.client.get(REQUESTS), 404)

    def test_a_malformed_customer_is_400_E(self):
        self.check_e(self.client.get(REQUESTS + self.key + "/?customer_id=nonsense"), 400)

    def test_keys_of_any_text_are_found(self):
        for text in ("a.b", "x.json", "with space", "ünïcode ✓", "percent%41", "q?a=b&c", "plus+", "slash/inside", "..",
                     "k" * 255, "{}", '"quoted"'):
            key = "%s%s" % (text, self.key) if len(text) < 200 else text
            if text == "..":
                key = text
            with self.subTest(key=key):
                answer = self.client.post(EARN, {"account_id": self.own, "transaction_amount": 1, "idempotency_key": key})
                self.assertEqual(answer.status, 200, answer)
                if text == "slash/inside":
                    quoted = urllib.parse.quote(key, safe="")
                    row = self.client.get(REQUESTS + quoted + "/?customer_id=" + self.who)
                    self.assertEqual(row.status, 200, row)
                    continue
                row, = self.results(key, "?customer_id=" + self.who)
                self.assertEqual(row["body"], answer.json)

    def test_other_methods_are_405(self):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            self.check_d(self.client.ask(method, REQUESTS + self.key + "/", None if method == "DELETE" else {}), 405)


if __name__ == "__main__":
    unittest.main()
