"""test_node.py - one node as a process: first start, stop, refusals, clock, users"""
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
from harness import API, Node  # noqa: E402


class Case(unittest.TestCase):
    def setUp(self):
        self.directory = harness.Directory()
        self.addCleanup(self.directory.remove)
        self.nodes = []

    def node(self, name="data", **more):
        node = Node(self.directory.join(name), **more)
        self.addCleanup(node.end)
        return node


class FirstStart(Case):
    def test_prints_a_random_password_once_and_it_works(self):
        node = self.node(environment={"FEALTY_ADMIN_PASSWORD": ""}).start()
        found = re.search(r"password `([a-z2-9]{20})`", node.output)
        self.assertTrue(found, node.output)
        node.client(login=False).login(password=found.group(1))
        self.assertEqual(node.stop(), 0)
        node.start()
        self.assertNotIn(found.group(1), node.output)
        node.client(login=False).login(password=found.group(1))
        with open(self.directory.join("data", "ACKED"), "rb") as hint:
            self.assertTrue(hint.read())

    def test_takes_the_password_of_the_environment_and_never_prints_it(self):
        node = self.node().start()
        self.assertNotIn(harness.PASSWORD, node.output)
        answer = node.client().get("/api/auth/me/")
        self.assertEqual(answer.status, 200)
        self.assertTrue(answer.json["user"]["is_superuser"])

    def test_refuses_a_password_that_is_too_short(self):
        node = self.node(environment={"FEALTY_ADMIN_PASSWORD": "short"}).spawn()
        self.assertEqual(node.wait_end(), 1)
        self.assertIn("FEALTY_ADMIN_PASSWORD", node.output)

    def test_the_printed_lines_work_when_pasted(self):
        node = self.node(environment={"FEALTY_ADMIN_PASSWORD": ""}).start()
        lines = [line.strip() for line in node.lines if line.startswith("  export ") or line.startswith("  curl ")]
        self.assertEqual(sum(line.startswith("curl ") for line in lines), 5, node.output)
        done = subprocess.run(["sh", "-c", "\n".join(lines)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=60, check=False)
        said = done.stdout.decode()
        self.assertEqual(done.returncode, 0, said)
        self.assertIn('"points":120', said.replace(" ", ""))
        self.assertIn('"points":20', said.replace(" ", ""))
        self.assertIn('"reconciled":true', said.replace(" ", ""))
        accounts = node.client(login=False).login(
            password=re.search(r"password `([a-z2-9]{20})`", node.output).group(1)).get(API + "/loyaltyAccounts/").json
        self.assertEqual(sorted(row["points_balance"] for row in accounts["results"]), [30, 70], said)


class Stop(Case):
    def test_ends_within_five_seconds_with_code_0(self):
        node = self.node().start()
        began = time.monotonic()
        self.assertEqual(node.stop(), 0)
        self.assertLess(time.monotonic() - began, 5.5)

    def test_under_load_loses_nothing_that_was_acknowledged(self):
        node = self.node().start()
        client = node.client()
        program = harness.create_program(client)
        accounts = [harness.create_account(client, program, harness.customer(i)) for i in range(8)]
        acknowledged = [0] * len(accounts)

        def load(place):
            own = harness.Client(node.port, client.token)
            while True:
                try:
                    answer = own.post(API + "/services/points/earn/",
                                      {"account_id": accounts[place], "transaction_amount": 1})
                except Exception:  # pylint: disable=broad-except
                    return
                if answer.status == 200:
                    acknowledged[place] += 1
                elif answer.status not in (503, 504):
                    acknowledged[place] = -1000000
                    return

        threads = [threading.Thread(target=load, args=(i,)) for i in range(len(accounts))]
        for thread in threads:
            thread.start()
        harness.wait_until(lambda: min(acknowledged) >= 20, 60, "some load")
        self.assertEqual(node.stop(), 0, node.output)
        for thread in threads:
            thread.join(20)
        node.start()
        client = node.client()
        for place, account in enumerate(accounts):
            balance = client.get(API + "/loyaltyAccounts/%d/" % account).json["points_balance"]
            # What was on its way when the process ended may have been done without an answer: one per client.
            self.assertGreaterEqual(balance, acknowledged[place])
            self.assertLessEqual(balance, acknowledged[place] + 1)

    def test_a_second_signal_ends_it_at_once(self):
        node = self.node().start()
        node.process.send_signal(signal.SIGTERM)
        harness.wait_until(lambda: "stopping" in node.output or node.process.poll() is not None, 10, "the first signal")
        node.process.send_signal(signal.SIGINT)
        self.assertIn(node.wait_end(), (0, -signal.SIGINT))


class Refusals(Case):
    def test_a_second_process_on_the_same_directory_is_refused(self):
        first = self.node().start()
        second = self.node().spawn()
        self.assertEqual(second.wait_end(), 2)
        self.assertIn(str(first.process.pid), second.output)

    def test_a_port_that_is_taken_is_refused_with_its_name(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            node = self.node(port=port).spawn()
            self.assertNotEqual(node.wait_end(), 0)
            self.assertIn(str(port), node.output)

    def test_wrong_settings_say_what_is_allowed(self):
        for flags, part in ((["--partitions", "0"], "1 to 1024"), (["--nonsense"], "--nonsense"),
                            (["--log-format", "xml"], "text|json")):
            node = self.node(flags=flags).spawn()
            self.assertEqual(node.wait_end(), 1)
            self.assertIn(part, node.output)

    def test_help_names_every_command_and_an_unknown_one_is_an_error(self):
        code, text = harness.tool("help")
        self.assertEqual(code, 0)
        for name in ("node", "import", "export", "backup", "restore", "verify", "keys", "user", "version"):
            self.assertRegex(text, r"(?m)^  %s " % name)
            if name != "version":
                code, own = harness.tool(name, "--help")
                self.assertEqual(code, 0, own)
                self.assertIn("usage: fealty %s" % name, own)
        self.assertEqual(harness.tool("nonsense")[0], 1)
        self.assertEqual(harness.tool("version")[0], 0)


class Clock(Case):
    def shifted(self, seconds, *flags):
        self.shift(seconds)
        node = self.node(environment={"LD_PRELOAD": os.path.join(harness.ROOT, "build", "shims", "clock.so"),
                                      "FEALTY_TEST_CLOCK": self.directory.join("clock")}, flags=flags,
                         # A sanitizer does not get along with a library that is loaded before it.
                         program=os.path.join(harness.ROOT, "build", "fealty"))
        return node

    def shift(self, seconds):
        path = self.directory.join("clock")
        with open(path + ".new", "w", encoding="ascii") as out:
            out.write(str(seconds))
        os.replace(path + ".new", path)

    def books(self):
        node = self.node().start()
        self.assertEqual(node.stop(), 0)

    def test_a_start_before_the_newest_record_is_refused(self):
        self.books()
        node = self.shifted(-3600).spawn()
        self.assertEqual(node.wait_end(), 2)
        self.assertIn("--accept-clock", node.output)
        self.assertIn("behind", node.output)

    def test_a_start_more_than_31_days_after_the_newest_record_is_refused(self):
        self.books()
        node = self.shifted(32 * 86400).spawn()
        self.assertEqual(node.wait_end(), 2)
        self.assertIn("ahead", node.output)

    def test_accept_clock_starts_anyway(self):
        self.books()
        node = self.shifted(-3600, "--accept-clock").start()
        self.assertIn("clock", node.output)
        self.assertEqual(node.client().get("/api/auth/me/").status, 200)

    def test_a_clock_that_is_set_while_running_is_not_followed(self):
        node = self.shifted(0).start()
        client = node.client()
        program = harness.create_program(client)
        account = harness.create_account(client, program, harness.customer(1))
        self.shift(365 * 86400)
        harness.wait_until(lambda: "clock was set" in node.output, 10, "the alarm")
        answer = client.post(API + "/services/points/earn/", {"account_id": account, "transaction_amount": 5})
        self.assertEqual(answer.status, 200, answer)  # the login has not expired
        row = client.get(API + "/loyaltyTransactions/?account=%d" % account).json["results"][0]
        self.assertLess(abs(time.time() - time.mktime(time.strptime(row["recorded_at"][:19], "%Y-%m-%dT%H:%M:%S")) +
                            time.timezone), 60)
        jump = re.search(r"(?m)^fealty_clock_jump_seconds ([0-9.]+)", client.get("/metrics").body.decode())
        self.assertGreater(float(jump.group(1)), 364 * 86400)
        self.shift(0)
        harness.wait_until(lambda: "agrees" in node.output, 10, "the end of the alarm")


class Users(Case):
    def user(self, *words, stdin=None):
        return harness.tool("user", *words, "--data", self.directory.join("data"), stdin=stdin)

    def test_are_added_listed_disabled_and_get_new_passwords_while_the_node_rests(self):
        node = self.node().start()
        self.assertEqual(node.stop(), 0)
        code, text = self.user("add", "anna", "--permissions", "account.view,program.view", stdin=b"first password\n")
        self.assertEqual(code, 0, text)
        code, text = self.user("list")
        self.assertRegex(text, r"anna +active +account.view,program.view")
        self.assertNotIn("first password", text)

        node.start()
        anna = node.client(login=False).login("anna", "first password")
        self.assertEqual(anna.get(API + "/loyaltyAccounts/").status, 200)
        self.assertEqual(anna.post(API + "/loyaltyPrograms/", {}).status, 403)
        self.assertEqual(node.stop(), 0)

        self.assertEqual(self.user("passwd", "anna", stdin=b"second password\n")[0], 0)
        self.assertEqual(self.user("permit", "anna", "--permissions", "*")[0], 0)
        node.start()
        first = node.client(login=False).post("/api/auth/login/", {"username": "anna", "password": "first password"})
        self.assertEqual(first.status, 401)
        anna = node.client(login=False).login("anna", "second password")
        self.assertNotEqual(anna.post(API + "/loyaltyPrograms/", {}).status, 403)
        self.assertEqual(node.stop(), 0)

        self.assertEqual(self.user("disable", "anna")[0], 0)
        node.start()
        again = node.client(login=False).post("/api/auth/login/", {"username": "anna", "password": "second password"})
        self.assertEqual(again.status, 403)
        token = harness.Client(node.port, anna.token)
        self.assertEqual(token.get("/api/auth/me/").status, 401)

    def test_mistakes_are_refused_with_a_sentence(self):
        node = self.node().start()
        code, text = self.user("list")
        self.assertEqual(code, 2)
        self.assertIn(str(node.process.pid), text)
        self.assertEqual(node.stop(), 0)
        self.assertEqual(self.user("add", "admin", stdin=b"another password\n")[0], 2)
        self.assertEqual(self.user("passwd", "nobody", stdin=b"another password\n")[0], 2)
        self.assertEqual(self.user("passwd", "admin", stdin=b"short\n")[0], 1)
        self.assertEqual(self.user("passwd", "admin", stdin=b"")[0], 1)
        self.assertEqual(self.user("frobnicate", "admin")[0], 1)
        code, text = self.user("disable", "admin")
        self.assertEqual(code, 2, text)  # the last superuser stays


if __name__ == "__main__":
    unittest.main()
