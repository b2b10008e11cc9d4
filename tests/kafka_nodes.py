"""kafka_nodes.py - nodes on a Kafka, or on journals of their own, for tests that need more than harness.Cluster"""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import Client, Node  # noqa: E402

LOOPBACK = "127.0.0.1"


class Nodes:
    """Numbered from 0. `bootstrap` None: every node keeps a journal of its own. Each lives at hosts[i], and its process
    is started with before[i] in front."""

    def __init__(self, root, bootstrap=None, count=3, flags=(), single_broker=False, hosts=None, before=None, prefix="fealty"):
        self.root = root
        self.bootstrap = bootstrap
        self.flags = list(flags)
        self.single_broker = single_broker
        self.prefix = prefix
        self.hosts = list(hosts or [LOOPBACK] * count)
        self.before = list(before or [[]] * count)
        self.ports = harness.free_ports(2 * count)
        self.addresses = ["%s:%d" % pair for pair in zip(self.hosts, self.ports)]
        self.keys = None
        if any(host != LOOPBACK for host in self.hosts):
            self.keys = os.path.join(root, "keys")
            subprocess.run([harness.FEALTY, "keys", "--out", self.keys, "--nodes", ",".join(self.addresses)], check=True,
                           stdout=subprocess.DEVNULL)
        self.nodes = [self.make(place) for place in range(count)]

    def make(self, place, data=None):
        """A node for one of the places, not started; with other data it is another node at the same address."""
        own = ["--cluster-listen", self.addresses[place]]
        if self.bootstrap is None:
            own += ["--cluster-peers", ",".join(self.addresses)]
        else:
            own += ["--journal", "kafka", "--kafka-bootstrap", self.bootstrap, "--kafka-prefix", self.prefix,
                    "--kafka-create-topics"]
            if self.single_broker:
                own.append("--single-broker")
        if self.keys:
            own += ["--cluster-keys", os.path.join(self.keys, self.addresses[place].replace(":", "_"))]
        return Node(data or os.path.join(self.root, "n%d" % (place + 1)), own + self.flags,
                    port=self.ports[len(self.addresses) + place], host=self.hosts[place], before=self.before[place])

    def start(self, seconds=60):
        for node in self.nodes:
            node.spawn()
        for node in self.nodes:
            node.wait_ready(seconds)
        return self

    def end(self):
        for node in self.nodes:
            node.end()

    def at(self, place, token=None, timeout=30):
        return Client(self.nodes[place].asked_port, token, timeout, self.hosts[place])

    def owned(self, place):
        """The partitions that a node decides about; none when it does not answer."""
        client = self.at(place, timeout=2)
        try:
            text = client.get("/metrics").body.decode()
        except (OSError, harness.http.client.HTTPException):
            return set()
        finally:
            client.close()
        return {int(number) for number in re.findall(r'fealty_partition_accounts\{partition="(\d+)"\}', text)}

    def readiness(self, place, timeout=2):
        """(status, body) of /readyz; (None, None) when it does not answer."""
        client = self.at(place, timeout=timeout)
        try:
            answer = client.get("/readyz")
            return answer.status, json.loads(answer.body)
        except (OSError, ValueError, harness.http.client.HTTPException):
            return None, None
        finally:
            client.close()


def create_program(client, name="Points"):
    """In force in every partition when this returns."""
    def made():
        answer = client.post(harness.API + "/loyaltyPrograms/?wait=all", {
            "name": name, "start_date": "2020-01-01T00:00:00Z", "end_date": "2099-01-01T00:00:00Z"},
            headers={"Idempotency-Key": "program " + name})
        if answer.status not in (201, 409, 503, 504):
            raise AssertionError("program: %r" % answer)
        return answer.json["id"] if answer.status == 201 else None
    return harness.wait_until(made, 60, "a program in every partition")


def partition_of(account, partitions=16):
    """Where an account lies: its id says it."""
    return (account >> 37) * partitions // 65536
