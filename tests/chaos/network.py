#!/usr/bin/env python3
"""network.py - a network of our own, with a namespace per node, whose ways can be cut and slowed down one by one

The process that uses it lives in a namespace of its own too (inside() starts it there), together with brokers and
clients. Node i (from 0) has the address 10.77.(i+1).2 and reaches Kafka at 10.77.100.1 and the other nodes through
here; what it must not reach is thrown away on the way, silently, as a broken network does. Everything is gone when
the processes are.

Slow and lossy ways lead through a device of the kind "tun", from which this file, run as a program, takes each packet,
holds it back or forgets it, and puts it back: kernels without netem can do that too.

    network.py DEVICE DELAY_MS JITTER_MS LOSS_PERCENT SEED      the program; it ends with its standard input
"""
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

KAFKA = "10.77.100.1"
CUT, SLOW = 10, 20  # priorities of routing rules; LOCAL is below both
LOCAL = 100
TABLE = 77
DEVICE = "slow0"
TUN = "/dev/net/tun"
PACKET_BYTES = 65536


def node_address(place):
    return "10.77.%d.2" % (place + 1)


def namespace_command():
    own = ["unshare", "--net"]
    return own if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]


def missing():
    """Why there can be no network of our own here, or None."""
    trial = ("ip link set lo up && ip link add chaos0 type veth peer name chaos1 && ip rule add pref %d lookup local && "
             "ip rule add pref %d to %s blackhole && echo 1 >/proc/sys/net/ipv4/ip_forward" % (LOCAL, CUT, KAFKA))
    try:
        done = subprocess.run(namespace_command() + ["sh", "-c", trial], stdin=subprocess.DEVNULL, timeout=20,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return "no network namespaces: %s" % error
    if done.returncode != 0:
        return "no network namespaces: %s" % done.stdout.decode("utf-8", "replace").strip()
    return None


def missing_slow():
    """Why ways cannot be slowed down here, or None."""
    return None if os.access(TUN, os.R_OK | os.W_OK) else "no device %s to send packets through" % TUN


def ip(*words, before=()):
    done = subprocess.run([*before, "ip", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=20, check=False)
    if done.returncode != 0:
        raise OSError("ip %s: %s" % (" ".join(words), done.stdout.decode("utf-8", "replace").strip()))


def setting(name, value):
    with open("/proc/sys/net/ipv4/" + name, "w", encoding="utf-8") as out:
        out.write("%d\n" % value)


class Network:
    """To be made inside a namespace that holds nothing else."""

    def __init__(self, count, seed=0):
        self.count = count
        self.seed = seed
        self.rules = []
        self.keepers = []
        self.relay = None
        ip("link", "set", "lo", "up")
        ip("address", "add", KAFKA + "/32", "dev", "lo")
        setting("ip_forward", 1)
        setting("conf/all/rp_filter", 0)
        setting("conf/default/rp_filter", 0)
        # Rules of ours must be asked before the one that recognises own addresses.
        ip("rule", "add", "pref", str(LOCAL), "lookup", "local")
        ip("rule", "delete", "pref", "0")
        for place in range(count):
            self._node(place)

    def _node(self, place):
        """The namespace lives as long as its keeper, which ends with its standard input, and that with us."""
        keeper = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo here; exec cat >/dev/null"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.keepers.append(keeper)
        if keeper.stdout.readline().strip() != b"here":
            raise OSError("no namespace for node %d" % (place + 1))
        here, inner = "node%d" % (place + 1), "outside"
        ip("link", "add", here, "type", "veth", "peer", "name", inner, "netns", str(keeper.pid))
        ip("address", "add", "10.77.%d.1/24" % (place + 1), "dev", here)
        ip("link", "set", "dev", here, "up")
        for words in (("link", "set", "dev", "lo", "up"), ("address", "add", node_address(place) + "/24", "dev", inner),
                      ("link", "set", "dev", inner, "up"), ("route", "add", "default", "via", "10.77.%d.1" % (place + 1))):
            ip(*words, before=self.before(place))

    def before(self, place):
        """What starts a program in a node's namespace. The program takes over the process."""
        return ["nsenter", "--net=/proc/%d/ns/net" % self.keepers[place].pid, "--"]

    def _rule(self, *words):
        ip("rule", "add", *words)
        self.rules.append(words)

    def _way(self, source, target):
        """The packets from one to another; each is a node's number or "kafka"."""
        to = KAFKA if target == "kafka" else node_address(target)
        return ("iif", "lo", "from", KAFKA, "to", to) if source == "kafka" else ("iif", "node%d" % (source + 1), "to", to)

    def cut(self, source, target):
        self._rule("pref", str(CUT), *self._way(source, target), "blackhole")

    def slow(self, ways, delay_ms, jitter_ms, loss_percent):
        """Ways are pairs as for cut(). To Kafka there is none that can be slow, from Kafka there is: a round trip takes
        as long. One relay at a time."""
        self.relay = subprocess.Popen([sys.executable, os.path.abspath(__file__), DEVICE, str(delay_ms), str(jitter_ms),
                                       str(loss_percent), str(self.seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.relay.stdout.readline().strip() != b"ready":
            raise OSError("the relay for slow ways did not start")
        ip("link", "set", "dev", DEVICE, "up")
        setting("conf/%s/accept_local" % DEVICE, 1)
        setting("conf/%s/rp_filter" % DEVICE, 0)
        ip("route", "replace", "default", "dev", DEVICE, "table", str(TABLE))
        for way in ways:
            self._rule("pref", str(SLOW), *self._way(*way), "lookup", str(TABLE))

    def heal(self):
        while self.rules:
            ip("rule", "delete", *self.rules.pop())
        if self.relay is not None:
            self.relay.stdin.close()
            self.relay.wait(10)
            self.relay.stdout.close()
            self.relay = None

    def end(self):
        self.heal()
        for keeper in self.keepers:
            keeper.stdin.close()
            keeper.wait(10)
            keeper.stdout.close()


def relay(device, delay_ms, jitter_ms, loss_percent, seed):
    """Takes packets, forgets some, gives the others back later; jitter lets them overtake each other."""
    chance = random.Random(seed)
    tun = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", device.encode(), 0x1001))  # TUNSETIFF, IFF_TUN | IFF_NO_PI
    print("ready", flush=True)
    held, number = [], 0
    while True:
        wait = max(0.0, held[0][0] - time.monotonic()) if held else None
        readable, _, _ = select.select([tun, sys.stdin], [], [], wait)
        if sys.stdin in readable and not os.read(sys.stdin.fileno(), 1):
            return 0
        if tun in readable:
            packet = os.read(tun, PACKET_BYTES)
            if chance.random() * 100 >= loss_percent:
                number += 1
                due = time.monotonic() + (delay_ms + chance.random() * jitter_ms) / 1000
                heapq.heappush(held, (due, number, packet))
        while held and held[0][0] <= time.monotonic():
            try:
                os.write(tun, heapq.heappop(held)[2])
            except OSError:
                pass  # a full device loses packets as well


if __name__ == "__main__":
    sys.exit(relay(sys.argv[1], *map(float, sys.argv[2:5]), int(sys.argv[5])))
