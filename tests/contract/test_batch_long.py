"""test_batch_long.py - a batch that lasts longer than a line may take

The time limit is that of one line. Reads end in the middle of lines, so a clock that is not started anew with each line
would end a long batch (it once did).
"""
import http.client
import json
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
from harness import API, Node  # noqa: E402


class LongBatch(unittest.TestCase):
    def test_a_steady_stream_of_lines_is_not_too_slow(self):
        directory = harness.Directory()
        self.addCleanup(directory.remove)
        node = Node(directory.join("data"))
        self.addCleanup(node.end)
        token = node.start().client().token
        count = 48
        line = json.dumps({"operation": "nothing"}).encode() + b"\n"
        half = len(line) // 2

        def pieces():
            """Halves of lines, so that no piece ends where a line ends."""
            yield line[:half]
            for _ in range(count - 1):
                yield line[half:] + line[:half]
                time.sleep(0.25)  # the pace of this client is what is tested
            yield line[half:]

        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
        self.addCleanup(connection.close)
        connection.request("POST", API + "/services/points/batch/", pieces(),
                           {"Authorization": "Token " + token, "Content-Type": "application/x-ndjson",
                            "Content-Length": str(count * len(line))})
        reply = connection.getresponse()
        self.assertEqual(reply.status, 200)
        answers = [json.loads(line) for line in reply.read().splitlines()]
        self.assertEqual([answer["line"] for answer in answers], list(range(1, count + 1)))
        self.assertEqual({answer["status"] for answer in answers}, {400})


if __name__ == "__main__":
    unittest.main()
