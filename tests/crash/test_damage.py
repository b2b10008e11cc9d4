"""test_damage.py - what a disk can do to the books, and what the next start says about it"""
import glob
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
from harness import API, Node, customer  # noqa: E402


class Damage(unittest.TestCase):
    def setUp(self):
        self.directory = harness.Directory()
        self.addCleanup(self.directory.remove)
        self.node = Node(self.directory.join("data"))
        self.addCleanup(self.node.end)
        self.node.start()
        client = self.node.client()
        program = harness.create_program(client)
        self.account = harness.create_account(client, program, customer(1))
        self.earned = 0
        for _ in range(50):
            answer = client.post(API + "/services/points/earn/", {"account_id": self.account, "transaction_amount": 2})
            self.assertEqual(answer.status, 200, answer)
            self.earned += 2

    def killed_after_a_hint(self):
        """kill -9, but not before the hint of the present state was written."""
        hint = self.directory.join("data", "ACKED")
        harness.wait_until(lambda: os.path.exists(hint), 10, "the first hint")
        for _ in range(2):
            seen = os.stat(hint).st_mtime_ns
            harness.wait_until(lambda: os.stat(hint).st_mtime_ns != seen, 10, "the next hint")  # pylint: disable=W0640
        self.node.kill()

    def logs(self):
        return sorted(glob.glob(self.directory.join("data", "db", "*.log")))

    def biggest_log(self):
        return max(self.logs(), key=os.path.getsize)

    def flip(self, path, at):
        with open(path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 0xff]))

    def balance(self):
        return self.node.client().get(API + "/loyaltyAccounts/%d/" % self.account).json["points_balance"]

    def test_a_kill_alone_loses_nothing(self):
        self.node.kill()
        self.node.start()
        self.assertEqual(self.balance(), self.earned)

    def test_damage_in_the_middle_of_the_log_refuses_the_start(self):
        self.killed_after_a_hint()
        path = self.biggest_log()
        self.flip(path, os.path.getsize(path) // 2)
        self.node.spawn()
        self.assertEqual(self.node.wait_end(), 2)
        self.assertIn("damaged", self.node.output)
        self.assertIn("fealty restore", self.node.output)
        self.assertIn("--accept-loss", self.node.output)

    def test_accepted_loss_starts_with_what_stands_before_the_damage(self):
        self.killed_after_a_hint()
        path = self.biggest_log()
        self.flip(path, os.path.getsize(path) * 3 // 4)
        self.node.start("--accept-loss")
        left = self.balance()
        self.assertLess(left, self.earned)
        self.assertEqual(left % 2, 0)
        self.assertEqual(self.node.stop(), 0)
        code, text = harness.tool("verify", "--data", self.node.data)
        self.assertEqual(code, 0, text)
        self.node.start()  # and needs no flag any more
        self.assertEqual(self.balance(), left)

    def test_a_torn_end_that_was_never_acknowledged_is_cut_off_silently(self):
        self.killed_after_a_hint()
        with open(self.biggest_log(), "ab") as file:
            file.write(b"\x12\x34\x56\x78\x10")  # the beginning of a record that was never finished
        self.node.start()
        self.assertEqual(self.balance(), self.earned)

    def test_a_log_that_is_shorter_than_what_was_acknowledged_refuses_the_start(self):
        self.killed_after_a_hint()
        path = self.biggest_log()
        os.truncate(path, os.path.getsize(path) * 3 // 4)
        self.node.spawn()
        self.assertEqual(self.node.wait_end(), 2)
        self.assertIn("acknowledged", self.node.output)
        self.node.start("--accept-loss")
        self.assertLess(self.balance(), self.earned)

    def test_a_newer_format_is_refused(self):
        self.assertEqual(self.node.stop(), 0)
        path = self.directory.join("data", "FORMAT")
        with open(path, encoding="ascii") as file:
            text = file.read()
        with open(path, "w", encoding="ascii") as file:
            file.write(text.replace("1", "999"))
        self.node.spawn()
        self.assertEqual(self.node.wait_end(), 2)
        self.assertIn("999", self.node.output)


if __name__ == "__main__":
    unittest.main()
