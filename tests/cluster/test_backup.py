"""test_backup.py - backups of three nodes under transfers, restored together; an older copy of one node alone is noticed"""
import os
import random
import re
import shutil
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
from harness import API, Cluster, customer  # noqa: E402

CUSTOMERS = 24
OPENING = 1000


class ThreeNodes(unittest.TestCase):
    def setUp(self):
        self.directory = harness.Directory()
        self.addCleanup(self.directory.remove)
        os.mkdir(self.directory.join("old"))
        self.cluster = Cluster(self.directory.join("old"))
        self.addCleanup(self.cluster.end)
        self.cluster.start()
        client = self.cluster.nodes[0].client()
        program = harness.create_program(client)
        self.accounts = [harness.create_account(client, program, customer(i), points_balance=OPENING)
                         for i in range(CUSTOMERS)]
        self.stop_load = threading.Event()
        self.moved = 0

    def load(self, seed):
        chance = random.Random(seed)
        nodes = self.cluster.nodes
        client = nodes[seed % len(nodes)].client()
        while not self.stop_load.is_set():
            giver, taker = chance.sample(self.accounts, 2)
            answer = client.post(API + "/services/points/transfer/",
                                 {"from_account_id": giver, "to_account_id": taker, "points": chance.randint(1, 5)})
            if answer.status == 200:
                self.moved += 1

    def start_load(self):
        self.stop_load.clear()
        self.threads = [threading.Thread(target=self.load, args=(seed,)) for seed in range(3)]
        for thread in self.threads:
            thread.start()
        seen = self.moved
        harness.wait_until(lambda: self.moved >= seen + 60, 60, "some transfers")

    def end_load(self):
        self.stop_load.set()
        for thread in self.threads:
            thread.join(40)

    def total(self, client):
        answer = client.get(API + "/loyaltyAccounts/?page_size=1000")
        if answer.status == 503:
            return None  # the nodes have not all found one another yet
        rows = answer.json["results"]
        return len(rows), sum(row["points_balance"] for row in rows)

    def conserved(self, client):
        return self.total(client) == (CUSTOMERS, CUSTOMERS * OPENING)

    def copies(self, root):
        return [self.directory.join(root, "n%d" % (i + 1)) for i in range(3)]

    def verify(self, directories):
        return harness.tool("verify", "--cluster", *directories)

    def data(self, *names):
        return ",".join(self.directory.join(*names, "n%d" % (i + 1)) for i in range(3))

    def moved_to(self, root):
        """The same cluster with other directories."""
        for i, node in enumerate(self.cluster.nodes):
            node.data = self.directory.join(root, "n%d" % (i + 1))

    def test_a_backup_of_all_under_transfers_restores_with_every_point(self):
        self.start_load()
        try:
            code, text = harness.tool("backup", "--cluster", self.data("old"), self.directory.join("copy"))
            self.assertEqual(code, 0, text)
            seen = self.moved
            harness.wait_until(lambda: self.moved > seen + 20, 30, "transfers after the backup")
        finally:
            self.end_load()
        for node in self.cluster.nodes:
            self.assertEqual(node.stop(), 0, node.output[-2000:])

        os.mkdir(self.directory.join("new"))
        code, text = harness.tool("restore", self.directory.join("copy", "n1"), self.directory.join("new", "n1"))
        self.assertEqual(code, 2, text)  # one alone
        self.assertIn("--cluster", text)
        code, text = self.verify(self.copies("copy"))  # an image under transfers holds, what is on its way included
        self.assertEqual(code, 0, text)
        code, text = harness.tool("restore", "--cluster", self.data("copy"), self.data("new"))
        self.assertEqual(code, 0, text)
        self.moved_to("new")
        self.cluster.start()
        client = self.cluster.nodes[1].client()
        # Transfers that were on their way at the moment of the image come to their end.
        harness.wait_until(lambda: self.conserved(client), 30, "conservation after the restore")
        self.start_load()
        self.end_load()
        harness.wait_until(lambda: self.conserved(client), 30, "conservation after more transfers")
        for node in self.cluster.nodes:
            self.assertEqual(node.stop(), 0, node.output[-2000:])
        code, text = self.verify(self.copies("new"))
        self.assertEqual(code, 0, text)
        self.assertIn("17 of 17", text)

    def test_verify_takes_all_directories_of_one_cluster_or_none(self):
        self.start_load()
        self.end_load()
        for node in self.cluster.nodes:
            self.assertEqual(node.stop(), 0, node.output[-2000:])
        one, two, three = self.copies("old")
        code, text = self.verify([one, two, three])
        self.assertEqual(code, 0, text)
        self.assertIn("The books hold.", text)
        self.assertIn("17 of 17", text)
        for directories, words in (([one], "3 nodes"), ([one, three], "3 nodes"), ([one, two, two], "two of the directories"),
                                   ([one, two, three, three], "two of the directories")):
            code, text = self.verify(directories)
            self.assertEqual(code, 2, text)
            self.assertIn(words, text)
        stranger = harness.Node(self.directory.join("stranger"))
        self.addCleanup(stranger.end)
        self.assertEqual(stranger.start().stop(), 0)
        code, text = self.verify([one, two, stranger.data])
        self.assertEqual(code, 2, text)
        self.assertIn("different clusters", text)
        for words in (["--cluster"], [one], ["--cluster", "--data", one, two, three]):
            code, text = harness.tool("verify", *words)
            self.assertEqual(code, 1, text)
            self.assertIn("usage: fealty verify", text)

    def test_verify_names_the_partitions_of_a_node_that_has_an_older_directory(self):
        self.start_load()
        self.end_load()
        metrics = harness.Client(self.cluster.nodes[0].port).get("/metrics").body.decode()
        owned = {int(number) for number in re.findall(r'fealty_partition_accounts\{partition="(\d+)"\}', metrics)}
        for node in self.cluster.nodes:
            self.assertEqual(node.stop(), 0)
        shutil.copytree(self.cluster.nodes[0].data, self.directory.join("older"))
        self.cluster.start()
        self.start_load()
        self.end_load()
        for node in self.cluster.nodes:
            self.assertEqual(node.stop(), 0)
        directories = self.copies("old")
        for path in directories + [self.directory.join("older")]:  # each for itself is whole
            code, text = harness.tool("verify", "--data", path)
            self.assertEqual(code, 0, text)
        code, text = self.verify(directories)
        self.assertEqual(code, 0, text)
        code, text = self.verify([self.directory.join("older")] + directories[1:])
        self.assertEqual(code, 3, text)
        pairs = re.findall(r"partitions (\d+) to (\d+) are of different moments", text)
        self.assertTrue(pairs, text)
        for pair in pairs:  # one end is the older node's, the other is not
            self.assertEqual(len({int(number) for number in pair} & owned), 1, text)

    def test_images_of_different_moments_are_refused(self):
        self.start_load()
        try:
            for i, node in enumerate(self.cluster.nodes):
                code, text = harness.tool("backup", "--data", node.data, self.directory.join("apart-n%d" % (i + 1)))
                self.assertEqual(code, 0, text)
                seen = self.moved
                harness.wait_until(lambda: self.moved > seen + 60, 60, "transfers")  # pylint: disable=W0640
        finally:
            self.end_load()
        code, text = harness.tool("restore", "--cluster",
                                  ",".join(self.directory.join("apart-n%d" % (i + 1)) for i in range(3)),
                                  ",".join(self.directory.join("x%d" % (i + 1)) for i in range(3)))
        self.assertEqual(code, 2, text)
        self.assertRegex(text, r"partitions \d+ to \d+ are of different moments")
        code, text = self.verify([self.directory.join("apart-n%d" % (i + 1)) for i in range(3)])
        self.assertEqual(code, 3, text)
        self.assertRegex(text, r"partitions \d+ to \d+ are of different moments")
        self.assertFalse(os.path.exists(self.directory.join("x1")))

    def test_a_node_that_comes_back_with_an_older_copy_is_noticed(self):
        self.start_load()
        self.end_load()
        for node in self.cluster.nodes:
            self.assertEqual(node.stop(), 0)
        shutil.copytree(self.cluster.nodes[0].data, self.directory.join("older"))
        self.cluster.start()
        self.start_load()
        self.end_load()
        for node in self.cluster.nodes:
            self.assertEqual(node.stop(), 0)
        shutil.rmtree(self.cluster.nodes[0].data)
        shutil.copytree(self.directory.join("older"), self.cluster.nodes[0].data)
        for node in self.cluster.nodes:
            node.spawn()

        def troubled():
            for node in self.cluster.nodes:
                if node.process.poll() is not None:
                    return True  # refusing to go on is noticing
                try:
                    node.ready()
                    if node.port:
                        body = harness.Client(node.port, timeout=5).get("/readyz").body
                        if b"restored" in body or b"halted" in body or b"history" in body:
                            return True
                except OSError:
                    pass
            return False

        # Traffic over the edges brings it to light: givers and takers on all nodes.
        harness.wait_until(lambda: all(node.ready() or node.port for node in self.cluster.nodes), 30, "three nodes")
        token = self.cluster.nodes[1].client().token
        chance = random.Random(7)

        def poke():
            for node in self.cluster.nodes:
                client = harness.Client(node.port, token, timeout=1)
                giver, taker = chance.sample(self.accounts, 2)
                try:
                    client.post(API + "/services/points/transfer/",
                                {"from_account_id": giver, "to_account_id": taker, "points": 1})
                except OSError:
                    pass  # what waits for a halted pair waits long
                client.close()
            return troubled()

        try:
            harness.wait_until(poke, 60, "a halted pair named in /readyz")
        except AssertionError:
            for node in self.cluster.nodes:
                print(node.process.poll(), node.output[-1500:])
                print(harness.Client(node.port, timeout=5).get("/readyz").body)
            raise


if __name__ == "__main__":
    unittest.main()
