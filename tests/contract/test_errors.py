"""test_errors.py - one look at every error shape of api-resources 1.5, and that nothing answers 500"""
import json
import os
import random
import re
import sys
import threading
import unittest
import urllib.parse
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from shared import ACCOUNTS, API, BATCH, BURN, EARN, ENTRIES, LIFE, PROGRAMS, TIERS, TRANSFER  # noqa: E402
from shared import Client, NodeCase, harness  # noqa: E402


class Shapes(NodeCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.first = cls.program(cls)
        cls.own = cls.account(cls, cls.first, points_balance=100)

    def test_v_on_resources(self):
        self.check_v(self.client.post(PROGRAMS, {}), "name", "start_date", "end_date")
        self.check_v(self.client.post(ACCOUNTS, {"customer_id": "x", "program": 999999}), "customer_id", "program")
        self.assertEqual(self.client.post(ACCOUNTS, {"customer_id": "x", "program": self.first}).json["customer_id"],
                         ["Must be a valid UUID."])
        answer = self.client.post(ACCOUNTS, {"customer_id": str(uuid.uuid4()), "program": 999999})
        self.assertEqual(answer.json["program"], ['Invalid pk "999999" - object does not exist.'])
        answer = self.client.post(PROGRAMS, dict(LIFE, name="P", min_balance=-1))
        self.assertEqual(answer.json["min_balance"], ["Ensure this value is greater than or equal to 0."])
        answer = self.client.post(PROGRAMS, dict(LIFE, name="P", tier_basis="x"))
        self.assertEqual(answer.json["tier_basis"], ['"x" is not a valid choice.'])

    def test_d_on_both(self):
        answer = self.client.get(PROGRAMS + "999999/")
        self.check_d(answer, 404)
        self.assertEqual(answer.json, {"detail": "Not found."})
        answer = self.client.ask("DELETE", EARN)
        self.assertEqual(answer.json, {"detail": 'Method "DELETE" not allowed.'})
        self.check_d(self.client.post(EARN, "{", headers={"Content-Type": "application/json"}), 400)
        self.check_d(Client(self.node.port).get(PROGRAMS), 401)
        self.check_d(self.client.get(PROGRAMS, headers={"Accept": "text/html"}), 406)
        self.check_d(self.client.post(PROGRAMS, "x", headers={"Content-Type": "text/plain"}), 415)
        key = str(uuid.uuid4())
        self.earn(self.own, 1, idempotency_key=key)
        self.check_d(self.client.post(EARN, {"account_id": self.own, "transaction_amount": 2, "idempotency_key": key}), 409,
                     "idempotency_conflict")

    def test_e_on_services(self):
        self.check_e(self.client.post(EARN, {}), 400)
        self.check_e(self.client.post(EARN, {"account_id": 77, "transaction_amount": 1}), 404)
        self.check_e(self.client.get(API + "/points/reconcile/77/"), 404)
        self.check_e(self.client.post("/api/auth/login/", {}), 400)
        self.check_e(self.client.post("/api/auth/check-permission/", {}), 400)

    def test_s_on_refusals(self):
        self.check_s(self.client.post(BURN, {"account_id": self.own, "points": 10 ** 9}), "insufficient_points")
        self.check_s(self.client.post(EARN, {"account_id": self.own, "transaction_amount": 0}), "zero")
        taker = self.account(self.first, status="closed")
        self.check_s(self.client.post(TRANSFER, {"from_account_id": self.own, "to_account_id": taker, "points": 1}),
                     "account_status")

    def test_nothing_inside_shows(self):
        """No answer tells of files, lines or libraries."""
        for answer in (self.client.get("/nothing"), self.client.post(EARN, {}), self.client.post(PROGRAMS, "{"),
                       self.client.get(PROGRAMS + "?is_active=x"), self.client.post(EARN, {"account_id": 10 ** 30})):
            self.assertFalse(re.search(rb"\.[ch]\b|rocksdb|civetweb|errno|/tmp|/home", answer.body, re.I), answer)

    def test_429_when_the_mailbox_is_full_or_none(self):
        """Whatever comes at once is answered: done, or refused with 429 and a time."""
        statuses = set()

        def work():
            own = Client(self.node.port, self.token)
            lines = "".join('{"operation":"earn","account_id":%d,"transaction_amount":1}\n' % self.own for _ in range(2000))
            answer = own.post(BATCH, lines, headers={"Content-Type": "application/x-ndjson"})
            statuses.update([answer.status] if answer.status != 200 else
                            [json.loads(line)["status"] for line in answer.body.splitlines()])
            own.close()

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertLessEqual(statuses, {200, 429})
        self.assertIn(200, statuses)


class NoFault(NodeCase):
    """Random nonsense at every route: never 500, and the node stays."""
    FLAGS = ("--log-level", "warn")

    VALUES = [None, True, False, 0, 1, -1, 1.5, 2 ** 31, 2 ** 53, 2 ** 63, -2 ** 63, 10 ** 40, 1e308, "", " ", "x", "0", "1", "-1",
              "1.5", "NaN", "null", "[]", "{}", "\u0000", "\ud7ff", "é" * 300, "a" * 70000,
              [], [[]], {}, {"a": 1}, [1, "x"],
              "2020-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z", "2020-01-01",
              "123e4567-e89b-12d3-a456-426614174000", "00000000-0000-0000-0000-000000000000", "active", "earn"]
    NAMES = ["customer_id", "program", "program_id", "account", "account_id", "points", "reward_cost", "transaction_amount",
             "amount", "transaction_type", "transaction_context", "reference", "description", "metadata", "idempotency_key",
             "name", "start_date", "end_date", "is_active", "tiers", "min_points", "points_multiplier", "redemption_discount",
             "status", "reason", "tier", "points_balance", "from_account_id", "to_account_id", "from_customer_id",
             "to_customer_id", "operation", "repair", "benefit_items", "engine_settings", "time_zone", "currency", "min_balance",
             "username", "password", "permission", "earn_rules", "priority"]

    def test_no_body_and_no_query_makes_a_500(self):
        seed = int(os.environ.get("SEED", "20"))
        chance = random.Random(seed)
        program = self.program(tiers=[{"name": "T"}])
        tier = self.client.get(TIERS).json["results"][0]["id"]
        account, other = self.account(program, points_balance=100), self.account(program, points_balance=100)
        entry = int(self.earn(account, 5)["transaction_id"])
        known = {"program": program, "program_id": program, "account": account, "account_id": account, "tier": tier,
                 "from_account_id": account, "to_account_id": other, "points": 1, "transaction_amount": 1, "amount": 1,
                 "transaction_type": "earn", "customer_id": str(uuid.uuid4()), "name": "N", "start_date": LIFE["start_date"],
                 "end_date": LIFE["end_date"], "status": "active", "reason": "r", "operation": "earn"}
        routes = [("POST", PROGRAMS), ("PUT", PROGRAMS + "%d/" % program), ("PATCH", PROGRAMS + "%d/" % program),
                  ("POST", TIERS), ("PUT", TIERS + "%d/" % tier), ("PATCH", TIERS + "%d/" % tier), ("POST", ACCOUNTS),
                  ("PUT", ACCOUNTS + "%d/" % account), ("PATCH", ACCOUNTS + "%d/" % account),
                  ("POST", ACCOUNTS + "%d/set-status/" % account), ("POST", ENTRIES), ("PUT", ENTRIES + "%d/" % entry),
                  ("PATCH", ENTRIES + "%d/" % entry), ("POST", EARN), ("POST", BURN), ("POST", TRANSFER),
                  ("POST", API + "/points/reconcile/"), ("POST", "/api/auth/check-permission/"), ("POST", BATCH)]
        queries = ["page", "page_size", "ordering", "search", "program", "account", "customer", "customer_id", "status", "tier",
                   "transaction_type", "created_after", "created_before", "include_deleted", "is_active", "name", "operation"]
        lists = [PROGRAMS, TIERS, ACCOUNTS, ENTRIES, ACCOUNTS + "customer/123e4567-e89b-12d3-a456-426614174000/",
                 API + "/requests/key/"]
        seen = set()
        for turn in range(1500):
            if turn % 3 == 0:
                names = chance.sample(queries, chance.randint(1, 4))
                query = urllib.parse.urlencode([(name, str(chance.choice(self.VALUES))[:500]) for name in names],
                                               errors="surrogatepass")
                method, path, body, headers = "GET", chance.choice(lists) + "?" + query, None, {}
            else:
                method, path = chance.choice(routes)
                members = {name: value for name, value in known.items() if chance.random() < 0.7}
                for name in chance.sample(self.NAMES, chance.randint(1, 4)):
                    members[name] = chance.choice(self.VALUES)
                body = json.dumps(members).encode()
                headers = {"Content-Type": "application/x-ndjson" if path == BATCH else "application/json"}
            answer = self.client.ask(method, path, body, headers=headers)
            seen.add(answer.status)
            self.assertNotEqual(answer.status // 100, 5, (seed, turn, method, path, body and body[:400], answer))
            if path == BATCH:
                for line in answer.body.splitlines():
                    self.assertLess(json.loads(line)["status"], 500, (seed, turn, body, line))
            if turn % 100 == 0:  # somebody may have closed what is needed
                self.client.ask("PATCH", ACCOUNTS + "%d/" % account, {"status": "active"})
        self.assertLessEqual({200, 201, 400, 404}, seen)
        self.assertEqual(self.client.get("/healthz").status, 200)
        self.assertEqual(self.node.stop(), 0)
        code, text = harness.tool("verify", "--data", self.node.data)
        self.assertEqual(code, 0, text)


if __name__ == "__main__":
    unittest.main()
