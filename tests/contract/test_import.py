"""test_import.py - import, export and verify, as an operator uses them"""
import json
import os
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
from harness import customer  # noqa: E402

PROGRAM = {"type": "program", "name": "Club", "start_date": "2000-01-01T00:00:00Z", "end_date": "2099-12-31T00:00:00Z",
           "tiers": [{"name": "Gold", "min_points": 1000, "points_multiplier": "2"}]}


class Import(unittest.TestCase):
    def setUp(self):
        self.directory = harness.Directory()
        self.addCleanup(self.directory.remove)
        self.data = self.directory.join("data")

    def write(self, name, rows):
        path = self.directory.join(name)
        with open(path, "w", encoding="utf-8") as file:
            for row in rows:
                file.write((row if isinstance(row, str) else json.dumps(row)) + "\n")
        return path

    def load(self, path, *flags, code=0, data=None):
        got, text = harness.tool("import", "--data", data or self.data, path, *flags)
        self.assertEqual(got, code, text)
        return text

    def verify(self, data=None):
        code, text = harness.tool("verify", "--data", data or self.data)
        self.assertEqual(code, 0, text)
        return text

    def export(self, *flags, data=None):
        path = self.directory.join("export")
        code, text = harness.tool("export", "--data", data or self.data, path, *flags)
        self.assertEqual(code, 0, text)
        with open(path, encoding="utf-8") as file:
            return file.read().splitlines()

    def rows(self):
        yield PROGRAM
        for i in range(50):
            yield {"type": "account", "customer_id": customer(i), "program": "Club", "points": 10 * i}
        for i in range(200):
            yield {"type": "earn", "customer_id": customer(i % 50), "program": "Club", "amount": "%d.99" % (i + 1),
                   "transaction_date": "2025-05-%02d" % (1 + i % 28), "reference": "T-%d" % i}
        for i in range(50):
            yield {"type": "burn", "customer_id": customer(i), "program": "Club", "points": 1 + i}

    def test_brings_in_a_file_and_the_books_hold(self):
        text = self.load(self.write("in", self.rows()))
        self.assertIn("1 program, 50 accounts, 200 earns, 50 burns", text)
        self.assertIn("refused   0", text)
        self.assertIn("The books hold.", self.verify())
        accounts = {row["customer_id"]: row for row in map(json.loads, self.export())}
        # 10, then 2, 52, 102, 152 with one multiplier, then 2 spent
        self.assertEqual(accounts[customer(1)]["points"], 10 + 2 + 52 + 102 + 152 - 2)
        self.assertEqual(accounts[customer(1)]["lifetime_points_earned"], 2 + 52 + 102 + 152)
        self.assertEqual(accounts[customer(1)]["lifetime_points_redeemed"], 2)

    def test_a_second_run_changes_nothing(self):
        path = self.write("in", self.rows())
        self.load(path)
        before = self.export("--what", "all")
        text = self.load(path)
        self.assertIn("0 programs, 0 accounts, 0 earns, 0 burns", text)
        self.assertIn("replayed  301", text)
        self.assertEqual(self.export("--what", "all"), before)
        self.verify()

    def test_says_which_lines_it_refused_and_why_and_takes_the_others(self):
        text = self.load(self.write("in", [
            PROGRAM,
            {"type": "account", "customer_id": customer(1), "program": "Club", "points": 5},
            {"type": "burn", "customer_id": customer(1), "program": "Club", "points": 6},
            "not json",
            {"type": "earn", "customer_id": customer(2), "program": "Club", "amount": 1},
            {"type": "earn", "customer_id": customer(1), "program": "Other", "amount": 1},
            {"type": "earn", "customer_id": customer(1), "program": "Club", "amount": "0.50"},
            {"type": "earn", "customer_id": customer(1), "program": "Club", "amount": 3},
        ]), code=3)
        self.assertIn("line 3: Insufficient points", text)
        self.assertIn("line 4: JSON", text)
        self.assertIn("line 5: Account not found", text)
        self.assertIn("line 6: program: there is no Other", text)
        self.assertIn("refused   4", text)
        self.assertIn("nothing   1", text)
        self.assertLess(text.index("line 3"), text.index("line 4"))
        self.assertEqual(json.loads(self.export()[0])["points"], 8)

    def test_a_key_with_another_body_is_refused(self):
        row = {"type": "earn", "customer_id": customer(1), "program": "Club", "amount": 1, "idempotency_key": "k"}
        self.load(self.write("in", [PROGRAM, {"type": "account", "customer_id": customer(1), "program": "Club"}, row]))
        text = self.load(self.write("again", [dict(row, amount=2)]), code=3)
        self.assertIn("another body", text)

    def test_killed_in_the_middle_and_started_again_gives_the_same_books(self):
        rows = [PROGRAM] + [{"type": "account", "customer_id": customer(i), "program": "Club", "points": i}
                            for i in range(20000)]
        rows += [{"type": "earn", "customer_id": customer(i), "program": "Club", "amount": 1 + i} for i in range(20000)]
        path = self.write("in", rows)
        for after in (0.05, 0.2, 0.4):
            process = subprocess.Popen([harness.FEALTY, "import", "--data", self.data, path], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + after
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait()
        self.load(path)
        text = self.verify()
        self.assertIn("accounts    20000", text)
        total = sum(i for i in range(20000)) + sum((1 + i) * (2 if i >= 1000 else 1) for i in range(20000))
        self.assertIn("points      %d available" % total, text)
        self.assertEqual([name for name in os.listdir(self.data) if name.endswith(".progress")], [])

    def test_an_export_can_be_imported_elsewhere(self):
        self.load(self.write("in", self.rows()))
        lines = [line for line in self.export("--what", "all") if '"transaction"' not in line]
        other = self.directory.join("other")
        self.load(self.write("out", lines), data=other)

        def balances(data):
            return {row["customer_id"]: (row["points"], row["program"], row["status"], row["tier"])
                    for row in map(json.loads, self.export(data=data))}

        self.assertEqual(balances(self.data), balances(other))
        self.verify(other)
        # and as CSV
        third = self.directory.join("third")
        self.load(self.write("program", [line for line in lines if '"type":"program"' in line]), data=third)
        self.load(self.write("csv", self.export("--format", "csv")), "--format", "csv", data=third)
        self.assertEqual(balances(self.data), balances(third))

    def test_cdnow_purchases_make_their_customers_and_program(self):
        path = self.write("cdnow", [" 00001 19970101  1   11.77", " 00002 19970112  1   12.00",
                                    " 00002 19970112  5   77.00", " 00003 19970102  2    0.00"])
        text = self.load(path, "--format", "cdnow")
        self.assertIn("1 program, 3 accounts, 3 earns", text)
        self.assertIn("nothing   1", text)
        self.assertIn("points    100 in", text)
        text = self.load(path, "--format", "cdnow")
        self.assertIn("0 programs, 0 accounts, 0 earns", text)
        entries = [json.loads(line) for line in self.export("--what", "transactions")]
        self.assertEqual(sorted(row["reference"] for row in entries), ["cdnow:1", "cdnow:2", "cdnow:3"])
        self.assertEqual(sorted(row["created_at"] for row in entries)[0], "1997-01-01T00:00:00Z")
        self.verify()

    def test_takes_lines_from_standard_input(self):
        lines = "".join(json.dumps(row) + "\n" for row in self.rows()).encode()
        code, text = harness.tool("import", "--data", self.data, "-", stdin=lines)
        self.assertEqual(code, 0, text)
        self.assertIn("50 accounts", text)

    def test_teaches_and_refuses_wrong_usage(self):
        for tool in ("import", "export", "verify"):
            code, text = harness.tool(tool, "--help")
            self.assertEqual(code, 0)
            self.assertIn("usage: fealty " + tool, text)
            code, text = harness.tool(tool, "--nonsense")
            self.assertEqual(code, 1)
        code, text = harness.tool("import", "--data", self.data, "--format", "xml", "x")
        self.assertEqual(code, 1)
        code, text = harness.tool("import", "--data", self.data, self.directory.join("missing"))
        self.assertEqual(code, 2)
        self.assertIn("cannot open", text)
        code, text = harness.tool("verify", "--data", self.directory.join("nowhere"))
        self.assertEqual(code, 2)


if __name__ == "__main__":
    unittest.main()
