"""test_tiers.py - /loyaltyTiers/ (api-resources 2.2) and what tiers do to earning, spending and progress"""
import os
import sys
import unittest
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from shared import ACCOUNTS, BURN, EARN, PROGRAMS, TIERS, NodeCase  # noqa: E402

FIELDS = {"id", "program", "name", "description", "min_points", "benefits", "priority", "points_multiplier",
          "redemption_discount", "benefit_items", "created_at", "updated_at"}


class Tiers(NodeCase):
    def tier(self, program, name="T", **members):
        answer = self.client.post(TIERS, dict({"program": program, "name": name}, **members))
        self.assertEqual(answer.status, 201, answer)
        return answer.json["id"]

    def patch(self, tier, body, status=200):
        answer = self.client.ask("PATCH", TIERS + "%d/" % tier, body)
        self.assertEqual(answer.status, status, answer)
        return answer.json

    # --- the resource ---

    def test_create_answers_201_with_every_field_and_default(self):
        program = self.program()
        body = self.check_json(self.client.post(TIERS, {"program": str(program), "name": " Gold "}), 201)
        self.assertEqual(set(body), FIELDS)
        for name, value in {"program": program, "name": "Gold", "description": "", "min_points": 0, "benefits": "",
                            "priority": 0, "points_multiplier": "1.000", "redemption_discount": "0.0000",
                            "benefit_items": []}.items():
            self.assertEqual(body[name], value, name)
        self.assertEqual(self.client.get(TIERS + "%d/" % body["id"]).json, body)
        self.assertEqual(self.client.get(PROGRAMS + "%d/" % program).json["tiers"], [body])

    def test_wrong_values_are_400_V_at_their_field(self):
        program = self.program()
        self.check_v(self.client.post(TIERS, {}), "program", "name")
        for name, values in {"program": [999999, "x", None, "", 1.5, [program], {}, True, -1, 0],
                             "name": ["", None, "x" * 101, [1]],
                             "min_points": [-1, "x", 0.5, None, 2 ** 53], "priority": [-1, "high"],
                             "points_multiplier": ["1.2345", "1000", "x", None, "", -1, [], "1e3x", "NaN", "Infinity"],
                             "redemption_discount": ["0.12345", "1.5", -0.1, "x"]}.items():
            for value in values:
                with self.subTest(field=name, value=value):
                    self.check_v(self.client.post(TIERS, dict({"program": program, "name": "T"}, **{name: value})), name)

    def test_benefit_items_come_later(self):
        program = self.program()
        answer = self.client.post(TIERS, {"program": program, "name": "T", "benefit_items": [
            {"code": "lounge", "name": "Lounge", "kind": "service"}]})
        self.assertEqual((answer.status, list(answer.json)), (400, ["benefit_items"]), answer)
        self.tier(program, benefit_items=[])

    def test_decimals_come_back_exactly(self):
        program = self.program()
        for place, (given, shown) in enumerate((("1.25", "1.250"), (1.5, "1.500"), (2, "2.000"), ("999.999", "999.999"),
                                                ("0", "0.000"), ("0.1", "0.100"))):
            tier = self.tier(program, "T%d" % place, points_multiplier=given)
            self.assertEqual(self.client.get(TIERS + "%d/" % tier).json["points_multiplier"], shown)
        tier = self.tier(program, "D", redemption_discount="1")
        self.assertEqual(self.client.get(TIERS + "%d/" % tier).json["redemption_discount"], "1.0000")

    def test_a_name_is_unique_within_its_program(self):
        program, other = self.program(), self.program()
        tier = self.tier(program, "Gold")
        answer = self.client.post(TIERS, {"program": program, "name": "Gold"})
        self.assertEqual(answer.status, 400, answer)
        self.assertTrue(set(answer.json) <= {"name", "non_field_errors"} and answer.json, answer)
        self.tier(other, "Gold")
        second = self.tier(program, "Silver")
        self.patch(second, {"name": "Gold"}, 400)
        self.patch(second, {"name": "Silver"})
        self.assertEqual(self.client.ask("DELETE", TIERS + "%d/" % tier).status, 204)
        self.patch(second, {"name": "Gold"})

    def test_put_patch_and_delete(self):
        program = self.program()
        tier = self.tier(program, "A", min_points=5, description="kept")
        path = TIERS + "%d/" % tier
        self.check_v(self.client.ask("PUT", path, {"name": "B"}), "program")
        body = self.check_json(self.client.ask("PUT", path, {"program": program, "name": "B"}), 200)
        self.assertEqual((body["name"], body["min_points"], body["description"]), ("B", 5, "kept"))
        self.assertEqual(self.patch(tier, {"min_points": "9"})["min_points"], 9)
        tag = self.client.get(path).headers["ETag"]
        self.patch(tier, {"priority": 1})
        self.check_d(self.client.ask("DELETE", path, headers={"If-Match": tag}), 412)
        answer = self.client.ask("DELETE", path)
        self.assertEqual((answer.status, answer.body), (204, b""))
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            self.check_d(self.client.ask(method, path, {"program": program, "name": "B"}
                                         if method in ("PUT", "PATCH") else None), 404)
        self.check_d(self.client.get(TIERS + "abc/"), 404)

    def test_a_key_makes_one_tier(self):
        program = self.program()
        key = {"Idempotency-Key": str(uuid.uuid4())}
        first = self.client.post(TIERS, {"program": program, "name": "T", "min_points": 5}, headers=key)
        again = self.client.post(TIERS, {"min_points": "5", "name": "T", "program": str(program)}, headers=key)
        self.assertEqual((first.status, again.status), (201, 201), again)
        self.assertEqual(first.body, again.body)
        self.assertTrue(self.replayed(again))
        self.check_d(self.client.post(TIERS, {"program": program, "name": "U"}, headers=key), 409, "idempotency_conflict")

    def test_the_list_is_by_priority_and_filters_by_program(self):
        program = self.program()
        high = self.tier(program, "H", priority=5, min_points=1)
        low = self.tier(program, "L", priority=1, min_points=9)
        middle = self.tier(program, "M", priority=5, min_points=0)
        rows = self.client.get(TIERS + "?program=%d" % program).json
        self.assertEqual([row["id"] for row in rows["results"]], [low, middle, high])
        rows = self.client.get(TIERS + "?program=%d&ordering=-min_points" % program).json
        self.assertEqual([row["id"] for row in rows["results"]], [low, high, middle])
        self.assertEqual(self.client.get(TIERS + "?program=999999").json["count"], 0)
        self.check_v(self.client.get(TIERS + "?program=x"), "program")
        self.assertEqual(self.client.get(TIERS + "?program=%d&search=h" % program).json["count"], 1)

    # --- what they do ---

    def test_the_multiplier_counts_and_rounds_once(self):
        program = self.program()
        self.tier(program, "Gold", points_multiplier="1.25")
        account = self.account(program)
        body = self.earn(account, "123.45")
        self.assertEqual(body["points"], 154)  # 123.45 x 1.25 = 154.3125
        self.assertEqual((body["metadata"]["base_points"], body["metadata"]["calculated_points"],
                          body["metadata"]["tier_multiplier"]), (123, 154, 1.25))

    def test_a_multiplier_of_nothing_earns_nothing(self):
        program = self.program()
        self.tier(program, "Zero", points_multiplier="0")
        self.check_s(self.client.post(EARN, {"account_id": self.account(program), "transaction_amount": 5}), "zero")

    def test_an_earn_lifts_to_the_tier_that_its_balance_reaches(self):
        program = self.program()
        base = self.tier(program, "Base", priority=0)
        silver = self.tier(program, "Silver", min_points=100, priority=1, points_multiplier="2")
        self.tier(program, "Gold", min_points=300, priority=2)
        account = self.account(program)
        self.assertEqual(self.client.get(ACCOUNTS + "%d/" % account).json["tier"], base)
        self.assertNotIn("tier_change", self.earn(account, 99))
        body = self.earn(account, 1)
        self.assertEqual(body["tier_change"], {"old_tier": "Base", "new_tier": "Silver"})
        self.assertEqual(body["points"], 1)  # the tier of before counts
        self.assertEqual(self.client.get(ACCOUNTS + "%d/" % account).json["tier"], silver)
        body = self.earn(account, 100)
        self.assertEqual((body["points"], body["tier_change"]["new_tier"]), (200, "Gold"))

    def test_a_discount_lowers_what_a_burn_costs(self):
        program = self.program()
        self.tier(program, "Gold", redemption_discount="0.15")
        account = self.account(program, points_balance=1000)
        body = self.check_json(self.client.post(BURN, {"account_id": account, "reward_cost": 99}), 200)
        # 99 - floor(14.85)
        self.assertEqual((body["points"], body["balance_after"]), (85, 915))
        self.assertEqual(body["metadata"], {"reward_cost": 99, "actual_cost": 85, "tier_discount": 14})

    def test_progress_below_between_and_at_the_top(self):
        program = self.program()
        self.assertEqual(self.progress(self.account(program))["next_tier"], None)  # no tiers
        low = self.tier(program, "Low", min_points=100)
        top = self.tier(program, "Top", min_points=400, priority=1)
        account = self.account(program)
        body = self.progress(account)
        self.assertEqual((body["current_tier"], body["next_tier"]["id"], body["progress_percentage"],
                          body["points_to_next_tier"], body["current_points"]), (None, low, 0.0, 100, 0))
        self.earn(account, 33)
        body = self.progress(account)
        self.assertEqual((body["current_tier"], body["progress_percentage"], body["points_to_next_tier"]), (None, 33.0, 67))
        self.earn(account, 167)
        body = self.progress(account)
        self.assertEqual(body["current_tier"], {"id": low, "name": "Low", "min_points": 100})
        self.assertEqual(body["next_tier"], {"id": top, "name": "Top", "min_points": 400})
        self.assertEqual((body["progress_percentage"], body["points_to_next_tier"], body["current_points"],
                          body["points_in_current_tier"], body["points_needed_for_next_tier"]), (33.3, 200, 200, 100, 300))
        self.earn(account, 300)
        body = self.progress(account)
        self.assertEqual((body["next_tier"], body["progress_percentage"], body["points_to_next_tier"]), (None, 100.0, 0))
        self.assertTrue(body["message"])

    def progress(self, account):
        return self.check_json(self.client.get(ACCOUNTS + "%d/tier_progress/" % account), 200)

    def test_progress_without_tiers_is_nulls_and_zeros(self):
        body = self.progress(self.account(self.program(), points_balance=5))
        self.assertEqual((body["current_tier"], body["next_tier"], body["progress_percentage"],
                          body["points_to_next_tier"]), (None, None, 0.0, 0))
        self.assertEqual(body["current_points"], 5)

    def test_the_tier_of_a_deleted_one_reads_null(self):
        program = self.program()
        tier = self.tier(program, "Gone")
        account = self.account(program)
        self.assertEqual(self.client.get(ACCOUNTS + "%d/" % account).json["tier"], tier)
        self.assertEqual(self.client.ask("DELETE", TIERS + "%d/" % tier).status, 204)
        self.assertIsNone(self.client.get(ACCOUNTS + "%d/" % account).json["tier"])
        self.assertEqual(self.client.get(ACCOUNTS + "?tier=%d" % tier).json["count"], 0)
        self.assertEqual(self.earn(account, 5)["metadata"]["tier_multiplier"], 1)

    def test_an_account_may_be_given_a_tier_of_its_program_only(self):
        program, other = self.program(), self.program()
        tier, foreign = self.tier(program, "T", min_points=500), self.tier(other, "F")
        account = self.account(program)
        path = ACCOUNTS + "%d/" % account
        self.check_v(self.client.ask("PATCH", path, {"tier": foreign}), "tier")
        self.check_v(self.client.ask("PATCH", path, {"tier": 999999}), "tier")
        self.check_v(self.client.ask("PATCH", path, {"tier": "x"}), "tier")
        answer = self.client.ask("PATCH", path, {"tier": tier})
        self.assertEqual((answer.status, answer.json.get("tier")), (200, tier), answer)
        answer = self.client.ask("PATCH", path, {"tier": None})
        self.assertEqual((answer.status, answer.json.get("tier")), (200, None), answer)
        self.check_v(self.client.post(ACCOUNTS, {"customer_id": str(uuid.uuid4()), "program": program, "tier": foreign}), "tier")


if __name__ == "__main__":
    unittest.main()
