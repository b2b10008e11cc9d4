"""test_programs.py - /loyaltyPrograms/ (api-resources 2.1)"""
import os
import sys
import time
import unittest
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from shared import ACCOUNTS, API, BURN, EARN, ENTRIES, LIFE, PROGRAMS, TIERS, TRANSFER, NodeCase  # noqa: E402

FIELDS = {"id", "name", "description", "start_date", "end_date", "is_active", "tiers", "earn_rules", "burn_rules",
          "points_expiry_rules", "earn_caps_config", "tier_basis", "tier_downgrade_grace_days", "min_balance", "currency",
          "multiplier_mode", "time_zone", "max_transaction_amount", "burn_min", "burn_step", "burn_max", "burn_max_per_day",
          "engine_settings", "created_at", "updated_at"}


class Programs(NodeCase):
    def create(self, status=201, **members):
        body = dict(LIFE, name="P")
        body.update(members)
        answer = self.client.post(PROGRAMS, {name: value for name, value in body.items() if value is not Ellipsis})
        self.assertEqual(answer.status, status, answer)
        return answer

    def get(self, program):
        return self.check_json(self.client.get(PROGRAMS + "%d/" % program), 200)

    def patch(self, program, body, status=200, **more):
        answer = self.client.ask("PATCH", PROGRAMS + "%d/" % program, body, **more)
        self.assertEqual(answer.status, status, answer)
        return answer

    # --- create ---

    def test_create_answers_201_with_every_field_and_default(self):
        body = self.create(name="  Points  ").json
        self.assertEqual(set(body), FIELDS)
        self.assertEqual(body["name"], "Points")  # trimmed of outer blanks
        expected = {"description": "", "start_date": "2020-01-01T00:00:00Z", "end_date": "2099-01-01T00:00:00Z",
                    "is_active": True, "tiers": [], "earn_rules": {}, "burn_rules": {}, "points_expiry_rules": [],
                    "earn_caps_config": [], "tier_basis": "points_balance", "tier_downgrade_grace_days": 0,
                    "min_balance": 0, "currency": "USD", "multiplier_mode": "multiplicative", "time_zone": "UTC",
                    "max_transaction_amount": None, "burn_min": 0, "burn_step": 0, "burn_max": None,
                    "burn_max_per_day": None, "engine_settings": {}}
        for name, value in expected.items():
            self.assertEqual(body[name], value, name)
        self.assertRegex(body["created_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z$")
        self.assertEqual(body["created_at"], body["updated_at"])
        self.assertEqual(self.get(body["id"]), body)

    def test_ids_ascend_and_are_never_used_again(self):
        first = self.create().json["id"]
        second = self.create().json["id"]
        self.assertGreater(second, first)
        self.assertEqual(self.client.ask("DELETE", PROGRAMS + "%d/" % second).status, 204)
        self.assertGreater(self.create().json["id"], second)

    def test_wait_all_answers_when_every_partition_has_the_definition(self):
        started = time.monotonic()
        made = self.client.post(PROGRAMS + "?wait=all", dict(LIFE, name="W"), headers={"Idempotency-Key": "wait-all"})
        program = self.check_json(made, 201)["id"]
        for _ in range(40):  # customers of all partitions, which decide on what they have
            self.account(program)
        again = self.client.post(PROGRAMS + "?wait=all", dict(LIFE, name="W"), headers={"Idempotency-Key": "wait-all"})
        self.assertEqual((again.status, again.body, self.replayed(again)), (201, made.body, True))
        plain = self.client.post(PROGRAMS + "?wait=", dict(LIFE, name="W"), headers={"Idempotency-Key": "wait-all"})
        self.assertEqual((plain.status, plain.body), (201, made.body))  # an empty value is none
        one, tiers = PROGRAMS + "%d/?wait=all" % program, TIERS + "?wait=all"
        self.assertEqual(self.check_json(self.client.ask("PUT", one, dict(LIFE, name="X")), 200)["name"], "X")
        self.assertEqual(self.check_json(self.client.ask("PATCH", one, {"name": "Y"}), 200)["name"], "Y")
        tier = self.check_json(self.client.post(tiers, {"program": program, "name": "Gold"}), 201)["id"]
        one_tier = TIERS + "%d/?wait=all" % tier
        self.assertEqual(self.check_json(self.client.ask("PATCH", one_tier, {"name": "Silver"}), 200)["name"], "Silver")
        self.check_v(self.client.ask("PATCH", one_tier, {"name": ""}), "name")  # refused at once
        self.assertEqual(self.client.ask("DELETE", one_tier).status, 204)
        self.check_d(self.client.ask("DELETE", PROGRAMS + "4000000000/?wait=all"), 404)
        self.assertLess(time.monotonic() - started, 8)  # one wait until the deadline alone would be 10 s

    def test_wait_takes_no_other_value_and_then_writes_nothing(self):
        program = self.create().json
        for value in ("none", "ALL", "1", "all,all", "al"):
            with self.subTest(value=value):
                one = PROGRAMS + "%d/?wait=%s" % (program["id"], value)
                self.check_v(self.client.post(PROGRAMS + "?wait=" + value, dict(LIFE, name="W")), "wait")
                self.check_v(self.client.ask("PUT", one, dict(LIFE, name="W")), "wait")
                self.check_v(self.client.ask("PATCH", one, {"name": "W"}), "wait")
                self.check_v(self.client.ask("DELETE", one), "wait")
                self.check_v(self.client.post(TIERS + "?wait=" + value, {"program": program["id"], "name": "W"}), "wait")
        self.assertEqual(self.get(program["id"]), program)

    def test_missing_required_fields_are_all_named(self):
        self.check_v(self.client.post(PROGRAMS, {}), "name", "start_date", "end_date")
        self.check_v(self.client.post(PROGRAMS, dict(LIFE)), "name")

    def test_wrong_values_are_400_V_at_their_field(self):
        for name, values in {
                "name": ["", "   ", None, ["x"], {}, "x" * 256, "a\0b", True],
                "description": [None, True, [], {}],
                "start_date": ["2020-01-01", "yesterday", "", None, 5, "2020-13-01T00:00:00Z", "2020-02-30T00:00:00Z",
                               "2020-01-01T25:00:00Z", {}],
                "is_active": ["maybe", 2, [], {}, None],
                "tier_basis": ["spendings", "", 5, None],
                "multiplier_mode": ["divide", ["best"]],
                "min_balance": [-1, "x", 1.5, "1.5", [], True, None, 2 ** 53, 1e40],
                "tier_downgrade_grace_days": [-1, "a"],
                "currency": ["EURO", 5],
                "time_zone": ["Mars/Olympus", "../etc/passwd", 5],
                "earn_rules": ["text"],
        }.items():
            for value in values:
                with self.subTest(field=name, value=value):
                    body = dict(LIFE, name="P")
                    body[name] = value
                    self.check_v(self.client.post(PROGRAMS, body), name)

    def test_several_wrong_fields_are_answered_together(self):
        self.check_v(self.client.post(PROGRAMS, {"name": "", "start_date": "x", "end_date": 5, "min_balance": -1}),
                     "name", "start_date", "end_date", "min_balance")

    def test_the_end_may_not_be_before_the_start(self):
        answer = self.client.post(PROGRAMS, {"name": "P", "start_date": "2030-01-02T00:00:00Z",
                                             "end_date": "2030-01-01T00:00:00Z"})
        self.assertEqual(answer.status, 400, answer)
        self.assertTrue(set(answer.json) & {"end_date", "non_field_errors"}, answer)
        self.create(start_date="2030-01-01T00:00:00Z", end_date="2030-01-01T00:00:00Z")
        program = self.create().json["id"]
        self.patch(program, {"end_date": "2019-01-01T00:00:00Z"}, 400)
        self.patch(program, {"start_date": "2100-01-01T00:00:00Z"}, 400)

    def test_values_are_read_in_all_their_forms(self):
        for given, shown in ((True, True), (False, False), (1, True), (0, False), ("true", True), ("off", False),
                             ("on", True), ("False", False)):
            self.assertIs(self.create(is_active=given).json["is_active"], shown)
        self.assertEqual(self.create(name=5).json["name"], "5")
        self.assertEqual(self.create(min_balance="7").json["min_balance"], 7)
        self.assertEqual(self.create(min_balance=7.0).json["min_balance"], 7)
        body = self.create(start_date="2024-06-01T12:30+02:00", end_date="2024-06-01T10:30:00.250000").json
        self.assertEqual(body["start_date"], "2024-06-01T10:30:00Z")
        self.assertEqual(body["end_date"], "2024-06-01T10:30:00.250000Z")
        self.assertEqual(self.create(name="Zähler ✓ 点", description="").json["name"], "Zähler ✓ 点")
        self.assertEqual(self.create(name="é" * 255).json["name"], "é" * 255)  # code points, not bytes
        self.assertEqual(self.create(time_zone="Europe/Berlin").json["time_zone"], "Europe/Berlin")
        self.assertEqual(self.create(earn_rules="{}").json["earn_rules"], {})  # a string that parses is taken as JSON

    def test_unknown_and_read_only_members_are_ignored(self):
        body = self.create(id=999999, created_at="2000-01-01T00:00:00Z", whatever={"deep": [1]}).json
        self.assertNotEqual(body["id"], 999999)
        self.assertNotEqual(body["created_at"], "2000-01-01T00:00:00Z")
        self.assertNotIn("whatever", body)

    def test_what_comes_later_is_refused_naming_the_field(self):
        for name, value in {"earn_rules": {">": [1, 2]}, "burn_rules": {"var": "x"},
                            "points_expiry_rules": [{"expiry_period_days": 365, "expiry_type": "fifo"}],
                            "earn_caps_config": [{"cap_type": "daily", "cap_amount": 5}],
                            "engine_settings": {"allow_debt": True}, "tier_basis": "spend",
                            "max_transaction_amount": "100.00", "burn_min": 10, "burn_step": 5, "burn_max": 100,
                            "burn_max_per_day": 100}.items():
            with self.subTest(field=name):
                body = dict(LIFE, name="P")
                body[name] = value
                program = self.create().json["id"]
                for answer in (self.client.post(PROGRAMS, body),
                               self.client.ask("PATCH", PROGRAMS + "%d/" % program, {name: value})):
                    self.assertEqual(list(self.check_json(answer, 400)), [name], answer)
                    self.assertTrue(answer.json[name], answer)
        # As empty as they are they may be sent.
        self.create(earn_rules={}, burn_rules={}, points_expiry_rules=[], earn_caps_config=[], engine_settings={},
                    tier_basis="points_balance", max_transaction_amount=None, burn_min=0, burn_step=0, burn_max=None,
                    burn_max_per_day=None)

    # --- change ---

    def test_put_needs_the_required_fields_and_keeps_what_is_not_sent(self):
        program = self.create(description="kept", min_balance=5).json["id"]
        self.check_v(self.client.ask("PUT", PROGRAMS + "%d/" % program, {"name": "Q"}), "start_date", "end_date")
        answer = self.client.ask("PUT", PROGRAMS + "%d/" % program, dict(LIFE, name="Q"))
        body = self.check_json(answer, 200)
        self.assertEqual((body["name"], body["description"], body["min_balance"]), ("Q", "kept", 5))
        self.assertGreater(body["updated_at"], body["created_at"])

    def test_patch_changes_what_is_sent(self):
        program = self.create(description="kept").json["id"]
        body = self.patch(program, {"name": "R", "is_active": False}).json
        self.assertEqual((body["name"], body["is_active"], body["description"]), ("R", False, "kept"))
        self.assertEqual(self.patch(program, {}).json["name"], "R")
        self.check_v(self.client.ask("PATCH", PROGRAMS + "%d/" % program, {"name": ""}), "name")
        self.check_d(self.client.ask("PATCH", PROGRAMS + "%d/" % program, "[]"), 400)

    def test_etag_and_if_match(self):
        program = self.create().json["id"]
        path = PROGRAMS + "%d/" % program
        tag = self.client.get(path).headers["ETag"]
        self.assertRegex(tag, r'^"[^"]+"$')
        self.assertEqual(self.client.get(path).headers["ETag"], tag)
        self.patch(program, {"name": "first"}, headers={"If-Match": tag})
        changed = self.client.get(path).headers["ETag"]
        self.assertNotEqual(changed, tag)
        for method, body in (("PATCH", {"name": "second"}), ("PUT", dict(LIFE, name="second")), ("DELETE", None)):
            self.check_d(self.client.ask(method, path, body, headers={"If-Match": tag}), 412)
        self.assertEqual(self.get(program)["name"], "first")
        self.patch(program, {"name": "third"}, headers={"If-Match": "*"})
        self.check_d(self.client.ask("DELETE", path, headers={"If-Match": "nonsense"}), 412)
        tag = self.client.get(path).headers["ETag"]
        self.assertEqual(self.client.ask("DELETE", path, headers={"If-Match": tag}).status, 204)

    def test_a_changed_program_counts_for_the_next_earn(self):
        program = self.create().json["id"]
        account = self.account(program)
        self.earn(account, 5)
        self.patch(program, {"is_active": False})
        answer = self.client.post(EARN, {"account_id": account, "transaction_amount": 5})
        self.check_s(answer, "program_status")
        self.patch(program, {"is_active": True})
        self.earn(account, 5)
        self.assertEqual(self.balance(account), 10)

    # --- delete ---

    def test_delete_hides_the_program_and_what_belongs_to_it(self):
        program = self.create(tiers=[{"name": "T"}]).json["id"]
        tier = self.get(program)["tiers"][0]["id"]
        who = str(uuid.uuid4())
        account, other = self.account(program, who), self.account(program)
        kept = self.account(self.create().json["id"], who)
        entry = int(self.earn(account, 50)["transaction_id"])
        self.earn(kept, 7)
        answer = self.client.ask("DELETE", PROGRAMS + "%d/" % program)
        self.assertEqual((answer.status, answer.body), (204, b""))
        for path in (PROGRAMS + "%d/" % program, TIERS + "%d/" % tier, ACCOUNTS + "%d/" % account,
                     ENTRIES + "%d/" % entry, ACCOUNTS + "%d/tier_progress/" % account):
            self.check_d(self.client.get(path), 404)
        for method, body in (("PATCH", {"name": "x"}), ("PUT", dict(LIFE, name="x")), ("DELETE", None)):
            self.check_d(self.client.ask(method, PROGRAMS + "%d/" % program, body), 404)
        for path in (TIERS + "?program=%d" % program, ACCOUNTS + "?program=%d" % program,
                     ENTRIES + "?program=%d" % program, ENTRIES + "?account=%d" % account):
            self.assertEqual(self.client.get(path).json["count"], 0, path)
        self.assertNotIn(program, [row["id"] for row in self.client.get(PROGRAMS + "?page_size=1000").json["results"]])
        self.assertEqual([row["id"] for row in self.client.get(ACCOUNTS + "?customer=" + who).json["results"]], [kept])
        self.assertEqual([row["id"] for row in self.client.get(ACCOUNTS + "customer/%s/" % who).json], [kept])
        self.assertEqual([row["account"] for row in self.client.get(ENTRIES + "customer/%s/" % who).json], [kept])
        # Earning into a deleted program is 404 E, and so is everything else.
        self.check_e(self.client.post(EARN, {"account_id": account, "transaction_amount": 5}), 404)
        self.check_e(self.client.post(EARN, {"customer_id": who, "program_id": program, "transaction_amount": 5}), 404)
        self.check_e(self.client.post(BURN, {"account_id": account, "points": 5}), 404)
        self.check_e(self.client.post(TRANSFER, {"from_account_id": account, "to_account_id": other, "points": 5}), 404)
        self.check_v(self.client.post(ACCOUNTS, {"customer_id": who, "program": program}), "program")
        self.check_v(self.client.post(TIERS, {"program": program, "name": "N"}), "program")
        self.assertEqual(self.balance(kept), 7)

    # --- nested tiers ---

    def test_tiers_are_created_with_the_program_and_shown_in_order(self):
        body = self.create(tiers=[{"name": "Gold", "min_points": 500, "priority": 2, "points_multiplier": "1.5"},
                                  {"name": "Base", "priority": 0}, {"name": "B2", "min_points": 9, "priority": 0}]).json
        self.assertEqual([tier["name"] for tier in body["tiers"]], ["Base", "B2", "Gold"])
        self.assertEqual(body["tiers"][2]["points_multiplier"], "1.500")
        self.assertEqual({tier["program"] for tier in body["tiers"]}, {body["id"]})
        listed = self.client.get(TIERS + "?program=%d" % body["id"]).json["results"]
        self.assertEqual(listed, body["tiers"])

    def test_an_update_with_tiers_changes_creates_and_deletes(self):
        body = self.create(tiers=[{"name": "A"}, {"name": "B", "min_points": 10}]).json
        program, (first, second) = body["id"], [tier["id"] for tier in body["tiers"]]
        body = self.patch(program, {"tiers": [{"id": second, "name": "B!", "min_points": 20},
                                              {"name": "C", "min_points": 30}]}).json
        self.assertEqual([tier["name"] for tier in body["tiers"]], ["B!", "C"])
        self.assertEqual(body["tiers"][0]["id"], second)
        self.check_d(self.client.get(TIERS + "%d/" % first), 404)
        self.assertEqual(len(self.patch(program, {"name": "untouched"}).json["tiers"]), 2)
        answer = self.client.ask("PUT", PROGRAMS + "%d/" % program, dict(LIFE, name="put"))
        self.assertEqual(len(answer.json["tiers"]), 2)
        self.assertEqual(self.patch(program, {"tiers": []}).json["tiers"], [])
        self.assertEqual(self.client.get(TIERS + "?program=%d" % program).json["count"], 0)

    def test_a_bad_tier_refuses_the_whole_write(self):
        program = self.create(tiers=[{"name": "A"}]).json["id"]
        before = self.client.get(PROGRAMS).json["count"]
        foreign = self.create(tiers=[{"name": "F"}]).json["tiers"][0]["id"]
        for tiers in ([{"name": ""}], [{}], [{"name": "x", "min_points": -1}], [{"name": "x"}, {"name": "x"}],
                      [{"name": "x", "points_multiplier": "a"}], "text", 5, [5], {"name": "x"},
                      [{"id": foreign, "name": "x"}], [{"id": 999999, "name": "x"}]):
            with self.subTest(tiers=tiers):
                answer = self.client.ask("PATCH", PROGRAMS + "%d/" % program, {"name": "changed", "tiers": tiers})
                self.assertEqual(answer.status, 400, answer)
                self.assertEqual(list(answer.json), ["tiers"], answer)
                self.assertEqual(self.get(program)["name"], "P")
                self.assertEqual([tier["name"] for tier in self.get(program)["tiers"]], ["A"])
        answer = self.client.post(PROGRAMS, dict(LIFE, name="P", tiers=[{"name": "ok"}, {"name": ""}]))
        self.assertEqual(answer.status, 400, answer)
        self.assertEqual(self.client.get(PROGRAMS).json["count"], before + 1)

    # --- unknown ---

    def test_ids_that_are_none_are_404(self):
        for path in ("0", "999999", "abc", "-1", "1.5", "99999999999999999999999", "%20", "1x", "0x1", "+1", "1e0", "%41"):
            for method in ("GET", "PUT", "PATCH", "DELETE"):
                answer = self.client.ask(method, PROGRAMS + path + "/", {"name": "x", **LIFE}
                                         if method in ("PUT", "PATCH") else None)
                self.check_d(answer, 404)

    def test_what_is_not_routed_is_404(self):
        program = self.create().json["id"]
        for path in ("simulate", "backtest", "analytics", "engine-settings"):
            self.check_d(self.client.post(PROGRAMS + "%d/%s/" % (program, path), {}), 404)
            self.check_d(self.client.get(PROGRAMS + "%d/%s/" % (program, path)), 404)

    # --- idempotency ---

    def test_a_key_makes_one_program(self):
        key = {"Idempotency-Key": "program-%s" % uuid.uuid4()}
        body = dict(LIFE, name="once", tiers=[{"name": "T"}])
        first = self.client.post(PROGRAMS, body, headers=key)
        again = self.client.post(PROGRAMS, body, headers=key)
        self.assertEqual((first.status, again.status), (201, 201))
        self.assertEqual(first.body, again.body)
        self.assertFalse(self.replayed(first))
        self.assertTrue(self.replayed(again))
        self.check_d(self.client.post(PROGRAMS, dict(body, name="other"), headers=key), 409, "idempotency_conflict")
        self.assertEqual(self.client.get(PROGRAMS + "?name=once").json["count"], 1)
        # In the body it is the same key; a refused body takes none.
        again = self.client.post(PROGRAMS, dict(body, idempotency_key=key["Idempotency-Key"]))
        self.assertEqual((again.status, self.replayed(again)), (201, True), again)
        key = {"Idempotency-Key": "bad-%s" % uuid.uuid4()}
        self.check_v(self.client.post(PROGRAMS, dict(body, name=""), headers=key), "name")
        self.assertEqual(self.client.post(PROGRAMS, body, headers=key).status, 201)
        # The first answer stays what it was when the program has changed since.
        self.patch(first.json["id"], {"name": "changed since"})
        key = {"Idempotency-Key": "kept-%s" % uuid.uuid4()}
        first = self.client.post(PROGRAMS, body, headers=key)
        self.patch(first.json["id"], {"name": "changed since"})
        self.assertEqual(self.client.post(PROGRAMS, body, headers=key).body, first.body)

    def test_forms_make_flat_fields(self):
        answer = self.client.post(PROGRAMS, "name=By+form&start_date=2020-01-01T00%3A00%3A00Z"
                                            "&end_date=2030-01-01T00:00:00Z&is_active=false&min_balance=3",
                                  headers={"Content-Type": "application/x-www-form-urlencoded"})
        body = self.check_json(answer, 201)
        self.assertEqual((body["name"], body["is_active"], body["min_balance"]), ("By form", False, 3))
        parts = "".join('--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % item for item in
                        (("name", "By parts"), ("start_date", "2020-01-01T00:00:00Z"), ("end_date", "2030-01-01T00:00:00Z")))
        answer = self.client.post(PROGRAMS, parts + "--b--\r\n", headers={"Content-Type": "multipart/form-data; boundary=b"})
        self.assertEqual(self.check_json(answer, 201)["name"], "By parts")
        self.check_v(self.client.post(PROGRAMS, "name=x", headers={
            "Content-Type": "application/x-www-form-urlencoded"}), "start_date", "end_date")


class Lists(NodeCase):
    def test_lists_filter_order_and_search(self):
        names = ["apple", "Banana", "cherry pie", "APPLE tart"]
        ids = [self.program(name=name, is_active=place % 2 == 0) for place, name in enumerate(names)]

        def got(query):
            body = self.check_json(self.client.get(PROGRAMS + query), 200)
            self.assertEqual(body["count"], len(body["results"]))
            return [ids.index(row["id"]) for row in body["results"]]

        self.assertEqual(got(""), [3, 2, 1, 0])  # newest first
        self.assertEqual(got("?is_active=true"), [2, 0])
        self.assertEqual(got("?is_active=False"), [3, 1])
        self.assertEqual(got("?is_active="), [3, 2, 1, 0])
        self.assertEqual(got("?name=apple"), [0])
        self.assertEqual(got("?name=APPLE+tart&is_active=false"), [3])
        self.assertEqual(got("?name=no"), [])
        self.assertEqual(got("?search=apple"), [3, 0])
        self.assertEqual(got("?search=PIE"), [2])
        self.assertEqual(got("?ordering=id"), [0, 1, 2, 3])
        self.assertEqual(got("?ordering=-is_active,id"), [0, 2, 1, 3])
        self.assertEqual(got("?ordering=nonsense"), [3, 2, 1, 0])
        self.assertEqual(got("?unknown=5"), [3, 2, 1, 0])
        answer = self.client.get(PROGRAMS + "?is_active=maybe")
        self.check_v(answer, "is_active")
        self.assertEqual(set(self.client.get(API + "/").json) >= {"loyaltyPrograms", "loyaltyTiers"}, True)


if __name__ == "__main__":
    unittest.main()
