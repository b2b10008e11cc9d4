"""test_three_nodes.py - three nodes on real Kafka: any of them answers, one that is gone is replaced, nothing is lost"""
import http.client
import json
import os
import re
import shutil
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
from harness import API, customer, wait_until  # noqa: E402
from kafka_bed import Bed, load_tests  # noqa: E402,F401
from kafka_nodes import Nodes, create_program, partition_of  # noqa: E402

PARTITIONS = 16
PEOPLE = 36
OPENING = 1000
DEADLINE_MS = 3000
EARN = API + "/services/points/earn/"
BURN = API + "/services/points/burn/"
TRANSFER = API + "/services/points/transfer/"
BROKEN = (OSError, http.client.HTTPException)
# Asked to be at most 5 s on an idle machine; the suite runs on one that is not.
TAKE_OVER_SECONDS = 12
SLACK_SECONDS = 0.5


class Three(unittest.TestCase):
    """Three nodes on brokers of their own for each class; every test leaves all of them running."""

    brokers = 1
    flags = ()

    @classmethod
    def setUpClass(cls):
        cls.directory = harness.Directory()
        cls.addClassCleanup(cls.directory.remove)
        cls.kafka = Bed(cls.directory.join("kafka"), cls.brokers)
        cls.addClassCleanup(cls.kafka.stop, seconds=0)
        cls.kafka.start()
        cls.cluster = Nodes(cls.directory.path, cls.kafka.bootstrap, single_broker=cls.brokers == 1,
                            flags=["--request-timeout-ms", str(DEADLINE_MS)] + list(cls.flags))
        cls.addClassCleanup(cls.cluster.end)
        cls.nodes = cls.cluster.start().nodes
        cls.token = cls.nodes[0].client().token
        cls.program = create_program(cls.at(0))
        cls.people = [customer(place) for place in range(PEOPLE)]
        cls.accounts = [harness.create_account(cls.at(0), cls.program, who, points_balance=OPENING) for who in cls.people]
        cls.expected = {account: OPENING for account in cls.accounts}
        cls.number = 0

    @classmethod
    def at(cls, place, timeout=30):
        return cls.cluster.at(place, cls.token, timeout)

    @classmethod
    def key(cls):
        cls.number += 1
        return "key-%d" % cls.number

    def setUp(self):
        self.all_up()

    def all_up(self):
        for node in self.nodes:
            if node.process is None or node.process.poll() is not None:
                node.spawn()
        for node in self.nodes:
            node.wait_ready(60)
        wait_until(self.settled, 60, "every partition with the owner that the view gives it")

    def settled(self):
        """Nothing moves, and nothing is about to: all nodes say so, and every node has its share."""
        for place in range(3):
            shown = self.at(place).get("/cluster/").json
            if any(one["owner"] != one["view_owner"] or one["owner"] is None for one in shown["partition_list"]):
                return False
        return sorted(number for place in range(3) for number in self.cluster.owned(place)) == list(range(PARTITIONS + 1)) \
            and all(self.of(place) for place in range(3))

    def owners(self):
        """{partition: place}"""
        return {number: place for place in range(3) for number in self.cluster.owned(place)}

    def of(self, place):
        """Accounts that a node decides about."""
        owned = self.cluster.owned(place)
        return [account for account in self.accounts if partition_of(account) in owned]

    def victim(self):
        """A node with customers, that does not hold the definitions where that can be had."""
        owners = self.owners()
        return max(range(3), key=lambda place: (owners[PARTITIONS] != place, len(self.of(place))))

    def read(self, account, place):
        answer = self.at(place).get(API + "/loyaltyAccounts/%d/" % account)
        self.assertEqual(answer.status, 200, answer)
        return answer.json["points_balance"]

    def earn(self, account, place, points=1, key=None):
        answer = self.at(place).post(EARN, {"account_id": account, "transaction_amount": points},
                                     headers={"Idempotency-Key": key or self.key()})
        self.assertEqual(answer.status, 200, answer)
        self.expected[account] += points
        self.assertEqual(answer.json["balance_after"], self.expected[account], answer)
        return answer

    def earn_until(self, account, place, seconds, points=1):
        """Sends one earn with one key until it is answered; returns how long that took, and the answer."""
        key, began = self.key(), time.monotonic()
        client = self.at(place, timeout=2)

        def step():
            try:
                answer = client.post(EARN, {"account_id": account, "transaction_amount": points},
                                     headers={"Idempotency-Key": key})
            except BROKEN:
                return None
            if answer.status in (429, 503, 504) or (answer.status == 409 and answer.json["code"] == "in_progress"):
                return None
            self.assertEqual(answer.status, 200, answer)
            return answer
        answer = wait_until(step, seconds, "an answer for account %d" % account)
        self.expected[account] += points
        self.assertEqual(answer.json["balance_after"], self.expected[account], answer)
        return time.monotonic() - began, answer

    def in_session(self, account, place, *positions):
        return self.at(place).get(API + "/loyaltyAccounts/%d/?consistency=session" % account,
                                  headers={"X-Position": ", ".join(positions)})

    def sessions_hold(self):
        """Whoever wrote through one node reads it through every other, with the position, and never goes back."""
        for number, account in enumerate(self.accounts):
            wrote = self.earn(account, number % 3).headers["X-Position"]
            partition, history, epoch, seq = wrote.split(":")
            self.assertEqual(int(partition), partition_of(account))
            self.assertRegex(history, "^[0-9a-f]{32}$")
            seen = (int(epoch), int(seq))
            for place in range(3):
                answer = self.in_session(account, place, wrote)
                self.assertEqual((answer.status, answer.json["points_balance"]), (200, self.expected[account]), answer)
                partition, again, epoch, seq = answer.headers["X-Position"].split(":")
                self.assertEqual((int(partition), again), (partition_of(account), history))
                self.assertGreaterEqual((int(epoch), int(seq)), seen)
                wrote, seen = answer.headers["X-Position"], (int(epoch), int(seq))
            refused = self.at(number % 3).post(BURN, {"account_id": account, "points": 10 ** 7})
            self.assertEqual(refused.status, 400, refused)
            answer = self.in_session(account, (number + 1) % 3, refused.headers["X-Position"])
            self.assertEqual((answer.status, answer.json["points_balance"]), (200, self.expected[account]), answer)

    def all_right(self, places=(0, 1, 2)):
        """Every balance is what was acknowledged, through every node that runs, and the ledger agrees."""
        for number, account in enumerate(self.accounts):
            place = places[number % len(places)]
            self.assertEqual(self.read(account, place), self.expected[account], account)
            answer = self.at(place).get(API + "/services/points/reconcile/%d/" % account)
            self.assertTrue(answer.json["reconciled"], answer)


class OnOneBroker(Three):
    def test_any_node_answers_any_request(self):
        for number, account in enumerate(self.accounts):
            for place in range(3):
                self.earn(account, place, 2)
                self.assertEqual(self.read(account, (place + 1) % 3), self.expected[account])
            answer = self.at(number % 3).post(BURN, {"account_id": account, "points": 4})
            self.assertEqual(answer.status, 200, answer)
            self.expected[account] -= 4
            answer = self.at((number + 1) % 3).post(BURN, {"account_id": account, "points": 10 ** 7})
            self.assertEqual((answer.status, answer.json["code"], answer.json["metadata"]["available"]),
                             (400, "insufficient_points", self.expected[account]), answer)
        for place in range(3):
            answer = self.at(place).get(API + "/loyaltyAccounts/77/")
            self.assertEqual(answer.status, 404, answer)
            source, target = self.of(place)[0], self.of((place + 1) % 3)[0]
            body = {"from_account_id": source, "to_account_id": target, "points": 5}
            answer = self.at((place + 2) % 3).post(TRANSFER, body)
            self.assertEqual(answer.status, 200, answer)
            self.expected[source] -= 5
            self.expected[target] += 5
            self.assertEqual((answer.json["from"]["balance_after"], answer.json["to"]["balance_after"]),
                             (self.expected[source], self.expected[target]))
        self.all_right()

    def test_a_key_has_one_answer_through_all_nodes(self):
        for account in self.accounts[:12]:
            key = self.key()
            first = self.earn(account, 0, 3, key)
            for place in range(3):
                again = self.at(place).post(EARN, {"account_id": account, "transaction_amount": 3},
                                            headers={"Idempotency-Key": key})
                self.assertEqual((again.status, again.body, again.headers.get("Idempotent-Replayed")),
                                 (200, first.body, "true"))
                rows = self.at(place).get(API + "/requests/%s/" % key).json["results"]
                self.assertEqual([(row["state"], row["body"]) for row in rows], [("done", first.json)])
            self.assertEqual(self.at(1).get(API + "/requests/never-%s/" % key).status, 404)
        self.all_right()

    def test_a_session_reads_what_it_wrote_also_where_no_copy_is(self):
        self.sessions_hold()
        account = self.accounts[0]
        wrote = self.earn(account, 0).headers["X-Position"]
        partition, history, epoch, seq = wrote.split(":")
        foreign = ":".join((partition, "f" * 32, epoch, seq))
        elsewhere = ":".join((str((int(partition) + 1) % PARTITIONS), "f" * 32, epoch, seq))
        for place in range(3):
            answer = self.in_session(account, place, foreign)
            self.assertEqual((answer.status, answer.json["code"]), (409, "position_lost"), answer)
            answer = self.in_session(account, place, elsewhere, wrote)  # of a partition that is not read
            self.assertEqual((answer.status, answer.json["points_balance"]), (200, self.expected[account]), answer)
            answer = self.in_session(account, place, ":".join((partition, history, epoch, str(int(seq) + 10 ** 6))))
            self.assertEqual((answer.status, answer.json["code"]), (503, "position_ahead"), answer)
            self.assertEqual(answer.headers["Retry-After"], "1")
            for wrong in ("here", wrote + ":1", wrote + ",", ",".join([wrote] * 65)):
                answer = self.in_session(account, place, wrong)
                self.assertEqual((answer.status, list(answer.json)), (400, ["X-Position"]), answer)

    def test_a_position_above_the_end_of_an_epoch_that_is_over_is_lost(self):
        """The end of an epoch is where the next owner's claim was accepted: here that of the node that takes over."""
        victim = self.victim()
        account = self.of(victim)[0]
        partition, history, epoch, seq = self.earn(account, victim).headers["X-Position"].split(":")
        self.assertEqual(self.nodes[victim].stop(), 0)
        rest = [place for place in range(3) if place != victim]
        self.earn_until(account, rest[0], TAKE_OVER_SECONDS)
        for place in rest:
            answer = self.in_session(account, place, ":".join((partition, history, epoch, seq)))
            self.assertEqual((answer.status, answer.json["points_balance"]), (200, self.expected[account]), answer)
            answer = self.in_session(account, place, ":".join((partition, history, epoch, str(int(seq) + 10 ** 6))))
            self.assertEqual((answer.status, answer.json["code"]), (409, "position_lost"), answer)
        self.all_up()

    def test_copies_through_all_nodes_at_once_post_once(self):
        account, answers, gate = self.accounts[0], [], threading.Barrier(24)

        def work(place):
            client = self.at(place % 3)
            gate.wait()
            answer = client.post(EARN, {"account_id": account, "transaction_amount": 9},
                                 headers={"Idempotency-Key": "24 copies"})
            answers.append((answer.status, answer.body))
            client.close()

        threads = [threading.Thread(target=work, args=(place,)) for place in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual({status for status, _ in answers}, {200})
        self.assertEqual((len(answers), len(set(answers))), (24, 1))
        self.expected[account] += 9
        self.all_right()

    def test_a_killed_node_is_replaced_with_nothing_lost_and_catches_up_when_it_is_back(self):
        victim = self.victim()
        lost = self.of(victim)
        others = [place for place in range(3) if place != victim]
        for account in lost:
            self.earn(account, others[0], 7)  # acknowledged right before
        self.nodes[victim].kill()
        took, _ = self.earn_until(lost[0], others[0], TAKE_OVER_SECONDS)
        for account in lost:
            self.earn_until(account, others[1], TAKE_OVER_SECONDS)
        print("answers %.2f s after the kill" % took, flush=True)
        self.all_right(others)
        self.nodes[victim].start()
        for account in self.accounts:
            self.earn(account, victim)  # the one that is back answers like any other
        self.all_up()
        self.all_right()

    def under_load(self, accounts, place, act):
        """Customers earn without pause while act() is done; returns the longest time that one of them waited."""
        gaps, failures, stopping = [], [], threading.Event()

        def work(account):
            last = time.monotonic()
            while not stopping.is_set():
                try:
                    self.earn_until(account, place, 20)
                except AssertionError as error:
                    failures.append(str(error))
                    return
                gaps.append(time.monotonic() - last)
                last = time.monotonic()

        threads = [threading.Thread(target=work, args=(account,)) for account in accounts]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: len(gaps) > 40 or failures, 30, "some load")
            act()
            count = len(gaps)
            wait_until(lambda: len(gaps) > count + 40 or failures, 30, "load afterwards")
        finally:
            stopping.set()
            for thread in threads:
                thread.join(60)
        self.assertEqual(failures, [])
        return max(gaps)

    def test_a_node_that_is_told_to_stop_hands_over_and_nobody_waits_for_silence(self):
        victim = self.victim()
        other = (victim + 1) % 3
        longest = self.under_load(self.of(victim)[:4], other, lambda: self.assertEqual(
            self.nodes[victim].stop(30), 0, self.nodes[victim].output[-3000:]))
        print("longest pause of a customer during a planned stop: %.0f ms" % (1000 * longest), flush=True)
        self.assertLess(longest, 2.5)  # silence alone would take 3 s
        self.all_up()
        self.all_right()

    def test_a_drained_node_owns_nothing_and_gets_its_share_again(self):
        victim = self.victim()
        other = (victim + 1) % 3

        def drain():
            code, text = harness.tool("cluster", "--data", self.nodes[other].data, "drain", self.cluster.addresses[victim])
            self.assertEqual(code, 0, text)
            wait_until(lambda: not self.cluster.owned(victim), 60, "a drained node")
        longest = self.under_load(self.of(victim)[:4], other, drain)
        print("longest pause of a customer while a node is drained: %.0f ms" % (1000 * longest), flush=True)
        self.assertLess(longest, 2.5)
        self.assertEqual(self.nodes[victim].stop(30), 0)
        for account in self.accounts:
            self.earn(account, other)  # at once: nobody had to take anything over
        self.nodes[victim].start()
        code, text = harness.tool("cluster", "--data", self.nodes[other].data, "admit", self.cluster.addresses[victim])
        self.assertEqual(code, 0, text)
        wait_until(lambda: self.of(victim), 60, "partitions of the admitted node")
        self.all_up()
        self.all_right()

    def test_login_works_through_every_node_also_when_one_is_dead(self):
        tokens = [self.nodes[place].client().token for place in range(3)]
        for place in range(3):
            for token in tokens:
                self.assertEqual(self.cluster.at(place, token).get("/api/auth/me/").status, 200)
        for dead in range(3):  # the owner of the definitions is one of them
            self.nodes[dead].kill()
            others = [place for place in range(3) if place != dead]
            for place in others:
                # A session that exists is known on the spot: every node follows the sessions.
                self.assertEqual(self.cluster.at(place, tokens[dead]).get("/api/auth/me/").status, 200)

            def login():
                answer = self.cluster.at(others[0], timeout=5).post(  # pylint: disable=W0640
                    "/api/auth/login/", {"username": "admin", "password": harness.PASSWORD})
                self.assertIn(answer.status, (200, 503, 504), answer)
                return answer.json["token"] if answer.status == 200 else None
            fresh = wait_until(login, TAKE_OVER_SECONDS, "a login while node %d is dead" % (dead + 1))
            wait_until(lambda: self.cluster.at(others[1], fresh).get(  # pylint: disable=W0640
                "/api/auth/me/").status == 200, 5, "the new session on the other node")
            self.all_up()
            self.assertEqual(self.cluster.at(dead, fresh).get("/api/auth/me/").status, 200)
            self.assertEqual(self.cluster.at(dead, fresh).post("/api/auth/logout/").status, 200)
            for place in range(3):
                wait_until(lambda: self.cluster.at(place, fresh).get(  # pylint: disable=W0640
                    "/api/auth/me/").status == 401, 10, "the end of a session")

    def test_the_cluster_is_shown_by_every_node(self):
        shown = [self.at(place).get("/cluster/") for place in range(3)]
        for answer in shown:
            self.assertEqual(answer.status, 200, answer)
            for address in self.cluster.addresses:
                self.assertIn(address, answer.body.decode())
        code, text = harness.tool("cluster", "status", "--data", self.nodes[0].data)
        self.assertEqual(code, 0, text)
        for address in self.cluster.addresses:
            self.assertIn(address, text)


class FollowedByAll(Three):
    """Every node follows every partition, so that any one of them can go on alone."""

    flags = ("--replicas", "2")

    def test_a_session_reads_what_it_wrote_from_any_copy(self):
        self.sessions_hold()

    def test_one_node_goes_on_alone(self):
        for account in self.accounts:
            self.earn(account, 1, 2)
        for place in (0, 1):
            self.nodes[place].kill()
        for account in self.accounts:
            self.earn_until(account, 2, 40)
        self.all_right([2])
        self.all_up()
        self.all_right()

    def test_a_node_with_an_empty_disk_fills_itself_from_the_log(self):
        victim = self.victim()
        others = [place for place in range(3) if place != victim]
        for account in self.accounts:
            self.earn(account, others[0], 2)
        gone = self.at(victim).get("/cluster/").json["node"]
        self.nodes[victim].kill()
        shutil.rmtree(self.nodes[victim].data)
        self.nodes[victim].start()  # to the cluster this is another node
        for account in self.accounts:
            self.earn_until(account, victim, TAKE_OVER_SECONDS)
        wait_until(lambda: all(self.cluster.readiness(place)[0] == 200 for place in others), 30, "ready nodes")
        code, text = harness.tool("cluster", "--data", self.nodes[others[0]].data, "forget", gone)
        self.assertEqual(code, 0, text)
        wait_until(lambda: gone not in self.at(victim).get("/cluster/").body.decode(), 30, "a view without the old node")
        # It takes its share: what it then decides, it decides on what it has read.
        wait_until(lambda: self.of(victim), 60, "partitions of the new node")
        self.all_up()
        for account in self.of(victim):
            self.earn(account, others[1])
        self.all_right()
        self.followed_by(victim)
        # The others die: it alone knows all there is.
        for place in others:
            self.nodes[place].kill()
        for account in self.accounts:
            self.earn_until(account, victim, 40)
        self.all_right([victim])

    def followed_by(self, place):
        """Until a node has every partition, near enough to take it over."""
        def step():
            shown = self.at(place).get("/cluster/").json
            mine = self.cluster.addresses[place]
            return all(one["owner"] == mine or any(follower["address"] == mine and follower["ready"]
                                                   for follower in one["followers"]) for one in shown["partition_list"])
        wait_until(step, 60, "a node that follows everything")


class WithoutKafka(Three):
    """One broker that is killed, paused and brought back."""

    def ask(self, place, account):
        """(status, seconds) of one earn, whose outcome is found out later."""
        began = time.monotonic()
        try:
            answer = self.at(place, timeout=10).post(EARN, {"account_id": account, "transaction_amount": 1},
                                                     headers={"Idempotency-Key": self.key()})
        except BROKEN as error:
            self.fail("a node broke the connection: %r" % error)
        return answer.status, time.monotonic() - began

    def while_kafka_is_away(self):
        unknown = set()
        account = self.accounts[0]

        def refused():
            status, _ = self.ask(0, account)
            if status != 503:
                unknown.add(account)
            return status == 503
        wait_until(refused, 20, "a refusal while Kafka is away")
        for place in range(3):  # each notices by itself, when it has something to write
            wait_until(lambda: self.ask(place, account)[0] == 503, 20, "a refusal by every node")  # pylint: disable=W0640
        for place in range(3):
            for account in self.accounts[:6]:
                status, seconds = self.ask(place, account)
                self.assertEqual(status, 503)
                self.assertLess(seconds, 1.0 + SLACK_SECONDS)
            self.assertIsNone(self.nodes[place].process.poll())
            answer = self.at(place).get("/healthz")
            self.assertEqual(answer.status, 200)
        return unknown

    def recovered(self):
        """Every customer is served again; what nobody was told of is taken as it is now."""
        for account in self.accounts:
            def balance():
                try:
                    answer = self.at(0, timeout=5).get(API + "/loyaltyAccounts/%d/" % account)  # pylint: disable=W0640
                except BROKEN:
                    return None
                self.assertIn(answer.status, (200, 503, 504), answer)
                return answer.json["points_balance"] if answer.status == 200 else None
            now = wait_until(balance, 40, "an answer after Kafka is back")
            self.assertIn(now - self.expected[account], range(0, 40))
            self.expected[account] = now
        pids = [node.process.pid for node in self.nodes]
        self.all_up()
        self.assertEqual(pids, [node.process.pid for node in self.nodes])
        for account in self.accounts:
            self.earn(account, 2)
        self.all_right()

    def test_a_killed_kafka_is_answered_503_at_once_and_all_goes_on_when_it_is_back(self):
        for account in self.accounts:
            self.earn(account, 1)
        self.kafka.kill(1)
        try:
            self.while_kafka_is_away()
        finally:
            self.kafka.restart(1)
        self.recovered()

    def test_a_paused_kafka_is_answered_503_and_all_goes_on_when_it_is_back(self):
        for account in self.accounts:
            self.earn(account, 1)
        self.kafka.pause(1)
        try:
            self.while_kafka_is_away()
        finally:
            self.kafka.resume(1)
        self.recovered()

    def test_a_node_that_starts_while_kafka_is_away_waits_for_it(self):
        self.kafka.kill(1)
        try:
            self.nodes[2].kill()
            self.nodes[2].spawn()
            wait_until(lambda: re.search("waiting for Kafka", self.nodes[2].output), 30, "a node that waits")
            self.assertIsNone(self.nodes[2].process.poll())
        finally:
            self.kafka.restart(1)
        self.recovered_with_a_new_process()

    def recovered_with_a_new_process(self):
        self.nodes[2].wait_ready(60)
        self.recovered()


class OnThreeBrokers(Three):
    brokers = 3
    flags = ("--replicas", "2")

    def test_a_broker_that_is_killed_or_paused_takes_nothing_with_it(self):
        for name in ("kill", "pause"):
            for number in (1, 2, 3):
                with self.subTest(name=name, broker=number):
                    for account in self.accounts:
                        self.earn_until(account, 0, 30)
                    getattr(self.kafka, name)(number)
                    began = time.monotonic()
                    slowest = 0.0
                    for account in self.accounts:
                        self.earn_until(account, 1, 30)
                        slowest = max(slowest, time.monotonic() - began)
                    print("%s broker %d: all customers answered after %.2f s" % (name, number, slowest), flush=True)
                    self.kafka.restart(number) if name == "kill" else self.kafka.resume(number)
                    wait_until(self.kafka.in_sync, 60, "brokers in sync")
        self.all_up()
        self.all_right()

    def test_nodes_and_a_broker_die_together(self):
        for account in self.accounts:
            self.earn_until(account, 2, 30)
        self.nodes[0].kill()
        self.nodes[1].kill()
        self.kafka.kill(1)
        for account in self.accounts:
            self.earn_until(account, 2, 60)
        self.all_right([2])
        self.kafka.restart(1)
        self.all_up()
        wait_until(self.kafka.in_sync, 60, "brokers in sync")
        self.all_right()


class Refusals(unittest.TestCase):
    """A Kafka that does not keep what the journal needs is refused with a sentence that says what to change."""

    @classmethod
    def setUpClass(cls):
        cls.directory = harness.Directory()
        cls.addClassCleanup(cls.directory.remove)
        cls.kafka = Bed(cls.directory.join("kafka"))
        cls.addClassCleanup(cls.kafka.stop, seconds=0)
        cls.kafka.start()

    def refused(self, prefix, *flags):
        nodes = Nodes(self.directory.path, self.kafka.bootstrap, 1, prefix=prefix)
        node = nodes.nodes[0]
        node.flags = [flag for flag in node.flags if flag != "--kafka-create-topics"] + list(flags)
        self.addCleanup(node.end)
        node.spawn()
        self.assertNotEqual(node.wait_end(40), 0, node.output)
        return node.output

    def topics(self, prefix, *log):
        """The three topics; `log` replaces settings of the first."""
        good = ["retention.ms=-1", "retention.bytes=-1", "cleanup.policy=delete", "message.timestamp.type=LogAppendTime"]
        names = [setting.partition("=")[0] for setting in log]
        self.kafka.create_topic(prefix + ".log", 17, [one for one in good if one.partition("=")[0] not in names] + list(log))
        self.kafka.create_topic(prefix + ".control", 1, good)
        self.kafka.create_topic(prefix + ".liveness", 1, ["retention.ms=600000"] + good[1:])

    def test_one_broker_is_refused_unless_it_is_asked_for(self):
        self.assertRegex(self.refused("alone", "--kafka-create-topics"), "needs 3 copies.*--single-broker")
        self.topics("single")
        self.assertRegex(self.refused("single"), "--single-broker")

    def test_topics_that_are_missing_are_made_only_when_it_is_asked_for(self):
        self.assertRegex(self.refused("nothing", "--single-broker"), "--kafka-create-topics")

    def test_a_topic_that_forgets_or_has_the_writers_times_is_refused(self):
        self.topics("short", "retention.ms=60000")
        self.assertRegex(self.refused("short", "--single-broker"), "retention.ms")
        self.topics("client", "message.timestamp.type=CreateTime")
        self.assertRegex(self.refused("client", "--single-broker"), "message.timestamp.type")


if __name__ == "__main__":
    unittest.main()
