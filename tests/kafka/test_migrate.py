"""test_migrate.py - the books of an embedded node go into Kafka: the same balances, entries, answers and passwords"""
import hashlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
from harness import API, customer, wait_until  # noqa: E402
from kafka_bed import Bed, load_tests  # noqa: E402,F401
from kafka_nodes import Nodes  # noqa: E402

EARN = API + "/services/points/earn/"
BURN = API + "/services/points/burn/"
TRANSFER = API + "/services/points/transfer/"
BATCH = API + "/services/points/batch/"
ACCOUNTS = API + "/loyaltyAccounts/"
ENTRIES = API + "/loyaltyTransactions/"
PEOPLE = 40
OPENING = 1000
BATCH_LINES = 24000
CLERK = "a-password-of-the-clerk"
BROKEN = (OSError, http.client.HTTPException)


def tables(text):
    """{partition or "all": (accounts, points, entries, keys, digest)} of what verify and migrate print."""
    return {name: tuple(rest.split()) for name, rest in
            re.findall(r"^  (\d+|all) +(\d+ +-?\d+ +\d+ +\d+  [0-9a-f]{32})(?:  .*)?$", text, re.M)}


def fingerprints(folder):
    """Of all files but the lock, which names the process that held it last."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            if path != os.path.join(folder, "LOCK"):
                with open(path, "rb") as file:
                    found[path] = hashlib.sha256(file.read()).hexdigest()
    return found


class Migrating(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bed_directory = harness.Directory()
        cls.addClassCleanup(cls.bed_directory.remove)
        cls.kafka = Bed(cls.bed_directory.join("kafka"))
        cls.addClassCleanup(cls.kafka.stop, seconds=0)
        cls.kafka.start()
        cls.prefixes = 0

    def setUp(self):
        self.directory = harness.Directory()
        self.addCleanup(self.directory.remove)
        self.data = self.directory.join("old")
        type(self).prefixes += 1
        self.prefix = "m%d" % self.prefixes

    def old(self, *flags):
        node = harness.Node(self.data, list(flags))
        self.addCleanup(node.end)
        return node.start()

    def new(self, *flags):
        nodes = Nodes(self.directory.path, self.kafka.bootstrap, 1, flags, single_broker=True, prefix=self.prefix)
        self.addCleanup(nodes.end)
        return nodes.start().nodes[0]

    def words(self, *more, prefix=None, create=True):
        return (["migrate", "--data", self.data, "--journal", "kafka", "--kafka-bootstrap", self.kafka.bootstrap,
                 "--kafka-prefix", prefix or self.prefix, "--single-broker"] +
                (["--kafka-create-topics"] if create else []) + list(more))

    def migrate(self, *more, code=0, **kind):
        got, text = harness.tool(*self.words(*more, **kind))
        self.assertEqual(got, code, text)
        return text

    def verify(self, data):
        code, text = harness.tool("verify", "--data", data)
        self.assertEqual(code, 0, text)
        self.assertIn("The books hold.", text)
        return text

    def killed(self, condition):
        """Starts a migration and kills it as soon as condition() is true; true when it had not ended before."""
        process = subprocess.Popen([harness.FEALTY] + self.words(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   stdin=subprocess.DEVNULL)
        try:
            wait_until(lambda: condition() or process.poll() is not None, 120, "something to interrupt")
        finally:
            process.send_signal(signal.SIGKILL)
            output, _ = process.communicate()
        self.assertIn(process.returncode, (0, -signal.SIGKILL), output.decode())
        return process.returncode != 0

    def progress(self):
        """Another value each time the file beside the data is written."""
        try:
            found = os.stat(self.data + ".migration")
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def written(self, times):
        """A condition: the file was written so often since now."""
        seen = {self.progress()}

        def step():
            seen.add(self.progress())
            return len(seen) > times
        return step


class Everything(Migrating):
    def traffic(self, client):
        """Writes of all kinds with keys. Returns {key: (path, body, answer)}."""
        answers = {}

        def ask(key, path, body):
            body = dict(body, idempotency_key=key)
            answer = client.post(path, body)
            answers[key] = (path, body, answer)
            return answer

        program = ask("program", API + "/loyaltyPrograms/",
                      {"name": "Club", "start_date": "2020-01-01T00:00:00Z", "end_date": "2099-01-01T00:00:00Z"}).json["id"]
        ask("tier", API + "/loyaltyTiers/", {"program": program, "name": "Gold", "min_points": 1500,
                                             "points_multiplier": "2"})
        self.accounts = [ask("account-%d" % i, ACCOUNTS, {"customer_id": customer(i), "program": program,
                                                          "points_balance": OPENING}).json["id"] for i in range(PEOPLE)]
        for i, account in enumerate(self.accounts):
            ask("earn-%d" % i, EARN, {"account_id": account, "transaction_amount": "%d.75" % (10 * i),
                                      "transaction_context": {"description": "shoes, größe %d" % i, "till": i,
                                                              "reference": "till-%d" % i}})
            ask("burn-%d" % i, BURN, {"account_id": account, "points": 3 + i, "description": "a mug"})
            ask("refused-%d" % i, BURN, {"account_id": account, "points": 10 ** 9})
            ask("transfer-%d" % i, TRANSFER, {"from_account_id": account, "points": 7 + i,
                                              "to_account_id": self.accounts[(i + 7) % PEOPLE]})
        closed = self.accounts[-1]
        self.assertEqual(client.post(ACCOUNTS + "%d/set-status/" % closed, {"status": "blocked", "reason": "x"}).status, 200)
        for key, (_, _, answer) in answers.items():
            self.assertIn(answer.status, (200, 201, 400), (key, answer))
        lines = [json.dumps({"operation": "earn", "customer_id": customer(i % (PEOPLE - 1)), "program_id": program,
                             "transaction_amount": 1 + i % 9, "idempotency_key": "b-%d" % i, "description": "d" * 60})
                 for i in range(BATCH_LINES)]
        for i in range(0, BATCH_LINES, 1000):
            answer = client.post(BATCH, "\n".join(lines[i:i + 1000]) + "\n",
                                 headers={"Content-Type": "application/x-ndjson"})
            self.assertEqual(len(re.findall(rb'"status": ?200', answer.body)), 1000)
        return program, answers

    def look(self, client):
        """What customers and shops see; lists without the addresses of their pages."""
        lists = [ENTRIES + "?account=%d&page_size=30" % account for account in self.accounts]
        lists += [API + "/loyaltyPrograms/", API + "/loyaltyTiers/"]
        return [client.get(ACCOUNTS + "%d/" % account).body for account in self.accounts] + [
            client.get(path).body.partition(b'"results"')[2] for path in lists]

    def test_goes_over_although_it_is_killed_twice_on_the_way(self):
        node = self.old()
        client = node.client()
        program, answers = self.traffic(client)
        seen = self.look(client)
        self.assertEqual(node.stop(), 0)
        code, text = harness.tool("user", "add", "clerk", "--data", self.data, "--permissions", "account.view",
                                  stdin=(CLERK + "\n").encode())
        self.assertEqual(code, 0, text)

        source = tables(self.verify(self.data))
        self.assertEqual(len(source), 18)
        before = fingerprints(self.data)
        self.assertTrue(self.killed(self.progress), "it had ended before it could be killed")
        self.assertTrue(self.killed(self.written(4)), "it had ended before it could be killed again")
        text = self.migrate()
        self.assertIn("The migration is complete", text)
        self.assertIn("going on behind row", text)
        print(re.search(r"The migration is complete.*", text).group(0))
        self.assertEqual(tables(text), source)
        text = self.migrate(create=False)
        self.assertIn("complete before", text)
        self.assertEqual(tables(text), source)
        self.assertEqual(fingerprints(self.data), before)

        node = self.new()
        self.assertEqual(tables(self.verify(node.data)), source)
        client = node.client()  # with the old password
        self.assertEqual(harness.Client(node.port).login("clerk", CLERK).get(ACCOUNTS + "%d/" % self.accounts[0]).status, 200)
        self.assertEqual(self.look(client), seen)
        for key, (path, body, answer) in answers.items():
            again = client.post(path, body)
            self.assertEqual((again.status, again.body), (answer.status, answer.body), key)
            self.assertEqual(again.headers["Idempotent-Replayed"], "true", key)
            row = client.get(API + "/requests/%s/" % key).body
            self.assertIn(b'"body":' + answer.body, row, key)
        self.assertEqual(client.post(EARN, {"account_id": self.accounts[0], "transaction_amount": 5, "idempotency_key": "x",
                                            "transaction_context": {"reference": "till-0"}}).status, 409)
        self.assertEqual(self.look(client), seen)
        self.go_on(client, program, answers)
        self.assertEqual(node.stop(), 0)
        text = self.verify(node.data)
        self.assertRegex(text, r"(?m)^  16 .* epoch \d+ seq \d+$")
        # It was written to, so it is another one now; and the old one's topics are a cluster's.
        self.assertNotEqual(tables(text)["all"], source["all"])
        os.unlink(self.data + ".migration")
        self.assertIn("a node was started on these topics", self.migrate(code=2))

    def go_on(self, client, program, answers):
        """Every partition takes new work, with ids that nobody has."""
        taken = {json.loads(answer.body).get("transaction_id") for _, _, answer in answers.values()}
        for i, account in enumerate(self.accounts[:-1]):
            answer = client.post(EARN, {"account_id": account, "transaction_amount": 5, "idempotency_key": "new-%d" % i})
            self.assertEqual(answer.status, 200, answer)
            self.assertNotIn(answer.json["transaction_id"], taken)
            taken.add(answer.json["transaction_id"])
            answer = client.post(TRANSFER, {"from_account_id": account, "points": 1, "idempotency_key": "give-%d" % i,
                                            "to_account_id": self.accounts[(i + 1) % (PEOPLE - 1)]})
            self.assertEqual(answer.status, 200, answer)
        for account in self.accounts:
            self.assertTrue(client.get(API + "/services/points/reconcile/%d/" % account).json["reconciled"])
        self.assertEqual(client.post(API + "/loyaltyPrograms/?wait=all", {"name": "Next", "start_date": "2020-01-01T00:00:00Z",
                                                                          "end_date": "2099-01-01T00:00:00Z"}).status, 201)
        self.assertNotEqual(program, 0)


class OnTheWay(Migrating):
    """A node that was killed has transfers between its partitions: they end after the migration."""

    def test_transfers_of_a_killed_node_end_on_the_new_one(self):
        node = self.old("--partitions", "4")
        client = node.client()
        program = harness.create_program(client)
        accounts = [harness.create_account(client, program, customer(i), points_balance=OPENING) for i in range(24)]
        asked = {}

        def give(worker):
            own = harness.Client(node.port, client.token)
            try:
                for i in range(100000):
                    key = "t-%d-%d" % (worker, i)
                    body = {"from_account_id": accounts[(worker * 5 + i) % 24], "points": 1 + i % 5, "idempotency_key": key,
                            "to_account_id": accounts[(worker * 7 + i * 3 + 1) % 24]}
                    if body["from_account_id"] == body["to_account_id"]:
                        continue
                    asked[key] = (body, None)
                    asked[key] = (body, own.post(TRANSFER, body))
            except BROKEN:
                return

        workers = [threading.Thread(target=give, args=(worker,)) for worker in range(8)]
        for worker in workers:
            worker.start()
        wait_until(lambda: len(asked) > 400, 60, "transfers")
        node.kill()
        for worker in workers:
            worker.join()

        source = tables(self.verify(self.data))
        self.assertEqual(tables(self.migrate()), source)
        node = self.new("--partitions", "4")
        client = node.client()
        for key, (body, answer) in asked.items():
            again = client.post(TRANSFER, body)
            self.assertIn(again.status, (200, 400), (key, again))
            if answer is not None:
                self.assertEqual((again.status, again.body), (answer.status, answer.body), key)
        found = [client.get(ACCOUNTS + "%d/" % account).json for account in accounts]
        self.assertEqual(sum(row["points_balance"] for row in found), 24 * OPENING)
        self.assertEqual(node.stop(), 0)
        self.assertRegex(self.verify(node.data), r"points +%d available, 0 in transit" % (24 * OPENING))


class Cluster(Migrating):
    def test_the_nodes_of_a_cluster_go_over_together(self):
        old = harness.Cluster(self.directory.path, 2, ["--partitions", "4"])
        self.addCleanup(old.end)
        client = old.start().nodes[0].client()
        program = harness.create_program(client)
        accounts = [harness.create_account(client, program, customer(i), points_balance=OPENING) for i in range(24)]
        asked = []
        for i, account in enumerate(accounts):
            body = {"from_account_id": account, "to_account_id": accounts[(i + 5) % 24], "points": 1 + i,
                    "idempotency_key": "t-%d" % i}
            asked.append((body, client.post(TRANSFER, body)))
            self.assertEqual(asked[-1][1].status, 200)
        for node in old.nodes:
            self.assertEqual(node.stop(), 0)
        folders = [node.data for node in old.nodes]
        code, text = harness.tool("verify", "--cluster", *folders)
        self.assertEqual(code, 0, text)
        source = tables(text)
        self.data = folders[0]
        self.assertIn("all of them are needed together", self.migrate(code=2))
        words = self.words()
        words[1:3] = ["--cluster", ",".join(folders)]
        code, text = harness.tool(*words)
        self.assertEqual(code, 0, text)
        self.assertEqual(tables(text), source)

        node = harness.Node(self.directory.join("new"), ["--journal", "kafka", "--kafka-bootstrap", self.kafka.bootstrap,
                                                         "--kafka-prefix", self.prefix, "--single-broker",
                                                         "--cluster-listen", old.addresses[0]])
        self.addCleanup(node.end)
        client = node.start().client()
        for body, answer in asked:
            again = client.post(TRANSFER, body)
            self.assertEqual((again.status, again.body), (answer.status, answer.body))
        found = [client.get(ACCOUNTS + "%d/" % account).json["points_balance"] for account in accounts]
        self.assertEqual(sum(found), 24 * OPENING)
        self.assertEqual(node.stop(), 0)
        self.verify(node.data)


class Refusing(Migrating):
    def books(self, rows=3):
        with open(self.directory.join("in"), "w", encoding="utf-8") as file:
            file.write(json.dumps({"type": "program", "name": "Club", "start_date": "2000-01-01T00:00:00Z",
                                   "end_date": "2099-12-31T00:00:00Z"}) + "\n")
            for i in range(rows):
                file.write(json.dumps({"type": "account", "customer_id": customer(i), "program": "Club", "points": 5}) + "\n")
        code, text = harness.tool("import", "--data", self.data, self.directory.join("in"))
        self.assertEqual(code, 0, text)

    def test_a_source_that_runs_or_holds_nothing_and_orders_that_make_no_sense(self):
        for words in (["--data", self.data], ["--journal", "kafka"], ["--data", self.data, "--journal", "embedded"],
                      ["--data", self.data, "--cluster", "a,b", "--journal", "kafka"]):
            code, text = harness.tool("migrate", "--kafka-bootstrap", "127.0.0.1:1", *words)
            self.assertEqual(code, 1, text)
            self.assertIn("usage: fealty migrate", text)
        self.assertIn("holds no ledger", self.migrate(code=2))
        self.books()
        node = self.old()
        self.assertIn("is in use by process %d" % node.process.pid, self.migrate(code=2))
        self.assertEqual(node.stop(), 0)

    def test_topics_that_are_missing_or_have_another_number_of_partitions(self):
        self.books()
        self.assertIn("--kafka-create-topics", self.migrate(create=False, code=2))
        self.assertIsNone(self.progress())
        self.kafka.create_topic(self.prefix + ".log", partitions=5, config=["retention.ms=-1"])
        self.assertRegex(self.migrate(code=2), r"has 5 partitions, must have 17")
        self.assertIsNone(self.progress())

    def test_a_log_with_records_of_others(self):
        self.books()
        self.kafka.create_topic(self.prefix + ".log", partitions=17, config=["retention.ms=-1"])
        self.kafka.produce_perf(self.prefix + ".log", 100, 400)
        self.assertRegex(self.migrate(code=2), r"a record that is not of this migration")

    def test_books_that_were_written_to_since_it_began(self):
        self.books(4000)
        self.assertTrue(self.killed(self.progress), "it had ended before it could be killed")
        node = self.old()
        client = node.client()
        client.post(EARN, {"customer_id": customer(0), "program_id": 1, "transaction_amount": 5, "idempotency_key": "k"})
        self.assertEqual(node.stop(), 0)
        self.assertIn("have been written to since their migration began", self.migrate(code=2))
        self.assertIn("go into topics %s.*" % self.prefix, self.migrate(prefix="elsewhere", code=2))

    def test_a_node_that_starts_before_the_end(self):
        """It finds half of the books; the run that goes on says so instead of writing to what is in use."""
        self.books(4000)
        self.assertTrue(self.killed(self.progress), "it had ended before it could be killed")
        self.new()
        self.assertIn("a node was started on these topics", self.migrate(code=2))

    def test_topics_that_were_made_anew_after_it_was_complete(self):
        self.books()
        place = self.directory.join("kept")
        os.mkdir(place)
        self.migrate("--progress", place)
        self.assertIsNone(self.progress())
        self.assertIn("complete before", self.migrate("--progress", place))
        other = Bed(self.directory.join("kafka"))
        self.addCleanup(other.stop, seconds=0)
        other.start()
        words = ["other" if word == self.prefix else other.bootstrap if word == self.kafka.bootstrap else word
                 for word in self.words("--progress", place)]
        words[words.index("other")] = self.prefix
        code, text = harness.tool(*words)
        self.assertEqual(code, 2, text)
        self.assertIn("does not hold it any more", text)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    unittest.main()
