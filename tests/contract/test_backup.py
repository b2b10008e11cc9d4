"""test_backup.py - backup of a running node, restore, and what a restore must not do"""
import os
import shutil
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
from harness import API, Node, customer  # noqa: E402

AHEAD = 1 << 20
SEQUENCE = (1 << 37) - 1


class Case(unittest.TestCase):
    def setUp(self):
        self.directory = harness.Directory()
        self.addCleanup(self.directory.remove)

    def node(self, name):
        node = Node(self.directory.join(name))
        self.addCleanup(node.end)
        return node


def balances(client, accounts):
    return [client.get(API + "/loyaltyAccounts/%d/" % account).json["points_balance"] for account in accounts]


class Backup(Case):
    def earn(self, client, account, amount, key):
        answer = client.post(API + "/services/points/earn/", {"account_id": account, "transaction_amount": amount,
                                                              "idempotency_key": key})
        self.assertEqual(answer.status, 200, answer)
        return answer

    def test_of_a_serving_node_is_restored_with_all_that_was_acknowledged_before(self):
        node = self.node("data").start()
        client = node.client()
        program = harness.create_program(client)
        accounts = [harness.create_account(client, program, customer(i)) for i in range(20)]
        for i, account in enumerate(accounts):
            self.earn(client, account, 10 + i, "before-%d" % i)
        before = balances(client, accounts)
        stop = threading.Event()

        def load():
            own = harness.Client(node.port, client.token)
            while not stop.is_set():
                own.post(API + "/services/points/earn/", {"account_id": accounts[0], "transaction_amount": 1})

        thread = threading.Thread(target=load)
        thread.start()
        try:
            code, text = harness.tool("backup", "--data", node.data, self.directory.join("copy"))
        finally:
            stop.set()
            thread.join(30)
        self.assertEqual(code, 0, text)
        original = self.earn(client, accounts[1], 7, "after")
        last_id = int(original.json["transaction_id"])
        seen = {"X-Position": original.headers["X-Position"]}
        session = API + "/loyaltyAccounts/%d/?consistency=session" % accounts[1]
        answer = client.get(session, headers=seen)
        self.assertEqual((answer.status, answer.headers["X-Position"].split(":")[:3]),
                         (200, seen["X-Position"].split(":")[:3]), answer)
        self.assertEqual(node.stop(), 0)

        code, text = harness.tool("restore", self.directory.join("copy"), self.directory.join("restored"))
        self.assertEqual(code, 0, text)
        code, text = harness.tool("verify", "--data", self.directory.join("restored"))
        self.assertEqual(code, 0, text)
        again = self.node("restored").start()
        client = again.client()
        after = balances(client, accounts)
        self.assertGreaterEqual(after[0], before[0])
        self.assertEqual(after[1:], before[1:])
        # What was seen after the backup is gone, and a session that saw it is told.
        answer = client.get(session, headers=seen)
        self.assertEqual((answer.status, answer.json["code"]), (409, "position_lost"), answer)
        answer = client.get(session)
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(client.get(session, headers={"X-Position": answer.headers["X-Position"]}).status, 200)
        # A key of before the backup still has its answer, one of after it is new; ids never come twice.
        answer = self.earn(client, accounts[2], 12, "before-2")
        self.assertEqual(answer.headers.get("Idempotent-Replayed"), "true")
        answer = self.earn(client, accounts[1], 7, "after")
        self.assertIsNone(answer.headers.get("Idempotent-Replayed"))
        self.assertGreaterEqual(int(answer.json["transaction_id"]) & SEQUENCE, (last_id & SEQUENCE) + AHEAD // 2)
        # Messages between the restored partitions go on.
        given = client.post(API + "/services/points/transfer/",
                            {"from_account_id": accounts[3], "to_account_id": accounts[4], "points": 5})
        self.assertEqual(given.status, 200, given)
        tier = client.post(API + "/loyaltyTiers/", {"program": program, "name": "Gold", "min_points": 100000})
        self.assertEqual(tier.status, 201, tier)
        self.assertEqual(again.stop(), 0)
        code, text = harness.tool("verify", "--data", self.directory.join("restored"))
        self.assertEqual(code, 0, text)

    def test_of_a_resting_node_works_too_and_a_restored_one_can_be_restored_again(self):
        node = self.node("data").start()
        client = node.client()
        account = harness.create_account(client, harness.create_program(client), customer(1))
        self.earn(client, account, 3, "k")
        self.assertEqual(node.stop(), 0)
        source = "data"
        for turn in ("one", "two"):
            code, text = harness.tool("backup", "--data", self.directory.join(source), self.directory.join("b" + turn))
            self.assertEqual(code, 0, text)
            code, text = harness.tool("restore", self.directory.join("b" + turn), self.directory.join(turn))
            self.assertEqual(code, 0, text)
            source = turn
            node = self.node(turn).start()
            self.assertEqual(balances(node.client(), [account]), [3])
            self.assertEqual(node.stop(), 0)

    def test_refuses_what_would_overwrite_or_is_no_backup(self):
        node = self.node("data").start()
        os.mkdir(self.directory.join("full"))
        with open(self.directory.join("full", "file"), "w", encoding="ascii") as out:
            out.write("mine")
        code, text = harness.tool("backup", "--data", node.data, self.directory.join("full"))
        self.assertEqual(code, 2, text)
        code, text = harness.tool("backup", "--data", node.data, self.directory.join("copy"))
        self.assertEqual(code, 0, text)
        code, text = harness.tool("restore", self.directory.join("copy"), self.directory.join("full"))
        self.assertEqual(code, 2, text)
        code, text = harness.tool("restore", self.directory.join("full"), self.directory.join("new"))
        self.assertEqual(code, 2, text)
        self.assertFalse(os.path.exists(self.directory.join("new")))
        self.assertFalse(os.path.exists(self.directory.join("new.partial")))
        # A backup that was cut off has no complete image.
        shutil.copytree(self.directory.join("copy"), self.directory.join("cut"))
        os.unlink(self.directory.join("cut", "FORMAT"))
        code, text = harness.tool("restore", self.directory.join("cut"), self.directory.join("new"))
        self.assertEqual(code, 2, text)
        self.assertFalse(os.path.exists(self.directory.join("new")))
        with open(self.directory.join("full", "file"), encoding="ascii") as kept:
            self.assertEqual(kept.read(), "mine")


if __name__ == "__main__":
    unittest.main()
