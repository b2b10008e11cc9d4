"""test_snapshot.py - a node without a disk fills its copies from its peers, though they die while they send"""
import http.client
import json
import os
import re
import shutil
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
from harness import API, customer, wait_until  # noqa: E402
from kafka_bed import Bed, load_tests  # noqa: E402,F401
from kafka_nodes import Nodes  # noqa: E402

PARTITIONS = 4  # each is more than a node reads in one go
PEOPLE = 20000
EARNS = 8  # of each of them, before the cluster; more follow
SAMPLE = 200
BATCH = API + "/services/points/batch/"
BROKEN = (OSError, http.client.HTTPException)
TOGETHER = re.compile(r"partition (\d+): filled from (\S+), ([\d.]+) MB in ([\d.]+) s")


def tables(text):
    """{partition: (accounts, points, entries, keys, digest)} of what verify prints."""
    return {int(name): tuple(rest.split()) for name, rest in
            re.findall(r"^  (\d+) +(\d+ +-?\d+ +\d+ +\d+  [0-9a-f]{32})(?:  .*)?$", text, re.M)}


class Filling(unittest.TestCase):
    """The books of 20,000 customers on three nodes that each keep all of them."""

    @classmethod
    def setUpClass(cls):
        cls.directory = harness.Directory()
        cls.addClassCleanup(cls.directory.remove)
        cls.kafka = Bed(cls.directory.join("kafka"))
        cls.addClassCleanup(cls.kafka.stop, seconds=0)
        cls.kafka.start()
        cls.bring_books()
        # Few records, since what is migrated stands in large ones.
        cls.cluster = Nodes(cls.directory.path, cls.kafka.bootstrap, single_broker=True,
                            flags=["--partitions", str(PARTITIONS), "--replicas", "2", "--snapshot-behind", "4"])
        cls.addClassCleanup(cls.cluster.end)
        cls.nodes = cls.cluster.start(120).nodes
        cls.token = cls.nodes[0].client().token
        cls.number = 0
        cls.expected = {who: EARNS * 7 for who in range(PEOPLE)}

    @classmethod
    def bring_books(cls):
        path, old = cls.directory.join("books.ndjson"), cls.directory.join("old")
        born = harness.Node(old, ["--partitions", str(PARTITIONS)])
        cls.addClassCleanup(born.end)
        if born.start().stop() != 0:
            raise AssertionError(born.output)
        with open(path, "w", encoding="utf-8") as out:
            out.write(json.dumps({"type": "program", "name": "Club", "start_date": "2020-01-01T00:00:00Z",
                                  "end_date": "2099-12-31T00:00:00Z"}) + "\n")
            for who in range(PEOPLE):
                out.write(json.dumps({"type": "account", "customer_id": customer(who), "program": "Club"}) + "\n")
                for k in range(EARNS):
                    out.write(json.dumps({"type": "earn", "customer_id": customer(who), "program": "Club", "amount": "7",
                                          "reference": "R-%d" % k, "description": "d" * 80}) + "\n")
        for words in (["import", "--data", old, path],
                      ["migrate", "--data", old, "--journal", "kafka", "--kafka-bootstrap", cls.kafka.bootstrap,
                       "--single-broker", "--kafka-create-topics"]):
            code, text = harness.tool(*words)
            if code != 0:
                raise AssertionError(text)

    def at(self, place, timeout=30):
        client = self.cluster.at(place, self.token, timeout)
        self.addCleanup(client.close)
        return client

    def earn_all(self, place, times):
        """Everybody in SAMPLE earns a point, `times` times, through a node; answered before this returns."""
        for _ in range(times):
            type(self).number += 1
            lines = [json.dumps({"operation": "earn", "customer_id": customer(who), "program_id": 1,
                                 "transaction_amount": 1, "idempotency_key": "b-%d-%d" % (self.number, who)})
                     for who in range(SAMPLE)]

            def step(lines=lines):
                try:
                    answer = self.at(place).post(BATCH, "\n".join(lines) + "\n",
                                                 headers={"Content-Type": "application/x-ndjson"})
                except BROKEN:
                    return False
                return len(re.findall(rb'"status": ?200', answer.body)) == SAMPLE
            wait_until(step, 60, "a whole batch")
            for who in range(SAMPLE):
                self.expected[who] += 1

    def figure(self, place, name):
        try:
            text = self.at(place, timeout=2).get("/metrics").body.decode()
        except BROKEN:
            return 0
        return int(re.search(r"^%s (\d+)$" % name, text, re.M).group(1))

    def partitions(self, place):
        code, text = harness.tool("partition", "status", "--data", self.nodes[place].data)
        return json.loads(text) if code == 0 else []

    def whole(self, place):
        """A node has every partition, near the log's end."""
        def step():
            shown = self.partitions(place)
            return len(shown) == PARTITIONS + 1 and all(
                one["state"] in ("owner", "standby") and one["behind"] == 0 for one in shown)
        wait_until(step, 120, "a node that has everything")

    def filled(self, place):
        return {int(number): (source, float(size), float(took))
                for number, source, size, took in TOGETHER.findall(self.nodes[place].output)}

    def balances(self, places):
        for who in list(range(0, SAMPLE, 7)) + list(range(SAMPLE, PEOPLE, 1501)):
            answer = self.at(places[who % len(places)]).get(
                API + "/loyaltyAccounts/?customer_id=%s" % customer(who))
            self.assertEqual([one["points_balance"] for one in answer.json["results"]], [self.expected[who]], who)

    def lose_disk(self, place):
        """It is another node to the cluster then; the old one is left out of the view."""
        self.nodes[place].kill()
        shutil.rmtree(self.nodes[place].data)

    def all_whole(self):
        for place, node in enumerate(self.nodes):
            if node.process.poll() is not None:
                node.spawn()
        for place, node in enumerate(self.nodes):
            node.wait_ready(90)
            self.whole(place)

    def equal_books(self):
        """All nodes stop in order; what lies on their disks is proved, and the same."""
        for node in self.nodes:
            self.assertEqual(node.stop(40), 0, node.output[-3000:])
        found = []
        for node in self.nodes:
            code, text = harness.tool("verify", "--data", node.data)
            self.assertEqual(code, 0, text)
            found.append(tables(text))
        self.assertEqual(sorted(found[0]), list(range(PARTITIONS + 1)))
        self.assertEqual(sum(int(rows[0]) for rows in found[0].values()), PEOPLE)
        for number in range(PARTITIONS):  # the last one's sessions end by the clock of who reads
            self.assertEqual(found[0][number], found[1][number])
            self.assertEqual(found[0][number], found[2][number])

    def test_1_an_empty_node_is_filled_by_its_peers_and_its_books_are_equal(self):
        self.all_whole()
        self.earn_all(0, 8)
        self.lose_disk(2)
        began = time.monotonic()
        self.nodes[2].start()
        self.whole(2)
        print("an empty node had all copies again after %.1f s" % (time.monotonic() - began), flush=True)
        filled = self.filled(2)
        # Others may have been read before it was known how much there was.
        self.assertTrue(filled, self.nodes[2].output)
        peers = set(self.cluster.addresses[:2])
        self.assertLessEqual({source for source, _, _ in filled.values()}, peers)
        print("%.1f MB in %.2f s" % (sum(size for _, size, _ in filled.values()),
                                     sum(took for _, _, took in filled.values())), flush=True)
        self.assertEqual(self.figure(2, "fealty_snapshots_filled_total"), len(filled))
        self.assertGreaterEqual(sum(self.figure(place, "fealty_snapshots_sent_total") for place in (0, 1)), len(filled))
        # The session was not in any record that it has read.
        self.assertEqual(self.at(2).get("/api/auth/me/").status, 200)
        self.earn_all(2, 2)
        self.balances([0, 1, 2])
        self.equal_books()
        for node in self.nodes:
            node.spawn()
        self.all_whole()
        # Alone it goes on from what it was given.
        for place in (0, 1):
            self.nodes[place].kill()
        self.earn_all(2, 1)
        self.balances([2])
        self.all_whole()

    def test_2_a_source_that_is_killed_while_it_sends_is_replaced(self):
        self.all_whole()
        self.earn_all(0, 8)
        self.lose_disk(2)
        self.nodes[2].spawn()
        receiver = self.nodes[2].process
        killed = None

        def caught():
            """A source in the middle: it sends, and its receiver stands still before it has everything."""
            for place in (0, 1):
                if self.figure(place, "fealty_snapshots_sending") == 0:
                    continue
                receiver.send_signal(signal.SIGSTOP)
                if self.figure(place, "fealty_snapshots_sending") > 0:
                    return [place]
                receiver.send_signal(signal.SIGCONT)
            return None
        try:
            killed = wait_until(caught, 60, "a node that sends")[0]
            self.nodes[killed].kill()
        finally:
            receiver.send_signal(signal.SIGCONT)
        other = 1 - killed
        self.nodes[2].wait_ready(90)
        self.whole(2)
        output = self.nodes[2].output
        self.assertRegex(output, "not filled from %s, broken off" % re.escape(self.cluster.addresses[killed]))
        print(re.findall("partition.*broken off.*", output), flush=True)
        print("filled from: %s" % sorted(source for source, _, _ in self.filled(2).values()), flush=True)
        self.earn_all(other, 2)
        self.balances([other, 2])
        self.nodes[killed].spawn()
        self.all_whole()
        self.balances([0, 1, 2])
        self.equal_books()
        for node in self.nodes:
            node.spawn()

    def test_3_a_copy_is_made_anew_from_a_peer_on_an_operators_word(self):
        self.all_whole()
        # After a source was killed this node may own all that it keeps, until the others take theirs back.
        followed = wait_until(lambda: [one["partition"] for one in self.partitions(1)
                                       if one["state"] == "standby" and one["partition"] < PARTITIONS],
                              60, "a copy that another node owns")
        number = min(followed)
        before = self.filled(1)
        self.assertNotIn(number, before)
        code, text = harness.tool("partition", "--data", self.nodes[1].data, "rebuild", str(number))
        self.assertEqual(code, 0, text)
        wait_until(lambda: number in self.filled(1), 30, "a copy from a peer")
        self.whole(1)
        self.balances([0, 1, 2])


if __name__ == "__main__":
    unittest.main()
