"""test_api_auth.py - login, tokens, permissions and the throttle (api-resources 1.2, api-services 2)"""
import os
import re
import sys
import time
import unittest
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from shared import ACCOUNTS, API, BATCH, BURN, EARN, ENTRIES, PROGRAMS, TIERS, TRANSFER  # noqa: E402
from shared import Client, NodeCase, harness, lines_of, together  # noqa: E402

LOGIN = "/api/auth/login/"
LOGOUT = "/api/auth/logout/"
ME = "/api/auth/me/"
CHECK = "/api/auth/check-permission/"


class Auth(NodeCase):
    USERS = {"viewer": "program.view,account.view", "till": "account.earn,request.view", "gone": "account.view",
             "spender": "account:burn,transfer_account", "nobody": "", "maker": "account.create,account.update",
             "victim": "account.view", "everything": "*"}

    def user(self, name):
        return Client(self.node.port).login(name)

    # --- login ---

    def test_login_gives_a_token_the_user_and_the_permissions(self):
        answer = Client(self.node.port).post(LOGIN, {"username": "admin", "password": harness.PASSWORD})
        body = self.check_json(answer, 200)
        self.assertRegex(body["token"], r"^[0-9a-f]{40}$")
        self.assertEqual(set(body["user"]),
                         {"id", "username", "email", "first_name", "last_name", "is_staff", "is_superuser"})
        self.assertEqual(body["user"]["username"], "admin")
        self.assertIs(body["user"]["is_superuser"], True)
        self.assertEqual(body["permissions"], ["*"])
        for name in ("email", "first_name", "last_name"):
            self.assertIsInstance(body["user"][name], str)

    def test_login_takes_a_form_and_no_slash(self):
        answer = Client(self.node.port).post(LOGIN[:-1], "username=admin&password=" + harness.PASSWORD,
                                             headers={"Content-Type": "application/x-www-form-urlencoded"})
        self.assertEqual(answer.status, 200, answer)

    def test_login_ignores_a_bad_authorization_header(self):
        answer = Client(self.node.port).post(LOGIN, {"username": "admin", "password": harness.PASSWORD},
                                             headers={"Authorization": "Token nonsense"})
        self.assertEqual(answer.status, 200, answer)

    def test_login_without_a_field_is_400_E(self):
        client = Client(self.node.port)
        for body in ({}, {"username": "admin"}, {"password": "x"}, {"username": "", "password": "x"},
                     {"username": None, "password": "x"}, {"username": 5, "password": "x"},
                     {"username": "admin", "password": ["x"]}):
            self.check_e(client.post(LOGIN, body), 400)

    def test_login_with_wrong_credentials_is_401_E_and_tells_no_difference(self):
        client = Client(self.node.port)
        wrong = client.post(LOGIN, {"username": "victim", "password": "not the password"})
        unknown = client.post(LOGIN, {"username": str(uuid.uuid4()), "password": "not the password"})
        self.check_e(wrong, 401)
        self.check_e(unknown, 401)
        self.assertEqual(wrong.body, unknown.body)

    def test_an_unknown_name_takes_as_long_as_a_wrong_password(self):
        client = Client(self.node.port)

        def seconds(name):
            began = time.monotonic()
            self.assertEqual(client.post(LOGIN, {"username": name, "password": "not the password"}).status, 401)
            return time.monotonic() - began

        known = min(seconds(name) for name in ("viewer", "till", "maker", "gone"))
        unknown = min(seconds(str(uuid.uuid4())) for _ in range(4))
        self.assertLess(unknown, 4 * known)
        self.assertLess(known, 4 * unknown)

    def test_login_of_bodies_that_are_no_objects_is_400_D(self):
        client = Client(self.node.port)
        for body in ("[]", "5", '"x"', "null", "{", '{"username":"a","username":"b","password":"c"}'):
            self.check_d(client.post(LOGIN, body), 400)

    def test_repeated_failures_of_one_name_are_throttled_with_429_D(self):
        client = Client(self.node.port)
        name = "throttled-%s" % uuid.uuid4()
        statuses = []
        for _ in range(40):
            answer = client.post(LOGIN, {"username": name, "password": "wrong"})
            statuses.append(answer.status)
            if answer.status == 429:
                break
            self.assertEqual(answer.status, 401, answer)
        self.assertEqual(statuses[-1], 429, "40 failures and no throttle")
        self.assertGreater(len(statuses), 3, "a person may mistype a few times")
        self.check_d(answer, 429)
        self.assertGreater(int(answer.headers["Retry-After"]), 0)
        self.assertEqual(Client(self.node.port).login().get(ME).status, 200)  # others still get in

    # --- tokens ---

    def test_both_schemes_are_taken_in_any_case(self):
        for scheme in ("Token", "Bearer", "bearer", "TOKEN"):
            answer = Client(self.node.port).get(ME, headers={"Authorization": "%s %s" % (scheme, self.token)})
            self.assertEqual(answer.status, 200, answer)

    def test_without_or_with_a_bad_token_it_is_401_D_that_names_the_scheme(self):
        client = Client(self.node.port)
        for path in (ME, API + "/", PROGRAMS, ACCOUNTS + "1/", API + "/requests/k/"):
            for header in ({}, {"Authorization": "Token"}, {"Authorization": "Token " + "0" * 40},
                           {"Authorization": "Basic " + self.token}, {"Authorization": self.token},
                           {"Authorization": "Token " + self.token[:-1]}, {"Authorization": "Token " + self.token + "0"},
                           {"Authorization": "Token " + "ff" * 20}, {"Authorization": "Token ÿ"}):
                answer = client.get(path, headers=header)
                self.check_d(answer, 401)
                self.assertEqual(answer.headers["WWW-Authenticate"], "Token", answer)

    def test_no_token_is_taken_from_the_address(self):
        client = Client(self.node.port)
        for name in ("token", "access_token", "Authorization", "key"):
            self.assertEqual(client.get(ME + "?%s=%s" % (name, self.token)).status, 401)

    def test_public_paths_need_none(self):
        client = Client(self.node.port)
        for path in ("/", "/healthz", "/readyz", "/metrics", "/healthz/"):
            self.assertEqual(client.get(path).status, 200, path)
            answer = client.get(path, headers={"Authorization": "Token bad"})
            self.assertEqual(answer.status, 200, path)

    def test_logout_ends_this_token_and_no_other(self):
        first, second = self.user("admin"), self.user("admin")
        self.assertNotEqual(first.token, second.token)
        answer = first.post(LOGOUT)
        self.assertEqual(answer.status, 200, answer)
        self.assertIsInstance(answer.json["message"], str)
        self.check_d(first.get(ME), 401)
        self.assertEqual(second.get(ME).status, 200)
        self.assertEqual(first.post(LOGOUT).status, 200)  # always

    def test_logout_is_200_without_a_token_too(self):
        client = Client(self.node.port)
        self.assertEqual(client.post(LOGOUT).status, 200)
        self.assertEqual(client.post(LOGOUT, headers={"Authorization": "Token nonsense"}).status, 200)

    def test_me_answers_user_and_permissions(self):
        body = self.check_json(self.user("viewer").get(ME), 200)
        self.assertEqual(body["user"]["username"], "viewer")
        self.assertIs(body["user"]["is_superuser"], False)
        self.assertEqual(sorted(body["permissions"]), ["account.view", "program.view"])

    def test_many_logins_of_one_user_side_by_side_all_work(self):
        tokens = together(4, lambda place: self.user("viewer").token)
        self.assertEqual(len(set(tokens)), 4)
        for token in tokens:
            self.assertEqual(Client(self.node.port, token).get(ME).status, 200)

    # --- check-permission ---

    def test_check_permission_knows_every_spelling(self):
        def held(client, name):
            body = self.check_json(client.post(CHECK, {"permission": name}), 200)
            self.assertEqual(body["permission"], name)
            return body["has_permission"]

        viewer, spender = self.user("viewer"), self.user("spender")
        for name in ("program.view", "program:view", "view_program", "account.view"):
            self.assertIs(held(viewer, name), True, name)
        for name in ("program.create", "view", "program", "transaction.view", "*"):
            self.assertIs(held(viewer, name), False, name)
        for name in ("account.burn", "burn_account", "account:transfer", "account.transfer"):
            self.assertIs(held(spender, name), True, name)
        self.assertIs(held(self.client, "anything.at-all"), True)
        self.assertIs(held(self.user("everything"), "anything.at-all"), True)
        self.assertIs(held(self.user("nobody"), "account.view"), False)

    def test_check_permission_without_one_is_400_E(self):
        for body in ({}, {"permission": ""}, {"permission": None}, {"permission": 5}):
            self.check_e(self.client.post(CHECK, body), 400)
        self.assertEqual(Client(self.node.port).post(CHECK, {"permission": "a.b"}).status, 401)

    # --- permissions of the calls ---

    def test_who_may_only_look_may_only_look(self):
        viewer = self.user("viewer")
        program = self.program()
        account = self.account(program)
        for path in (PROGRAMS, PROGRAMS + "%d/" % program, ACCOUNTS, ACCOUNTS + "%d/" % account,
                     ACCOUNTS + "%d/tier_progress/" % account,
                     ACCOUNTS + "customer/%s/" % uuid.uuid4(), API + "/"):
            self.assertEqual(viewer.get(path).status, 200, path)
            self.assertEqual(viewer.ask("HEAD", path).status, 200, path)
        for method, path in (("GET", TIERS), ("GET", ENTRIES), ("GET", ENTRIES + "customer/%s/" % uuid.uuid4()),
                             ("HEAD", TIERS), ("GET", API + "/requests/k/"),
                             ("GET", API + "/services/points/reconcile/%d/" % account),
                             ("POST", PROGRAMS), ("PUT", PROGRAMS + "%d/" % program),
                             ("PATCH", PROGRAMS + "%d/" % program), ("DELETE", PROGRAMS + "%d/" % program),
                             ("POST", ACCOUNTS), ("PATCH", ACCOUNTS + "%d/" % account),
                             ("DELETE", ACCOUNTS + "%d/" % account), ("POST", ACCOUNTS + "%d/set-status/" % account),
                             ("POST", EARN), ("POST", BURN), ("POST", TRANSFER),
                             ("POST", API + "/points/reconcile/"), ("POST", ENTRIES)):
            answer = viewer.ask(method, path, None if method in ("GET", "HEAD", "DELETE") else {})
            if method == "HEAD":
                self.assertEqual(answer.status, 403, path)
            else:
                self.check_d(answer, 403)
        self.assertEqual(viewer.get(PROGRAMS + "%d/" % program).json["is_active"], True)

    def test_a_till_may_earn_but_not_burn(self):
        till = self.user("till")
        account = self.account(self.program())
        answer = till.post(EARN, {"account_id": account, "transaction_amount": 5, "idempotency_key": "till-%d" % account})
        self.assertEqual(answer.status, 200, answer)
        self.check_d(till.post(BURN, {"account_id": account, "points": 1}), 403)
        self.check_d(till.get(ACCOUNTS + "%d/" % account), 403)
        self.assertEqual(till.get(API + "/requests/till-%d/" % account).status, 200)

    def test_other_spellings_of_a_permission_open_the_call_too(self):
        spender = self.user("spender")
        program = self.program()
        one, two = self.account(program, points_balance=10), self.account(program)
        self.assertEqual(spender.post(BURN, {"account_id": one, "points": 1}).status, 200)
        answer = spender.post(TRANSFER, {"from_account_id": one, "to_account_id": two, "points": 2})
        self.assertEqual(answer.status, 200, answer)
        self.check_d(spender.post(EARN, {"account_id": one, "transaction_amount": 1}), 403)

    def test_a_batch_asks_for_the_permission_of_each_line(self):
        till = self.user("till")
        account = self.account(self.program())
        answer = till.post(BATCH, '{"operation":"earn","account_id":%d,"transaction_amount":7}\n'
                                  '{"operation":"burn","account_id":%d,"points":1}\n'
                                  '{"operation":"adjust","account_id":%d,"points":1}\n' % (account, account, account),
                           headers={"Content-Type": "application/x-ndjson"})
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual([line["status"] for line in lines_of(answer.body)], [200, 403, 403], answer)
        self.assertEqual(self.balance(account), 7)

    def test_without_account_adjust_a_balance_is_ignored_on_create_and_stays_on_change(self):
        maker = self.user("maker")
        program = self.program()
        answer = maker.post(ACCOUNTS, {"customer_id": str(uuid.uuid4()), "program": program, "points_balance": 50})
        self.assertEqual(answer.status, 201, answer)
        self.assertEqual(answer.json["points_balance"], 0)
        account = answer.json["id"]
        answer = maker.ask("PATCH", ACCOUNTS + "%d/" % account, {"points_balance": 70})
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(self.balance(account), 0)
        self.check_d(maker.ask("PATCH", ACCOUNTS + "%d/" % account, {"status": "suspended"}), 403)
        answer = maker.ask("PATCH", ACCOUNTS + "%d/" % account, {"status": "active"})  # as it is
        self.assertEqual(answer.status, 200, answer)

    def test_repair_needs_account_adjust(self):
        account = self.account(self.program(), points_balance=5)
        self.check_d(self.user("till").post(API + "/points/reconcile/", {"account_id": account, "repair": True}), 403)

    def test_order_of_checks(self):
        nobody, client = self.user("nobody"), Client(self.node.port)
        # route before method before token before permission before media type before size
        self.assertEqual(client.get("/api/loyalty/v1/nothing/").status, 404)
        self.assertEqual(client.ask("DELETE", EARN).status, 405)
        self.assertEqual(client.post(EARN, "x", headers={"Content-Type": "text/plain"}).status, 401)
        self.assertEqual(nobody.post(EARN, "x", headers={"Content-Type": "text/plain"}).status, 403)
        big = b"{" + b" " * (1 << 20) + b"}"
        self.assertEqual(self.client.post(EARN, big, headers={"Content-Type": "text/plain"}).status, 415)
        self.assertEqual(nobody.post(EARN, b"{", headers={"Content-Type": "application/json"}).status, 403)
        # existence before the key: a key with another body for what is not there is 404
        answer = self.client.post(EARN, {"account_id": 1, "transaction_amount": 1, "idempotency_key": "k"})
        self.check_e(answer, 404)
        answer = self.client.post(EARN, {"account_id": 1, "transaction_amount": -1, "idempotency_key": "k"})
        self.check_e(answer, 400)


class Restart(NodeCase):
    USERS = {"passing": "account.view"}

    def test_a_token_outlives_a_restart_and_a_logout_too(self):
        kept, ended = Client(self.node.port).login("passing"), Client(self.node.port).login("passing")
        self.assertEqual(ended.post(LOGOUT).status, 200)
        self.node.kill()
        self.node.start()
        self.assertEqual(Client(self.node.port, kept.token).get(ME).status, 200)
        self.assertEqual(Client(self.node.port, ended.token).get(ME).status, 401)

    def test_no_password_and_no_token_stand_in_the_files_or_the_log(self):
        token = self.client.token
        found = []
        for folder, _, names in os.walk(self.node.data):
            for name in names:
                if not os.path.isfile(os.path.join(folder, name)):
                    continue  # a socket
                with open(os.path.join(folder, name), "rb") as data:
                    content = data.read()
                if token.encode() in content or bytes.fromhex(token) in content or harness.PASSWORD.encode() in content:
                    found.append(name)
        self.assertEqual(found, [])
        self.assertFalse(re.search(re.escape(token) + "|" + harness.PASSWORD, self.node.output))


if __name__ == "__main__":
    unittest.main()
