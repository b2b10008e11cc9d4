"""clients.py - threads that earn, burn, transfer and read through all nodes, and write down what they were told

Each partition has a client of its own that works for its customers, so that the time without good answers can be told
per partition. Others roam over all customers, look for ones that have no account yet, and wait for an answer as long as
it takes: what a node says when it wakes up again is heard. And some ask always the same node, with new requests all the
time, whatever became of it: what they ask shortly before it wakes up must not be answered with what it knew before.
A client keeps its connection until it breaks, then goes on to the next node with the same request and the same key.
"""
import collections
import http.client
import json
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import API, Client  # noqa: E402
from history import ANSWERED, NOT_APPLIED, UNHEARD, UNKNOWN, Operation  # noqa: E402

POINTS = API + "/services/points/"
ROAMERS = 6
FAITHFUL = 2          # to one node, for each
PAUSE = 0.045         # seconds between two operations of a client, on average
TRIES = 8
PATIENCE = 2.0        # seconds that a client waits for an answer before it asks another node
PATIENCE_ROAMING = 13.0
PATIENCE_FAITHFUL = 0.6
MIX = (("earn", 26), ("burn", 20), ("too much", 8), ("transfer", 22), ("read", 20), ("nobody", 2), ("again", 6))
ROAMING = MIX + (("enrol", 3), ("look", 8), ("early", 3))
KEYLESS = 0.08        # share of changes that are sent without a key, and once only
STARING = (("read", 80), ("too much", 20))
NOBODY = 77           # no account has this id
NO_KEY = "u"          # begins the name of an operation that is sent without a key; its entries are marked with it


def has_key(operation):
    return not operation.key.startswith(NO_KEY)


class Person:
    def __init__(self, number, customer, account, partition):
        self.number = number
        self.customer = customer
        self.account = account
        self.partition = partition


class Clients:
    """`doors` are the (host, port) of all nodes. Customers without an account come last in `people`."""

    def __init__(self, seed, doors, token, program, people, history):
        self.seed = seed
        self.doors = doors
        self.token = token
        self.program = program
        self.people = people
        self.known = [person for person in people if person.account is not None]
        self.newcomers = collections.deque(person for person in people if person.account is None)
        self.late = list(self.newcomers)
        self.history = history
        self.troubles = collections.Counter()  # what did not lead to an answer, by kind
        self.given_up = []
        self.wrong = []      # what must not be and has no place in the history
        self.stopping = threading.Event()
        self.threads = []

    def start(self):
        groups = collections.defaultdict(list)
        for person in self.known:
            groups[person.partition].append(person)
        own = [(people, MIX) for _, people in sorted(groups.items())]
        workers = [Worker(self, place, people, mix) for place, (people, mix) in enumerate(own)]
        for _ in range(ROAMERS):
            workers.append(Worker(self, len(workers), self.known, ROAMING, PATIENCE_ROAMING))
        for door in range(len(self.doors)):
            for _ in range(FAITHFUL):
                workers.append(Worker(self, len(workers), self.known, STARING, PATIENCE_FAITHFUL, door))
        self.threads = [threading.Thread(target=worker.run, daemon=True) for worker in workers]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
            if thread.is_alive():
                raise AssertionError("a client hangs")

    def resolve(self, seconds):
        """Asks until every operation that was given up has an answer; returns those that still have none."""
        deadline = time.monotonic() + seconds
        worker = Worker(self, 0, self.known, MIX)
        left = list(self.given_up)
        while left and time.monotonic() < deadline:
            left = [operation for operation in left if not worker.resolved(operation)]
            if left:
                time.sleep(0.1)
        worker.close()
        return left

    def repeat(self, operations):
        """Asks what became of keys that were answered, and sends some of the requests again."""
        def work(place):
            worker = Worker(self, place, self.known, MIX)
            for number, operation in enumerate(operations[place::4]):
                if number % 3 == 0:
                    worker.tries(operation, 5)
                else:
                    worker.look_up(operation)
            worker.close()
        threads = [threading.Thread(target=work, args=(place,), daemon=True) for place in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
            if thread.is_alive():
                raise AssertionError("a client hangs")

    def last_reads(self):
        """One more read of every customer, through a node by chance."""
        worker = Worker(self, 1, self.known, MIX)
        for number, person in enumerate(self.people):
            operation = Operation("last-%d" % person.number, "read" if person.account else "look", person.number)
            for _ in range(20):
                worker.at = number % len(self.doors)
                if worker.once(operation) == ANSWERED:
                    self.history.add(operation)
                    break
                time.sleep(0.2)
            else:
                self.wrong.append("customer %d cannot be read at the end" % person.number)
        worker.close()

    def read_ledger(self):
        """Entries and total as the lists give them."""
        client = Client(self.doors[0][1], self.token, 30, self.doors[0][0])
        numbers = {}
        total = 0
        for row in pages(client, "/loyaltyAccounts/?program=%d" % self.program):
            person = next(one for one in self.people if one.customer == row["customer_id"])
            numbers[row["id"]] = person.number
            total += row["points_balance"]
        entries = collections.defaultdict(list)
        for row in pages(client, "/loyaltyTransactions/?program=%d" % self.program):
            if row["description"] != "Opening balance":
                entries[row["description"]].append((numbers[row["account"]], row["delta"]))
        client.close()
        self.history.entries = dict(entries)
        self.history.total = total


def pages(client, path):
    page = 1
    while True:
        for _ in range(20):
            answer = client.get(API + path + "&page_size=1000&ordering=id&page=%d" % page)
            if answer.status == 200:
                break
            time.sleep(0.2)
        else:
            raise AssertionError("%s: %r" % (path, answer))
        yield from answer.json["results"]
        if answer.json["next"] is None:
            return
        page += 1


class Worker:
    """One client: one request at a time."""

    def __init__(self, clients, place, people, mix, patience=PATIENCE, door=None):
        self.clients = clients
        self.place = place
        self.door = door  # the only node it asks; None: any
        self.people = people
        self.hot = people[::8]  # meet at these more often than by chance
        self.names = [name for name, _ in mix]
        self.weights = [weight for _, weight in mix]
        self.chance = random.Random("%d %d" % (clients.seed, place))
        self.at = place % len(clients.doors)
        self.patience = patience
        self.connections = {}
        self.number = 0
        self.answered = collections.deque(maxlen=30)

    def run(self):
        try:
            while not self.clients.stopping.wait(self.chance.uniform(0, 2 * PAUSE)):
                self.one()
        except Exception as error:  # pylint: disable=W0718
            self.clients.wrong.append("client %d ended: %r" % (self.place, error))
        self.close()

    def close(self):
        for client in self.connections.values():
            client.close()
        self.connections = {}

    def one(self):
        what = self.chance.choices(self.names, self.weights)[0]
        if self.chance.random() < 0.05:
            self.at = self.chance.randrange(len(self.clients.doors))
        if what == "nobody":
            self.ask_for_nobody()
        elif what == "again":
            if self.answered:
                self.at += 1
                self.tries(self.chance.choice(self.answered), 2)
        else:
            operation = self.wish(what)
            if operation is not None:
                self.carry_out(operation)

    def wish(self, what):
        chance, clients = self.chance, self.clients
        self.number += 1
        keyless = what in ("earn", "burn", "transfer") and self.door is None and chance.random() < KEYLESS
        key = "%s%d-%d" % (NO_KEY if keyless else "c", self.place, self.number)
        if what == "enrol":
            try:
                return Operation(key, "enrol", clients.newcomers.popleft().number)
            except IndexError:
                return None
        if what in ("look", "early"):
            person = chance.choice(clients.late[:max(3, len(clients.late) - len(clients.newcomers) + 3)])
            return Operation(key, "look", person.number) if what == "look" else \
                Operation(key, "earn", person.number, None, chance.randint(1, 30))
        often = 0.9 if self.door is not None else 0.4
        person = chance.choice(self.hot if chance.random() < often else self.people)
        if what == "read":
            return Operation(key, "read", person.number)
        if what == "transfer":
            other = chance.choice([one for one in chance.sample(clients.known, 2) if one is not person])
            return Operation(key, "transfer", person.number, other.number, chance.randint(1, 30))
        points = 10 ** 6 if what == "too much" else chance.randint(1, 30 if what == "earn" else 50)
        return Operation(key, "earn" if what == "earn" else "burn", person.number, None, points)

    def carry_out(self, operation):
        read = operation.kind in ("read", "look")
        if not read:
            self.clients.history.add(operation)
        once = self.door is not None or not has_key(operation)
        outcome = self.tries(operation, 1 if once else TRIES)
        if read:
            if outcome == ANSWERED:
                self.clients.history.add(operation)
        elif not has_key(operation):
            pass  # what became of it stays open when it was not answered
        elif outcome != ANSWERED:
            self.clients.given_up.append(operation)
        elif operation.answer.status != 404:
            self.answered.append(operation)

    def tries(self, operation, count):
        """Until it is answered, through one node after the other; returns the last outcome."""
        for _ in range(count):
            outcome = self.once(operation)
            if outcome == ANSWERED or self.clients.stopping.is_set():
                break
            self.at += 1
            self.clients.stopping.wait(0.03)  # a breath: others want the processor too
        return outcome

    # --- one attempt ---

    def once(self, operation):
        method, path, body = self.request(operation)
        headers = {"Idempotency-Key": operation.key} if body is not None and has_key(operation) else None
        node, began, answer = self.ask(method, path, body, headers)
        ended = time.monotonic()
        if not isinstance(answer, str):
            outcome = {429: NOT_APPLIED, 503: NOT_APPLIED, 504: UNKNOWN}.get(answer.status, ANSWERED)
            if answer.status == 409 and answer.json.get("code") == "in_progress":
                outcome = UNKNOWN
            if outcome != ANSWERED:
                self.clients.troubles["%d" % answer.status] += 1
            operation.add(node, began, ended, outcome, answer.status, answer.body.decode("utf-8", "replace"),
                          answer.headers.get("Idempotent-Replayed") == "true")
            return outcome
        self.clients.troubles[answer] += 1
        outcome = NOT_APPLIED if answer == "not connected" else UNKNOWN
        operation.add(node, began, ended, outcome)
        return outcome

    def ask(self, method, path, body=None, headers=None):
        """(node, beginning, answer); the answer is a text when there was none."""
        place = self.at % len(self.clients.doors) if self.door is None else self.door
        host, port = self.clients.doors[place]
        client = self.connections.get(place)
        began = time.monotonic()
        if client is None or client.connection is None:
            client = self.connections[place] = Client(port, self.clients.token, self.patience, host)
            client.connection = http.client.HTTPConnection(host, port, timeout=self.patience)
            try:
                client.connection.connect()
            except OSError:
                client.close()
                return place + 1, began, "not connected"
        try:
            return place + 1, began, client.ask(method, path, body, headers)
        except TimeoutError:
            return place + 1, began, "no answer in time"
        except (OSError, http.client.HTTPException):
            return place + 1, began, "broken connection"

    def request(self, operation):
        """(method, path, body)"""
        people, program = self.clients.people, self.clients.program
        person = people[operation.person]
        if operation.kind == "read":
            return "GET", API + "/loyaltyAccounts/%d/" % person.account, None
        if operation.kind == "look":
            return "GET", API + "/loyaltyAccounts/customer/%s/" % person.customer, None
        if operation.kind == "enrol":
            return "POST", API + "/loyaltyAccounts/", {"customer_id": person.customer, "program": program}
        if operation.kind == "transfer":
            return "POST", POINTS + "transfer/", {
                "from_account_id": person.account, "to_account_id": people[operation.other].account,
                "points": operation.points, "description": operation.key}
        # Half of the requests name the account, the others the customer.
        named = person.account is not None and operation.points % 2
        who = {"account_id": person.account} if named else {"customer_id": person.customer, "program_id": program}
        if operation.kind == "burn":
            return "POST", POINTS + "burn/", dict(who, points=operation.points, description=operation.key)
        return "POST", POINTS + "earn/", dict(who, transaction_amount=operation.points,
                                              transaction_context={"description": operation.key})

    def ask_for_nobody(self):
        _, _, answer = self.ask("GET", API + "/loyaltyAccounts/%d/" % NOBODY)
        if isinstance(answer, str):
            self.clients.troubles[answer] += 1
        elif answer.status in (429, 503, 504):
            self.clients.troubles["%d" % answer.status] += 1
        elif answer.status != 404:
            self.clients.wrong.append("an account that does not exist was answered %r" % answer)

    # --- what became of it ---

    def look_up(self, operation):
        """Asks for the key; returns whether that is answered for good."""
        person = self.clients.people[operation.person]
        self.at += 1
        node, began, answer = self.ask("GET", API + "/requests/%s/?customer_id=%s" % (operation.key, person.customer))
        ended = time.monotonic()
        if isinstance(answer, str) or answer.status in (429, 503, 504):
            self.clients.troubles[answer if isinstance(answer, str) else "%d" % answer.status] += 1
            return False
        if answer.status == 404:
            operation.add(node, began, ended, UNHEARD)
            return False
        rows = answer.json.get("results", []) if answer.status == 200 else []
        if len(rows) != 1:
            self.clients.wrong.append("%s stands for %d requests: %r" % (operation.key, len(rows), answer))
            return False
        if rows[0]["state"] != "done":
            return False
        operation.add(node, began, ended, ANSWERED, rows[0]["status"], json.dumps(rows[0]["body"]))
        return True

    def resolved(self, operation):
        """One look-up and one retry with the same key."""
        self.look_up(operation)
        return self.once(operation) == ANSWERED
