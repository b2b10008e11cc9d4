#!/usr/bin/env python3
"""kafka_bed.py - real Apache Kafka for tests and for trying things out: one or three brokers on loopback

    kafka_bed.py fetch                                     brings Kafka by its Maven coordinates, once
    kafka_bed.py start DIR [--brokers 1|3] [--port N]      starts brokers in DIR, prints "bootstrap ADDRESSES"
    kafka_bed.py stop DIR                                  ends them; the data stay, start DIR goes on with them
    kafka_bed.py kill|pause|resume|restart DIR N           SIGKILL, SIGSTOP, SIGCONT; ends and starts it; N from 1
    kafka_bed.py status DIR                                one line per broker, one for topics out of sync
    kafka_bed.py create-topic DIR NAME [--partitions P] [--config KEY=VALUE]...
    kafka_bed.py produce-perf DIR [--topic NAME] [--size BYTES] [--records N] [--property KEY=VALUE]...

For create-topic and produce-perf, DIR may also be a bootstrap address of a Kafka that is not ours.

Kafka lies in ${XDG_CACHE_HOME:-~/.cache}/fealty and is shared by all beds. A bed's processes are known by the ids in
its directory, together with the time they started: no other process is ever signalled. Tests use the class Bed, and
`from kafka_bed import load_tests` in a test file skips its tests by name where no Kafka is to be had.
"""
import argparse
import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import free_ports, wait_until  # noqa: E402
from kafka_metadata import metadata  # noqa: E402

VERSION = "4.3.1"
COORDINATES = (
    ("org.apache.kafka", "kafka_2.13", VERSION),
    ("org.apache.kafka", "kafka-tools", VERSION),
    ("org.slf4j", "slf4j-simple", "1.7.36"),
)
DEPENDENCY_PLUGIN = "3.6.1"
FETCH_SECONDS = 420
TOOL_SECONDS = 90
START_SECONDS = 120
STOP_SECONDS = 15
PERFORMANCE_SECONDS = 600
HOST = "127.0.0.1"


class BedError(Exception):
    """A sentence for a person."""


# --- bringing it ----------------------------------------------------------------------------------

def cache():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "fealty", "kafka-" + VERSION)


def fetched():
    return os.path.exists(os.path.join(cache(), "kafka_2.13-%s.jar" % VERSION))


def project():
    wanted = "".join("<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>"
                     % one for one in COORDINATES)
    return ("<project><modelVersion>4.0.0</modelVersion><groupId>fealty</groupId><artifactId>kafka-bed</artifactId>"
            "<version>1</version><packaging>pom</packaging><dependencies>%s</dependencies><build><plugins><plugin>"
            "<groupId>org.apache.maven.plugins</groupId><artifactId>maven-dependency-plugin</artifactId>"
            "<version>%s</version></plugin></plugins></build></project>\n" % (wanted, DEPENDENCY_PLUGIN))


def fetch():
    """Leaves all jars in cache(), or nothing: they are collected beside it and renamed at the end."""
    if not shutil.which("java"):
        raise BedError("Kafka needs Java 17, and there is no `java` here; `tools/deps.sh kafka` installs it")
    if fetched():
        return cache()
    if not shutil.which("mvn"):
        raise BedError("Kafka comes through Maven, and there is no `mvn` here; `tools/deps.sh kafka` installs it")
    try:
        os.makedirs(os.path.dirname(cache()), exist_ok=True)
        collecting = tempfile.mkdtemp(prefix="fetching-", dir=os.path.dirname(cache()))
    except OSError as error:
        raise BedError("Kafka has no place to be kept: %s" % error) from None
    try:
        with open(os.path.join(collecting, "pom.xml"), "w", encoding="utf-8") as out:
            out.write(project())
        jars = os.path.join(collecting, "jars")
        code, output = run_to_end(["mvn", "-B", "-q", "-f", os.path.join(collecting, "pom.xml"),
                                   "dependency:copy-dependencies", "-DincludeScope=runtime",
                                   "-DoutputDirectory=" + jars], FETCH_SECONDS)
        if code is None:
            raise BedError("Maven did not bring Kafka %s within %d s" % (VERSION, FETCH_SECONDS))
        if code != 0:
            said = [line for line in output.splitlines() if line.startswith("[ERROR]")] or output.splitlines()
            raise BedError("Maven could not bring Kafka %s; it says: %s" % (VERSION, " ".join(said[:1])[:600]))
        try:
            os.rename(jars, cache())
        except OSError as error:
            if not fetched():  # else another process was first
                raise BedError("Kafka could not be put to its place: %s" % error) from None
    finally:
        shutil.rmtree(collecting, ignore_errors=True)
    if not fetched():
        raise BedError("Maven brought no Kafka %s" % VERSION)
    return cache()


def run_to_end(command, seconds):
    """Returns (exit code, output); a late one is ended with its children, the code is then None."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               start_new_session=True)
    try:
        output, _ = process.communicate(timeout=seconds)
        return process.returncode, output.decode("utf-8", "replace")
    except BaseException as cause:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        if isinstance(cause, subprocess.TimeoutExpired):
            return None, output.decode("utf-8", "replace")
        raise


def java(name, *words, heap="256m", level="error"):
    return ["java", "-Xmx" + heap, "-XX:+ExitOnOutOfMemoryError",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=" + level, "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS", "-cp", os.path.join(cache(), "*"), name, *words]


def kafka_tool(name, *words, seconds=TOOL_SECONDS):
    """Runs one of Kafka's own tools; returns what it printed."""
    code, output = run_to_end(java(name, *words), seconds)
    if code != 0:
        why = "did not end within %d s" % seconds if code is None else "ended with %d" % code
        raise BedError("%s %s: %s" % (name.rpartition(".")[2], why, output.strip()[-1500:]))
    return output


# --- brokers --------------------------------------------------------------------------------------

def reap(pid):
    """Takes the exit code of a dead child of ours, so that it does not stay in the list of processes."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


def process_state(pid):
    """(letter, start time) of a process; None when there is none."""
    reap(pid)
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return None
    letter, threads, began = fields[0], int(fields[17]), int(fields[19])
    # Java's first thread is dead before the others have let go of ports and files: only the last one is the end.
    if letter in "ZX" and threads <= 1:
        reap(pid)
        return None
    return letter, began


class Broker:
    def __init__(self, root, number, port, controller_port, host=HOST):
        self.number = number
        self.host = host
        self.port = port
        self.controller_port = controller_port
        self.address = "%s:%d" % (host, port)
        self.folder = os.path.join(root, "broker-%d" % number)
        self.log = os.path.join(self.folder, "output.log")
        self.configuration = os.path.join(self.folder, "server.properties")
        self.pid_file = os.path.join(self.folder, "pid")

    def recorded(self):
        """(id, state letter) of the process that was recorded if it still runs, else None."""
        try:
            with open(self.pid_file, encoding="utf-8") as recorded:
                pid, began = map(int, recorded.read().split())
        except (OSError, ValueError):
            return None
        state = process_state(pid)
        return (pid, state[0]) if state and state[1] == began else None

    @property
    def pid(self):
        running = self.recorded()
        return running[0] if running else None

    @property
    def paused(self):
        running = self.recorded()
        return bool(running) and running[1] in "Tt"

    @property
    def resident_kib(self):
        try:
            with open("/proc/%d/status" % (self.pid or 0), encoding="utf-8") as status:
                return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))
        except (OSError, AttributeError):
            return 0

    def spawn(self, detached):
        with open(self.log, "ab") as log:
            process = subprocess.Popen(java("kafka.Kafka", self.configuration, heap="384m", level="info"),
                                       cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       start_new_session=detached)
        state = process_state(process.pid)
        process.returncode = 0  # process_state() reaps it, Popen must not wait for it
        if state:
            with open(self.pid_file + ".new", "w", encoding="utf-8") as out:
                out.write("%d %d\n" % (process.pid, state[1]))
            os.rename(self.pid_file + ".new", self.pid_file)

    def signal(self, number):
        """Returns whether there was a process to tell."""
        pid = self.pid
        try:
            if pid is not None:
                os.kill(pid, number)
        except ProcessLookupError:
            return False
        return pid is not None

    def metadata(self):
        return None if self.paused or self.pid is None else metadata(self.address)

    def last_words(self):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                return log.read()[-3000:]
        except OSError:
            return ""


class Bed:
    """Brokers numbered from 1 in a directory of their own. It outlives them: start() after stop() finds the same data.

    Brokers of a test stay in the test's process group and die with it; detached ones outlive the caller.
    """

    format_flags = ()  # more of them, when it is made

    def __init__(self, root, count=1, port=0, detached=False, host=HOST):
        self.root = os.path.abspath(root)
        self.detached = detached
        self.plan = os.path.join(self.root, "bed.json")
        if os.path.exists(self.plan):
            with open(self.plan, encoding="utf-8") as plan:
                kept = json.load(plan)
            self.cluster, ports = kept["cluster"], kept["ports"]
        else:
            self.cluster, ports = None, self._choose_ports(count, port)
        self.brokers = [Broker(self.root, i + 1, *pair, host) for i, pair in enumerate(ports)]

    @classmethod
    def opened(cls, root, detached=True):
        if not os.path.exists(os.path.join(root, "bed.json")):
            raise BedError("there are no brokers in %s" % root)
        return cls(root, detached=detached)

    @staticmethod
    def _choose_ports(count, port):
        if count not in (1, 3):
            raise BedError("a bed has 1 or 3 brokers, not %d" % count)
        if port:
            found = range(port, port + 2 * count)
            if port < 1 or found[-1] > 65535:
                raise BedError("%d ports from %d on: there are none" % (2 * count, port))
        else:
            found = free_ports(2 * count)
        return [(found[i], found[count + i]) for i in range(count)]

    @property
    def bootstrap(self):
        return ",".join(broker.address for broker in self.brokers)

    def broker(self, number):
        if not 1 <= number <= len(self.brokers):
            raise BedError("there is no broker %d; they are numbered 1 to %d" % (number, len(self.brokers)))
        return self.brokers[number - 1]

    def _settings(self, broker):
        count = len(self.brokers)
        majority = 1 if count == 1 else 2
        voters = ",".join("%d@%s:%d" % (one.number, one.host, one.controller_port) for one in self.brokers)
        values = [
            ("process.roles", "broker,controller"),
            ("node.id", broker.number),
            ("controller.quorum.voters", voters),
            ("listeners", "BROKER://%s,CONTROLLER://%s:%d" % (broker.address, broker.host, broker.controller_port)),
            ("advertised.listeners", "BROKER://" + broker.address),
            ("listener.security.protocol.map", "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT"),
            ("inter.broker.listener.name", "BROKER"),
            ("controller.listener.names", "CONTROLLER"),
            ("log.dirs", os.path.join(broker.folder, "data")),
            # What the journal asks of its brokers.
            ("log.message.timestamp.type", "LogAppendTime"),
            ("auto.create.topics.enable", "false"),
            ("unclean.leader.election.enable", "false"),
            ("min.insync.replicas", majority),
            ("default.replication.factor", count),
            # A broker that is gone is noticed after 3 s instead of 9.
            ("broker.session.timeout.ms", 2000),
            ("controller.quorum.fetch.timeout.ms", 1000),
            ("controller.quorum.election.timeout.ms", 500),
            ("controller.quorum.election.backoff.max.ms", 250),
            ("broker.heartbeat.interval.ms", 500),
            # Kafka's own topics, in the size of a test.
            ("offsets.topic.num.partitions", 4),
            ("offsets.topic.replication.factor", count),
            ("transaction.state.log.num.partitions", 4),
            ("transaction.state.log.replication.factor", count),
            ("transaction.state.log.min.isr", majority),
            ("share.coordinator.state.topic.num.partitions", 4),
            ("share.coordinator.state.topic.replication.factor", count),
            ("share.coordinator.state.topic.min.isr", majority),
            ("group.initial.rebalance.delay.ms", 0),
            ("log.cleaner.dedupe.buffer.size", 8 * 1024 * 1024),  # of 128 MiB, which would be a third of the heap
        ]
        return "".join("%s=%s\n" % pair for pair in values)

    def _format(self):
        """The plan is written last: half a bed is refused the next time, as is a directory that holds anything else."""
        try:
            os.makedirs(self.root, exist_ok=True)
            held = os.listdir(self.root)
        except OSError as error:
            raise BedError("the brokers have no place: %s" % error) from None
        if held:
            raise BedError("%s is not empty and holds no brokers; name another directory" % self.root)
        while True:
            self.cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            if not self.cluster.startswith("-"):
                break
        for broker in self.brokers:
            os.mkdir(broker.folder)
            with open(broker.configuration, "w", encoding="utf-8") as out:
                out.write(self._settings(broker))
            kafka_tool("kafka.tools.StorageTool", "format", "-t", self.cluster, "-c", broker.configuration,
                       *self.format_flags)
        with open(self.plan + ".new", "w", encoding="utf-8") as out:
            json.dump({"cluster": self.cluster,
                       "ports": [[one.port, one.controller_port] for one in self.brokers]}, out)
        os.rename(self.plan + ".new", self.plan)

    def start(self, seconds=START_SECONDS):
        """Starts those that do not run and returns when each of them lists all of them."""
        fetch()
        if not os.path.exists(self.plan):
            self._format()
        begun = [broker for broker in self.brokers if broker.pid is None]
        try:
            for broker in begun:
                self._spawn(broker)
            self._wait(self.brokers, self.brokers, seconds)
        except BaseException:
            self.stop(begun, seconds=0)
            raise
        return self

    def _spawn(self, broker):
        for port in (broker.port, broker.controller_port):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((broker.host, port))
                except OSError as error:
                    raise BedError("broker %d cannot have port %d: %s"
                                   % (broker.number, port, error.strerror)) from None
        broker.spawn(self.detached)

    @staticmethod
    def _wait(asked, listed, seconds):
        """Until every broker of `asked` lists every one of `listed`."""
        numbers = {broker.number for broker in listed}

        def step():
            for broker in asked:
                if broker.pid is None:
                    raise BedError("broker %d has ended; it said:\n%s" % (broker.number, broker.last_words()))
                answer = broker.metadata()
                if answer is None or not numbers <= set(answer.brokers):
                    return False
            return True
        try:
            wait_until(step, seconds, "an answer of every broker")
        except AssertionError as late:
            raise BedError("%s; they said:\n%s" % (late, "\n".join(one.last_words() for one in asked))) from None

    def stop(self, brokers=None, seconds=STOP_SECONDS):
        """Asks all at once, waits, and kills those that still run; the paused ones are resumed so that they hear it."""
        brokers = self.brokers if brokers is None else brokers
        def ended():
            return not any(broker.pid for broker in brokers)

        for number in (signal.SIGTERM, signal.SIGCONT) if seconds else ():
            for broker in brokers:
                broker.signal(number)
        try:
            wait_until(ended, seconds)
        except AssertionError:
            for broker in brokers:
                broker.signal(signal.SIGKILL)
            wait_until(ended, STOP_SECONDS, "the end of killed brokers")

    def _told(self, number, which):
        broker = self.broker(number)
        if not broker.signal(which):
            raise BedError("broker %d does not run" % number)
        return broker

    def kill(self, number):
        broker = self._told(number, signal.SIGKILL)
        wait_until(lambda: broker.pid is None, STOP_SECONDS, "the end of broker %d" % number)

    def pause(self, number):
        broker = self._told(number, signal.SIGSTOP)
        wait_until(lambda: broker.paused, STOP_SECONDS, "the pause of broker %d" % number)

    def resume(self, number):
        self._told(number, signal.SIGCONT)

    def restart(self, number, seconds=START_SECONDS):
        """Ends it if it runs, starts it, and returns when all that run list it."""
        broker = self.broker(number)
        self.stop([broker])
        self._spawn(broker)
        self._wait([one for one in self.brokers if one.pid and not one.paused], [broker], seconds)

    def metadata(self):
        """The belief of the first broker that answers; None when none does."""
        for broker in self.brokers:
            answer = broker.metadata()
            if answer is not None:
                return answer
        return None

    def in_sync(self):
        """Whether every broker says that all are there and every replica of every partition has caught up.

        All are asked, for one that was paused a moment ago still believes what it did before. Brokers notice the loss
        of one of them only after 3 to 6 s.
        """
        answers = [broker.metadata() for broker in self.brokers]
        return all(answer is not None and len(answer.brokers) == len(self.brokers) and not answer.out_of_sync()
                   for answer in answers)

    def create_topic(self, name, partitions=1, config=()):
        create_topic(self.bootstrap, name, partitions, config)

    def produce_perf(self, topic, size, records, properties=()):
        return produce_perf(self.bootstrap, topic, size, records, properties)


# --- Kafka's own tools ----------------------------------------------------------------------------

def create_topic(bootstrap, name, partitions=1, config=()):
    """As many replicas as the brokers' default says. A topic that is there already stays as it is."""
    fetch()
    words = ["--bootstrap-server", bootstrap, "--create", "--if-not-exists", "--topic", name,
             "--partitions", str(partitions)]
    for pair in config:
        words += ["--config", pair]
    kafka_tool("org.apache.kafka.tools.TopicCommand", *words)


def produce_perf(bootstrap, topic, size, records, properties=()):
    """Records per second of Kafka's own producer tool with acks=all, as fast as it goes."""
    fetch()
    output = kafka_tool("org.apache.kafka.tools.ProducerPerformance", "--bootstrap-server", bootstrap, "--topic", topic,
                        "--num-records", str(records), "--record-size", str(size), "--throughput", "-1",
                        "--command-property", "acks=all", *properties, seconds=PERFORMANCE_SECONDS)
    # The last line is the sum, the only one that tells of percentiles. It does not count what was refused; the exit
    # code is 0 all the same.
    sums = re.findall(r"^(\d+) records sent, ([\d.,]+) records/sec .* 99th", output, re.M)
    if not sums or int(sums[-1][0]) != records:
        raise BedError("the producer tool did not send its %d records: %s" % (records, output.strip()[:1500]))
    return float(sums[-1][1].replace(",", "."))


# --- for tests ------------------------------------------------------------------------------------

def missing(kind):
    """Why tests of a kind cannot run here, or None. "own" needs brokers to start and kill, "any" just a Kafka."""
    if kind == "any" and os.environ.get("KAFKA_BOOTSTRAP"):
        return None
    try:
        fetch()
    except BedError as error:
        return str(error)
    return None


def load_tests(loader, tests, pattern):
    """unittest's hook. Leaves out, loudly, what cannot run here; with REQUIRE_KAFKA=1 it fails instead.

    A test case says `kafka = "any"` when KAFKA_BOOTSTRAP serves it as well as brokers of our own do.
    """
    del loader, pattern
    reasons = {}
    kept = unittest.TestSuite()

    def sort(item):
        if isinstance(item, unittest.TestSuite):
            for inner in item:
                sort(inner)
            return
        kind = getattr(item, "kafka", "own")
        if kind not in reasons:
            reasons[kind] = missing(kind)
        if reasons[kind] is None:
            kept.addTest(item)
        elif os.environ.get("REQUIRE_KAFKA") == "1":
            kept.addTest(Missing(item.id(), reasons[kind]))
        else:
            print("SKIPPED %s: %s" % (item.id(), reasons[kind]), flush=True)

    sort(tests)
    return kept


class Missing(unittest.TestCase):
    """Stands for a test that had to run and could not."""

    def __init__(self, name, reason):
        super().__init__("fail_for_want_of_kafka")
        self.name = name
        self.reason = reason

    def id(self):
        return self.name

    def fail_for_want_of_kafka(self):
        self.fail("REQUIRE_KAFKA=1, but " + self.reason)


# --- command line ---------------------------------------------------------------------------------

def status(bed):
    for broker in bed.brokers:
        if broker.pid is None:
            print("broker %d  down" % broker.number)
            continue
        answer = broker.metadata()
        said = "paused" if broker.paused else "no answer" if answer is None else \
            "lists brokers " + ",".join(map(str, sorted(answer.brokers)))
        print("broker %d  process %d  %s  %d MiB  %s" % (broker.number, broker.pid, broker.address,
                                                         broker.resident_kib // 1024, said))
    answer = bed.metadata()
    if answer is not None and answer.out_of_sync():
        print("out of sync: " + " ".join(answer.out_of_sync()))


def bootstrap_of(place):
    return Bed.opened(place).bootstrap if os.path.isdir(place) else place


def parse(arguments):
    parser = argparse.ArgumentParser(prog="kafka_bed.py", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch")
    start = commands.add_parser("start")
    start.add_argument("dir")
    start.add_argument("--brokers", type=int, choices=(1, 3))
    start.add_argument("--port", type=int, default=0, help="the first of twice as many ports as brokers")
    for name in ("stop", "status"):
        commands.add_parser(name).add_argument("dir")
    for name in ("kill", "pause", "resume", "restart"):
        one = commands.add_parser(name)
        one.add_argument("dir")
        one.add_argument("number", type=int)
    topic = commands.add_parser("create-topic")
    topic.add_argument("dir")
    topic.add_argument("name")
    topic.add_argument("--partitions", type=int, default=1)
    topic.add_argument("--config", action="append", default=[])
    perf = commands.add_parser("produce-perf")
    perf.add_argument("dir")
    perf.add_argument("--topic", default="produce-perf")
    perf.add_argument("--partitions", type=int, default=1, help="of the topic, if it is not there yet")
    perf.add_argument("--size", type=int, default=256)
    perf.add_argument("--records", type=int, default=100000)
    perf.add_argument("--property", action="append", default=[], help="of the producer")
    return parser.parse_args(arguments)


def main(arguments):
    given = parse(arguments)
    command = given.command
    if command == "fetch":
        print(fetch())
    elif command == "start":
        bed = Bed(given.dir, given.brokers or 1, given.port, detached=True)
        if given.brokers not in (None, len(bed.brokers)) or given.port not in (0, bed.brokers[0].port):
            raise BedError("%s holds %d brokers from port %d on; start it as it is, or name another directory"
                           % (given.dir, len(bed.brokers), bed.brokers[0].port))
        bed.start()
        print("bootstrap " + bed.bootstrap)
    elif command in ("stop", "status"):
        bed = Bed.opened(given.dir)
        bed.stop() if command == "stop" else status(bed)
    elif command == "create-topic":
        create_topic(bootstrap_of(given.dir), given.name, given.partitions, given.config)
    elif command == "produce-perf":
        bootstrap = bootstrap_of(given.dir)
        create_topic(bootstrap, given.topic, given.partitions)
        print("%.0f records/s" % produce_perf(bootstrap, given.topic, given.size, given.records, given.property))
    else:
        getattr(Bed.opened(given.dir), command)(given.number)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BedError as error:
        sys.exit("kafka_bed.py: %s" % error)
