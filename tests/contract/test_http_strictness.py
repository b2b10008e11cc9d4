"""test_http_strictness.py - what the server takes and refuses below the API: heads, lengths, media, sizes, time"""
import json
import os
import random
import socket
import sys
import threading
import time
import unittest
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from shared import ACCOUNTS, API, EARN, ENTRIES, PROGRAMS, TIERS, Client, NodeCase, read_answer  # noqa: E402

JSON = "Content-Type: application/json"
ALWAYS = {"x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "same-origin"}


class Strictness(NodeCase):
    FLAGS = ("--cors-origins", "http://localhost:5173,https://console.example")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.first = cls.program(cls)
        cls.own = cls.account(cls, cls.first)

    def body(self, amount=1):
        return json.dumps({"account_id": self.own, "transaction_amount": amount}).encode()

    def refused(self, data, *statuses, shape="detail", **more):
        status, headers, body, _ = self.raw(data, **more)
        self.assertIn(status, statuses, (status, headers, body))
        if shape:
            self.assertIn(shape, json.loads(body), body)
        return headers

    def unharmed(self):
        self.assertEqual(self.client.get("/healthz").status, 200)
        self.assertIsNone(self.node.process.poll())

    # --- headers on every reply ---

    def check_headers(self, answer):
        headers = {name.lower(): value for name, value in answer.headers.items()}
        for name, value in ALWAYS.items():
            self.assertEqual(headers.get(name), value, name)
        vary = {part.strip() for part in headers["vary"].split(",")}
        self.assertLessEqual({"Accept", "Origin", "Authorization"}, vary)
        self.assertTrue(headers.get("x-request-id"))
        self.assertIn("allow", headers)
        return headers

    def test_headers_of_every_reply(self):
        program = PROGRAMS + "%d/" % self.first
        for method, path, body, allow in (
                ("GET", program, None, {"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}),
                ("GET", PROGRAMS, None, {"GET", "HEAD", "POST", "OPTIONS"}),
                ("POST", EARN, {}, {"POST", "OPTIONS"}), ("DELETE", EARN, None, {"POST", "OPTIONS"}),
                ("GET", "/", None, {"GET", "HEAD", "OPTIONS"}), ("GET", ACCOUNTS + "77/", None, None),
                ("OPTIONS", PROGRAMS, None, {"GET", "HEAD", "POST", "OPTIONS"})):
            headers = self.check_headers(self.client.ask(method, path, body))
            if allow:
                self.assertEqual({part.strip() for part in headers["allow"].split(",")}, allow, path)
        self.check_headers(Client(self.node.port).get(PROGRAMS))  # 401
        self.check_headers(self.client.post(EARN, "{", headers={"Content-Type": "application/json"}))

    def test_a_request_id_is_echoed_or_made(self):
        answer = self.client.get("/healthz", headers={"X-Request-ID": "my-id-42"})
        self.assertEqual(answer.headers["X-Request-ID"], "my-id-42")
        made = {self.client.get("/healthz").headers["X-Request-ID"] for _ in range(3)}
        self.assertEqual(len(made), 3)
        answer = self.client.get(PROGRAMS + "x/", headers={"X-Request-ID": "on-errors-too"})
        self.assertEqual(answer.headers["X-Request-ID"], "on-errors-too")
        status, headers, _, _ = self.raw(self.head("GET", "/healthz", "X-Request-ID: " + "a" * 5000))
        self.assertEqual(status, 200)
        self.assertLess(len(headers["x-request-id"]), 300)

    def test_cors(self):
        answer = self.client.ask("OPTIONS", EARN, headers={
            "Origin": "https://console.example", "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,idempotency-key"})
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "https://console.example")
        self.assertEqual(answer.headers["Access-Control-Allow-Credentials"], "true")
        methods = {part.strip() for part in answer.headers["Access-Control-Allow-Methods"].split(",")}
        self.assertEqual(methods, {"DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"})
        allowed = {part.strip().lower() for part in answer.headers["Access-Control-Allow-Headers"].split(",")}
        self.assertLessEqual({"accept", "accept-encoding", "authorization", "content-type", "dnt", "origin",
                                   "user-agent", "x-csrftoken", "x-requested-with", "idempotency-key"}, allowed)
        # Without a token: a preflight has none.
        answer = Client(self.node.port).ask("OPTIONS", EARN, headers={"Origin": "http://localhost:5173",
                                                                      "Access-Control-Request-Method": "POST"})
        self.assertEqual((answer.status, answer.headers["Access-Control-Allow-Origin"]), (200, "http://localhost:5173"))
        answer = self.client.get(PROGRAMS, headers={"Origin": "https://console.example"})
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "https://console.example")
        for origin in ("https://evil.example", "null", "https://console.example.evil", "http://console.example"):
            answer = self.client.get(PROGRAMS, headers={"Origin": origin})
            self.assertEqual(answer.status, 200)
            self.assertIsNone(answer.headers["Access-Control-Allow-Origin"], origin)

    # --- methods and spellings ---

    def test_head_is_get_without_a_body(self):
        for path in (PROGRAMS, PROGRAMS + "%d/" % self.first, ACCOUNTS + "%d/" % self.own, "/", "/healthz", "/readyz", "/metrics",
                     API + "/", ENTRIES, TIERS):
            get, head = self.client.get(path), self.client.ask("HEAD", path)
            self.assertEqual((head.status, head.body), (200, b""), path)
            self.assertEqual(head.headers["Content-Type"], get.headers["Content-Type"])
            if path == PROGRAMS + "%d/" % self.first:
                self.assertEqual(head.headers["Content-Length"], get.headers["Content-Length"])
                self.assertEqual(head.headers["ETag"], get.headers["ETag"])
        head = self.client.ask("HEAD", PROGRAMS + "999999/")
        self.assertEqual((head.status, head.body), (404, b""))
        self.assertEqual(self.client.ask("HEAD", EARN).status, 405)

    def test_options_of_unknown_paths_is_404(self):
        self.assertEqual(self.client.ask("OPTIONS", API + "/nothing/").status, 404)

    def test_other_methods_are_405_D_with_allow(self):
        for method, path in (("DELETE", PROGRAMS), ("PUT", PROGRAMS), ("POST", PROGRAMS + "1/"), ("GET", EARN), ("PATCH", EARN),
                             ("POST", API + "/"), ("DELETE", "/healthz"), ("PUT", "/api/auth/login/"),
                             ("GET", "/api/auth/login/"), ("POST", ACCOUNTS + "customer/%s/" % uuid.uuid4()),
                             ("POST", "/api/auth/me/"), ("PATCH", "/api/auth/logout/")):
            answer = self.client.ask(method, path, {} if method in ("POST", "PUT", "PATCH") else None)
            self.check_d(answer, 405)
            self.assertIn('Method "%s" not allowed.' % method, answer.json["detail"])
            self.assertNotIn(method, answer.headers["Allow"].split(", "))
        for method in ("TRACE", "CONNECT", "PROPFIND", "get", "FOO", "LINK"):
            status, _, body, _ = self.raw(self.head(method, PROGRAMS))
            self.assertIn(status, (400, 405, 501), (method, body))
        self.unharmed()

    def test_both_slash_forms_and_json_suffixes(self):
        for path in (PROGRAMS, PROGRAMS + "%d/" % self.first, ACCOUNTS + "%d/" % self.own, ENTRIES, TIERS, API + "/",
                     ACCOUNTS + "%d/tier_progress/" % self.own, "/api/auth/me/"):
            expected = self.check_json(self.client.get(path), 200)
            for form in (path[:-1], path[:-1] + ".json", path + "?format=json", path[:-1] + "?format=json"):
                if path == API + "/" and form.endswith(".json"):
                    continue  # it is no resource
                body = self.check_json(self.client.get(form), 200)
                if isinstance(expected, dict):
                    for name in set(expected) - {"next", "previous"}:
                        self.assertEqual(body[name], expected[name], form)
        self.assertEqual(self.client.post(EARN[:-1], self.body(), headers={"Content-Type": "application/json"}).status, 200)

    def test_paths_are_case_sensitive_and_exact(self):
        for path in ("/api/loyalty/v1/LoyaltyPrograms/", "/API/loyalty/v1/", "/api/loyalty/v2/loyaltyPrograms/",
                     "/api/loyalty/v1/loyaltyPrograms//", "//api/loyalty/v1/loyaltyPrograms/",
                     "/api/loyalty/v1/loyaltyPrograms/1/2/3/", "/api/loyalty/v1/loyaltyprograms/", "/api", "/favicon.ico",
                     "/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/api/loyalty/v1/loyaltyPrograms.xml",
                     "/api/loyalty/v1/segments/", "/tmf-api/loyaltyManagement/v4/loyaltyAccount",
                     "/api/loyalty/v1/loyaltyRewards/", "/healthz/x"):
            status, _, body, _ = self.raw(self.head("GET", path))
            self.assertIn(status, (400, 404), (path, body))
        self.assertEqual(self.client.get("/api/loyalty/v1/loyalty%50rograms/").status, 200)  # %50 = P
        for path in ("/%00", "/%", "/%zz/", "/%c3%28/", API + "/loyaltyPrograms/%00/", API + "/requests/%ff%fe/"):
            status, _, body, _ = self.raw(self.head("GET", path))
            self.assertIn(status, (400, 404), (path, body))
        self.unharmed()

    # --- media ---

    def test_media_types_of_bodies(self):
        for media in ("text/plain", "application/xml", "text/json", "application/jsonx", "application/json; charset=latin-1",
                      "application/x-ndjson", "*/*", "json", "multipart/mixed; boundary=x"):
            self.check_d(self.client.post(EARN, self.body(), headers={"Content-Type": media}), 415)
        for media in ("application/json", "Application/JSON", "application/json; charset=utf-8",
                      'application/json;charset="UTF-8"'):
            self.assertEqual(self.client.post(EARN, self.body(), headers={"Content-Type": media}).status, 200, media)

    def test_accept_that_excludes_json_is_406(self):
        for accept in ("text/html", "application/xml", "image/*", "application/json;q=0", "text/*, application/xml"):
            self.check_d(self.client.get(PROGRAMS, headers={"Accept": accept}), 406)
            self.check_d(self.client.post(EARN, self.body(), headers={"Accept": accept}), 406)
        for accept in ("*/*", "application/json", "application/*", "text/html, application/json;q=0.1", "text/html,*/*;q=0.8",
                       "APPLICATION/JSON", ""):
            self.assertEqual(self.client.get(PROGRAMS, headers={"Accept": accept}).status, 200, accept)

    # --- JSON ---

    def test_json_deeper_than_64_is_400(self):
        def nested(levels):
            return '{"account_id":%d,"transaction_amount":1,"x":%s}' % (self.own, "[" * levels + "]" * levels)

        headers = {"Content-Type": "application/json"}
        self.assertEqual(self.client.post(EARN, nested(63), headers=headers).status, 200)  # with the outer one 64
        self.check_d(self.client.post(EARN, nested(64), headers=headers), 400)
        self.check_d(self.client.post(EARN, nested(400000), headers=headers), 400)
        self.check_d(self.client.post(EARN, '{"x":' * 65 + "1" + "}" * 65, headers=headers), 400)
        self.check_d(self.client.post(PROGRAMS, "[" * 500000, headers=headers), 400)
        self.unharmed()

    def test_invalid_utf_8_is_400(self):
        for bad in (b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xe2\x82"):
            for body in (b'{"account_id":1,"transaction_amount":1,"x":"' + bad + b'"}',
                         b'{"' + bad + b'":1}', bad + b"{}"):
                self.check_d(self.client.post(EARN, body, headers={"Content-Type": "application/json"}), 400)
                self.check_d(self.client.post(PROGRAMS, body, headers={"Content-Type": "application/json"}), 400)
        for text in ('"\\ud800"', '"\\udc00x"', '"\\u12"', '"\\x"', '"a\x01b"', '"open'):
            answer = self.client.post(EARN, '{"x":%s}' % text, headers={"Content-Type": "application/json"})
            self.check_d(answer, 400)

    def test_forms_that_are_broken_are_400(self):
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        for body in (b"name=%ff", b"name=%zz", b"name=\xff", b"a=1&a=2", b"name=%00"):
            answer = self.client.post(PROGRAMS, body, headers=form)
            self.assertEqual(answer.status, 400, (body, answer))
        for body, media in ((b"--b\r\nno colon\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b"),
                            (b"--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nx", "multipart/form-data; boundary=b"),
                            (b"nothing", "multipart/form-data; boundary=b"), (b"--b--", "multipart/form-data")):
            answer = self.client.post(PROGRAMS, body, headers={"Content-Type": media})
            self.assertIn(answer.status, (400, 415), (body, answer))
        self.unharmed()

    # --- sizes ---

    def test_a_body_over_1_mib_is_413(self):
        rest = b" " * (1024 * 1024 - len(self.body()))
        answer = self.client.post(EARN, self.body() + rest, headers={"Content-Type": "application/json"})
        self.assertEqual(answer.status, 200, answer)  # exactly 1 MiB
        self.client.close()
        status, _, body, _ = self.raw(self.head("POST", EARN, JSON, "Content-Length: %d" % (1024 * 1024 + 1)) +
                                      self.body() + rest + b" ")
        self.assertEqual(status, 413, body)
        self.assertIn("detail", json.loads(body))
        # Without reading it: the length alone says it.
        status, _, body, _ = self.raw(self.head("POST", EARN, JSON, "Content-Length: 99999999999999"))
        self.assertEqual(status, 413, body)
        # And chunk by chunk.
        chunks = b"".join(b"10000\r\n" + b" " * 65536 + b"\r\n" for _ in range(17)) + b"0\r\n\r\n"
        status, _, body, _ = self.raw(self.head("POST", EARN, JSON, "Transfer-Encoding: chunked") + chunks)
        self.assertEqual(status, 413, body)
        self.unharmed()

    def test_heads_over_16_kib_are_431(self):
        headers = self.refused(self.head("GET", PROGRAMS, "X-Long: " + "a" * 17000), 431, shape=None)
        self.assertTrue(headers)
        self.refused(self.head("GET", PROGRAMS, *("X-%d: %s" % (place, "b" * 500) for place in range(40))), 431, shape=None)
        self.refused(self.head("GET", PROGRAMS, *("X-%d: b" % place for place in range(300))), 431, shape=None)
        status, _, _, _ = self.raw(self.head("GET", PROGRAMS, "X-Long: " + "a" * 12000))
        self.assertEqual(status, 200)
        self.unharmed()

    def test_long_addresses_are_414(self):
        self.refused(self.head("GET", PROGRAMS + "?x=" + "a" * 12000), 414, shape=None)
        status, _, body, _ = self.raw(self.head("GET", PROGRAMS + "?x=" + "a" * 60000))
        self.assertIn(status, (414, 431), body)
        status, _, _, _ = self.raw(self.head("GET", PROGRAMS + "?x=" + "a" * 2000))
        self.assertEqual(status, 200)
        self.unharmed()

    # --- conflicting and malformed heads ---

    def test_conflicting_lengths_are_400(self):
        body = self.body()
        length = "Content-Length: %d" % len(body)
        before = self.balance(self.own)
        for lines in ((length, "Transfer-Encoding: chunked"), (length, length), (length, "Content-Length: 5"),
                      ("Content-Length: +%d" % len(body),), ("Content-Length: -1",), ("Content-Length: 0x10",),
                      ("Content-Length: 5, 5",), ("Content-Length: %d " % len(body) + "x",), ("Content-Length: ",),
                      ("Content-Length: 1e2",), ("Content-Length: 99999999999999999999999",),
                      ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), ("Transfer-Encoding: gzip, chunked",),
                      ("Transfer-Encoding: identity",), ("Transfer-Encoding: xchunked",), ("Transfer-Encoding : chunked",),
                      ("Content-Length : 5",), (" Content-Length: 5",)):
            with self.subTest(lines=lines):
                status, headers, _, _ = self.raw(self.head("POST", EARN, JSON, *lines) + body)
                self.assertIn(status, (400, 413, 501), lines)
        self.assertEqual(self.balance(self.own), before)

    def test_a_refused_request_is_not_followed_by_what_stands_behind_it(self):
        inner = self.head("POST", EARN, JSON, "Content-Length: %d" % len(self.body())) + self.body()
        before = self.balance(self.own)
        for lines in (("Content-Length: 5", "Transfer-Encoding: chunked"), ("Content-Length: 5", "Content-Length: 6")):
            data = self.head("POST", EARN, JSON, *lines) + b"0\r\n\r\n" + inner
            with socket.create_connection(("127.0.0.1", self.node.port), timeout=10) as link:
                link.sendall(data)
                status, _, _, _ = read_answer(link)
                self.assertEqual(status, 400)
                try:
                    self.assertEqual(link.recv(1000), b"")  # closed
                except ConnectionResetError:
                    pass
        self.assertEqual(self.balance(self.own), before)

    def test_malformed_heads_are_400(self):
        for data in (b"GET\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/2.0\r\n\r\n", b"GET / FTP/1.1\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: a\r\nno colon here\r\n\r\n", b"GET healthz HTTP/1.1\r\nHost: a\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                     b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Token x\r\nAuthorization: Token y\r\n\r\n",
                     b"\x00\x01\x02\r\n\r\n", b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
            with self.subTest(data=data[:40]):
                status, _, _, _ = self.raw(data, shut=True)
                self.assertIn(status, (None, 400, 404, 405, 414, 431, 501, 505), data[:40])
        self.unharmed()

    def test_broken_chunks_are_400(self):
        before = self.balance(self.own)
        for chunks in (b"zz\r\n" + self.body() + b"\r\n0\r\n\r\n", b"-5\r\nabc", b"ffffffffffffffff\r\nabc",
                       b"5\r\nabcdefg\r\n0\r\n\r\n"):
            with self.subTest(chunks=chunks[:20]):
                status, _, _, _ = self.raw(self.head("POST", EARN, JSON, "Transfer-Encoding: chunked") + chunks, shut=True)
                self.assertIn(status, (None, 400, 413), chunks[:20])
        body = self.body()
        good = b"%x\r\n" % 10 + body[:10] + b"\r\n%X\r\n" % (len(body) - 10) + body[10:] + b"\r\n0\r\n\r\n"
        status, _, answer, _ = self.raw(self.head("POST", EARN, JSON, "Transfer-Encoding: chunked") + good)
        self.assertEqual(status, 200, answer)
        self.assertEqual(self.balance(self.own), before + 1)

    def test_a_body_that_is_cut_off_does_nothing(self):
        before = self.balance(self.own)
        body = self.body()
        with socket.create_connection(("127.0.0.1", self.node.port), timeout=5) as link:
            link.sendall(self.head("POST", EARN, JSON, "Content-Length: %d" % (len(body) + 10)) + body)
        with socket.create_connection(("127.0.0.1", self.node.port), timeout=5) as link:
            link.sendall(self.head("POST", EARN, JSON, "Transfer-Encoding: chunked") + b"%x\r\n" % len(body) + body + b"\r\n")
        self.unharmed()
        self.assertEqual(self.balance(self.own), before)

    def test_expect_continue(self):
        body = self.body()
        with socket.create_connection(("127.0.0.1", self.node.port), timeout=10) as link:
            link.sendall(self.head("POST", EARN, JSON, "Content-Length: %d" % len(body), "Expect: 100-continue"))
            self.assertTrue(link.recv(100).startswith(b"HTTP/1.1 100 "))
            link.sendall(body)
            status, _, answer, _ = read_answer(link)
            self.assertEqual(status, 200, answer)
        # A refusal comes without waiting for the body.
        with socket.create_connection(("127.0.0.1", self.node.port), timeout=10) as link:
            link.sendall(self.head("POST", EARN, "Content-Type: text/plain", "Content-Length: 100000", "Expect: 100-continue"))
            status, _, answer, _ = read_answer(link)
            self.assertEqual(status, 415, answer)
        status, _, _, _ = self.raw(self.head("GET", "/healthz", "Expect: miracles"))
        self.assertEqual(status, 417)

    def test_requests_one_behind_the_other_on_one_connection(self):
        body = self.body()
        one = self.head("POST", EARN, JSON, "Content-Length: %d" % len(body)) + body
        before = self.balance(self.own)
        with socket.create_connection(("127.0.0.1", self.node.port), timeout=10) as link:
            link.sendall(one * 5 + self.head("GET", "/healthz", "Connection: close"))
            data = b""
            while True:
                part = link.recv(65536)
                if not part:
                    break
                data += part
        self.assertEqual(data.count(b"HTTP/1.1 200"), 6, data)
        self.assertEqual(self.balance(self.own), before + 5)

    def test_http_1_0_is_answered_and_closed(self):
        status, _, body, _ = self.raw(b"GET /healthz HTTP/1.0\r\n\r\n")
        self.assertEqual(status, 200, body)
        with socket.create_connection(("127.0.0.1", self.node.port), timeout=10) as link:
            link.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            read_answer(link)
            self.assertEqual(link.recv(10), b"")

    def test_random_bytes_never_hurt(self):
        chance = random.Random(4)
        valid = self.head("POST", EARN, JSON, "Content-Length: %d" % len(self.body())) + self.body()
        for _ in range(150):
            data = bytearray(valid)
            for _ in range(chance.randint(1, 6)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            status, _, body, _ = self.raw(bytes(data), shut=True)
            self.assertTrue(status is None or status < 500 or status in (501, 505), (bytes(data), status, body))
        self.unharmed()

    # --- time ---

    def test_slow_bodies_are_408_and_stop_nobody_else(self):
        body = self.body()
        statuses = {}

        def silent():
            with socket.create_connection(("127.0.0.1", self.node.port), timeout=30) as link:
                link.sendall(self.head("POST", EARN, JSON, "Content-Length: 100") + body[:5])
                statuses["silent"] = read_answer(link)

        def trickling():
            with socket.create_connection(("127.0.0.1", self.node.port), timeout=30) as link:
                link.sendall(self.head("POST", EARN, JSON, "Content-Length: 100000"))
                link.settimeout(0.3)
                ends = time.monotonic() + 25
                while time.monotonic() < ends:
                    try:
                        link.sendall(b" ")
                        first = link.recv(1, socket.MSG_PEEK)
                        if first is not None:
                            break
                    except socket.timeout:
                        continue
                    except OSError:
                        break
                link.settimeout(10)
                statuses["trickling"] = read_answer(link)

        def slow_head():
            with socket.create_connection(("127.0.0.1", self.node.port), timeout=40) as link:
                link.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
                statuses["head"] = read_answer(link)

        began = time.monotonic()
        threads = [threading.Thread(target=work) for work in (silent, trickling, slow_head)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads[:2]) and time.monotonic() < began + 40:
            quick = time.monotonic()
            self.assertEqual(self.client.get("/healthz").status, 200)
            self.assertLess(time.monotonic() - quick, 5)
            threads[0].join(0.2)
        for thread in threads:
            thread.join(45)
        for name in ("silent", "trickling"):
            status, _, answer, _ = statuses[name]
            self.assertEqual(status, 408, (name, statuses[name]))
            self.assertIn("detail", json.loads(answer))
        self.assertIn(statuses["head"][0], (None, 400, 408), statuses["head"])  # closed, with or without a word
        self.unharmed()


if __name__ == "__main__":
    unittest.main()
