"""shared.py - one node for all tests of a class, and raw sockets for what no client library would send"""
import json
import os
import socket
import sys
import threading
import unittest
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
from harness import API, Client, Node  # noqa: E402

EARN = API + "/services/points/earn/"
BURN = API + "/services/points/burn/"
TRANSFER = API + "/services/points/transfer/"
BATCH = API + "/services/points/batch/"
PROGRAMS = API + "/loyaltyPrograms/"
TIERS = API + "/loyaltyTiers/"
ACCOUNTS = API + "/loyaltyAccounts/"
ENTRIES = API + "/loyaltyTransactions/"
LIFE = {"start_date": "2020-01-01T00:00:00Z", "end_date": "2099-01-01T00:00:00Z"}


class NodeCase(unittest.TestCase):
    """Starts one node before the first test of the class. USERS: name -> permissions, made before it serves."""
    FLAGS = ()
    USERS = {}

    @classmethod
    def setUpClass(cls):
        cls.directory = harness.Directory()
        cls.addClassCleanup(cls.directory.remove)
        cls.node = Node(cls.directory.join("data"), flags=cls.FLAGS)
        cls.addClassCleanup(cls.node.end)
        cls.node.start()
        if cls.USERS:
            if cls.node.stop() != 0:
                raise AssertionError(cls.node.output)
            for name, permissions in cls.USERS.items():
                code, text = harness.tool("user", "add", name, "--data", cls.node.data, "--permissions", permissions,
                                          stdin=harness.PASSWORD.encode() + b"\n")
                if code != 0:
                    raise AssertionError(text)
            cls.node.start()
        cls.client = cls.node.client()
        cls.token = cls.client.token

    def tearDown(self):
        self.client.close()

    # What every test needs.

    def program(self, **members):
        return harness.create_program(self.client, **members)

    def account(self, program, who=None, **members):
        return harness.create_account(self.client, program, who or str(uuid.uuid4()), **members)

    def balance(self, account):
        answer = self.client.get(ACCOUNTS + "%d/" % account)
        self.assertEqual(answer.status, 200, answer)
        return answer.json["points_balance"]

    def earn(self, account, amount, **members):
        body = {"account_id": account, "transaction_amount": amount}
        body.update(members)
        answer = self.client.post(EARN, body)
        self.assertEqual(answer.status, 200, answer)
        return answer.json

    # The shapes of api-resources 1.5.

    def check_json(self, answer, status):
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers["Content-Type"], "application/json", answer)
        return answer.json

    def check_v(self, answer, *fields, status=400):
        body = self.check_json(answer, status)
        self.assertEqual(sorted(body), sorted(fields), answer)
        for messages in body.values():
            self.assertIsInstance(messages, list, answer)
            self.assertTrue(messages and all(isinstance(text, str) and text for text in messages), answer)

    def check_d(self, answer, status, code=None):
        body = self.check_json(answer, status)
        self.assertIsInstance(body.get("detail"), str, answer)
        self.assertTrue(body["detail"], answer)
        if code is not None:
            self.assertEqual(body.get("code"), code, answer)

    def check_e(self, answer, status=400):
        body = self.check_json(answer, status)
        self.assertIsInstance(body.get("error"), str, answer)
        self.assertTrue(body["error"], answer)
        self.assertLessEqual(set(body), {"error", "detail"}, answer)

    def check_s(self, answer, code, count=1):
        body = self.check_json(answer, 400)
        self.assertIs(body["success"], False, answer)
        self.assertEqual(body["error"], body["errors"][0], answer)
        self.assertEqual(len(body["errors"]), count, answer)
        self.assertEqual(body["code"], code, answer)
        self.assertIsInstance(body["metadata"], dict, answer)

    def replayed(self, answer):
        return answer.headers.get("Idempotent-Replayed") == "true"

    # Bytes as they are.

    def raw(self, data, seconds=10, shut=False):
        """Sends bytes on a connection of its own and returns (status, headers with lower names, body, closed)."""
        with socket.create_connection(("127.0.0.1", self.node.port), timeout=seconds) as link:
            try:
                link.sendall(data)
                if shut:
                    link.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it may have answered and closed before everything was sent
            return read_answer(link)

    def head(self, method, path, *lines, token=True):
        """A request head that ends in an empty line."""
        out = ["%s %s HTTP/1.1" % (method, path), "Host: 127.0.0.1"]
        if token:
            out.append("Authorization: Token " + self.token)
        return ("\r\n".join(out + list(lines)) + "\r\n\r\n").encode()


def read_answer(link):
    """One answer from a socket: (status, headers, body, closed before its end)."""
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            part = link.recv(65536)
        except ConnectionResetError:
            part = b""
        if not part:
            return (None, {}, data, True)
        data += part
    head, body = data.split(b"\r\n\r\n", 1)
    lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, value = line.split(":", 1)
        headers[name.lower()] = value.strip()
    length = int(headers.get("content-length", "0"))
    closed = False
    while len(body) < length and not closed:
        part = link.recv(65536)
        closed = not part
        body += part
    return (int(lines[0].split()[1]), headers, body, closed)


def together(count, work):
    """Runs work(0) … work(count - 1) at the same time and returns what they returned."""
    results = [None] * count
    gate = threading.Barrier(count)

    def run(place):
        gate.wait()
        try:
            results[place] = work(place)
        except Exception as failure:  # pylint: disable=broad-except
            results[place] = failure

    threads = [threading.Thread(target=run, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def lines_of(body):
    return [json.loads(line) for line in body.decode().splitlines() if line]


__all__ = ["API", "EARN", "BURN", "TRANSFER", "BATCH", "PROGRAMS", "TIERS", "ACCOUNTS", "ENTRIES", "LIFE", "Client", "Node",
           "NodeCase", "harness", "lines_of", "read_answer", "together"]
