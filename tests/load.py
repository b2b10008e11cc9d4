"""load.py - clients that remember what they were told, so that a test can hold the node to it

Each order has an idempotency key of its own. An order is `acknowledged` when its answer arrived, whatever it said, and
`unknown` when none did (a broken connection, 503, 504). settle() asks what became of every order and repeats the unknown
ones with their keys; then exactly one outcome per key is known and can be compared with the books.
"""
import http.client
import random
import threading
import time

import harness
from harness import API

UNKNOWN = (429, 503, 504)


class Order:
    def __init__(self, key, operation, body, customer_id):
        self.key = key
        self.operation = operation
        self.body = dict(body, idempotency_key=key)
        self.customer_id = customer_id
        self.answer = None  # the one that was acknowledged

    @property
    def path(self):
        return API + "/services/points/%s/" % self.operation


class Load:
    """Threads that send orders to `ports` until stopped. `make(chance)` returns (operation, body, customer_id)."""

    def __init__(self, ports, token, make, clients=8, seed=1):
        self.ports = ports
        self.token = token
        self.make = make
        self.seed = seed
        self.orders = [[] for _ in range(clients)]
        self.acknowledged = 0
        self.stopping = threading.Event()
        self.surprises = []
        self.threads = [threading.Thread(target=self._run, args=(i,)) for i in range(clients)]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)

    def _run(self, place):
        chance = random.Random(self.seed * 1000 + place)
        number = 0
        client = None
        while not self.stopping.is_set():
            if client is None:
                client = harness.Client(self.ports[(place + number) % len(self.ports)], self.token, timeout=15)
            number += 1
            operation, body, who = self.make(chance)
            order = Order("s%d-c%d-%d" % (self.seed, place, number), operation, body, who)
            self.orders[place].append(order)
            try:
                answer = client.post(order.path, order.body)
            except (OSError, http.client.HTTPException):
                client = None
                time.sleep(0.01)  # the process is gone; do not spin while it comes back
                continue
            if answer.status in UNKNOWN:
                client.close()
                client = None
                continue
            if answer.status not in (200, 400):
                self.surprises.append((order.body, answer))
                return
            order.answer = answer
            self.acknowledged += 1

    @property
    def all(self):
        return [order for orders in self.orders for order in orders]


def resolve(client, order, seconds=30):
    """What the node says became of an order: its row of GET /requests/{key}, or None when it was never seen."""
    def final():
        answer = client.get(API + "/requests/%s?customer_id=%s&operation=%s" % (order.key, order.customer_id,
                                                                                 order.operation))
        if answer.status == 404:
            return (None,)
        if answer.status != 200:
            return False
        rows = answer.json["results"]
        if len(rows) != 1:
            raise AssertionError("%s stands for %d changes: %r" % (order.key, len(rows), answer))
        return (rows[0],) if rows[0]["state"] == "done" else False
    return harness.wait_until(final, seconds, "a final outcome of %s" % order.key)[0]


def settle(test, client, orders):
    """Holds the node to all it said, and brings every unknown order to its end. Returns {key: final JSON body}."""
    finals = {}
    for order in orders:
        row = resolve(client, order)
        if order.answer is not None:
            test.assertIsNotNone(row, "%s was acknowledged (%r) and is gone" % (order.key, order.answer))
            test.assertEqual((row["status"], row["body"]), (order.answer.status, order.answer.json), order.key)
            finals[order.key] = order.answer.json
            continue
        answer = harness.wait_until(lambda: _retry(client, order), 30, "an answer to %s" % order.key)  # pylint: disable=W0640
        test.assertIn(answer.status, (200, 400), answer)
        if row is not None:
            test.assertEqual(answer.headers.get("Idempotent-Replayed"), "true", order.key)
            test.assertEqual((row["status"], row["body"]), (answer.status, answer.json), order.key)
        finals[order.key] = answer.json
    return finals


def _retry(client, order):
    answer = client.post(order.path, order.body)
    return None if answer.status in UNKNOWN else answer
