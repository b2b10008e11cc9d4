"""test_three_nodes.py - three nodes answer as one; one that is down takes only its own customers with it"""
import os
import re
import shutil
import signal
import sys
import threading
import unittest
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
from harness import API, Client, Cluster, Node, customer  # noqa: E402

PARTITIONS = 16
PEOPLE = 30
OPENING = 1000
EARN = API + "/services/points/earn/"
BURN = API + "/services/points/burn/"
TRANSFER = API + "/services/points/transfer/"
BATCH = API + "/services/points/batch/"
LINES = {"Content-Type": "application/x-ndjson"}


def partition_of(account):
    return (account >> 37) * PARTITIONS // 65536


def own_partitions(node):
    text = Client(node.port, timeout=10).get("/metrics").body.decode()
    return {int(number) for number in re.findall(r'fealty_partition_accounts\{partition="(\d+)"\}', text)}


class Three(unittest.TestCase):
    """A cluster per class, with customers on every node."""

    flags = ("--request-timeout-ms", "3000")

    @classmethod
    def setUpClass(cls):
        cls.directory = harness.Directory()
        cls.addClassCleanup(cls.directory.remove)
        cls.cluster = Cluster(cls.directory.path, flags=list(cls.flags))
        cls.addClassCleanup(cls.cluster.end)
        cls.nodes = cls.cluster.start().nodes
        for place, node in enumerate(cls.nodes):
            node.asked_port = node.port
            node.name = cls.cluster.addresses[place]
        cls.token = cls.nodes[0].client().token
        cls.program = harness.create_program(cls.at(0))
        cls.people = [customer(place) for place in range(PEOPLE)]
        cls.accounts = [harness.create_account(cls.at(0), cls.program, who, points_balance=OPENING) for who in cls.people]
        cls.owned = [own_partitions(node) for node in cls.nodes]
        cls.home = [[account for account in cls.accounts if partition_of(account) in owned] for owned in cls.owned]
        if min(len(own) for own in cls.home) < 2:
            raise AssertionError("the customers do not lie on all nodes")

    @classmethod
    def at(cls, place):
        return Client(cls.nodes[place].port, cls.token, timeout=30)

    def balance(self, account, place=0):
        answer = self.at(place).get(API + "/loyaltyAccounts/%d/" % account)
        self.assertEqual(answer.status, 200, answer)
        return answer.json["points_balance"]

    def post(self, place, path, body, status=200, headers=None):
        answer = self.at(place).post(path, body, headers=headers)
        self.assertEqual(answer.status, status, answer)
        return answer

    def catalogue_owner(self):
        return next(place for place, owned in enumerate(self.owned) if PARTITIONS in owned)

    def all_up(self):
        """Every node is ready and sees every other."""
        for node in self.nodes:
            if node.process is None or node.process.poll() is not None:
                node.spawn()
        for node in self.nodes:
            node.wait_ready()

        def seen():
            for node in self.nodes:
                body = Client(node.port, timeout=10).get("/readyz").json
                if body["status"] != "ready" or not all(other["up"] for other in body["nodes"]) or len(body["nodes"]) != 3:
                    return False
            return True
        harness.wait_until(seen, 30, "three nodes that see one another")

    def verify(self):
        for node in self.nodes:
            self.assertEqual(node.stop(), 0, node.output[-3000:])
        for node in self.nodes:
            code, text = harness.tool("verify", "--data", node.data)
            self.assertEqual(code, 0, text)
        code, text = harness.tool("verify", "--cluster", *[node.data for node in self.nodes])
        self.assertEqual(code, 0, text)


class AsOne(Three):
    def test_every_partition_has_one_owner_and_all_nodes_agree(self):
        self.assertEqual(sorted(number for owned in self.owned for number in owned), list(range(PARTITIONS + 1)))
        views = [self.at(place).get("/readyz").json for place in range(3)]
        self.assertEqual(len({view["cluster"] for view in views}), 1)
        self.assertEqual({view["node"] for view in views}, {node.name for node in self.nodes})
        for view in views:
            self.assertEqual([node["name"] for node in view["nodes"]], [node["name"] for node in views[0]["nodes"]])

    def test_all_traffic_into_one_node_is_answered_right(self):
        for place, account in enumerate(self.accounts):
            key = "one-%d" % place
            body = {"account_id": account, "transaction_amount": "12.75", "idempotency_key": key}
            first = self.post(0, EARN, body)
            before = self.balance(account)
            self.assertEqual((first.json["points"], first.json["balance_after"]), (12, before))
            again = self.post(1 + place % 2, EARN, body)  # another node replays byte for byte
            self.assertEqual((again.body, again.headers.get("Idempotent-Replayed")), (first.body, "true"))
            burnt = self.post(0, BURN, {"account_id": account, "points": 12})
            self.assertEqual(burnt.json["balance_after"], before - 12)
            refused = self.at(0).post(BURN, {"account_id": account, "points": 10 ** 9})
            self.assertEqual((refused.status, refused.json["code"]), (400, "insufficient_points"))
            answer = self.at(0).get(API + "/services/points/reconcile/%d/" % account)
            self.assertTrue(answer.json["reconciled"], answer)
            rows = [self.at(other).get(API + "/loyaltyAccounts/%d/" % account).body for other in range(3)]
            self.assertEqual(rows[0], rows[1])
            self.assertEqual(rows[0], rows[2])
            entry = first.json["transaction_id"]
            self.assertEqual(self.at(2).get(API + "/loyaltyTransactions/%s/" % entry).json["amount"], 12)
            answer = self.at(2).ask("PATCH", API + "/loyaltyTransactions/%s/" % entry, {"description": "changed"})
            self.assertEqual((answer.status, answer.json.get("description")), (200, "changed"), answer)
        self.assertEqual(self.at(0).get(API + "/loyaltyAccounts/77/").status, 404)
        answer = self.at(0).post(EARN, {"customer_id": str(uuid.uuid4()), "program_id": self.program, "transaction_amount": 1})
        self.assertEqual(answer.status, 404, answer)

    def test_transfers_between_all_nodes_through_all_nodes(self):
        total = sum(self.balance(account) for account in self.accounts)
        for via in range(3):
            for giver in range(3):
                for taker in range(3):
                    source, target = self.home[giver][0], self.home[taker][1]
                    before = self.balance(source), self.balance(target)
                    body = self.post(via, TRANSFER, {"from_account_id": source, "to_account_id": target, "points": 5}).json
                    self.assertEqual((body["from"]["balance_after"], body["to"]["balance_after"]),
                                     (before[0] - 5, before[1] + 5))
                    self.assertEqual((self.balance(source, taker), self.balance(target, giver)), (before[0] - 5, before[1] + 5))
        # One that the receiver's node refuses is whole again.
        source, target = self.home[0][0], self.home[1][0]
        self.at(2).ask("PATCH", API + "/loyaltyAccounts/%d/" % target, {"status": "suspended"})
        before = self.balance(source)
        answer = self.at(2).post(TRANSFER, {"from_account_id": source, "to_account_id": target, "points": 5})
        self.assertEqual((answer.status, answer.json.get("code")), (400, "account_status"), answer)
        self.at(0).ask("PATCH", API + "/loyaltyAccounts/%d/" % target, {"status": "active"})
        self.assertEqual(self.balance(source), before)
        answer = self.at(1).post(TRANSFER, {"from_account_id": source, "to_customer_id": str(uuid.uuid4()), "points": 5})
        self.assertEqual(answer.status, 404, answer)
        self.assertEqual(sum(self.balance(account) for account in self.accounts), total)

    def test_lists_are_the_same_through_every_node(self):
        def same(path):
            bodies = []
            for place in range(3):
                answer = self.at(place).get(API + path)
                self.assertEqual(answer.status, 200, answer)
                bodies.append(answer.body.replace(b":%d/" % self.nodes[place].port, b":PORT/"))
            self.assertEqual(bodies[0], bodies[1], path)
            self.assertEqual(bodies[0], bodies[2], path)
            return self.at(0).get(API + path).json

        body = same("/loyaltyAccounts/?page_size=7")
        self.assertEqual((body["count"], len(body["results"])), (PEOPLE, 7))
        ids = []
        for page in range(1, 6):
            ids += [row["id"] for row in same("/loyaltyAccounts/?page_size=7&page=%d" % page)["results"]]
        self.assertEqual(ids, sorted(self.accounts))
        self.assertEqual([row["id"] for row in same("/loyaltyAccounts/?page_size=1000&ordering=-id")["results"]],
                         sorted(self.accounts, reverse=True))
        for path in ("/loyaltyAccounts/?ordering=points_balance,id", "/loyaltyAccounts/?status=active",
                     "/loyaltyAccounts/?page=last&page_size=4", "/loyaltyPrograms/", "/loyaltyTiers/",
                     "/loyaltyAccounts/customer/%s/" % self.people[0], "/loyaltyTransactions/?page_size=20",
                     "/loyaltyTransactions/?page=last&page_size=20", "/loyaltyTransactions/?program=%d&transaction_type=adjust" %
                     self.program, "/loyaltyTransactions/customer/%s/" % self.people[1]):
            same(path)
        body = same("/loyaltyTransactions/?transaction_type=adjust")
        self.assertEqual(body["count"], PEOPLE)

    def test_a_key_is_found_wherever_it_lies(self):
        key = "everywhere"
        for own in self.home:
            self.post(0, EARN, {"account_id": own[0], "transaction_amount": 1, "idempotency_key": key})
        for place in range(3):
            rows = self.at(place).get(API + "/requests/%s/" % key).json["results"]
            self.assertEqual(sorted(row["account_id"] for row in rows), sorted(own[0] for own in self.home))
            self.assertEqual(self.at(place).get(API + "/requests/never/").status, 404)

    def test_a_definition_is_in_force_everywhere_when_it_is_answered(self):
        for place in range(3):
            program = self.post(place, API + "/loyaltyPrograms/", {
                "name": "P%d" % place, "start_date": "2020-01-01T00:00:00Z", "end_date": "2099-01-01T00:00:00Z"}, 201).json["id"]
            accounts = [harness.create_account(self.at(other), program, self.people[self.accounts.index(self.home[other][0])])
                        for other in range(3)]
            self.post(place, API + "/loyaltyTiers/", {"program": program, "name": "Double", "points_multiplier": "2"}, 201)
            for other in range(3):
                self.assertEqual(len(self.at(other).get(API + "/loyaltyPrograms/%d/" % program).json["tiers"]), 1)
                # The account was enrolled before the tier: its own next evaluation gives it, or the entry after that.
                self.post(other, EARN, {"account_id": accounts[other], "transaction_amount": 10})
                body = self.post(other, EARN, {"account_id": accounts[other], "transaction_amount": 10}).json
                self.assertEqual(body["points"], 20)
            answer = self.at(place).ask("DELETE", API + "/loyaltyPrograms/%d/" % program)
            self.assertEqual(answer.status, 204, answer)
            for other in range(3):
                answer = self.at(other).post(EARN, {"account_id": accounts[other], "transaction_amount": 10})
                self.assertEqual(answer.status, 404, answer)

    def test_a_token_is_known_everywhere_at_once_and_so_is_its_end(self):
        for place in range(3):
            token = self.nodes[place].client().token
            for other in range(3):
                self.assertEqual(Client(self.nodes[other].port, token).get("/api/auth/me/").status, 200)
            ending = (place + 1) % 3
            self.assertEqual(Client(self.nodes[ending].port, token).post("/api/auth/logout/").status, 200)
            self.assertEqual(Client(self.nodes[ending].port, token).get("/api/auth/me/").status, 401)
            for other in range(3):
                harness.wait_until(lambda: Client(self.nodes[other].port, token).get(  # pylint: disable=W0640
                    "/api/auth/me/").status == 401, 10, "the end of a token")

    def test_a_batch_for_customers_of_all_nodes_is_answered_in_order(self):
        before = [self.balance(account) for account in self.accounts]
        lines = []
        for _ in range(20):
            for account in self.accounts:
                lines.append('{"operation":"earn","account_id":%d,"transaction_amount":3}' % account)
                lines.append('{"operation":"burn","account_id":%d,"points":2}' % account)
        answer = self.post(1, BATCH, "\n".join(lines), headers=LINES)
        rows = [harness.json.loads(line) for line in answer.body.splitlines()]
        self.assertEqual([row["line"] for row in rows], list(range(1, len(lines) + 1)))
        self.assertEqual({row["status"] for row in rows}, {200})
        self.assertEqual([self.balance(account, 2) for account in self.accounts], [value + 20 for value in before])

    def test_copies_through_all_nodes_at_once_post_once(self):
        account = self.home[1][0]
        before = self.balance(account)
        answers, gate = [], threading.Barrier(48)

        def work(place):
            client = self.at(place % 3)
            gate.wait()
            answer = client.post(EARN, {"account_id": account, "transaction_amount": 9, "idempotency_key": "48 copies"})
            answers.append((answer.status, answer.body))
            client.close()

        threads = [threading.Thread(target=work, args=(place,)) for place in range(48)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(len(answers), 48)
        self.assertEqual({status for status, _ in answers}, {200})
        self.assertEqual(len(set(answers)), 1)
        self.assertEqual(self.balance(account), before + 9)


class OneDown(Three):
    def test_it_takes_only_its_own_customers_with_it_and_comes_back_with_nothing_lost(self):
        catalogue = self.catalogue_owner()
        for victim in range(3):
            with self.subTest(victim=victim):
                self.down(victim, catalogue)
        for account in self.accounts:
            answer = self.at(0).get(API + "/services/points/reconcile/%d/" % account)
            self.assertTrue(answer.json["reconciled"], answer)
        total = sum(self.balance(account) for account in self.accounts)
        self.assertEqual(total, PEOPLE * OPENING + self.extra)
        self.verify()

    extra = 0

    def test_a_definition_waits_for_all_partitions_only_when_it_is_asked_to(self):
        catalogue = self.catalogue_owner()
        victim = next(place for place in range(3) if place != catalogue)
        other = 3 - catalogue - victim
        life = {"start_date": "2020-01-01T00:00:00Z", "end_date": "2099-01-01T00:00:00Z"}
        programs, wait = API + "/loyaltyPrograms/", API + "/loyaltyPrograms/?wait=all"
        self.post(other, wait, dict(life, name="all are up"), 201)
        self.assertEqual(self.nodes[victim].stop(), 0, self.nodes[victim].output[-3000:])
        try:
            for via in (catalogue, other):
                key = {"Idempotency-Key": "wait-%d" % via}
                body = self.post(via, wait, dict(life, name="late"), 504, key).json
                self.assertEqual((body["code"], body["idempotency_key"]), ("unknown", key["Idempotency-Key"]))
                version = int(re.search(r"is written with version (\d+)", body["detail"]).group(1))
                named = {int(text) for text in re.search(r"partitions? ([\d, ]+)\.$", body["detail"]).group(1).split(",")}
                self.assertEqual(named, self.owned[victim])
                # It is written: GET shows it, and the key has its answer, without waiting and with.
                made = self.post(via, programs, dict(life, name="late"), 201, key)
                self.assertEqual(made.headers.get("Idempotent-Replayed"), "true")
                self.assertEqual(made.headers["ETag"], '"%d"' % version)
                one = programs + "%d/" % made.json["id"]
                self.assertEqual(self.at(via).get(one).json, made.json)
                self.post(via, wait, dict(life, name="late"), 504, key)
                self.post(via, programs, dict(life, name="not waited for"), 201)
                self.assertEqual(self.at(via).ask("PATCH", one + "?wait=all", {"name": "changed"}).status, 504)
                self.assertEqual(self.at(via).get(one).json["name"], "changed")
        finally:
            self.all_up()
        # Old messages are sent again every 5 s, longer than a request may take here: the same key waits again.
        back = {"Idempotency-Key": "all are back"}

        def waited():
            answer = self.at(victim).post(wait, dict(life, name="all are back"), headers=back)
            self.assertIn(answer.status, (201, 504), answer)
            return answer if answer.status == 201 else None
        made = harness.wait_until(waited, 30, "a definition in every partition")
        for place in range(3):
            self.assertEqual(self.at(place).get(programs + "%d/" % made.json["id"]).json, made.json)
        for via in (catalogue, other):
            again = self.post(victim, wait, dict(life, name="late"), 201, {"Idempotency-Key": "wait-%d" % via})
            self.assertEqual(again.json["name"], "late")
        answer = self.at(other).ask("DELETE", programs + "%d/?wait=all" % made.json["id"])
        self.assertEqual(answer.status, 204, answer)

    def down(self, victim, catalogue):
        name, others = self.nodes[victim].name, [place for place in range(3) if place != victim]
        for place in range(3):  # acknowledged right before
            for account in self.home[victim]:
                self.post(place, EARN, {"account_id": account, "transaction_amount": 1})
                self.extra += 1
        before = {account: self.balance(account) for account in self.accounts}
        self.nodes[victim].kill()
        try:
            self.while_down(victim, name, others, catalogue, before)
        finally:
            self.all_up()
        # What was on its way has an end: the points are on one side or the other.
        answer = harness.wait_until(lambda: self.settled(others[0], "gift-%d" % victim), 20, "the end of the transfer")
        self.assertEqual(answer.status, 200, answer)
        before[self.home[others[0]][0]] -= 7
        before[self.home[victim][0]] += 7
        for account in self.accounts:
            for place in range(3):
                self.assertEqual(self.balance(account, place), before[account], "after the return of %d" % victim)

    def settled(self, via, key):
        answer = self.at(via).post(TRANSFER, self.gift(key))
        return answer if answer.status in (200, 400) else None

    def gift(self, key):
        victim = int(key.rsplit("-", 1)[1])
        giver = next(place for place in range(3) if place != victim)
        return {"from_account_id": self.home[giver][0], "to_account_id": self.home[victim][0], "points": 7,
                "idempotency_key": key}

    def check_503(self, answer, name):
        self.assertEqual(answer.status, 503, answer)
        self.assertEqual(answer.json.get("node"), name, answer)
        self.assertTrue(answer.json.get("detail"), answer)
        self.assertGreater(int(answer.headers["Retry-After"]), 0)

    def while_down(self, victim, name, others, catalogue, before):
        for via in others:
            client = self.at(via)
            for account in self.home[victim]:
                who = self.people[self.accounts.index(account)]
                self.check_503(client.get(API + "/loyaltyAccounts/%d/" % account), name)
                self.check_503(client.get(API + "/loyaltyAccounts/customer/%s/" % who), name)
                self.check_503(client.get(API + "/loyaltyTransactions/?account=%d" % account), name)
                self.check_503(client.post(EARN, {"account_id": account, "transaction_amount": 5}), name)
                self.check_503(client.post(BURN, {"account_id": account, "points": 5}), name)
                self.check_503(client.get(API + "/services/points/reconcile/%d/" % account), name)
                self.check_503(client.get(API + "/requests/none/?customer_id=" + who), name)
                self.check_503(client.post(API + "/loyaltyAccounts/", {"customer_id": who, "program": self.program}), name)
            for place in others:
                for account in self.home[place]:
                    who = self.people[self.accounts.index(account)]
                    self.assertEqual(self.balance(account, via), before[account])
                    body = self.post(via, EARN, {"account_id": account, "transaction_amount": 2}).json
                    before[account] += 2
                    self.extra += 2
                    self.assertEqual(body["balance_after"], before[account])
                    self.assertEqual(client.get(API + "/requests/none/?customer_id=" + who).status, 404)
                    self.assertEqual(len(client.get(API + "/loyaltyAccounts/customer/%s/" % who).json), 1)
            source, target = self.home[others[0]][1], self.home[others[1]][1]
            self.post(via, TRANSFER, {"from_account_id": source, "to_account_id": target, "points": 3})
            before[source] -= 3
            before[target] += 3
            # Over all: an error with its name, never a part.
            for path in ("/loyaltyAccounts/", "/loyaltyTransactions/", "/loyaltyAccounts/?status=active", "/requests/none/",
                         "/loyaltyTransactions/?transaction_type=earn"):
                self.check_503(client.get(API + path), name)
            self.assertEqual(client.get(API + "/loyaltyPrograms/%d/" % self.program).status, 200)
            # A batch: only its lines fail.
            lines = ['{"operation":"earn","account_id":%d,"transaction_amount":1}' % account
                     for account in (self.home[victim][0], self.home[others[0]][0], self.home[victim][1])]
            rows = [harness.json.loads(line) for line in
                    self.post(via, BATCH, "\n".join(lines), headers=LINES).body.splitlines()]
            self.assertEqual([row["status"] for row in rows], [503, 200, 503], rows)
            before[self.home[others[0]][0]] += 1
            self.extra += 1
            # Login and logout go on.
            own = Client(self.nodes[via].port).login()
            for other in others:
                self.assertEqual(Client(self.nodes[other].port, own.token).get("/api/auth/me/").status, 200)
            wrong = Client(self.nodes[via].port).post("/api/auth/login/", {"username": "admin", "password": "wrong"})
            self.assertEqual(wrong.status, 401, wrong)
            self.assertEqual(own.post("/api/auth/logout/").status, 200)
            self.assertEqual(own.get("/api/auth/me/").status, 401)
            view = client.get("/readyz").json
            self.assertEqual([node["name"] for node in view["nodes"] if not node["up"]], [name])
            self.assertEqual(client.get("/healthz").status, 200)
        # A definition needs only the node that keeps the definitions.
        answer = self.at(others[0]).ask("PATCH", API + "/loyaltyPrograms/%d/" % self.program,
                                        {"description": "without %d" % victim})
        if victim == catalogue:
            self.check_503(answer, name)
        else:
            self.assertEqual(answer.status, 200, answer)
            for other in others:
                row = self.at(other).get(API + "/loyaltyPrograms/%d/" % self.program).json
                self.assertEqual(row["description"], "without %d" % victim)
        # Points on their way to a customer who cannot be reached: the outcome is not known yet, and the key says it.
        key = "gift-%d" % victim
        answer = self.at(others[0]).post(TRANSFER, self.gift(key))
        self.assertIn(answer.status, (503, 504), answer)
        if answer.status == 504:
            self.assertEqual((answer.json.get("code"), answer.json.get("idempotency_key")), ("unknown", key), answer)
            giver = self.people[self.accounts.index(self.home[others[0]][0])]
            row, = self.at(others[1]).get(API + "/requests/%s/?customer_id=%s" % (key, giver)).json["results"]
            self.assertEqual((row["operation"], row["state"], row["status"], row["body"]), ("transfer", "pending", None, None))


class Stopping(Three):
    flags = ()

    def test_a_node_stops_in_time_although_another_does_not_answer_it(self):
        waiting, silent = 0, 1
        answers, account = [], self.home[silent][0]
        self.nodes[silent].process.send_signal(signal.SIGSTOP)
        try:
            threads = [threading.Thread(target=lambda key="stop-%d" % number: answers.append(self.at(waiting).post(
                EARN, {"account_id": account, "transaction_amount": 1, "idempotency_key": key}))) for number in range(3)]
            for thread in threads:
                thread.start()
            harness.wait_until(lambda: "fealty_http_requests_active 4" in self.at(waiting).get("/metrics").body.decode(), 5,
                               "three requests under way, and this one")
            self.assertEqual(self.nodes[waiting].stop(5), 0, self.nodes[waiting].output[-3000:])
            for thread in threads:
                thread.join()
        finally:
            self.nodes[silent].process.send_signal(signal.SIGCONT)
        self.assertEqual([answer.status for answer in answers], [504] * 3, answers)  # sent, and nobody knows more
        self.all_up()
        for number in range(3):
            self.post(waiting, EARN, {"account_id": account, "transaction_amount": 1, "idempotency_key": "stop-%d" % number})
        self.assertEqual(self.balance(account), OPENING + 3)
        self.verify()


class Addresses(unittest.TestCase):
    """Configuration lists addresses; who owns what stands in the stores."""

    def setUp(self):
        self.directory = harness.Directory()
        self.addCleanup(self.directory.remove)
        self.cluster = Cluster(self.directory.path, flags=["--request-timeout-ms", "2000"])
        self.addCleanup(self.cluster.end)
        self.nodes = self.cluster.start().nodes
        self.extra = []
        client = self.nodes[0].client()
        self.token = client.token
        self.program = harness.create_program(client)
        self.accounts = [harness.create_account(client, self.program, customer(place), points_balance=place + 1)
                         for place in range(18)]

    def node(self, name, listen, peers, port=0):
        node = Node(self.directory.join(name), ["--cluster-listen", listen, "--cluster-peers", ",".join(peers),
                                                "--request-timeout-ms", "2000"], port=port)
        self.addCleanup(node.end)
        self.extra.append(node)
        return node

    def stop_all(self):
        for node in self.nodes:
            self.assertEqual(node.stop(), 0, node.output[-2000:])

    def statuses(self, node):
        client = Client(node.port, self.token)
        return [client.get(API + "/loyaltyAccounts/%d/" % account) for account in self.accounts]

    def whole(self, node):
        return [answer.json["points_balance"] if answer.status == 200 else None for answer in self.statuses(node)] == \
            list(range(1, len(self.accounts) + 1))

    def never_empty(self, node):
        """Every customer is as he was, or out of reach; none is unknown."""
        for place, answer in enumerate(self.statuses(node)):
            self.assertIn(answer.status, (200, 503), answer)
            if answer.status == 200:
                self.assertEqual(answer.json["points_balance"], place + 1)

    def test_any_order_and_a_stranger_in_the_list_change_nothing(self):
        self.stop_all()
        stranger = "127.0.0.1:%d" % harness.free_ports(40)[39]
        for edit in (self.cluster.addresses[::-1], self.cluster.addresses[1:] + self.cluster.addresses[:1] + [stranger]):
            nodes = [self.node("n%d" % (place + 1), address, edit) for place, address in enumerate(self.cluster.addresses)]
            for node in nodes:
                node.spawn()
            for node in nodes:
                harness.wait_until(lambda: node.ready() or node.port, 30, "a serving node")  # pylint: disable=W0640
            for node in nodes:
                harness.wait_until(lambda: self.whole(node), 20, "all customers")  # pylint: disable=W0640
            for node in nodes:
                self.assertEqual(node.stop(), 0, node.output[-2000:])

    def test_all_nodes_at_new_addresses_have_the_same_customers(self):
        self.stop_all()
        addresses = ["127.0.0.1:%d" % port for port in harness.free_ports(43)[40:]]
        nodes = [self.node("n%d" % (place + 1), address, addresses) for place, address in enumerate(addresses[::-1])]
        for node in nodes:
            node.spawn()
        for node in nodes:
            node.wait_ready()
        for node in nodes:
            harness.wait_until(lambda: self.whole(node), 20, "all customers")  # pylint: disable=W0640
        client = Client(nodes[2].port, self.token)
        answer = client.post(TRANSFER, {"from_account_id": self.accounts[17], "to_account_id": self.accounts[0], "points": 1})
        self.assertEqual(answer.status, 200, answer)
        for node in nodes:
            self.assertEqual(node.stop(), 0)

    def test_a_list_that_leaves_a_node_out_never_makes_an_empty_owner(self):
        self.stop_all()
        short = self.cluster.addresses[:2]
        nodes = [self.node("n%d" % (place + 1), address, short) for place, address in enumerate(short)]
        for node in nodes:
            node.spawn()

        def decided(node):
            return node.process.poll() is not None or node.ready() or node.port
        for node in nodes:
            harness.wait_until(lambda: decided(node), 30, "a decision")  # pylint: disable=W0640
        for node in nodes:
            if node.process.poll() is None:
                self.never_empty(node)
                client = Client(node.port, self.token)
                # Not a customer of the third node can be made a second time.
                for place, answer in enumerate(self.statuses(node)):
                    again = client.post(API + "/loyaltyAccounts/", {"customer_id": customer(place), "program": self.program})
                    self.assertEqual(again.status, 400 if answer.status == 200 else 503, again)

    def test_an_empty_directory_in_the_place_of_a_node_owns_nothing(self):
        self.stop_all()
        os.rename(self.directory.join("n3"), self.directory.join("kept"))
        nodes = [self.node("n%d" % (place + 1), address, self.cluster.addresses)
                 for place, address in enumerate(self.cluster.addresses)]
        for node in nodes:
            node.spawn()
        for node in nodes[:2]:
            harness.wait_until(lambda: node.process.poll() is not None or node.ready() or node.port, 30,
                               "a decision")
        for node in nodes[:2]:
            if node.process.poll() is None:
                self.never_empty(node)
        if nodes[2].process.poll() is None and (nodes[2].ready() or nodes[2].port):
            self.never_empty(nodes[2])
        for node in nodes:
            node.end()
        shutil.rmtree(self.directory.join("n3"), ignore_errors=True)
        os.rename(self.directory.join("kept"), self.directory.join("n3"))
        nodes = [self.node("n%d" % (place + 1), address, self.cluster.addresses)
                 for place, address in enumerate(self.cluster.addresses)]
        for node in nodes:
            node.spawn()
        for node in nodes:
            node.wait_ready()
        for node in nodes:
            harness.wait_until(lambda: self.whole(node), 20, "all customers")  # pylint: disable=W0640

    def test_two_processes_on_one_directory_are_refused(self):
        second = self.node("n1", "127.0.0.1:%d" % harness.free_ports(50)[49], self.cluster.addresses).spawn()
        self.assertEqual(second.wait_end(), 2, second.output)
        self.assertIn(str(self.nodes[0].process.pid), second.output)
        self.assertTrue(self.whole(self.nodes[1]))

    def test_a_copy_of_a_directory_makes_both_refuse_until_one_is_gone(self):
        theirs = [place for place, account in enumerate(self.accounts)
                  if partition_of(account) in own_partitions(self.nodes[2])]
        self.assertTrue(theirs)
        self.stop_all()
        shutil.copytree(self.directory.join("n3"), self.directory.join("copy"))
        addresses = self.cluster.addresses + ["127.0.0.1:%d" % harness.free_ports(53)[52]]
        nodes = [self.node(name, address, addresses) for name, address in zip(("n1", "n2", "n3", "copy"), addresses)]
        for node in nodes:
            node.spawn()
        for node in nodes:
            harness.wait_until(lambda: node.process.poll() is not None or node.ready() or node.port, 30,
                               "a decision")

        def refused():
            """Nobody acknowledges anything for the customers of the node that is there twice; all others are served."""
            for node in nodes:
                if node.process.poll() is not None:
                    self.assertIn(node, nodes[2:], node.output)
                    continue
                client = Client(node.port, self.token)
                for place, account in enumerate(self.accounts):
                    if node in nodes[2:] and place not in theirs:
                        continue  # they are alone
                    answer = client.ask("PATCH", API + "/loyaltyAccounts/%d/" % account, {})
                    if answer.status != (503 if place in theirs else 200):
                        return False
                if not client.get("/readyz").json["troubles"]:
                    return False
            return True
        harness.wait_until(refused, 30, "both refusing")
        self.assertTrue(any(re.search("copy|two processes|both say|advertise", node.output) for node in nodes))
        nodes[3].end()
        shutil.rmtree(self.directory.join("copy"))
        nodes[2].end()  # somebody looked and says that this is the one
        nodes[2].start()
        for node in nodes[:3]:
            harness.wait_until(lambda: self.whole(node), 60, "all customers")  # pylint: disable=W0640


if __name__ == "__main__":
    unittest.main()
