"""test_kill.py - three nodes, transfers between all of them, kill -9 at random: no point appears or vanishes"""
import os
import random
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
import load  # noqa: E402
from harness import API, Cluster, customer  # noqa: E402

KILLS = int(os.environ.get("KILLS") or 20)
CUSTOMERS = 36
OPENING = 1000
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(1, 1 << 30))


class Kill(unittest.TestCase):
    def setUp(self):
        self.directory = harness.Directory()
        self.addCleanup(self.directory.remove)
        self.cluster = Cluster(self.directory.path, flags=["--request-timeout-ms", "3000"])
        self.addCleanup(self.cluster.end)
        self.cluster.start()
        client = self.cluster.nodes[0].client()
        self.token = client.token
        self.program = harness.create_program(client)
        self.accounts = {customer(i): harness.create_account(client, self.program, customer(i), points_balance=OPENING)
                         for i in range(CUSTOMERS)}
        self.customers = list(self.accounts)

    def order(self, chance):
        who, other = chance.sample(self.customers, 2)
        return "transfer", {"from_customer_id": who, "to_customer_id": other, "program_id": self.program,
                            "points": chance.randint(1, 90)}, who

    def test_any_node_at_any_moment(self):
        print("seed %d" % SEED)
        chance = random.Random(SEED)
        nodes = self.cluster.nodes
        work = load.Load([node.port for node in nodes], self.token, self.order, clients=6, seed=SEED % 100000).start()
        try:
            for _ in range(KILLS):
                goal = work.acknowledged + chance.randint(1, 80)
                harness.wait_until(lambda: work.acknowledged >= goal or work.surprises, 60, "load")  # pylint: disable=W0640
                node = chance.choice(nodes)
                node.kill()
                node.start()
        finally:
            work.stop()
        self.assertEqual(work.surprises, [])
        client = nodes[1].client()
        finals = load.settle(self, client, work.all)
        unknown = sum(order.answer is None for order in work.all)
        print("%d orders, %d without an answer" % (len(work.all), unknown))

        expected = dict.fromkeys(self.customers, OPENING)
        for order in work.all:
            final = finals[order.key]
            if final.get("success"):
                expected[order.customer_id] -= final["points"]
                expected[order.body["to_customer_id"]] += final["points"]
        for who, account in self.accounts.items():
            row = client.get(API + "/loyaltyAccounts/%d/" % account).json
            self.assertEqual(row["points_balance"], expected[who], who)
        rows = client.get(API + "/loyaltyAccounts/?page_size=1000").json["results"]
        self.assertEqual(sum(row["points_balance"] for row in rows), CUSTOMERS * OPENING)
        for node in nodes:
            self.assertEqual(node.stop(), 0, node.output[-2000:])
        for node in nodes:
            code, text = harness.tool("verify", "--data", node.data)
            self.assertEqual(code, 0, text)


if __name__ == "__main__":
    unittest.main()
