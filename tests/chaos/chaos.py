#!/usr/bin/env python3
"""chaos.py [MINUTES] - three nodes on three brokers under load, while nodes, brokers and the network fail

    --seed N           the same faults in the same order with the same clients (their timing is the machine's)
    --journal embedded three nodes with journals of their own and no Kafka
    --no-network       all on loopback; faults of the network are left out
    --only KIND        this kind of fault only; may be given several times
    --keep             keeps the directory of the run also when all is well

Ends with "RESULT passed failed". What went wrong keeps its history and the logs in build/chaos-SEED/, and says so. The
figures of every run are in build/chaos.json. Where no Kafka is to be had the run is skipped, loudly; with
REQUIRE_KAFKA=1 that is a failure. Faults of the network need network namespaces (root, or a kernel that gives them to
users) and are skipped by name without.
"""
import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import checker  # noqa: E402
import faults  # noqa: E402
import harness  # noqa: E402
import kafka_bed  # noqa: E402
import network as net  # noqa: E402
import report  # noqa: E402
from clients import Clients, Person, has_key  # noqa: E402
from harness import ROOT  # noqa: E402
from history import History  # noqa: E402
from kafka_nodes import Nodes, create_program, partition_of  # noqa: E402

NODES = 3
PEOPLE = 240
NEWCOMERS = 40
OPENING = 100
DEADLINE_MS = 10000  # of requests, as by default
REPEATED = 1500      # keys that are asked for again at the end
RESOLVE_SECONDS = 40
FAILURES_SHOWN = 12
INSIDE = "FEALTY_CHAOS_INSIDE"


def parse(arguments):
    parser = argparse.ArgumentParser(prog="chaos.py", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", nargs="?", type=float, default=1.0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--journal", choices=("kafka", "embedded"), default="kafka")
    parser.add_argument("--no-network", action="store_true")
    parser.add_argument("--only", action="append", choices=[name for name, _, _ in faults.FAULTS])
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args(arguments)
    if given.seed is None:
        given.seed = int(os.environ.get("SEED") or time.time_ns() % 1000000)
    return given


class Run:
    def __init__(self, given):
        self.given = given
        self.network = None
        self.kafka = None
        self.nodes = None
        self.clients = None
        self.history = None
        self.faults = []
        self.failures = []
        self.partitions = {}  # customer's number: partition
        self.folder = os.path.join(ROOT, "build", "chaos-%d" % given.seed)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)

    def fail(self, text):
        self.failures.append(text)
        if len(self.failures) <= FAILURES_SHOWN:
            print("FAILED: " + text, flush=True)
        elif len(self.failures) == FAILURES_SHOWN + 1:
            print("FAILED: more, of which only the number is told", flush=True)

    def set_up(self):
        if not self.given.no_network and os.environ.get(INSIDE):
            self.network = net.Network(NODES, self.given.seed)
        hosts = [net.node_address(place) for place in range(NODES)] if self.network else None
        before = [self.network.before(place) for place in range(NODES)] if self.network else None
        if self.given.journal == "kafka":
            self.kafka = kafka_bed.Bed(os.path.join(self.folder, "kafka"), 3,
                                       host=net.KAFKA if self.network else kafka_bed.HOST)
            self.kafka.start()
        self.nodes = Nodes(self.folder, self.kafka and self.kafka.bootstrap, NODES, hosts=hosts, before=before,
                           flags=["--request-timeout-ms", str(DEADLINE_MS), "--memtable-mib", "8", "--cache-mib", "32"])
        self.nodes.start(90)

    @staticmethod
    def logged_in(client):
        """Just after the first start of all, a node may not have heard of the first user yet."""
        answer = client.post("/api/auth/login/", {"username": "admin", "password": harness.PASSWORD})
        client.token = answer.json.get("token")
        return answer.status == 200

    def open_accounts(self):
        first = self.nodes.at(0)
        harness.wait_until(lambda: self.logged_in(first), 20, "a login")
        program = create_program(first)
        people = []
        for number in range(PEOPLE):
            who = harness.customer(number)
            account = harness.create_account(first, program, who, points_balance=OPENING)
            people.append(Person(number, who, account, partition_of(account)))
        people += [Person(number, harness.customer(number), None, None) for number in range(PEOPLE, PEOPLE + NEWCOMERS)]
        self.partitions = {person.number: person.partition for person in people if person.partition is not None}
        self.history = History({person.number: OPENING if person.account else None for person in people}, self.given.seed)
        doors = [(node.host, node.port) for node in self.nodes.nodes]
        self.clients = Clients(self.given.seed, doors, first.token, program, people, self.history)
        first.close()

    def silent_since(self, since):
        """Partitions that have answered nothing which was asked after `since`."""
        answered = set()
        for operation in reversed(self.history.operations):
            last = operation.attempts[-1] if operation.attempts else None
            if last is not None and last.ended < since - 10:
                break
            if last is not None and last.outcome == "answered" and last.began > since:
                answered.add(self.partitions.get(operation.person))
        return sorted(set(self.partitions.values()) - answered)

    def watch(self, bed):
        """A node that ends although nobody ended it is a failure, and is started again."""
        for place, node in enumerate(self.nodes.nodes):
            if place not in bed.down and node.process.poll() is not None:
                self.fail("node %d ended by itself with %s:\n%s" % (place + 1, node.wait_end(), node.output[-3000:]))
                self.save_output(place)
                node.spawn()

    def break_things(self, start):
        bed = faults.Bed(self.nodes, self.kafka, self.network, random.Random("harm %d" % self.given.seed))
        reasons = faults.missing(bed)
        for name, _, needs in faults.FAULTS:
            for need in needs:
                if need in reasons and not (need == "kafka" and self.given.journal == "embedded"):
                    print("SKIPPED fault '%s': %s" % (name, reasons[need]), flush=True)
        end = start + 60 * self.given.minutes
        late = faults.settle(bed, self.silent_since)
        if late:
            self.fail("before the first fault, " + late)
        for chosen in faults.rounds(self.given.seed, reasons, self.given.only):
            if time.monotonic() > end:
                break
            time.sleep(bed.chance.uniform(0.2, 1))
            done = self.strike(bed, chosen)
            late = faults.settle(bed, self.silent_since)
            self.watch(bed)
            for fault in done:
                fault.update(settled=time.monotonic(), late=late)
            self.faults += done
            if late:
                self.fail("%s: %s" % (" and ".join("%s (%s)" % (fault["kind"], fault["text"]) for fault in done), late))
                break  # what does not recover from one fault says nothing about the next

    @staticmethod
    def strike(bed, chosen):
        """Does the harm of all, undoes each when its time is over; returns a dict for each."""
        active, done = [], []
        bed.together = len(chosen) > 1
        for name, function in chosen:
            fault = function(bed)
            began = time.monotonic()
            harm = next(fault)
            active.append((began + harm.seconds, fault, {
                "kind": name, "text": harm.text, "began": began, "together": len(chosen) > 1,
                "partitions": None if harm.partitions is None else sorted(harm.partitions)}))
            if len(active) < len(chosen):
                time.sleep(bed.chance.uniform(0, min(2, harm.seconds)))
        for until, fault, told in sorted(active, key=lambda one: one[0]):
            time.sleep(max(0, until - time.monotonic()))
            if next(fault, None) is not None:
                raise RuntimeError("fault '%s' has no end" % told["kind"])
            told["healed"] = time.monotonic()
            done.append(told)
        return sorted(done, key=lambda one: one["began"])

    def finish(self):
        """Every operation gets its answer, then everything is read once more."""
        self.clients.stop()
        left = self.clients.resolve(RESOLVE_SECONDS)
        if left:
            self.fail("%d operations without an answer %d s after the last fault, one of them: %r" %
                      (len(left), RESOLVE_SECONDS, left[0]))
            return
        chance = random.Random(self.given.seed)
        kept = [one for one in self.history.operations if one.kind in ("enrol", "earn", "burn", "transfer") and
                has_key(one) and one.answer is not None and one.answer.status != 404]
        doubtful = [one for one in kept if len(one.attempts) > 1]
        some = doubtful[:REPEATED] + chance.sample(kept, min(len(kept), max(REPEATED // 3, REPEATED - len(doubtful))))
        self.clients.repeat(list(dict.fromkeys(some)))
        self.clients.last_reads()
        self.clients.read_ledger()

    def decide(self):
        self.history.save(os.path.join(self.folder, "history.jsonl"))
        began = time.monotonic()
        for violation in checker.check(self.history):
            self.fail(str(violation))
        for text in self.clients.wrong:
            self.fail(text)
        print("checked in %.1f s" % (time.monotonic() - began), flush=True)

    def tell(self, start):
        figures = report.measure(self.history, self.partitions, self.faults)
        figures.update(seed=self.given.seed, minutes=self.given.minutes, journal=self.given.journal,
                       troubles=dict(self.clients.troubles), failures=len(self.failures),
                       faults=[dict(fault, **{name: round(fault[name] - start, 3) for name in ("began", "healed", "settled")})
                               for fault in self.faults])
        for line in report.lines(figures, self.faults, start):
            print(line, flush=True)
        for path in (os.path.join(self.folder, "chaos.json"), os.path.join(ROOT, "build", "chaos.json")):
            with open(path, "w", encoding="utf-8") as out:
                json.dump(figures, out, indent=1)

    def save_output(self, place):
        with open(os.path.join(self.folder, "node%d.log" % (place + 1)), "a", encoding="utf-8") as out:
            out.write(self.nodes.nodes[place].output + "\n---\n")

    def end(self):
        if self.clients is not None and self.clients.threads and not self.clients.stopping.is_set():
            self.clients.stopping.set()
        if self.nodes is not None:
            for place, node in enumerate(self.nodes.nodes):
                if node.process is not None:
                    node.process.send_signal(signal.SIGCONT)
                    self.save_output(place)
            self.nodes.end()
        if self.kafka is not None:
            self.kafka.stop(seconds=0)
        if self.network is not None:
            self.network.end()

    def run(self):
        start = time.monotonic()
        try:
            self.set_up()
            self.open_accounts()
            print("ready after %.1f s" % (time.monotonic() - start), flush=True)
            start = time.monotonic()
            self.clients.start()
            try:
                self.break_things(start)
                self.finish()
            except AssertionError as error:  # what was answered up to here is decided all the same
                self.fail(str(error))
                self.clients.stop()
            self.decide()
            self.tell(start)
        except (Exception, KeyboardInterrupt) as error:  # pylint: disable=W0718
            self.fail("%s: %s" % (type(error).__name__, error))
            traceback.print_exc()
            if self.history is not None:
                self.history.save(os.path.join(self.folder, "history.jsonl"))
        finally:
            self.end()
        return not self.failures


def told_to_end(number, _):
    raise KeyboardInterrupt("signal %d" % number)


def main(arguments):
    given = parse(arguments)
    if given.journal == "kafka":
        reason = kafka_bed.missing("own")
        if reason is not None:
            if os.environ.get("REQUIRE_KAFKA") == "1":
                print("REQUIRE_KAFKA=1, but " + reason)
                print("RESULT 0 1")
                return 1
            print("SKIPPED chaos: " + reason)
            print("RESULT 0 0")
            return 0
    if not given.no_network and not os.environ.get(INSIDE) and net.missing() is None:
        # From here on in a namespace of our own, together with brokers and clients.
        words = net.namespace_command() + [sys.executable, os.path.abspath(__file__)] + arguments + ["--seed", str(given.seed)]
        os.execvpe(words[0], words, dict(os.environ, **{INSIDE: "1"}))
    print("SEED=%d" % given.seed, flush=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told_to_end)
    run = Run(given)
    good = run.run()
    if good and not given.keep:
        shutil.rmtree(run.folder, ignore_errors=True)
    else:
        print("The history and the logs are in %s" % os.path.relpath(run.folder, ROOT))
    print("RESULT %d %d" % (1 if good else 0, len(run.failures)), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
