"""keyed_writes.py - clients that write with keys and remember what they were told, for tests that kill nodes

Every write carries a key and leaves it as a mark in the entries it makes (description), so that afterwards three things
can be compared: what was answered, what GET /requests/{key} says, and what stands in the ledger.
"""
import http.client
import json
import os
import random
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import API, Client  # noqa: E402

BROKEN = (OSError, http.client.HTTPException)
UNKNOWN = (429, 503, 504)  # not stored: a retry decides


class Write:
    """One request; status and body stay None until somebody was told."""

    def __init__(self, key, customer, path, body, entries):
        self.key = key
        self.customer = customer
        self.path = path
        self.body = body
        self.entries = entries  # how many it leaves when it succeeds
        self.status = None
        self.answer = None

    def told(self, answer):
        if answer.status not in UNKNOWN:
            self.status = answer.status
            self.answer = answer.body


class Load:
    """Threads that write to customers of one program, each with one write at a time, repeated a few times
    when it is not answered."""

    def __init__(self, seed, program, people, token, mix=("earn", "burn", "transfer", "entry", "adjust")):
        self.seed = seed
        self.program = program
        self.people = people  # (customer id, account id)
        self.token = token
        self.mix = mix
        self.lock = threading.Lock()
        self.writes = []
        self.acknowledged = 0
        self.wrong = []  # answers that nobody should get
        self.stopping = threading.Event()
        self.threads = []
        self.round = 0

    def make(self, chance, key):
        """A random write."""
        operation = chance.choice(self.mix)
        who, account = chance.choice(self.people)
        points = chance.randint(1, 40)
        if operation == "earn":
            context = {"description": key}
            if chance.random() < 0.3:
                context["reference"] = "ref-" + key
            return Write(key, who, "/services/points/earn/", {"customer_id": who, "program_id": self.program,
                                                              "transaction_amount": points, "transaction_context": context}, 1)
        if operation == "burn":
            return Write(key, who, "/services/points/burn/", {"account_id": account, "points": points, "description": key}, 1)
        if operation == "transfer":
            taker = chance.choice([person for person in self.people if person[1] != account])
            return Write(key, who, "/services/points/transfer/",
                         {"from_account_id": account, "to_account_id": taker[1], "points": points, "description": key}, 2)
        if operation == "entry":
            return Write(key, who, "/loyaltyTransactions/", {"account": account, "amount": points, "transaction_type": "earn",
                                                             "description": key, "metadata": {"key": key}}, 1)
        return Write(key, who, "/services/points/batch/", {"operation": "adjust", "account_id": account,
                                                           "points": points - 20 or 7, "description": key}, 1)

    def send(self, client, write):
        """The answer of one write, as its endpoint gives it."""
        if write.path.endswith("/batch/"):
            line = dict(write.body, idempotency_key=write.key)
            answer = client.post(API + write.path, json.dumps(line) + "\n", headers={"Content-Type": "application/x-ndjson"})
            if answer.status == 200:
                row = json.loads(answer.body)
                row.pop("line")
                answer.status = row.pop("status")
                answer.body = json.dumps(row).encode()
            return answer
        return client.post(API + write.path, write.body, headers={"Idempotency-Key": write.key})

    def start(self, ports, count=6):
        """Begins a round of writes; thread i begins at ports[i % len(ports)] and goes on to the next when one breaks."""
        self.round += 1
        self.stopping.clear()
        self.threads = [threading.Thread(target=self.run, args=(place, ports), daemon=True) for place in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, place, ports):
        chance = random.Random("%d %d %d" % (self.seed, self.round, place))
        at, number = place, 0
        client = Client(ports[at % len(ports)], self.token, timeout=30)
        while not self.stopping.is_set():
            number += 1
            write = self.make(chance, "r%d-c%d-%d" % (self.round, place, number))
            with self.lock:
                self.writes.append(write)
            tries = 0
            while write.status is None and tries < 3 and not self.stopping.is_set():
                tries += 1
                try:
                    answer = self.send(client, write)
                except BROKEN:  # killed
                    if len(ports) == 1:
                        return
                    client.close()
                    at += 1
                    client = Client(ports[at % len(ports)], self.token, timeout=30)
                    self.stopping.wait(0.02)
                    continue
                write.told(answer)
                if answer.status in (200, 201, 400):
                    with self.lock:
                        self.acknowledged += 1
                elif answer.status in UNKNOWN:
                    self.stopping.wait(0.02)
                else:
                    self.wrong.append((write.key, answer))
        client.close()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
            if thread.is_alive():
                raise AssertionError("a client hangs")

    # --- afterwards ---

    def check(self, test, client, writes):
        """Acknowledged ones are there as they were told; unknown ones get their answer, once."""
        for write in writes:
            if write.status is not None:
                row = self.lookup(client, write, "?customer_id=" + write.customer)
                test.assertIsNotNone(row, "acknowledged and gone: %s" % write.key)
                test.assertEqual((row["state"], row["status"]), ("done", write.status), write.key)
                test.assertEqual(row["body"], json.loads(write.answer), write.key)
            else:
                self.resolve(test, client, write)

    def resolve(self, test, client, write):
        row = self.lookup(client, write, "")
        if row is not None and row["state"] == "pending":
            row = harness.wait_until(lambda: self.done(client, write), 20, "the end of %s" % write.key)
        if row is not None:
            write.status, write.answer = row["status"], json.dumps(row["body"]).encode()

        def retry():
            answer = self.send(client, write)
            return answer if answer.status not in UNKNOWN + (409,) else None

        answer = harness.wait_until(retry, 20, "an answer to the retry of %s" % write.key)
        test.assertIn(answer.status, (200, 201, 400), (write.key, answer))
        if row is not None:
            test.assertEqual((answer.status, answer.json), (write.status, json.loads(write.answer)), write.key)
        write.told(answer)
        again = self.send(client, write)
        test.assertEqual((again.status, again.json), (answer.status, answer.json), write.key)

    def done(self, client, write):
        row = self.lookup(client, write, "")
        return row if row is not None and row["state"] == "done" else None

    def lookup(self, client, write, query):
        """What the node says became of a write: its row, or None when it was never seen."""
        def told():
            answer = client.get(API + "/requests/%s/%s" % (write.key, query))
            return answer if answer.status not in UNKNOWN else None  # a node out of reach is never "not seen"

        answer = harness.wait_until(told, 30, "an answer about %s" % write.key)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise AssertionError("%s: %r" % (write.key, answer))
        rows = answer.json["results"]
        if len(rows) != 1:
            raise AssertionError("%s stands for %d requests" % (write.key, len(rows)))
        return rows[0]

    def entries(self, client):
        """All entries of the program, by their mark."""
        found, page = {}, 1
        while True:
            answer = client.get(API + "/loyaltyTransactions/?program=%d&page_size=1000&ordering=id&page=%d" %
                                (self.program, page))
            if answer.status != 200:
                raise AssertionError(repr(answer))
            for row in answer.json["results"]:
                found.setdefault(row["description"], []).append(row)
            if answer.json["next"] is None:
                return found
            page += 1

    def check_ledger(self, test, client, opening):
        """No key twice, none missing, and the balances are the sums. `opening` is what each account began with."""
        found = self.entries(client)
        sums = {account: 0 for _, account in self.people}
        for write in self.writes:
            rows = found.pop(write.key, [])
            expected = write.entries if write.status in (200, 201) else 0
            if len(rows) != expected:
                test.fail("%s was answered %s and left %d entries, not %d" % (write.key, write.status, len(rows), expected))
            for row in rows:
                sums[row["account"]] += row["delta"]
            if expected == 2:
                test.assertEqual(sum(row["delta"] for row in rows), 0, write.key)
        test.assertEqual(sorted(found), ["Opening balance"] if opening else [])
        for _, account in self.people:
            answer = client.get(API + "/loyaltyAccounts/%d/" % account)
            test.assertEqual(answer.json["points_balance"], opening + sums[account], answer)
            test.assertGreaterEqual(answer.json["points_balance"], 0)
            answer = client.get(API + "/services/points/reconcile/%d/" % account)
            test.assertTrue(answer.json["reconciled"], answer)
