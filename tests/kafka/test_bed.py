"""test_bed.py - the brokers that other tests stand on: they start, answer, die and come back as they are told to"""
import os
import re
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
import kafka_metadata  # noqa: E402
from harness import ROOT, wait_until  # noqa: E402
from kafka_bed import Bed, BedError, load_tests  # noqa: E402,F401

PROGRAM = os.path.join(ROOT, "tests", "kafka_bed.py")


def run(*words, environment=None):
    done = subprocess.run([sys.executable] + list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=environment, timeout=120, check=False)
    return done.returncode, done.stdout.decode("utf-8", "replace")


class OneBroker(unittest.TestCase):
    """The tests share a broker; each finds it running and leaves it so."""

    @classmethod
    def setUpClass(cls):
        cls.directory = harness.Directory()
        cls.addClassCleanup(cls.directory.remove)
        cls.bed = Bed(cls.directory.join("bed"))
        cls.addClassCleanup(cls.bed.stop)
        cls.bed.start()

    def setUp(self):
        self.broker = self.bed.broker(1)
        self.bed.start()  # nothing to do, unless the test before this one failed
        self.assertEqual(list(self.broker.metadata().brokers), [1])

    def test_a_topic_is_created_written_and_in_sync(self):
        self.bed.create_topic("written", partitions=3, config=["retention.ms=-1"])
        self.bed.create_topic("written", partitions=3)  # a second time it is there already
        self.assertGreater(self.bed.produce_perf("written", 256, 5000), 0)
        partitions = self.bed.metadata().topics["written"]
        self.assertEqual(partitions, {number: (1, [1], [1]) for number in range(3)})
        self.assertTrue(self.bed.in_sync())

    def test_a_topic_that_nobody_created_is_not_there(self):
        with self.assertRaisesRegex(BedError, "did not send its 1 records"):
            self.bed.produce_perf("unheard", 10, 1, ["max.block.ms=1500"])
        self.assertNotIn("unheard", self.bed.metadata().topics)

    def test_a_killed_broker_is_silent_and_comes_back_with_its_topics(self):
        self.bed.create_topic("kept")
        before = self.broker.pid
        self.bed.kill(1)
        self.assertFalse(os.path.exists("/proc/%d/cmdline" % before))
        self.assertIsNone(kafka_metadata.metadata(self.broker.address))
        self.assertFalse(self.bed.in_sync())
        with self.assertRaisesRegex(BedError, "broker 1 does not run"):
            self.bed.kill(1)
        self.bed.restart(1)
        self.assertNotEqual(self.broker.pid, before)
        self.assertIn("kept", self.bed.metadata().topics)

    def test_a_paused_broker_is_silent_until_it_is_resumed(self):
        before = self.broker.pid
        self.bed.pause(1)
        self.assertTrue(self.broker.paused)
        self.assertIsNone(kafka_metadata.metadata(self.broker.address, seconds=0.5))
        self.bed.resume(1)
        wait_until(self.broker.metadata, 20, "an answer after the pause")
        self.assertEqual(self.broker.pid, before)

    def test_a_paused_broker_can_be_stopped_and_started_by_another_hand(self):
        self.bed.create_topic("found")
        before = self.broker.pid
        self.bed.pause(1)
        self.bed.stop()
        self.assertIsNone(self.broker.pid)
        self.assertFalse(os.path.exists("/proc/%d/cmdline" % before))
        other = Bed(self.bed.root)
        self.assertEqual(other.bootstrap, self.bed.bootstrap)
        other.start()
        self.assertIn("found", self.bed.metadata().topics)

    def test_a_process_that_took_over_the_recorded_id_is_left_alone(self):
        stranger = subprocess.Popen(["sleep", "600"])
        self.addCleanup(stranger.wait)
        self.addCleanup(stranger.kill)
        with open(self.broker.pid_file, encoding="utf-8") as recorded:
            own = recorded.read()
        try:
            with open(self.broker.pid_file, "w", encoding="utf-8") as out:
                out.write("%d %s\n" % (stranger.pid, own.split()[1]))
            self.assertIsNone(self.broker.pid)
            self.bed.stop()
            self.assertIsNone(stranger.poll())
        finally:
            with open(self.broker.pid_file, "w", encoding="utf-8") as out:
                out.write(own)
        self.assertIsNotNone(self.broker.pid)

    def test_a_port_that_is_taken_is_a_sentence(self):
        second = Bed(self.directory.join("second"), port=self.broker.port)
        with self.assertRaisesRegex(BedError, "broker 1 cannot have port %d" % self.broker.port):
            second.start()
        self.assertIsNone(second.broker(1).pid)

    def test_a_directory_with_other_things_in_it_is_refused(self):
        os.makedirs(self.directory.join("taken", "precious"))
        with self.assertRaisesRegex(BedError, "is not empty"):
            Bed(self.directory.join("taken")).start()
        self.assertEqual(os.listdir(self.directory.join("taken")), ["precious"])


class CommandLine(unittest.TestCase):
    def setUp(self):
        self.directory = harness.Directory()
        self.addCleanup(self.directory.remove)

    def test_started_brokers_outlive_the_command_and_stop_ends_them(self):
        place = self.directory.join("bed")
        self.addCleanup(run, PROGRAM, "stop", place)
        code, output = run(PROGRAM, "start", place, "--brokers", "1")
        self.assertEqual(code, 0, output)
        bootstrap = re.fullmatch(r"bootstrap (127\.0\.0\.1:\d+)\n", output).group(1)
        self.assertEqual(list(kafka_metadata.metadata(bootstrap).brokers), [1])
        pid = Bed.opened(place).broker(1).pid
        self.assertNotEqual(os.getpgid(pid), os.getpgid(0))
        code, output = run(PROGRAM, "status", place)
        self.assertRegex(output, r"\Abroker 1  process %d  %s  \d+ MiB  lists brokers 1\n\Z" % (pid, bootstrap))
        self.assertEqual(run(PROGRAM, "stop", place), (0, ""))
        self.assertIsNone(Bed.opened(place).broker(1).pid)
        self.assertIsNone(kafka_metadata.metadata(bootstrap))
        self.assertEqual(run(PROGRAM, "stop", place), (0, ""))

    def test_a_broker_that_cannot_run_says_why(self):
        place = self.directory.join("bed")
        bed = Bed(place)
        self.addCleanup(bed.stop)
        bed.start()
        bed.stop()
        with open(bed.broker(1).configuration, "a", encoding="utf-8") as out:
            out.write("process.roles=tailor\n")
        code, output = run(PROGRAM, "start", place)
        self.assertEqual(code, 1)
        self.assertIn("broker 1 has ended", output)
        self.assertIn("tailor", output)

    def test_without_kafka_tests_are_skipped_by_name_or_fail_when_they_must_run(self):
        words = [os.path.join(ROOT, "tests", "unittests.py"), os.path.abspath(__file__)]
        bare = {"PATH": self.directory.path, "XDG_CACHE_HOME": self.directory.path, "HOME": self.directory.path}
        code, output = run(*words, environment=bare)
        self.assertEqual(code, 0, output)
        self.assertIn("\nRESULT 0 0\n", output)
        self.assertRegex(output, r"SKIPPED test_bed\.OneBroker\.test_\w+: .*there is no `java` here")
        code, output = run(*words, environment=dict(bare, REQUIRE_KAFKA="1"))
        self.assertEqual(code, 1, output)
        self.assertRegex(output, r"\nRESULT 0 [1-9]\d*\n")
        self.assertNotIn("SKIPPED", output)


class Answering(unittest.TestCase):
    """What holds for any Kafka: KAFKA_BOOTSTRAP's, or a broker of our own."""

    kafka = "any"

    def test_metadata_is_answered(self):
        bootstrap = os.environ.get("KAFKA_BOOTSTRAP")
        if not bootstrap:
            directory = harness.Directory()
            self.addCleanup(directory.remove)
            bed = Bed(directory.join("bed"))
            self.addCleanup(bed.stop)
            bootstrap = bed.start().bootstrap
        self.assertTrue(any(answer and answer.brokers for answer in map(kafka_metadata.metadata, bootstrap.split(","))))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    unittest.main()
