"""test_kill.py - kill -9 at random moments under load: nothing that was acknowledged is gone, nothing is there twice

SEED in the environment repeats a run's choices; KILLS sets how many.
"""
import os
import random
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
from harness import API, Node, customer  # noqa: E402
from keyed_writes import Load  # noqa: E402

KILLS = int(os.environ.get("KILLS", "40"))
PEOPLE = 20
OPENING = 300


class Kill(unittest.TestCase):
    def test_at_random_moments_loses_nothing_and_does_nothing_twice(self):
        seed = int(os.environ.get("SEED") or time.time_ns() % 1000000)
        print("SEED=%d" % seed, flush=True)
        chance = random.Random(seed)
        directory = harness.Directory()
        self.addCleanup(directory.remove)
        node = Node(directory.join("data"), flags=["--partitions", "4", "--memtable-mib", "8"])
        self.addCleanup(node.end)
        node.start()
        client = node.client()
        program = harness.create_program(client, tiers=[{"name": "Base"}, {"name": "Silver", "min_points": 500, "priority": 1,
                                                                           "points_multiplier": "1.5"}])
        people = [(customer(place), harness.create_account(client, program, customer(place), points_balance=OPENING))
                  for place in range(PEOPLE)]
        load = Load(seed, program, people, client.token)
        tiers = {}  # key -> answer, None when it is not known
        self.addCleanup(load.stop)
        for kill in range(KILLS):
            first = len(load.writes)
            load.start([node.port])
            seen = load.acknowledged
            goal = seen + chance.choice((1, 10, 50, 100, 300, 600))
            harness.wait_until(lambda: load.acknowledged >= goal or load.wrong, 30, "some load")
            key = "tier-%d" % kill
            tiers[key] = None
            if kill % 3 == 0:  # a definition on its way
                answer = self.write_tier(node, client.token, program, key)
                tiers[key] = answer.body
            if kill % 6 == 5:  # killed while it stops
                node.process.send_signal(signal.SIGTERM)
            node.kill()
            load.stop()
            self.assertEqual(load.wrong, [])
            if kill % 4 == 3:  # killed while it starts
                node.spawn()
                lines = chance.randint(0, 3)
                harness.wait_until(lambda: len(node.lines) >= lines or node.process.poll() is not None, 20,
                                   "a line of the start")
                node.kill()
            node.start()
            client = harness.Client(node.port, client.token)
            old = load.writes[:first]
            load.check(self, client, load.writes[first:] + chance.sample(old, min(len(old), 20)))
            for key, body in list(tiers.items())[-3:]:
                again = self.write_tier(node, client.token, program, key)
                self.assertEqual(again.status, 201, again)
                if body is not None:
                    self.assertEqual(again.body, body, key)
                tiers[key] = again.body

        print("%d writes, %d acknowledged, %d kills" % (len(load.writes), load.acknowledged, KILLS), flush=True)
        load.check(self, client, chance.sample(load.writes, min(len(load.writes), 500)))
        load.check_ledger(self, client, OPENING)
        names = [row["name"] for row in client.get(API + "/loyaltyTiers/?program=%d&page_size=1000" % program).json["results"]]
        self.assertEqual(sorted(names), sorted(["Base", "Silver"] + list(tiers)))
        self.assertEqual(node.stop(), 0)
        code, text = harness.tool("verify", "--data", node.data)
        self.assertEqual(code, 0, text)

    def write_tier(self, node, token, program, key):
        client = harness.Client(node.port, token)
        try:
            return client.post(API + "/loyaltyTiers/", {"program": program, "name": key, "min_points": 1000000000},
                               headers={"Idempotency-Key": key})
        finally:
            client.close()


if __name__ == "__main__":
    unittest.main()
