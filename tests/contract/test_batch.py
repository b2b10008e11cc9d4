"""test_batch.py - POST /services/points/batch/ (api-services 3.9)"""
import json
import os
import socket
import sys
import unittest
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from shared import API, BATCH, EARN, ENTRIES, Client, NodeCase, lines_of  # noqa: E402

LINES = {"Content-Type": "application/x-ndjson"}


class Stream:
    """A batch whose lines are sent one by one with chunked coding, while answers are read."""

    def __init__(self, port, token):
        self.link = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.link.sendall(("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Token %s\r\nTransfer-Encoding: chunked\r\n"
                           "Content-Type: application/x-ndjson\r\n\r\n" % (BATCH, token)).encode())
        self.file = self.link.makefile("rb")
        self.pending = b""
        self.status = None

    def send(self, data):
        self.link.sendall(b"%x\r\n" % len(data) + data + b"\r\n")

    def finish(self):
        self.link.sendall(b"0\r\n\r\n")

    def head(self):
        if self.status is None:
            self.status = int(self.file.readline().split()[1])
            while self.file.readline() not in (b"\r\n", b""):
                pass

    def line(self):
        """The next answer; None at the end."""
        self.head()
        while b"\n" not in self.pending:
            size = int(self.file.readline(), 16)
            if size == 0:
                self.file.readline()
                return None
            self.pending += self.file.read(size)
            self.file.readline()
        line, self.pending = self.pending.split(b"\n", 1)
        return json.loads(line)

    def close(self):
        self.file.close()
        self.link.close()


class Batch(NodeCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.first = cls.program(cls)

    def test_a_chunk_that_just_fills_its_buffer_arrives_whole(self):
        """Answers whose length is a power of two, or one or two less: their end mark needs a larger buffer."""
        def line(column_digits):
            return " " * (10 ** (column_digits - 1) - 1) + "{bad"

        def answer_bytes(number, column_digits):
            column = 10 ** (column_digits - 1) + 1
            return len('{"line":%d,"status":400,"error":"JSON, line 1 column %d: a member name in quotes is missing"}\n'
                       % (number, column))

        first = self.client.post(BATCH, line(2), headers=LINES)
        self.assertEqual(len(first.body), answer_bytes(1, 2), first.body)
        for capacity in (256, 512, 1024, 2048, 4096, 8192):
            for short in (0, 1, 2):
                wanted = capacity - short - 10  # the chunk's head
                count = wanted // answer_bytes(10, 2)
                digits = [2] * count
                while sum(answer_bytes(i + 1, d) for i, d in enumerate(digits)) < wanted and min(digits) < 5:
                    digits[digits.index(min(digits))] += 1
                body = "\n".join(line(d) for d in digits)
                for _ in range(4):
                    answer = self.client.post(BATCH, body, headers=LINES)
                    self.assertEqual([row["line"] for row in lines_of(answer.body)], list(range(1, count + 1)))

    def opened(self, balance=0):
        return self.account(self.first, points_balance=balance)

    def run_lines(self, *lines, headers=None, status=200):
        """Lines are objects or texts."""
        body = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n"
        answer = self.client.post(BATCH, body.encode(), headers=dict(LINES, **(headers or {})))
        self.assertEqual(answer.status, status, answer)
        if status == 200:
            self.assertEqual(answer.headers["Content-Type"], "application/x-ndjson")
        return lines_of(answer.body)

    def stream(self):
        stream = Stream(self.node.port, self.token)
        self.addCleanup(stream.close)
        return stream

    def test_each_operation_answers_what_its_endpoint_would(self):
        one, two = self.opened(100), self.opened()
        earn, burn, transfer, adjust, minus = self.run_lines(
            {"operation": "earn", "account_id": one, "transaction_amount": "10.5", "transaction_context": {"reference": "b"}},
            {"operation": "burn", "account_id": one, "reward_cost": 20},
            {"operation": "transfer", "from_account_id": one, "to_account_id": two, "points": 5},
            {"operation": "adjust", "account_id": one, "points": 7, "description": "goodwill", "reference": "A-1"},
            {"operation": "adjust", "account_id": one, "points": -2})
        self.assertEqual([row["line"] for row in (earn, burn, transfer, adjust, minus)], [1, 2, 3, 4, 5])
        self.assertEqual([row["status"] for row in (earn, burn, transfer, adjust, minus)], [200] * 5)
        self.assertEqual(set(earn), {"line", "status", "success", "transaction_id", "points", "balance_after", "metadata"})
        self.assertEqual((earn["points"], earn["balance_after"]), (10, 110))
        self.assertEqual((burn["points"], burn["balance_after"], burn["metadata"]["actual_cost"]), (20, 90, 20))
        self.assertEqual((transfer["points"], transfer["from"]["balance_after"], transfer["to"]["balance_after"]), (5, 85, 5))
        self.assertEqual(set(adjust), {"line", "status", "success", "transaction_id", "points", "balance_after"})
        self.assertEqual((adjust["points"], adjust["balance_after"]), (7, 92))
        self.assertEqual((minus["points"], minus["balance_after"]), (-2, 90))
        row = self.client.get(ENTRIES + adjust["transaction_id"] + "/").json
        self.assertEqual((row["transaction_type"], row["description"], row["reference"]), ("adjust", "goodwill", "A-1"))
        self.assertEqual(self.balance(one), 90)

    def test_the_other_path_and_customers_as_names(self):
        who = str(uuid.uuid4())
        account = self.account(self.first, who)
        answer = self.client.post(API + "/points/batch/", json.dumps(
            {"operation": "earn", "customer_id": who, "program_id": self.first, "transaction_amount": 4}), headers=LINES)
        self.assertEqual([row["status"] for row in lines_of(answer.body)], [200], answer)
        rows = self.run_lines({"operation": "adjust", "customer_id": who, "program_id": self.first, "points": 3})
        self.assertEqual(rows[0]["balance_after"], 7)
        self.assertEqual(self.balance(account), 7)

    def test_a_bad_line_fails_alone(self):
        account = self.opened(10)
        good = {"operation": "earn", "account_id": account, "transaction_amount": 1}
        bad = [("{", 400), ("[]", 400), ("5", 400), ('"x"', 400), ("null", 400), ('{"operation":"earn"}', 400),
               ({"operation": "earn", "account_id": account, "transaction_amount": "x"}, 400),
               ({"operation": "earn", "account_id": 77, "transaction_amount": 1}, 404),
               ({"operation": "burn", "account_id": account, "points": 10 ** 6}, 400),
               ({"operation": "fly", "account_id": account}, 400), ({"account_id": account, "points": 1}, 400),
               ({"operation": 5}, 400), ({"operation": "hold", "account_id": account, "points": 1}, 400),
               ({"operation": "reverse", "account_id": account, "points": 1}, 400),
               ({"operation": "adjust", "account_id": account, "points": 0}, 400),
               ({"operation": "adjust", "account_id": account}, 400),
               ({"operation": "adjust", "account_id": account, "points": 1.5}, 400),
               ({"operation": "adjust", "account_id": account, "points": -1000}, 400),
               ({"operation": "transfer", "from_account_id": account, "to_account_id": account, "points": 1}, 400),
               ('{"operation":"earn","operation":"burn","account_id":1}', 400), ("\\", 400), ('{"a":"\ud800"}', 400),
               ('{"a":' + "[" * 70 + "]" * 70 + "}", 400)]
        lines, expected = [], []
        for line, status in bad:
            lines += [line if isinstance(line, str) else json.dumps(line), json.dumps(good)]
            expected += [status, 200]
        body = "\n".join(lines).encode("utf-8", "surrogatepass")
        answer = self.client.post(BATCH, body, headers=LINES)
        rows = lines_of(answer.body)
        self.assertEqual([row["line"] for row in rows], list(range(1, len(lines) + 1)))
        self.assertEqual([row["status"] for row in rows], expected, answer.body)
        for row in rows:
            if row["status"] in (400, 404) and not row.get("code"):
                self.assertTrue(isinstance(row.get("error") or row.get("detail"), str), row)
        self.assertEqual(self.balance(account), 10 + len(bad))

    def test_bad_json_is_answered_with_error(self):
        rows = self.run_lines("{", "not json")
        self.assertEqual([set(row) for row in rows], [{"line", "status", "error"}] * 2)

    def test_blank_lines_count_and_are_not_answered(self):
        account = self.opened()
        line = json.dumps({"operation": "earn", "account_id": account, "transaction_amount": 1})
        rows = self.run_lines("", line, "   ", "\t", line + "\r", "", "", line)
        self.assertEqual([(row["line"], row["status"]) for row in rows], [(2, 200), (5, 200), (8, 200)])
        answer = self.client.post(BATCH, b"\n\n  \n", headers=LINES)
        self.assertEqual((answer.status, answer.body), (200, b""), answer)

    def test_the_last_line_needs_no_end(self):
        account = self.opened()
        line = json.dumps({"operation": "earn", "account_id": account, "transaction_amount": 1}).encode()
        answer = self.client.post(BATCH, line + b"\n" + line, headers=LINES)
        self.assertEqual([row["balance_after"] for row in lines_of(answer.body)], [1, 2])

    def test_lines_of_one_account_run_in_order(self):
        accounts = [self.opened() for _ in range(4)]
        lines = []
        for turn in range(100):
            lines.append({"operation": "earn", "account_id": accounts[turn % 4], "transaction_amount": 10})
            lines.append({"operation": "burn", "account_id": accounts[turn % 4], "points": 10})
        rows = self.run_lines(*lines)
        self.assertEqual([row["line"] for row in rows], list(range(1, 201)))
        self.assertEqual([row["status"] for row in rows], [200] * 200)
        self.assertEqual([row["balance_after"] for row in rows], [10, 0] * 100)

    def test_points_that_arrive_by_transfer_are_there_for_the_next_line(self):
        accounts = [self.opened(50 if place == 0 else 0) for place in range(8)]
        lines = [{"operation": "transfer", "from_account_id": giver, "to_account_id": taker, "points": 50}
                 for giver, taker in zip(accounts, accounts[1:])]
        lines.append({"operation": "burn", "account_id": accounts[-1], "points": 50})
        rows = self.run_lines(*lines)
        self.assertEqual([row["status"] for row in rows], [200] * 8, rows)
        self.assertEqual([self.balance(account) for account in accounts], [0] * 8)

    def test_keys_count_per_line_and_the_header_does_not(self):
        account, key = self.opened(), str(uuid.uuid4())
        line = {"operation": "earn", "account_id": account, "transaction_amount": 5, "idempotency_key": key}
        first, second, third, other = self.run_lines(line, line, dict(line, transaction_amount="5.0"),
                                                     dict(line, transaction_amount=6), headers={"Idempotency-Key": "ignored"})
        first.pop("line"), second.pop("line"), third.pop("line")
        self.assertEqual((second, third), (first, first))
        self.assertEqual((other["status"], other["code"]), (409, "idempotency_conflict"))
        self.assertEqual(self.balance(account), 5)
        # It is the endpoint's own key: the same line as a request of its own replays.
        line.pop("operation")
        answer = self.client.post(EARN, line)
        self.assertTrue(self.replayed(answer), answer)
        first.pop("status")
        self.assertEqual(answer.json, first)
        again = self.run_lines(dict(line, operation="earn"), headers={"Idempotency-Key": "ignored"})
        self.assertEqual(again[0]["transaction_id"], first["transaction_id"])
        self.assertEqual(self.client.get(API + "/requests/ignored/").status, 404)

    def test_references_count_per_line(self):
        account = self.opened()
        line = {"operation": "adjust", "account_id": account, "points": 5, "reference": "R"}
        rows = self.run_lines(line, line, dict(line, points=6))
        self.assertEqual([row["status"] for row in rows], [200, 200, 409])
        self.assertEqual(rows[0]["transaction_id"], rows[1]["transaction_id"])
        self.assertEqual(rows[2]["code"], "duplicate_transaction")
        self.assertEqual(self.balance(account), 5)

    def test_answers_start_before_the_input_ends(self):
        account = self.opened()
        stream = self.stream()
        for turn in range(1, 6):
            stream.send(json.dumps({"operation": "earn", "account_id": account, "transaction_amount": 1}).encode() + b"\n")
            row = stream.line()
            self.assertEqual((row["line"], row["status"], row["balance_after"]), (turn, 200, turn))
        self.assertEqual(stream.status, 200)
        stream.finish()
        self.assertIsNone(stream.line())

    def test_lines_are_put_together_over_chunks(self):
        account = self.opened()
        stream = self.stream()
        line = json.dumps({"operation": "earn", "account_id": account, "transaction_amount": 1}).encode() + b"\n"
        for at in range(0, len(line), 7):
            stream.send(line[at:at + 7])
        stream.send(line + line[:20])
        stream.send(line[20:])
        stream.finish()
        self.assertEqual([stream.line()["balance_after"] for _ in range(3)], [1, 2, 3])
        self.assertIsNone(stream.line())

    def test_what_was_sent_before_the_client_went_is_done(self):
        account = self.opened()
        stream = self.stream()
        stream.send(json.dumps({"operation": "earn", "account_id": account, "transaction_amount": 1}).encode() + b"\n")
        self.assertEqual(stream.line()["status"], 200)
        stream.close()
        self.assertEqual(self.balance(account), 1)
        self.assertEqual(self.earn(account, 1)["balance_after"], 2)

    def test_ten_thousand_lines(self):
        accounts = [self.opened() for _ in range(10)]
        lines = "".join('{"operation":"earn","account_id":%d,"transaction_amount":1}\n' % accounts[turn % 10]
                        for turn in range(10000))
        answer = self.client.post(BATCH, lines.encode(), headers=LINES)
        rows = lines_of(answer.body)
        self.assertEqual([row["line"] for row in rows], list(range(1, 10001)))
        self.assertEqual({row["status"] for row in rows}, {200})
        self.assertEqual([self.balance(account) for account in accounts], [1000] * 10)

    def test_a_thousand_lines_of_one_account_wait_for_each_other_and_none_is_refused(self):
        """A partition takes 64 waiting commands of an account; a batch keeps to half of that."""
        account = self.opened()
        line = '{"operation":"earn","account_id":%d,"transaction_amount":1}\n' % account
        rows = lines_of(self.client.post(BATCH, (line * 1000).encode(), headers=LINES).body)
        self.assertEqual([(row["status"], row["balance_after"]) for row in rows], [(200, n + 1) for n in range(1000)])

    def test_line_100001_is_413_and_the_end(self):
        account = self.opened()
        line = '{"operation":"earn","account_id":%d,"transaction_amount":1}\n' % account
        body = line + "\n" * 99998 + line + line + line
        rows = lines_of(self.client.post(BATCH, body.encode(), headers=LINES).body)
        self.assertEqual([(row["line"], row["status"]) for row in rows], [(1, 200), (100000, 200), (100001, 413)])
        self.client.close()  # the rest was not read, so the connection is over
        self.assertEqual(self.balance(account), 2)

    def test_the_media_type_and_the_whole_size_are_checked_first(self):
        for media in ("text/plain", "application/x-www-form-urlencoded", "application/json-seq"):
            self.check_d(self.client.post(BATCH, b"{}\n", headers={"Content-Type": media}), 415)
        status, _, body, _ = self.raw(self.head("POST", BATCH, "Content-Type: application/x-ndjson",
                                                "Content-Length: %d" % (64 * 1024 * 1024 + 1)))
        self.assertEqual(status, 413, body)
        self.assertEqual(Client(self.node.port).post(BATCH, b"{}\n", headers=LINES).status, 401)

    def test_an_empty_batch_is_an_empty_answer(self):
        answer = self.client.post(BATCH, b"", headers=LINES)
        self.assertEqual((answer.status, answer.body), (200, b""), answer)


if __name__ == "__main__":
    unittest.main()
