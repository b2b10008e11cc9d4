"""test_accounts.py - /loyaltyAccounts/ (api-resources 2.3)"""
import os
import sys
import unittest
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from shared import ACCOUNTS, API, BURN, EARN, ENTRIES, TRANSFER, NodeCase, together  # noqa: E402

FIELDS = {"id", "customer_id", "program", "tier", "status", "points_balance", "lifetime_points_earned",
          "lifetime_points_redeemed", "expiring_points", "next_expiry_at", "pending_points", "held_points", "debt_points",
          "created_at", "updated_at"}


class Accounts(NodeCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.first = cls.program(cls)

    def create(self, **members):
        body = {"customer_id": str(uuid.uuid4()), "program": self.first}
        body.update(members)
        return self.client.post(ACCOUNTS, body)

    def get(self, account):
        return self.check_json(self.client.get(ACCOUNTS + "%d/" % account), 200)

    def patch(self, account, body, **more):
        return self.client.ask("PATCH", ACCOUNTS + "%d/" % account, body, **more)

    def entries(self, account):
        return self.client.get(ENTRIES + "?account=%d" % account).json["results"]

    # --- create ---

    def test_create_answers_201_with_every_field(self):
        who = str(uuid.uuid4())
        body = self.check_json(self.create(customer_id=who), 201)
        self.assertEqual(set(body), FIELDS)
        for name, value in {"customer_id": who, "program": self.first, "tier": None, "status": "active",
                            "points_balance": 0, "lifetime_points_earned": 0, "lifetime_points_redeemed": 0,
                            "expiring_points": None, "next_expiry_at": None, "pending_points": 0, "held_points": 0,
                            "debt_points": 0}.items():
            self.assertEqual(body[name], value, name)
        self.assertLess(body["id"], 2 ** 53)
        self.assertEqual(self.get(body["id"]), body)
        self.assertRegex(self.client.get(ACCOUNTS + "%d/" % body["id"]).headers["ETag"], r'^"[^"]+"$')

    def test_a_customer_id_is_read_in_any_form_and_shown_in_one(self):
        who = uuid.uuid4()
        for form in (str(who).upper(), who.hex, "{%s}" % who, "urn:uuid:%s" % who):
            account = self.check_json(self.create(customer_id=form, program=self.program()), 201)
            self.assertEqual(account["customer_id"], str(who))

    def test_wrong_values_are_400_V_at_their_field(self):
        self.check_v(self.client.post(ACCOUNTS, {}), "customer_id", "program")
        for name, values in {"customer_id": ["", None, 5, "x", "123e4567-e89b-12d3-a456-42661417400", [], {}, True,
                                             "zzze4567-e89b-12d3-a456-426614174000"],
                             "program": [999999, "x", None, [], {}, 1.5, ""],
                             "status": ["sleeping", "", None, 5, "ACTIVE"],
                             "points_balance": [-1, "x", 1.5, "1.5", True, [], 2 ** 53],
                             "tier": [999999, "x", []]}.items():
            for value in values:
                with self.subTest(field=name, value=value):
                    self.check_v(self.create(**{name: value}), name)
        answer = self.create(program=999999)
        self.assertIn("999999", answer.json["program"][0])
        answer = self.create(program=[])
        self.assertIn("Incorrect type", answer.json["program"][0])

    def test_one_account_per_customer_and_program(self):
        who = str(uuid.uuid4())
        self.assertEqual(self.create(customer_id=who).status, 201)
        self.check_v(self.create(customer_id=who), "non_field_errors")
        self.check_v(self.create(customer_id=who.upper(), status="suspended"), "non_field_errors")
        self.assertEqual(self.create(customer_id=who, program=self.program()).status, 201)

    def test_many_enrolments_at_once_make_one_account(self):
        who, port = str(uuid.uuid4()), self.node.port
        clients = [type(self.client)(port, self.token) for _ in range(16)]
        answers = together(16, lambda place: clients[place].post(ACCOUNTS, {"customer_id": who, "program": self.first}))
        for client in clients:
            client.close()
        statuses = sorted(answer.status for answer in answers)
        self.assertEqual(statuses, [201] + [400] * 15)
        self.assertEqual(len(self.client.get(ACCOUNTS + "customer/%s/" % who).json), 1)

    def test_an_opening_balance_is_an_adjust_entry(self):
        account = self.check_json(self.create(points_balance=250), 201)
        self.assertEqual((account["points_balance"], account["lifetime_points_earned"]), (250, 0))
        rows = self.entries(account["id"])
        self.assertEqual([(row["transaction_type"], row["amount"], row["delta"], row["balance_after"]) for row in rows],
                         [("adjust", 250, 250, 250)])
        self.assertEqual(self.entries(self.check_json(self.create(points_balance=0), 201)["id"]), [])

    def test_read_only_figures_are_ignored(self):
        body = self.check_json(self.create(lifetime_points_earned=99, held_points=5, debt_points=5, pending_points=5, id=3,
                                           created_at="2001-01-01T00:00:00Z"), 201)
        self.assertEqual((body["lifetime_points_earned"], body["held_points"], body["debt_points"], body["pending_points"]),
                         (0, 0, 0, 0))

    def test_an_account_in_a_closed_or_coming_program_can_be_made(self):
        program = self.program(is_active=False)
        self.assertEqual(self.create(program=program).status, 201)
        program = self.program(start_date="2098-01-01T00:00:00Z")
        self.assertEqual(self.create(program=program).status, 201)

    # --- change ---

    def test_customer_and_program_stay(self):
        account = self.check_json(self.create(), 201)
        path = ACCOUNTS + "%d/" % account["id"]
        self.check_v(self.patch(account["id"], {"customer_id": str(uuid.uuid4())}), "customer_id")
        self.check_v(self.patch(account["id"], {"program": self.program()}), "program")
        answer = self.client.ask("PUT", path, {"customer_id": account["customer_id"], "program": self.first})
        self.assertEqual(answer.status, 200, answer)
        self.check_v(self.client.ask("PUT", path, {"status": "active"}), "customer_id", "program")

    def test_a_changed_balance_posts_the_difference(self):
        account = self.check_json(self.create(points_balance=100), 201)["id"]
        answer = self.patch(account, {"points_balance": 130})
        self.assertEqual((answer.status, answer.json["points_balance"]), (200, 130), answer)
        self.assertEqual(self.patch(account, {"points_balance": 20}).json["points_balance"], 20)
        self.assertEqual(self.patch(account, {"points_balance": 20}).json["points_balance"], 20)
        self.assertEqual([row["delta"] for row in self.entries(account)], [-110, 30, 100])
        self.assertEqual({row["transaction_type"] for row in self.entries(account)}, {"adjust"})
        self.check_v(self.patch(account, {"points_balance": -5}), "points_balance")

    def test_status_changes_and_what_each_lets_through(self):
        for status, shown in (("suspended", "suspended"), ("inactive", "suspended"), ("blocked", "blocked"),
                              ("closed", "closed")):
            with self.subTest(status=status):
                account = self.check_json(self.create(points_balance=100), 201)["id"]
                other = self.check_json(self.create(points_balance=100), 201)["id"]
                answer = self.client.post(ACCOUNTS + "%d/set-status/" % account, {"status": status, "reason": "a test"})
                self.assertEqual(self.check_json(answer, 200)["status"], shown)
                self.assertEqual(self.get(account)["status"], shown)
                for path, body in ((EARN, {"account_id": account, "transaction_amount": 5}),
                                   (BURN, {"account_id": account, "points": 5}),
                                   (TRANSFER, {"from_account_id": account, "to_account_id": other, "points": 5}),
                                   (TRANSFER, {"from_account_id": other, "to_account_id": account, "points": 5})):
                    answer = self.client.post(path, body)
                    self.check_s(answer, "account_status")
                self.assertEqual((self.balance(account), self.balance(other)), (100, 100))
                # An adjustment is for every status.
                answer = self.client.post(ENTRIES, {"account": account, "amount": -10, "transaction_type": "adjust"})
                self.assertEqual(answer.status, 201, answer)
                answer = self.patch(account, {"status": "active"})
                self.assertEqual((answer.status, answer.json["status"]), (200, "active"), answer)
                self.earn(account, 5)

    def test_dormant_behaves_as_active(self):
        account = self.check_json(self.create(status="dormant"), 201)["id"]
        self.earn(account, 5)
        self.assertEqual(self.client.post(BURN, {"account_id": account, "points": 5}).status, 200)
        self.assertEqual(self.get(account)["status"], "dormant")

    def test_set_status_needs_status_and_reason(self):
        account = self.check_json(self.create(), 201)["id"]
        path = ACCOUNTS + "%d/set-status/" % account
        self.check_v(self.client.post(path, {}), "status", "reason")
        self.check_v(self.client.post(path, {"status": "blocked"}), "reason")
        self.check_v(self.client.post(path, {"status": "asleep", "reason": "x"}), "status")
        self.check_v(self.client.post(path, {"status": "blocked", "reason": ""}), "reason")
        self.check_d(self.client.post(ACCOUNTS + "77/set-status/", {"status": "blocked", "reason": "x"}), 404)
        self.assertEqual(self.client.get(path).status, 405)
        key = {"Idempotency-Key": str(uuid.uuid4())}
        first = self.client.post(path, {"status": "blocked", "reason": "x"}, headers=key)
        self.assertEqual(self.client.post(path, {"status": "active", "reason": "x"}).status, 200)
        again = self.client.post(path, {"reason": "x", "status": "blocked"}, headers=key)
        self.assertEqual((first.body, self.replayed(again)), (again.body, True))
        self.assertEqual(self.get(account)["status"], "active")

    def test_if_match(self):
        account = self.check_json(self.create(), 201)["id"]
        tag = self.client.get(ACCOUNTS + "%d/" % account).headers["ETag"]
        self.earn(account, 5)
        for method in ("PATCH", "DELETE"):
            answer = self.client.ask(method, ACCOUNTS + "%d/" % account, {} if method == "PATCH" else None,
                                     headers={"If-Match": tag})
            self.check_d(answer, 412)
        tag = self.client.get(ACCOUNTS + "%d/" % account).headers["ETag"]
        self.assertEqual(self.patch(account, {"points_balance": 9}, headers={"If-Match": tag}).status, 200)
        self.assertEqual(self.balance(account), 9)

    # --- delete ---

    def test_delete_hides_it_and_lets_the_customer_start_again(self):
        who = str(uuid.uuid4())
        account = self.check_json(self.create(customer_id=who, points_balance=10), 201)["id"]
        answer = self.client.ask("DELETE", ACCOUNTS + "%d/" % account)
        self.assertEqual((answer.status, answer.body), (204, b""))
        for method in ("GET", "PATCH", "DELETE"):
            self.check_d(self.client.ask(method, ACCOUNTS + "%d/" % account, {} if method == "PATCH" else None), 404)
        self.check_d(self.client.get(ACCOUNTS + "%d/tier_progress/" % account), 404)
        self.check_e(self.client.post(EARN, {"account_id": account, "transaction_amount": 1}), 404)
        self.check_e(self.client.post(EARN, {"customer_id": who, "program_id": self.first, "transaction_amount": 1}), 404)
        self.assertEqual(self.client.get(ACCOUNTS + "customer/%s/" % who).json, [])
        self.assertEqual(self.client.get(ACCOUNTS + "?customer=" + who).json["count"], 0)
        again = self.check_json(self.create(customer_id=who), 201)  # deleted ones are no duplicates
        self.assertNotEqual(again["id"], account)
        self.assertEqual(again["points_balance"], 0)
        self.assertEqual([row["id"] for row in self.client.get(ACCOUNTS + "customer/%s/" % who).json], [again["id"]])

    # --- look up ---

    def test_ids_that_are_none_are_404(self):
        for text in ("0", "1", "77", "abc", "-1", "1.5", "9007199254740993", "99999999999999999999999", "%F0%9F%98%80"):
            for tail in ("/", "/tier_progress/"):
                self.check_d(self.client.get(ACCOUNTS + text + tail), 404)
            self.check_d(self.client.ask("PATCH", ACCOUNTS + text + "/", {}), 404)
            self.check_d(self.client.ask("DELETE", ACCOUNTS + text + "/"), 404)

    def test_the_accounts_of_a_customer_newest_first(self):
        who = str(uuid.uuid4())
        ids = [self.check_json(self.create(customer_id=who, program=self.program()), 201)["id"] for _ in range(3)]
        path = ACCOUNTS + "customer/%s/" % who
        self.assertEqual([row["id"] for row in self.check_json(self.client.get(path), 200)], ids[::-1])
        self.assertEqual([row["id"] for row in self.client.get(ACCOUNTS + "customer/%s/" % who.upper()).json], ids[::-1])
        self.assertEqual(self.client.get(ACCOUNTS + "customer/%s/" % uuid.uuid4()).json, [])
        self.assertEqual(self.client.get(ACCOUNTS + "customer/nonsense/").status, 400)
        # Only when `page` is given it is an envelope.
        self.assertEqual(len(self.client.get(path + "?page_size=2").json), 2)
        body = self.check_json(self.client.get(path + "?page=2&page_size=2"), 200)
        self.assertEqual((body["count"], [row["id"] for row in body["results"]]), (3, ids[:1]))

    def test_what_is_not_routed_is_404(self):
        account = self.check_json(self.create(), 201)["id"]
        for path in ("%d/lots/" % account, "%d/as-of/" % account, "%d/parked/" % account):
            self.check_d(self.client.get(ACCOUNTS + path), 404)
        answer = self.client.post(ACCOUNTS + "recalculate_all_tiers/", {})
        self.assertIn(answer.status, (404, 405), answer)
        self.check_d(self.client.get(ACCOUNTS + "recalculate_all_tiers/"), 404)
        self.check_d(self.client.get(API + "/pointsHolds/"), 404)

    # --- idempotency ---

    def test_a_key_makes_one_account(self):
        who = str(uuid.uuid4())
        body = {"customer_id": who, "program": self.first, "points_balance": 5}
        key = {"Idempotency-Key": "enrol-%s" % who}
        first = self.client.post(ACCOUNTS, body, headers=key)
        account = self.check_json(first, 201)["id"]
        self.earn(account, 100)
        again = self.client.post(ACCOUNTS, dict(body, points_balance=5.0, program=str(self.first)), headers=key)
        self.assertEqual((again.status, again.body), (201, first.body))
        self.assertTrue(self.replayed(again))
        self.assertEqual(self.balance(account), 105)
        self.check_d(self.client.post(ACCOUNTS, dict(body, points_balance=6), headers=key), 409, "idempotency_conflict")
        # Another customer's key is another request.
        other = self.client.post(ACCOUNTS, dict(body, customer_id=str(uuid.uuid4())), headers=key)
        self.assertEqual((other.status, self.replayed(other)), (201, False), other)


class Lists(NodeCase):
    def test_lists_filter_page_and_order(self):
        one, two = self.program(), self.program(tiers=[{"name": "T"}])
        tier = self.client.get(API + "/loyaltyTiers/").json["results"][0]["id"]
        people = [str(uuid.uuid4()) for _ in range(6)]
        ids = [self.account(one, who, points_balance=10 * place) for place, who in enumerate(people)]
        ids += [self.account(two, who, status="blocked") for who in people[:3]]

        def got(query):
            body = self.check_json(self.client.get(ACCOUNTS + query), 200)
            self.assertEqual(body["count"], len(body["results"]))
            return sorted(ids.index(row["id"]) for row in body["results"])

        self.assertEqual(got(""), list(range(9)))
        self.assertEqual(got("?program=%d" % one), list(range(6)))
        self.assertEqual(got("?program=%d&status=active" % two), [])
        self.assertEqual(got("?status=blocked"), [6, 7, 8])
        self.assertEqual(got("?tier=%d" % tier), [6, 7, 8])
        self.assertEqual(got("?customer=" + people[1]), [1, 7])
        self.assertEqual(got("?customer_id=%s&program=%d" % (people[1].upper(), two)), [7])
        self.assertEqual(got("?customer=%s&customer_id=%s" % (people[0], people[1])), [])
        self.assertEqual(got("?customer=&program=&status=&tier="), list(range(9)))
        self.assertEqual(got("?status=nonsense"), [])
        self.assertEqual(got("?program=999999"), [])
        self.assertEqual(got("?tier=999999"), [])
        self.assertEqual(got("?customer=" + str(uuid.uuid4())), [])
        for query in ("program=x", "program=1.5", "tier=x", "customer=x", "customer_id=123"):
            self.check_v(self.client.get(ACCOUNTS + "?" + query), query.split("=")[0])
        order = [row["id"] for row in self.client.get(ACCOUNTS).json["results"]]
        self.assertEqual(order, sorted(ids))
        order = [row["id"] for row in self.client.get(ACCOUNTS + "?ordering=-id").json["results"]]
        self.assertEqual(order, sorted(ids, reverse=True))
        rows = self.client.get(ACCOUNTS + "?ordering=-points_balance,id&program=%d" % one).json["results"]
        self.assertEqual([row["points_balance"] for row in rows], [50, 40, 30, 20, 10, 0])


if __name__ == "__main__":
    unittest.main()
