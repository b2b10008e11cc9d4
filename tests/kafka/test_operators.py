"""test_operators.py - an operator's words to a cluster on real Kafka: what they show, what they do, what they refuse"""
import json
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
from harness import API, customer, wait_until  # noqa: E402
from kafka_bed import Bed, load_tests  # noqa: E402,F401
from kafka_nodes import Nodes, create_program, partition_of  # noqa: E402

PARTITIONS = 8
PROBE = os.environ.get("JOURNAL_PROBE") or os.path.join(harness.ROOT, "build", "kafka", "journal_probe")


def tool(*words):
    done = subprocess.run([harness.FEALTY] + list(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


class Operators(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = harness.Directory()
        cls.addClassCleanup(cls.directory.remove)
        cls.kafka = Bed(cls.directory.join("kafka"), 1)
        cls.addClassCleanup(cls.kafka.stop, seconds=0)
        cls.kafka.start()
        cls.cluster = Nodes(cls.directory.path, cls.kafka.bootstrap, count=2, single_broker=True,
                            flags=["--partitions", str(PARTITIONS)])
        cls.addClassCleanup(cls.cluster.end)
        cls.nodes = cls.cluster.start().nodes
        cls.token = cls.nodes[0].client().token
        cls.clients = [cls.cluster.at(place, cls.token) for place in range(2)]
        for client in cls.clients:
            cls.addClassCleanup(client.close)
        cls.program = create_program(cls.clients[0])
        cls.accounts = [harness.create_account(cls.clients[0], cls.program, customer(place), points_balance=100)
                        for place in range(16)]

    def data(self, place):
        return self.nodes[place].data

    def view(self, place=0):
        code, out, _ = tool("cluster", "--data", self.data(place), "status")
        self.assertEqual(code, 0)
        return json.loads(out)

    def copies(self, place):
        code, out, _ = tool("partition", "--data", self.data(place), "status")
        self.assertEqual(code, 0)
        return {copy["partition"]: copy for copy in json.loads(out)}

    def balances(self):
        return [self.ask(1, API + "/loyaltyAccounts/%d/" % account).json["points_balance"] for account in self.accounts]

    def ask(self, place, path):
        self.clients[place].close()  # a connection that was idle for seconds is closed by the node, and dies with it
        return self.clients[place].get(path)

    def test_the_status_names_members_owners_and_followers(self):
        view = wait_until(lambda: self.settled(), 30, "an owner for every partition")
        self.assertEqual({member["address"] for member in view["members"]}, set(self.cluster.addresses))
        self.assertTrue(all(member["alive"] for member in view["members"]))
        self.assertEqual([one["partition"] for one in view["partition_list"]], list(range(PARTITIONS + 1)))
        self.assertTrue(all(one["owner"] in self.cluster.addresses for one in view["partition_list"]))

    def settled(self):
        view = self.view()
        done = all(one["owner"] == one["view_owner"] and one["epoch"] > 0 for one in view["partition_list"])
        return view if done and len(view["members"]) == 2 else None

    def test_over_http_any_node_shows_the_cluster(self):
        for place in range(2):
            answer = self.ask(place, "/cluster/")
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.json["cluster"], self.view()["cluster"])

    def test_a_drained_member_owns_nothing_and_an_admitted_one_its_share(self):
        address = self.cluster.addresses[0]
        before = self.balances()
        self.assertEqual(tool("cluster", "--data", self.data(1), "drain", address)[0], 0)
        wait_until(lambda: not self.cluster.owned(0), 30, "the drained member to own nothing")
        wait_until(lambda: self.cluster.owned(1) == set(range(PARTITIONS + 1)), 30, "the other one to own all")
        self.assertEqual(self.balances(), before)
        self.assertEqual(tool("cluster", "--data", self.data(0), "admit", address)[0], 0)
        wait_until(lambda: len(self.cluster.owned(0)) >= PARTITIONS // 2, 60, "the admitted member to own its share")
        self.assertEqual(self.balances(), before)

    def test_a_moved_partition_goes_where_it_is_told_and_stays_there(self):
        wait_until(self.settled, 60, "an owner for every partition")
        # The definitions' partition too: every request needs what is in force there.
        for number in (next(iter(self.cluster.owned(0) - {PARTITIONS})), PARTITIONS):
            target = 1 if number in self.cluster.owned(0) else 0
            before, epoch = self.balances(), self.partition(number)["epoch"]
            code, out, text = tool("cluster", "--data", self.data(0), "move", str(number), self.cluster.addresses[target])
            self.assertEqual((code, text), (0, ""))
            self.assertRegex(out, r"^Partition %d is owned by %s after \d+\.\d\d s\.$" % (
                number, self.cluster.addresses[target]))
            self.assertLess(float(out.split()[-2]), 20)
            wait_until(lambda: number in self.cluster.owned(target), 10, "the partition to be there")
            self.assertEqual(self.balances(), before)
            self.assertEqual(self.partition(number)["epoch"], epoch + 1)
            code, _, text = tool("cluster", "--data", self.data(1), "move", str(number), self.cluster.addresses[target])
            self.assertEqual(code, 2)
            self.assertIn("already", text)
        # Whoever is stopped and comes back finds it where it was put.
        self.nodes[target].end()
        wait_until(lambda: number in self.cluster.owned(1 - target), 30, "the other one to have taken over")
        self.nodes[target].spawn()
        self.nodes[target].wait_ready(60)
        wait_until(lambda: number in self.cluster.owned(target), 60, "it to be back")
        self.assertTrue(self.partition(number)["moved"])

    def partition(self, number):
        return wait_until(self.settled, 60, "an owner for every partition")["partition_list"][number]

    def test_a_move_that_cannot_be_is_refused_with_a_sentence(self):
        wait_until(self.settled, 60, "an owner for every partition")
        for words, sentence in ((("99", self.cluster.addresses[1]), "numbered 0 to %d" % PARTITIONS),
                                (("x", self.cluster.addresses[1]), "numbered 0 to %d" % PARTITIONS),
                                (("1", "10.9.9.9:1"), "10.9.9.9:1"),
                                (("1", self.partition(1)["owner"]), "already")):
            code, out, text = tool("cluster", "--data", self.data(0), "move", *words)
            self.assertEqual((code, out), (2, ""))
            self.assertIn(sentence, text)
        self.assertEqual(tool("cluster", "--data", self.data(0), "move", "1")[0], 1)

    def test_a_living_member_is_not_forgotten_and_an_unknown_one_is_named(self):
        wait_until(lambda: all(member["silent"] < 3 for member in self.view()["members"]), 30, "heartbeats")
        code, _, text = tool("cluster", "--data", self.data(0), "forget", self.cluster.addresses[1])
        self.assertEqual(code, 2)
        self.assertIn("alive", text)
        code, _, text = tool("cluster", "--data", self.data(0), "forget", "10.9.9.9:1")
        self.assertEqual(code, 2)
        self.assertIn("10.9.9.9:1", text)

    def test_a_copy_that_is_rebuilt_reads_the_log_from_its_beginning(self):
        wait_until(self.settled, 60, "an owner for every partition")
        number, position = next((number, copy) for number, copy in self.copies(0).items() if copy["state"] == "standby")
        self.assertGreater(position["seq"], 0)
        self.assertEqual(tool("partition", "--data", self.data(0), "rebuild", str(number))[0], 0)
        again = wait_until(lambda: (lambda copy: copy if copy and copy["state"] == "standby" and
                                    copy["seq"] >= position["seq"] else None)(self.copies(0).get(number)),
                           60, "the copy to be as far as before")
        self.assertEqual(again["epoch"], position["epoch"])
        code, _, text = tool("partition", "--data", self.data(0), "resume", str(number))
        self.assertEqual(code, 2)
        self.assertIn("not halted", text)

    def put_foreign_record(self, number):
        """One that halts every reader; returns its offset and checksum as words."""
        done = subprocess.run([PROBE, self.kafka.bootstrap, "fealty", "foreign", str(number)], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
                              env=dict(os.environ, SINGLE="1", PARTITIONS=str(PARTITIONS)))
        self.assertEqual(done.returncode, 0, done.stdout)
        return re.search(r"FOREIGN (\d+) ([0-9a-f]{8})", done.stdout).groups()

    def skip(self, place, *words, reason="the broker made it up"):
        return tool("partition", "--data", self.data(place), "skip", *words, "--reason", reason)

    def test_a_record_that_halts_everybody_is_skipped_by_an_operators_word(self):
        wait_until(self.settled, 60, "an owner for every partition")
        account = self.accounts[3]
        number = partition_of(account, PARTITIONS)
        before = self.balances()
        code, _, text = self.skip(0, str(number), "1", "00000000")
        self.assertEqual(code, 2)
        self.assertIn("not halted here", text)
        offset, crc = self.put_foreign_record(number)
        halt = {"offset": int(offset), "crc": crc}
        for place in range(2):
            wait_until(lambda: self.copies(place)[number]["halted_at"] == halt, 30, "node %d to halt there" % place)
            self.assertEqual(self.copies(place)[number]["state"], "halted")
        self.assertEqual(self.ask(1, API + "/loyaltyAccounts/%d/" % account).status, 503)
        code, _, text = tool("partition", "--data", self.data(0), "resume", str(number))
        wait_until(lambda: self.copies(0)[number]["halted_at"] == halt, 30, "it to halt there again")
        for words, reason, sentence in (((str(number), offset, "00000000"), "x", "crc " + crc),
                                        ((str(number), str(int(offset) + 1), crc), "x", "offset " + offset),
                                        ((str(number), offset, "xyz"), "x", "offset and crc"),
                                        ((str(number), offset, crc), "", "a reason is"),
                                        ((str(number), offset, crc), "x" * 201, "a reason is"),
                                        (("99", offset, crc), "x", "numbered 0 to")):
            code, _, text = self.skip(0, *words, reason=reason)
            self.assertEqual(code, 2)
            self.assertIn(sentence, text)
        self.assertEqual(tool("partition", "--data", self.data(0), "skip", str(number), offset, crc)[0], 1)
        # A second is what its last heartbeat may be old: until then the other one may seem to read on.
        code, out, text = wait_until(lambda: (lambda said: said if "reads on" not in said[2] else None)(
            self.skip(0, str(number), offset, crc)), 20, "both to be known as halted")
        self.assertEqual((code, text), (0, ""))
        self.assertIn("skipped by every node", out)
        wait_until(self.settled, 60, "an owner for every partition")
        wait_until(lambda: self.ask(1, API + "/loyaltyAccounts/%d/" % account).status == 200, 30, "answers")
        self.assertEqual(self.balances(), before)
        listed = [dict(halt, reason="the broker made it up")]
        for place in range(2):
            copy = self.copies(place)[number]
            self.assertIn(copy["state"], ("owner", "standby"))
            self.assertEqual((copy["skips"], copy["halted_at"], copy["trouble"]), (listed, None, None))
        self.assertEqual(self.skip(1, str(number), offset, crc)[0], 0)  # it is known: nothing more to do
        # Whoever starts later, or reads the log from its beginning, judges it likewise.
        self.nodes[1].end()
        self.nodes[1].spawn()
        self.nodes[1].wait_ready(60)
        wait_until(self.settled, 60, "an owner for every partition")
        follower = 0 if self.partition(number)["owner"] == self.cluster.addresses[1] else 1
        self.assertEqual(tool("partition", "--data", self.data(follower), "rebuild", str(number))[0], 0)
        owner = self.copies(1 - follower)[number]
        again = wait_until(lambda: (lambda copy: copy if copy and copy["state"] == "standby" and
                                    copy["seq"] >= owner["seq"] else None)(self.copies(follower).get(number)),
                           60, "the copy to be as far as the owner's")
        self.assertEqual((again["epoch"], again["trouble"]), (owner["epoch"], None))

    def test_what_is_owned_is_not_rebuilt_and_a_wrong_number_is_said(self):
        wait_until(self.settled, 60, "an owner for every partition")
        code, _, text = tool("partition", "--data", self.data(1), "rebuild",
                             str(next(number for number, copy in self.copies(1).items() if copy["state"] == "owner")))
        self.assertEqual(code, 2)
        self.assertIn("owned here", text)
        code, _, text = tool("partition", "--data", self.data(1), "rebuild", "99")
        self.assertEqual(code, 2)
        self.assertIn("numbered 0 to %d" % PARTITIONS, text)

    def test_a_directory_keeps_to_its_kind_of_journal(self):
        other = self.directory.join("embedded")
        node = harness.Node(other, [])
        node.spawn()
        node.wait_ready(30)
        self.assertEqual(tool("cluster", "--data", other, "status")[0], 2)
        node.end()
        code, _, text = tool("node", "--data", other, "--listen", "127.0.0.1:0", "--journal", "kafka", "--kafka-bootstrap",
                             self.kafka.bootstrap, "--single-broker", "--cluster-listen", self.cluster.addresses[0])
        self.assertEqual(code, 2)
        self.assertIn("fealty migrate", text)

    def test_reads_take_a_level_and_refuse_another_word(self):
        path = API + "/loyaltyAccounts/%d/" % self.accounts[0]
        for level in ("linearizable", "session", "any"):
            answer = self.ask(0, path + "?consistency=" + level)
            self.assertEqual((answer.status, answer.json["points_balance"]), (200, 100), level)
        answer = self.ask(0, path + "?consistency=sometimes")
        self.assertEqual(answer.status, 400)
        self.assertIn("consistency", answer.json)


class LostLog(unittest.TestCase):
    """A broker loses the end of a partition's log, which everybody had read: what was acknowledged is in the copies only."""

    @classmethod
    def setUpClass(cls):
        cls.directory = harness.Directory()
        cls.addClassCleanup(cls.directory.remove)
        cls.kafka = Bed(cls.directory.join("kafka"), 1)
        cls.addClassCleanup(cls.kafka.stop, seconds=0)
        cls.kafka.start()
        cls.cluster = Nodes(cls.directory.path, cls.kafka.bootstrap, count=3, single_broker=True,
                            flags=["--partitions", str(PARTITIONS)])
        cls.addClassCleanup(cls.cluster.end)
        cls.nodes = cls.cluster.nodes
        for node in cls.nodes[:2]:
            node.spawn()
        for node in cls.nodes[:2]:
            node.wait_ready(60)
        cls.token = cls.nodes[0].client().token
        client = cls.cluster.at(0, cls.token)
        cls.program = create_program(client)
        cls.accounts = [harness.create_account(client, cls.program, customer(place), points_balance=100)
                        for place in range(16)]
        client.close()
        cls.lost = partition_of(cls.accounts[3], PARTITIONS)
        cls.mine = [account for account in cls.accounts if partition_of(account, PARTITIONS) == cls.lost]
        cls.others = [account for account in cls.accounts if partition_of(account, PARTITIONS) != cls.lost]

    def copy(self, place, number=None):
        code, out, text = tool("partition", "--data", self.nodes[place].data, "status")
        self.assertEqual(code, 0, text)
        return {copy["partition"]: copy for copy in json.loads(out)}.get(self.lost if number is None else number)

    def adopt(self, place, number=None, reason="the broker lost its disk"):
        return tool("partition", "--data", self.nodes[place].data, "adopt", str(self.lost if number is None else number),
                    "--reason", reason)

    def ask(self, place, method, *words, **more):
        client = self.cluster.at(place, self.token)
        try:
            return getattr(client, method)(*words, **more)
        finally:
            client.close()

    def balance(self, account, place=0):
        answer = self.ask(place, "get", API + "/loyaltyAccounts/%d/" % account)
        return answer.json["points_balance"] if answer.status == 200 else None

    def transfer(self, giver, receiver, key, place=0):
        return self.ask(place, "post", API + "/services/points/transfer/", {
            "from_account_id": giver, "to_account_id": receiver, "points": 5}, headers={"Idempotency-Key": key})

    def moved(self, giver, receiver, key, place=0):
        """However often it has to be asked, the points move once."""
        wait_until(lambda: self.transfer(giver, receiver, key, place).status == 200, 60, "a transfer")

    def serves(self, nodes):
        code, out, _ = tool("cluster", "--data", self.nodes[0].data, "status")
        return code == 0 and all(one["owner"] for one in json.loads(out)["partition_list"]) and all(
            self.balance(account, place) is not None for place in range(nodes) for account in self.accounts)

    def cut_logs(self, numbers, kept):
        """Only a part of what the broker holds of these partitions is there when it starts again."""
        self.kafka.stop()
        folder = os.path.join(self.kafka.broker(1).folder, "data")
        for number in numbers:
            place = os.path.join(folder, "fealty.log-%d" % number)
            for name in os.listdir(place):
                path = os.path.join(place, name)
                if name.endswith(".log"):
                    os.truncate(path, int(os.path.getsize(path) * kept))
                elif name.endswith((".index", ".timeindex", ".snapshot")):
                    os.remove(path)
        clean = os.path.join(folder, ".kafka_cleanshutdown")
        if os.path.exists(clean):
            os.remove(clean)
        self.kafka.start()

    def halted(self, place, number=None):
        copy = self.copy(place, number)
        return copy if copy and copy["state"] == "halted" else None

    def test_the_copy_of_a_node_becomes_the_new_history(self):
        account, other = self.mine[0], self.others[0]
        for number in range(4):
            self.moved(account, other, "before-%d" % number)
            self.moved(other, account, "back-%d" % number)
        self.moved(account, other, "before")
        before = {one: self.balance(one) for one in self.accounts}
        self.assertEqual((before[account], before[other]), (95, 105))
        code, _, text = self.adopt(0)
        self.assertEqual(code, 2)
        self.assertIn("not halted here", text)
        self.cut_logs([self.lost], 0.5)
        for place in range(2):
            wait_until(lambda: self.halted(place), 90, "node %d to halt" % place)
        self.assertEqual(self.ask(0, "get", API + "/loyaltyAccounts/%d/" % account).status, 503)
        for words, reason, sentence in (((0, 99), "x", "numbered 0 to"), ((0,), "", "a reason is"),
                                        ((0,), "x" * 201, "a reason is")):
            code, _, text = self.adopt(*words, reason=reason)
            self.assertEqual(code, 2, text)
            self.assertIn(sentence, text)
        self.assertEqual(tool("partition", "--data", self.nodes[0].data, "adopt", str(self.lost))[0], 1)

        # Where a copy has read further than another one, the tool says whose it is.
        def adopted():
            for place in range(2):
                code, out, text = self.adopt(place)
                if code == 0:
                    return place, out
                self.assertRegex(text, "reads on|has read further", text)
            return None
        place, out = wait_until(adopted, 30, "a copy to be adopted")
        self.assertIn("new history", out)
        wait_until(lambda: self.serves(2), 60, "an owner for every partition")
        self.assertEqual({one: self.balance(one) for one in self.accounts}, before)
        # The other copy was filled from there, and says so.
        for one in range(2):
            copy = wait_until(lambda: (lambda copy: copy if copy["state"] in ("owner", "standby") else None)(
                self.copy(one)), 60, "node %d to have it" % one)
            self.assertEqual((copy["adopted"]["reason"], copy["adopted"]["address"], copy["adopted"]["times"],
                              copy["trouble"]),
                             ("the broker lost its disk", self.cluster.addresses[place], 1, None))
        # Messages of both directions go on, with the ones that waited meanwhile.
        for number in range(3):
            self.moved(account, other, "after-%d" % number)
            self.moved(other, account, "after-back-%d" % number)
        self.moved(account, other, "after")
        self.moved(account, other, "before")  # its key is known: nothing moves again
        before[account] -= 5
        before[other] += 5
        self.assertEqual({one: self.balance(one) for one in self.accounts}, before)

        # Who starts with nothing, or again, gets what the others have.
        self.nodes[2].spawn()
        self.nodes[2].wait_ready(60)
        wait_until(lambda: self.serves(3), 60, "three nodes to serve")

        def moved_there():  # it has to be filled first, and may have been placed there already
            code, _, text = tool("cluster", "--data", self.nodes[0].data, "move", str(self.lost), self.cluster.addresses[2])
            return code == 0 or "already" in text
        wait_until(moved_there, 60, "the partition to be where it never was")
        self.moved(account, other, "moved", 2)
        before[account] -= 5
        before[other] += 5
        self.cluster.end()
        for node in self.nodes:
            node.spawn()
        for node in self.nodes:
            node.wait_ready(90)
        wait_until(lambda: self.serves(3), 60, "all to serve again")
        self.moved(other, account, "again", 1)
        before[account] += 5
        before[other] -= 5
        for one in range(3):
            self.assertEqual({account: self.balance(account, one) for account in self.accounts}, before)
            self.assertEqual(self.cluster.readiness(one)[0], 200)
        self.cluster.end()
        for node in self.nodes:
            code, out, text = tool("verify", "--data", node.data)
            self.assertEqual(code, 0, out + text)

    def test_then_all_logs_are_empty_and_all_partitions_are_adopted(self):
        for place in range(2):
            if self.nodes[place].process is None or self.nodes[place].process.poll() is not None:
                self.nodes[place].spawn()
        for place in range(2):
            self.nodes[place].wait_ready(90)
        wait_until(lambda: self.serves(2), 60, "all to serve")
        before = {one: self.balance(one) for one in self.accounts}
        self.cluster.end()
        self.cut_logs(range(PARTITIONS + 1), 0)
        for node in self.nodes[:2]:
            node.spawn()
        left, said = set(range(PARTITIONS + 1)), {}

        def adopted():
            for number in sorted(left):
                for place in range(2):
                    if self.nodes[place].process.poll() is not None:
                        raise AssertionError("node %d has ended" % place)
                    code, _, text = self.adopt(place, number)
                    if code == 0:
                        left.discard(number)
                        break
                    said[number, place] = text
                    self.assertRegex(text, "not halted here|reads on|has read further|keeps no copy|no member|no node runs|"
                                           "no control socket|did not answer|is filled from there", text)
            return not left
        try:
            wait_until(adopted, 90, "all partitions to be adopted")
        except AssertionError as failure:
            raise AssertionError("%s: %s" % (failure, {key: said[key] for key in said if key[0] in left})) from failure
        for place in range(2):
            self.nodes[place].wait_ready(90)
        wait_until(lambda: self.serves(2), 90, "all to serve again")
        self.assertEqual({one: self.balance(one) for one in self.accounts}, before)
        giver, receiver = self.mine[0], self.others[0]
        self.moved(giver, receiver, "anew")
        self.moved(giver, receiver, "anew")
        before[giver] -= 5
        before[receiver] += 5
        create_program(self.cluster.at(0, self.token), "Another")  # definitions come to all partitions
        for place in range(2):
            self.assertEqual({one: self.balance(one, place) for one in self.accounts}, before)
            wait_until(lambda: self.cluster.readiness(place)[0] == 200, 30, "no pair to be halted")


if __name__ == "__main__":
    unittest.main(verbosity=2)
