"""test_lists.py - pages, order and counts of lists (api-resources 1.4)"""
import os
import sys
import unittest
import urllib.parse
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from shared import ACCOUNTS, ENTRIES, PROGRAMS, TIERS, NodeCase  # noqa: E402

COUNT = 123


class Lists(NodeCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.first = cls.program(cls)
        lines = "".join('{"operation":"adjust","customer_id":"%s","program_id":%d,"points":%d}\n' % (who, cls.first, place + 1)
                        for place, who in enumerate(cls.people(cls)))
        for who in cls.people(cls):
            cls.account(cls, cls.first, who)
        answer = cls.client.post("/api/loyalty/v1/services/points/batch/", lines,
                                 headers={"Content-Type": "application/x-ndjson"})
        if answer.body.count(b'"status":200') != COUNT:
            raise AssertionError(answer)

    def people(self):
        return [str(uuid.uuid5(uuid.NAMESPACE_URL, "person %d" % place)) for place in range(COUNT)]

    def page(self, path, query, status=200):
        answer = self.client.get(path + query)
        self.assertEqual(answer.status, status, answer)
        return answer.json

    def walk(self, path, query, forward=True):
        """Follows the links from one end to the other, and returns the pages."""
        body = self.page(path, query)
        pages = [body]
        while body["next" if forward else "previous"] is not None:
            link = urllib.parse.urlsplit(body["next" if forward else "previous"])
            self.assertEqual((link.scheme, link.netloc), ("http", "127.0.0.1:%d" % self.node.port))
            body = self.page(link.path, "?" + link.query)
            pages.append(body)
            self.assertLess(len(pages), 200)
        return pages

    def test_the_envelope_and_the_default_size(self):
        for path in (ACCOUNTS, ENTRIES):
            body = self.page(path, "")
            self.assertEqual(list(body), ["count", "next", "previous", "results"])
            self.assertEqual((body["count"], len(body["results"]), body["previous"]), (COUNT, 100, None))
            self.assertTrue(body["next"].endswith(path + "?page=2"), body["next"])
            second = self.page(path, "?page=2")
            self.assertEqual((second["count"], len(second["results"]), second["next"]), (COUNT, 23, None))
            self.assertTrue(second["previous"].endswith(path), second["previous"])
            self.assertEqual(len({row["id"] for row in body["results"] + second["results"]}), COUNT)

    def test_links_lead_through_all_rows_once_and_keep_the_query(self):
        for path, size in ((ACCOUNTS, 7), (ENTRIES, 40), (ACCOUNTS, 1000)):
            whole = self.page(path, "?page_size=1000")["results"]
            pages = self.walk(path, "?page_size=%d&program=%d" % (size, self.first))
            self.assertEqual([row for body in pages for row in body["results"]], whole)
            self.assertEqual({body["count"] for body in pages}, {COUNT})
            backward = self.walk(path, "?page=last&page_size=%d" % size, forward=False)
            self.assertEqual([row for body in reversed(backward) for row in body["results"]], whole)

    def test_page_last(self):
        body = self.page(ACCOUNTS, "?page=last&page_size=50")
        self.assertEqual((len(body["results"]), body["next"]), (23, None))
        self.assertIn("page=2", body["previous"])
        body = self.page(ACCOUNTS, "?page=last&page_size=1000")
        self.assertEqual((len(body["results"]), body["next"], body["previous"]), (COUNT, None, None))

    def test_page_size_rules(self):
        for text, rows in (("1", 1), ("50", 50), ("1000", COUNT), ("1001", COUNT), ("999999999999999999999", COUNT), ("0", 100),
                           ("-5", 100), ("x", 100), ("", 100), ("1.5", 100), ("%20", 100), ("1e3", 100)):
            self.assertEqual(len(self.page(ACCOUNTS, "?page_size=" + text)["results"]), rows, text)
        self.assertEqual(len(self.page(PROGRAMS, "?page_size=1")["results"]), 1)

    def test_pages_beyond_the_end_and_no_pages_are_404_D(self):
        for path in (ACCOUNTS, ENTRIES, PROGRAMS):
            for text in ("0", "-1", "3", "999999", "x", "1.5", "99999999999999999999", "first", "LAST"):
                answer = self.client.get(path + "?page=" + text)
                self.check_d(answer, 404)
                self.assertEqual(answer.json, {"detail": "Invalid page."})

    def test_page_1_of_an_empty_list_is_200(self):
        empty = {"count": 0, "next": None, "previous": None, "results": []}
        for path, query in ((ACCOUNTS, "?status=blocked"), (ENTRIES, "?transaction_type=expire"), (PROGRAMS, "?name=none"),
                            (TIERS, ""), (ACCOUNTS, "?customer=" + str(uuid.uuid4()))):
            joined = query + ("&" if query else "?")
            self.assertEqual(self.page(path, query), empty)
            self.assertEqual(self.page(path, joined + "page=1"), empty)
            self.assertEqual(self.page(path, joined + "page=last"), empty)
            self.check_d(self.client.get(path + joined + "page=2"), 404)

    def test_order(self):
        ids = [row["id"] for row in self.page(ACCOUNTS, "?page_size=1000")["results"]]
        self.assertEqual(ids, sorted(ids))
        balances = [row["points_balance"] for row in self.page(ACCOUNTS, "?page_size=1000&ordering=points_balance")["results"]]
        self.assertEqual(balances, list(range(1, COUNT + 1)))
        rows = self.page(ACCOUNTS, "?page_size=10&page=2&ordering=-points_balance")
        self.assertEqual([row["points_balance"] for row in rows["results"]], list(range(COUNT - 10, COUNT - 20, -1)))
        rows = self.page(ACCOUNTS, "?page_size=1000&ordering=program,-customer_id")["results"]
        self.assertEqual([row["customer_id"] for row in rows], sorted(self.people(), reverse=True))
        rows = self.page(ACCOUNTS, "?page_size=1000&ordering=nothing,-nonsense,%20-id")["results"]
        self.assertEqual([row["id"] for row in rows], sorted(ids, reverse=True))
        rows = self.page(ENTRIES, "?page_size=1000")["results"]
        marks = [(row["created_at"], row["id"]) for row in rows]
        self.assertEqual(marks, sorted(marks, reverse=True))
        for text in ("", ",", "-", "--id", "id%00", "x" * 3000, "metadata"):
            self.assertIn(self.client.get(ACCOUNTS + "?ordering=" + text).status, (200, 400))

    def test_parameters_that_come_twice_or_are_odd_never_hurt(self):
        for query in ("?page=1&page=2", "?page", "?=5", "?&&&", "?page_size=5&page_size=7", "?%70age=1", "?a[]=1", "?page=+1",
                      "?program=%d&program=%d" % (self.first, self.first), "?search=" + "%C3%A9" * 50, "?ordering=%ff", "??",
                      "?status=%00", "?customer=%ff", "?" + "&".join("a%d=b" % place for place in range(200))):
            for path in (ACCOUNTS, ENTRIES, PROGRAMS):
                answer = self.client.get(path + query)
                self.assertIn(answer.status, (200, 400, 404), (query, answer))

    def test_counts_follow_writes_at_once(self):
        program = self.program()
        account = self.account(program)
        for turn in range(1, 6):
            self.earn(account, 10)
            self.assertEqual(self.page(ENTRIES, "?program=%d" % program)["count"], turn)
            self.assertEqual(self.page(ENTRIES, "?account=%d" % account)["count"], turn)
            self.assertEqual(self.page(ENTRIES, "?program=%d&transaction_type=earn" % program)["count"], turn)
        entry = self.page(ENTRIES, "?account=%d" % account)["results"][0]["id"]
        self.assertEqual(self.client.ask("DELETE", ENTRIES + "%d/" % entry).status, 204)
        self.assertEqual(self.page(ENTRIES, "?program=%d" % program)["count"], 4)
        self.assertEqual(self.page(ENTRIES, "?program=%d&include_deleted=true" % program)["count"], 6)
        self.assertEqual(self.client.ask("DELETE", PROGRAMS + "%d/" % program).status, 204)
        self.assertEqual(self.page(ACCOUNTS, "")["count"], COUNT)
        self.assertEqual(self.page(ENTRIES, "?page_size=1000")["count"], COUNT)
        self.assertEqual(len(self.page(ENTRIES, "?page_size=1000")["results"]), COUNT)

    def test_search_is_a_case_insensitive_part_of_texts(self):
        for name in ("Alpha Miles", "beta points", "ALPHABET"):
            self.program(name=name, description="über " + name)
        self.assertEqual(sorted(row["name"] for row in self.page(PROGRAMS, "?search=alpha")["results"]),
                         ["ALPHABET", "Alpha Miles"])
        self.assertEqual(self.page(PROGRAMS, "?search=" + urllib.parse.quote("ÜBER beta"))["count"], 1)
        self.assertEqual(self.page(PROGRAMS, "?search=nowhere")["count"], 0)
        self.assertEqual(self.page(ENTRIES, "?search=nowhere&account=%d" % self.page(ACCOUNTS, "")["results"][0]["id"])["count"],
                         0)
        for row in self.page(PROGRAMS, "?search=Alpha")["results"]:
            self.assertEqual(self.client.ask("DELETE", PROGRAMS + "%d/" % row["id"]).status, 204)


if __name__ == "__main__":
    unittest.main()
