"""test_secured.py - a broker that speaks TLS only and wants to know who comes (SASL_SSL): who may, and what is said to those
who may not"""
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
from harness import customer, wait_until  # noqa: E402
from kafka_bed import Bed, load_tests  # noqa: E402,F401
from kafka_nodes import Nodes, create_program  # noqa: E402

USER = "fealty"
PASSWORD = "of-a-node"
SAYS_SECONDS = 40
EARN = harness.API + "/services/points/earn/"


def openssl(*words):
    subprocess.run(["openssl"] + list(words), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Papers:
    """An authority and a certificate of it for 127.0.0.1, all PEM."""

    def __init__(self, root, name):
        self.ca = os.path.join(root, name + "-ca.pem")
        self.chain = os.path.join(root, name + "-broker.pem")
        ca_key, key, request, certificate, names = (os.path.join(root, name + suffix) for suffix in (
            "-ca.key", "-broker.key", "-broker.csr", "-broker.crt", "-names"))
        with open(names, "w", encoding="utf-8") as out:
            out.write("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=%s authority" % name,
                "-keyout", ca_key, "-out", self.ca)
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=broker", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2",
                "-extfile", names, "-out", certificate)
        # What a broker reads as one store: its key as PKCS 8, then the certificates.
        openssl("pkcs8", "-topk8", "-nocrypt", "-in", key, "-out", key + "8")
        with open(self.chain, "w", encoding="utf-8") as out:
            for part in (key + "8", certificate, self.ca):
                with open(part, encoding="utf-8") as given:
                    out.write(given.read())


class SecuredBed(Bed):
    """One broker; beside its plain listener, which the bed itself asks, it has a secured one."""

    def __init__(self, root, chain):
        self.secured = "127.0.0.1:%d" % harness.free_ports(3)[2]  # the bed takes the first two
        super().__init__(root)
        self.chain = chain
        self.format_flags = ["--add-scram", "SCRAM-SHA-512=[name=%s,password=%s]" % (USER, PASSWORD)]

    def _settings(self, broker):
        own = "listener.name.secured."
        text = re.sub(r"^((?:advertised\.)?listeners=.*)$", r"\1,SECURED://" + self.secured, super()._settings(broker),
                      flags=re.MULTILINE)
        text = re.sub(r"^(listener\.security\.protocol\.map=.*)$", r"\1,SECURED:SASL_SSL", text, flags=re.MULTILINE)
        return text + "".join("%s%s=%s\n" % (own, name, value) for name, value in (
            ("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-512"),
            ("plain.sasl.jaas.config", 'org.apache.kafka.common.security.plain.PlainLoginModule required user_%s="%s";'
             % (USER, PASSWORD)),
            ("scram-sha-512.sasl.jaas.config", "org.apache.kafka.common.security.scram.ScramLoginModule required;"),
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", self.chain)))


class Secured(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = harness.Directory()
        cls.addClassCleanup(cls.directory.remove)
        cls.papers = Papers(cls.directory.path, "known")
        cls.strangers = Papers(cls.directory.path, "unknown")
        cls.kafka = SecuredBed(cls.directory.join("kafka"), cls.papers.chain)
        cls.addClassCleanup(cls.kafka.stop, seconds=0)
        cls.kafka.start()

    def nodes(self, name, password=PASSWORD, ca=None, **settings):
        given = {"security.protocol": "SASL_SSL", "sasl.mechanisms": "PLAIN", "sasl.username": USER,
                 "sasl.password": password, "ssl.ca.location": ca or self.papers.ca}
        given.update(settings)
        nodes = Nodes(self.directory.join(name), self.kafka.secured, count=1, single_broker=True, prefix=name,
                      flags=["--partitions", "4", "--kafka-settings", " ".join("%s=%s" % pair for pair in given.items())])
        self.addCleanup(nodes.end)
        return nodes

    def says(self, node, *words):
        """The node waits, and says why, in one line with all these words; the password stands nowhere."""
        def said():
            self.assertIsNone(node.process.poll(), node.output)
            return any(all(word in line for word in words) for line in node.lines)
        try:
            wait_until(said, SAYS_SECONDS, "a line with %s" % ", ".join(words))
        except AssertionError as late:
            raise AssertionError("%s; it said:\n%s" % (late, node.output[-4000:])) from None

    def test_a_node_with_user_and_authority_works_over_tls(self):
        nodes = self.nodes("trusted")
        client = nodes.start().nodes[0].client()
        program = create_program(client)
        account = harness.create_account(client, program, customer(1))
        answer = client.post(EARN, {"account_id": account, "transaction_amount": 7})
        self.assertEqual((answer.status, answer.json["balance_after"]), (200, 7), answer)
        self.assertNotIn(PASSWORD, nodes.nodes[0].output)
        self.assertEqual(nodes.nodes[0].stop(), 0)

    def test_scram_works_or_it_is_said_that_this_librdkafka_is_too_old_for_it(self):
        """Before 2.6.1 it sends its nonce twice, which Kafka takes no more since 4.0."""
        node = self.nodes("scram", **{"sasl.mechanisms": "SCRAM-SHA-512"}).nodes[0]
        node.spawn()

        def known():
            return node.ready() or "SCRAM with Kafka 4 needs librdkafka 2.6.1, this is " in node.output
        wait_until(known, 60, "a node that is ready, or a sentence")

    def test_a_wrong_password_is_said(self):
        node = self.nodes("stranger", password="of-nobody").nodes[0]
        node.spawn()
        self.says(node, "waiting for Kafka at " + self.kafka.secured, "do not accept", "sasl.username", "--kafka-settings")
        self.assertNotIn("of-nobody", node.output)

    def test_an_authority_that_did_not_sign_is_said(self):
        node = self.nodes("misled", ca=self.strangers.ca).nodes[0]
        node.spawn()
        self.says(node, "waiting for Kafka at " + self.kafka.secured, "certificate", "ssl.ca.location", "--kafka-settings")

    def test_speaking_plainly_to_a_secured_listener_is_said(self):
        node = self.nodes("plain", **{"security.protocol": "PLAINTEXT"}).nodes[0]
        node.spawn()
        self.says(node, "waiting for Kafka at " + self.kafka.secured, "security.protocol")


if __name__ == "__main__":
    unittest.main(verbosity=2)
