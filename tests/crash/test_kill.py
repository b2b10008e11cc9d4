"""test_kill.py - kill -9 at random moments under load: nothing acknowledged is lost, nothing is done twice"""
import os
import random
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
import load  # noqa: E402
from harness import API, Node, customer  # noqa: E402

KILLS = 24
CUSTOMERS = 40
OPENING = 500
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(1, 1 << 30))


class Kill(unittest.TestCase):
    def setUp(self):
        self.directory = harness.Directory()
        self.addCleanup(self.directory.remove)
        self.node = Node(self.directory.join("data"), port=harness.free_ports(1)[0])
        self.addCleanup(self.node.end)
        self.node.start()
        client = self.node.client()
        self.token = client.token
        self.program = harness.create_program(client)
        self.accounts = {customer(i): harness.create_account(client, self.program, customer(i), points_balance=OPENING)
                         for i in range(CUSTOMERS)}
        self.customers = list(self.accounts)

    def order(self, chance):
        who = chance.choice(self.customers)
        kind = chance.random()
        if kind < 0.5:
            return "earn", {"customer_id": who, "program_id": self.program,
                            "transaction_amount": chance.randint(1, 40)}, who
        if kind < 0.8:
            return "burn", {"customer_id": who, "program_id": self.program, "reward_cost": chance.randint(1, 60)}, who
        other = chance.choice([one for one in self.customers if one != who])
        return "transfer", {"from_customer_id": who, "to_customer_id": other, "program_id": self.program,
                            "points": chance.randint(1, 80)}, who

    def test_loses_nothing_acknowledged_and_does_nothing_twice(self):
        print("seed %d" % SEED)
        chance = random.Random(SEED)
        work = load.Load([self.node.port], self.token, self.order, seed=SEED % 100000).start()
        try:
            for _ in range(KILLS):
                goal = work.acknowledged + chance.randint(1, 250)
                harness.wait_until(lambda: work.acknowledged >= goal or work.surprises, 60, "load")  # pylint: disable=W0640
                self.node.kill()
                self.node.start()
        finally:
            work.stop()
        self.assertEqual(work.surprises, [])
        client = self.node.client()
        finals = load.settle(self, client, work.all)
        unknown = sum(order.answer is None for order in work.all)
        print("%d orders, %d without an answer" % (len(work.all), unknown))
        self.assertGreater(len(work.all) - unknown, KILLS)

        expected = dict.fromkeys(self.customers, OPENING)
        for order in work.all:
            final = finals[order.key]
            if not final.get("success"):
                continue
            who = order.customer_id
            if order.operation == "earn":
                expected[who] += final["points"]
            elif order.operation == "burn":
                expected[who] -= final["points"]
            else:
                expected[who] -= final["points"]
                expected[order.body["to_customer_id"]] += final["points"]
        for who, account in self.accounts.items():
            row = client.get(API + "/loyaltyAccounts/%d/" % account).json
            self.assertEqual(row["points_balance"], expected[who], who)
            books = client.get(API + "/services/points/reconcile/%d/" % account).json
            self.assertTrue(books["reconciled"], books)
        self.assertEqual(self.node.stop(), 0, self.node.output[-2000:])
        code, text = harness.tool("verify", "--data", self.node.data)
        self.assertEqual(code, 0, text)


if __name__ == "__main__":
    unittest.main()
