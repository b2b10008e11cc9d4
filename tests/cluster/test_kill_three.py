"""test_kill_three.py - kill -9 of one, two or all of three nodes under mixed writes through any of them

tests/cluster/test_kill.py looks at transfers alone; here every kind of write is on its way, several nodes die together,
and the whole ledger is compared with what was answered. SEED repeats a run's choices, KILLS sets how many.
"""
import os
import random
import re
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
from harness import API, Client, Cluster, customer  # noqa: E402
from keyed_writes import Load  # noqa: E402

KILLS = int(os.environ.get("KILLS", "12"))
PEOPLE = 24
OPENING = 1000


def metric(node, name):
    """Sum over the partitions of a node."""
    text = Client(node.port, timeout=10).get("/metrics").body.decode()
    return sum(int(value) for value in re.findall(r'(?m)^%s\{[^}]*\} (-?\d+)$' % name, text))


class KillThree(unittest.TestCase):
    def test_any_nodes_at_any_moment_with_every_kind_of_write(self):
        seed = int(os.environ.get("SEED") or time.time_ns() % 1000000)
        print("SEED=%d" % seed, flush=True)
        chance = random.Random(seed)
        directory = harness.Directory()
        self.addCleanup(directory.remove)
        cluster = Cluster(directory.path, flags=["--request-timeout-ms", "3000", "--memtable-mib", "8"])
        self.addCleanup(cluster.end)
        nodes = cluster.start().nodes
        client = nodes[0].client()
        program = harness.create_program(client)
        people = [(customer(place), harness.create_account(client, program, customer(place), points_balance=OPENING))
                  for place in range(PEOPLE)]
        load = Load(seed, program, people, client.token, mix=("earn", "burn", "transfer", "transfer", "transfer", "entry",
                                                              "adjust"))
        checked = 0
        self.addCleanup(load.stop)
        for kill in range(KILLS):
            load.start([node.port for node in nodes])
            goal = load.acknowledged + chance.choice((5, 30, 80, 150))
            harness.wait_until(lambda: load.acknowledged >= goal or load.wrong, 60, "some load")
            victims = chance.sample(nodes, chance.choice((1, 1, 1, 2, 3)))
            for node in victims:
                node.kill()
            if kill % 3 == 0 and len(victims) < 3:  # the others go on for a while
                goal = load.acknowledged + 10
                harness.wait_until(lambda: load.acknowledged >= goal or load.wrong, 60, "load on the others")
            for node in victims:
                node.spawn()
            for node in victims:
                node.wait_ready()
            if kill % 2 == 0:  # and through the return
                goal = load.acknowledged + 20
                harness.wait_until(lambda: load.acknowledged >= goal or load.wrong, 60, "load after the return")
            load.stop()
            self.assertEqual(load.wrong, [])
            client = Client(chance.choice(nodes).port, client.token)
            harness.wait_until(lambda: client.get(API + "/loyaltyAccounts/").status == 200, 30,  # pylint: disable=W0640
                               "nodes that see one another")
            load.check(self, client, load.writes[checked:])
            checked = len(load.writes)

        print("%d writes, %d acknowledged" % (len(load.writes), load.acknowledged), flush=True)
        load.check(self, client, chance.sample(load.writes, min(len(load.writes), 300)))
        load.check_ledger(self, client, OPENING)
        # Every transfer has its end: no message is on its way, and no hold is open.
        for node in nodes:
            harness.wait_until(lambda: metric(node, "fealty_partition_unacknowledged_messages") == 0, 30,
                               "the last acknowledgement")
        rows = client.get(API + "/loyaltyAccounts/?page_size=1000").json["results"]
        total = sum(row["points_balance"] for row in rows)
        harness.wait_until(lambda: total == sum(metric(node, "fealty_partition_available_points") for node in nodes), 20,
                           "metrics that say what the accounts say")
        self.assertEqual(sum(row["held_points"] for row in rows), 0)
        # Totals over all nodes: what was earned, spent and adjusted, nothing else; transfers add up to nothing.
        moved = {}
        for marked in load.entries(client).values():
            for row in marked:
                moved[row["transaction_type"]] = moved.get(row["transaction_type"], 0) + row["delta"]
        self.assertEqual(moved["transfer_in"], -moved["transfer_out"])
        self.assertEqual(total, sum(moved.values()))
        for node in nodes:
            self.assertEqual(node.stop(), 0, node.output[-3000:])
        for node in nodes:
            code, text = harness.tool("verify", "--data", node.data)
            self.assertEqual(code, 0, text)


if __name__ == "__main__":
    unittest.main()
