"""faults.py - what is done to nodes, brokers and the network, one after the other, in an order that a seed gives

A fault is a generator: it does its harm, yields a Harm, and undoes it when it is taken up again.
"""
import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import network as net  # noqa: E402
from harness import wait_until  # noqa: E402


STOPPED_LATE = 75  # exit code of a node whose stop took too long


class Harm:
    """`partitions` are those that were the node's; None: any may feel it. `seconds` is how long it lasts."""

    def __init__(self, text, seconds, partitions=None):
        self.text = text
        self.seconds = seconds
        self.partitions = partitions


class Bed:
    """What faults are done to. `kafka` and `network` may be None; `down` are places of nodes that are meant to be so."""

    def __init__(self, nodes, kafka, network, chance):
        self.nodes = nodes
        self.kafka = kafka
        self.network = network
        self.chance = chance
        self.down = set()
        self.together = False  # another fault is there already, or follows while this one lasts

    @property
    def count(self):
        return len(self.nodes.nodes)

    def some_node(self):
        """(place, partitions it decides about)"""
        place = self.chance.randrange(self.count)
        return place, self.nodes.owned(place)

    def others(self, place):
        return [other for other in range(self.count) if other != place]


def node_killed(bed):
    place, owned = bed.some_node()
    bed.down.add(place)
    bed.nodes.nodes[place].kill()
    yield Harm("node %d" % (place + 1), bed.chance.uniform(0.2, 6), owned)
    bed.nodes.nodes[place].spawn()
    bed.down.discard(place)


def nodes_killed(bed):
    """All but one: what only they had must come from the log."""
    places = bed.chance.sample(range(bed.count), bed.count - 1)
    owned = set().union(*[bed.nodes.owned(place) for place in places])
    bed.down.update(places)
    for place in places:
        bed.nodes.nodes[place].process.send_signal(signal.SIGKILL)
    for place in places:
        bed.nodes.nodes[place].wait_end()
    yield Harm("nodes %s" % ", ".join(str(place + 1) for place in sorted(places)), bed.chance.uniform(0.2, 3), owned)
    for place in places:
        bed.nodes.nodes[place].spawn()
    bed.down.difference_update(places)


def node_stopped(bed):
    """In order: it hands its partitions over. While the network or a broker fails as well it may give up waiting."""
    place, owned = bed.some_node()
    bed.down.add(place)
    node = bed.nodes.nodes[place]
    code = node.stop(30)
    if code != 0 and not (bed.together and code == STOPPED_LATE):
        raise AssertionError("node %d was stopped and ended with %s:\n%s" % (place + 1, code, node.output[-3000:]))
    yield Harm("node %d" % (place + 1), bed.chance.uniform(0.2, 4), owned)
    node.spawn()
    bed.down.discard(place)


def node_paused(bed):
    place, owned = bed.some_node()
    process = bed.nodes.nodes[place].process
    process.send_signal(signal.SIGSTOP)
    seconds = bed.chance.uniform(1, 8)
    yield Harm("node %d for %.1f s" % (place + 1, seconds), seconds, owned)
    process.send_signal(signal.SIGCONT)


def broker_killed(bed):
    number = bed.chance.randint(1, len(bed.kafka.brokers))
    bed.kafka.kill(number)
    yield Harm("broker %d" % number, bed.chance.uniform(0.5, 8))
    bed.kafka.restart(number)


def broker_paused(bed):
    number = bed.chance.randint(1, len(bed.kafka.brokers))
    seconds = bed.chance.uniform(1, 8)
    bed.kafka.pause(number)
    yield Harm("broker %d for %.1f s" % (number, seconds), seconds)
    bed.kafka.resume(number)


def peers_cut(bed):
    """A node and the others do not hear each other; Kafka and clients reach all of them."""
    place, owned = bed.some_node()
    for other in bed.others(place):
        bed.network.cut(place, other)
        bed.network.cut(other, place)
    yield Harm("node %d" % (place + 1), bed.chance.uniform(1, 8), owned)
    bed.network.heal()


def kafka_cut(bed):
    """A node reaches its clients and the other nodes, but not Kafka."""
    place, owned = bed.some_node()
    bed.network.cut(place, "kafka")
    bed.network.cut("kafka", place)
    yield Harm("node %d" % (place + 1), bed.chance.uniform(1, 8), owned)
    bed.network.heal()


def one_way_cut(bed):
    """Packets get through in one direction only."""
    place, owned = bed.some_node()
    partner = bed.chance.choice(bed.others(place) + ["kafka"] if bed.kafka else bed.others(place))
    way = (place, partner) if bed.chance.random() < 0.5 else (partner, place)
    bed.network.cut(*way)
    names = ["Kafka" if end == "kafka" else "node %d" % (end + 1) for end in way]
    yield Harm("%s to %s" % tuple(names), bed.chance.uniform(1, 8), owned)
    bed.network.heal()


def slow_and_lossy(bed):
    """Everything a node says to the others and hears from Kafka comes late, out of order, or not at all."""
    place, owned = bed.some_node()
    delay, jitter, loss = bed.chance.choice(((20, 10, 0), (100, 100, 0), (5, 20, 10), (50, 50, 30), (300, 200, 2)))
    ways = [(place, other) for other in bed.others(place)] + ([("kafka", place)] if bed.kafka else [])
    bed.network.slow(ways, delay, jitter, loss)
    yield Harm("node %d, %d to %d ms, %d %% lost" % (place + 1, delay, delay + jitter, loss), bed.chance.uniform(2, 8), owned)
    bed.network.heal()


TWO_AT_ONCE = 0.3

# What each needs: brokers of ours, a network of ours, ways that can be slow.
FAULTS = (
    ("node killed", node_killed, ()),
    ("nodes killed", nodes_killed, ()),
    ("node stopped", node_stopped, ()),
    ("node paused", node_paused, ()),
    ("broker killed", broker_killed, ("kafka",)),
    ("broker paused", broker_paused, ("kafka",)),
    ("peers cut", peers_cut, ("network",)),
    ("Kafka cut", kafka_cut, ("kafka", "network")),
    ("one way cut", one_way_cut, ("network",)),
    ("slow and lossy", slow_and_lossy, ("network", "slow")),
)


def missing(bed):
    """{need: why it is not to be had}"""
    reasons = {}
    if bed.kafka is None:
        reasons["kafka"] = "the nodes keep journals of their own"
    if bed.network is None:
        reasons["network"] = net.missing() or "the run was started without"
    if net.missing_slow():
        reasons["slow"] = net.missing_slow()
    return reasons


def deck(seed, reasons, only=None):
    """Yields (name, function) for ever; each comes once before any comes again."""
    chance = random.Random("faults %d" % seed)
    able = [(name, function) for name, function, needs in FAULTS
            if not any(need in reasons for need in needs) and (not only or name in only)]
    while able:
        yield from chance.sample(able, len(able))


def kind_of(name):
    """Two faults at once must not be of the same kind: one would undo the other, or leave Kafka without a majority."""
    return name.split()[0] if name.split()[0] in ("node", "broker") else "nodes" if name == "nodes killed" else "network"


def rounds(seed, reasons, only=None):
    """Yields lists of faults that are done at once: one, sometimes two of different kinds."""
    chance = random.Random("rounds %d" % seed)
    cards = deck(seed, reasons, only)
    for first in cards:
        if chance.random() < TWO_AT_ONCE and kind_of(first[0]) != "nodes":
            second = next(cards)
            if kind_of(second[0]) not in (kind_of(first[0]), "nodes"):
                yield [first, second]
                continue
            yield [first]
            yield [second]
        else:
            yield [first]


def settle(bed, clients_answered, seconds=40):
    """Until all nodes are ready, all brokers have caught up, and every partition has answered something that was asked
    after now. Returns None, or what did not happen."""
    since = time.monotonic()
    waiting = {"nodes": set(range(bed.count)), "brokers": bed.kafka is not None}

    def step():
        for place in list(waiting["nodes"]):
            node = bed.nodes.nodes[place]
            if node.process.poll() is not None:
                return True
            status, _ = bed.nodes.readiness(place)
            if status == 200:
                waiting["nodes"].discard(place)
        if waiting["brokers"] and bed.kafka.in_sync():
            waiting["brokers"] = False
        return not waiting["nodes"] and not waiting["brokers"] and not clients_answered(since)
    try:
        wait_until(step, seconds)
        return None
    except AssertionError:
        late = ["node %d is not ready" % (place + 1) for place in sorted(waiting["nodes"])]
        late += ["brokers are out of sync"] if waiting["brokers"] else []
        late += ["partition %s does not answer" % number for number in clients_answered(since)]
        return "%.0f s after the end of the fault: %s" % (seconds, ", ".join(late))
