#!/usr/bin/env python3
"""run.py [--no-build] [--only] [STEP...] - runs the test suite and sums it up

Each step prints one line with what passed, what failed and how long it took; what failed is shown below it. The last
line is the sum of everything, "N passed, N failed", also written to build/test-summary. The exit code is 0 only when
nothing failed and something passed.

Steps: build, unit, unit-asan, fuzz, assume, sim, contract, crash, cluster, kafka, chaos, threads, nodes-asan, nodes-tsan,
format. Default: all but format. `sanitizers` stands for unit-asan, threads, nodes-asan and nodes-tsan. The last two run
real nodes that were built with a sanitizer; a report ends the node, and with it the test. `kafka` and `chaos` run on real
Kafka; where there is none to be had they say SKIPPED and why, which is a failure with REQUIRE_KAFKA=1.

Environment: JOBS (processors), FUZZ_SECONDS (most per target: 20), TEST_FILTER (part of a Python test's name),
CHAOS_MINUTES (1), SEED (of the chaos), REQUIRE_KAFKA.
"""
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
JOBS = int(os.environ.get("JOBS") or os.cpu_count() or 2)
FUZZ_RUNS = 250000
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "20"))
OUTPUT_SHOWN = 12000


class Outcome:
    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.notes = []

    def add(self, good, note=None):
        if good:
            self.passed += 1
        else:
            self.failed += 1
            if note:
                self.notes.append(note)

    def fail(self, note):
        self.add(False, note)


def run(command, limit, extra=None, to=None):
    """Runs a command in its own process group; returns (exit code, output). A late one is killed: code None."""
    environment = dict(os.environ, PYTHONUNBUFFERED="1")
    environment.setdefault("FEALTY", os.path.join(ROOT, "build", "fealty"))
    environment.update(extra or {})
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=to or subprocess.PIPE,
                               stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        output, _ = process.communicate(timeout=limit)
        code = process.returncode
    except subprocess.TimeoutExpired:
        code = None
        output = b""
    try:
        os.killpg(process.pid, signal.SIGKILL)  # what a test left behind must not disturb the next one
    except (ProcessLookupError, PermissionError):
        pass
    if code is None:
        output, _ = process.communicate()
    return code, (output or b"").decode("utf-8", "replace")


def skipped(output):
    """The lines in which tests say that they were left out; none where nothing may be."""
    if os.environ.get("REQUIRE_KAFKA") == "1":
        return []
    return re.findall(r"^SKIPPED .*$", output, re.M)


def explain(name, code, output, limit):
    why = "took longer than %d s" % limit if code is None else "ended with code %d" % code
    return "%s %s\n%s" % (name, why, output[-OUTPUT_SHOWN:])


def step_build(outcome):
    limit = 900
    code, output = run(["make", "--no-print-directory", "-s", "-k", "-j%d" % JOBS, "test-programs"], limit)
    outcome.add(code == 0, explain("the build", code, output, limit))


def criterion(outcome, program, extra):
    """Criterion counts for us in its last line."""
    limit = 420
    if not os.path.exists(os.path.join(ROOT, program)):
        outcome.fail("%s was not built" % program)
        return
    code, output = run([program, "-j%d" % JOBS], limit, extra)
    found = re.findall(r"Synthesis: .*?Tested:.*?(\d+).*?Passing:.*?(\d+).*?Failing:.*?(\d+).*?Crashing:.*?(\d+)",
                       re.sub(r"\x1b\[[0-9;]*m", "", output))
    if not found:
        outcome.fail(explain(program, code, output, limit))
        return
    tested, passing, failing, crashing = map(int, found[-1])
    outcome.passed += passing
    outcome.failed += tested - passing
    if failing + crashing > 0:
        outcome.notes.append(explain(program, code, output, limit))
    elif code != 0:
        outcome.fail(explain(program, code, output, limit))  # a leak, found after the last test
    elif tested == 0:
        outcome.fail("%s holds no test" % program)


def step_unit(outcome):
    criterion(outcome, "build/unit", {})


def step_unit_asan(outcome):
    criterion(outcome, "build/asan/unit", sanitizer_options())


def sanitizer_options():
    return {"ASAN_OPTIONS": "abort_on_error=1:detect_leaks=1:allocator_may_return_null=1",
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
            "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1:suppressions=" +
                            os.path.join(ROOT, "tests", "tsan.supp")}


def programs(folder, pattern="*.c"):
    return [os.path.splitext(os.path.basename(path))[0]
            for path in sorted(glob.glob(os.path.join(ROOT, folder, pattern)))]


def each(outcome, names, command_of, limit, extra=None, at_once=1):
    """Runs one program per name, `at_once` side by side; each counts as one test."""
    waiting = list(names)
    running = []
    while waiting or running:
        while waiting and len(running) < at_once:
            name = waiting.pop(0)
            command = command_of(name)
            if not os.path.exists(os.path.join(ROOT, command[0])):
                outcome.fail("%s was not built" % command[0])
                continue
            log = open(os.path.join(ROOT, "build", "log-%s-%s" % (os.path.basename(os.path.dirname(command[0])), name)),
                       "w+b")
            environment = dict(os.environ)
            environment.setdefault("FEALTY", os.path.join(ROOT, "build", "fealty"))
            environment.update(extra or {})
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT,
                                       stdin=subprocess.DEVNULL, start_new_session=True)
            running.append((name, process, log, time.monotonic() + limit))
        for item in list(running):
            name, process, log, deadline = item
            late = time.monotonic() > deadline
            if process.poll() is None and not late:
                continue
            code = process.poll()
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
            process.wait()
            log.seek(0)
            output = log.read().decode("utf-8", "replace")
            log.close()
            outcome.add(code == 0, explain(name, code, output, limit))
            running.remove(item)
        if running:
            time.sleep(0.02)


def step_fuzz(outcome):
    """The kept inputs and a fixed seed: the suite says the same each time, new inputs are `make fuzz`'s to find."""
    os.makedirs(os.path.join(ROOT, "build", "fuzz", "findings"), exist_ok=True)

    def command(name):
        corpus = os.path.join("build", "fuzz", "test-corpus", name)
        shutil.rmtree(os.path.join(ROOT, corpus), ignore_errors=True)
        os.makedirs(os.path.join(ROOT, corpus))
        words = ["build/fuzz/" + name, "-seed=1", "-runs=%d" % FUZZ_RUNS, "-max_total_time=%d" % FUZZ_SECONDS,
                 "-timeout=10", "-rss_limit_mb=2048", "-artifact_prefix=build/fuzz/findings/%s-" % name, corpus]
        seeds = os.path.join("tests", "fuzz", "corpus", name)
        return words + ([seeds] if os.path.isdir(os.path.join(ROOT, seeds)) else [])

    each(outcome, programs("tests/fuzz"), command, FUZZ_SECONDS + 60, at_once=JOBS)


def step_assume(outcome):
    each(outcome, programs("tests/assume"), lambda name: ["build/assume/" + name], 120)


def step_sim(outcome):
    if programs("tests/sim"):
        each(outcome, ["sim"], lambda name: ["build/sim"], 600)


def step_threads(outcome):
    names = [name for name in programs("tests/threads") if not name.endswith("_bodies")]
    each(outcome, names, lambda name: ["build/tsan/threads/" + name], 180, sanitizer_options())


def python_folder(outcome, folder, limit, extra=None, only="test_*.py"):
    """Each test file is a process of its own, so that a hanging one is known by name."""
    for name in programs(folder, only):
        path = os.path.join(folder, name + ".py")
        code, output = run([sys.executable, "tests/unittests.py", path], limit, extra)
        found = re.findall(r"^RESULT (\d+) (\d+)$", output, re.M)
        if not found:
            outcome.fail(explain(path, code, output, limit))
            continue
        passed, failed = map(int, found[-1])
        outcome.passed += passed
        outcome.failed += failed
        if failed > 0:
            outcome.notes.append(explain(path, code, output, limit))
        elif passed == 0 and not skipped(output) and not os.environ.get("TEST_FILTER"):
            outcome.fail("%s holds no test" % path)
        outcome.notes += skipped(output)


def step_contract(outcome):
    python_folder(outcome, "tests/contract", 240)


def step_crash(outcome):
    python_folder(outcome, "tests/crash", 300)


def step_cluster(outcome):
    python_folder(outcome, "tests/cluster", 300)


def step_kafka(outcome):
    python_folder(outcome, "tests/kafka", 420)


def step_chaos(outcome):
    """The checker's own tests, then one run that it decides about."""
    python_folder(outcome, "tests/chaos", 120)
    minutes = float(os.environ.get("CHAOS_MINUTES") or 1)
    limit = 60 * minutes + 240
    code, output = run([sys.executable, "tests/chaos/chaos.py", str(minutes)], limit)
    found = re.findall(r"^RESULT (\d+) (\d+)$", output, re.M)
    if not found or int(found[-1][1]) > 0 or code != 0:
        outcome.fail(explain("tests/chaos/chaos.py", code, output, limit))
    elif int(found[-1][0]) > 0:
        outcome.passed += 1
    elif not skipped(output):
        outcome.fail("tests/chaos/chaos.py decided nothing")
    if outcome.failed == 0:
        outcome.notes += re.findall(r"^(?:SKIPPED|SEED=|\d+ operations|recovery by kind).*$", output, re.M)


def with_program(program, **more):
    return dict(sanitizer_options(), FEALTY=os.path.join(ROOT, program), **more)


def step_nodes_asan(outcome):
    python_folder(outcome, "tests/contract", 300, with_program("build/asan/fealty"))


def step_nodes_tsan(outcome):
    options = with_program("build/tsan/fealty", KILLS="5")
    for folder in ("tests/crash", "tests/cluster"):
        python_folder(outcome, folder, 300, options, "test_kill.py")


def step_format(outcome):
    code, output = run(["make", "--no-print-directory", "-s", "format-check"], 120)
    outcome.add(code == 0, explain("format", code, output, 120))


STEPS = {
    "build": step_build,
    "unit": step_unit,
    "unit-asan": step_unit_asan,
    "fuzz": step_fuzz,
    "assume": step_assume,
    "sim": step_sim,
    "contract": step_contract,
    "crash": step_crash,
    "cluster": step_cluster,
    "kafka": step_kafka,
    "chaos": step_chaos,
    "threads": step_threads,
    "nodes-asan": step_nodes_asan,
    "nodes-tsan": step_nodes_tsan,
    "format": step_format,
}
DEFAULT = [name for name in STEPS if name != "format"]


def main(arguments):
    build = True
    wanted = []
    for argument in arguments:
        if argument == "--no-build":
            build = False
        elif argument == "sanitizers":
            wanted += ["unit-asan", "threads", "nodes-asan", "nodes-tsan"]
        elif argument in STEPS:
            wanted.append(argument)
        else:
            sys.exit("run.py: no step named '%s'; there are %s" % (argument, ", ".join(STEPS)))
    wanted = wanted or list(DEFAULT)
    if build and "build" not in wanted:
        wanted.insert(0, "build")
    if not build and "build" in wanted:
        wanted.remove("build")

    os.makedirs(os.path.join(ROOT, "build"), exist_ok=True)
    total = Outcome()
    for name in wanted:
        outcome = Outcome()
        started = time.monotonic()
        STEPS[name](outcome)
        print("%-10s %5d passed %4d failed  %6.1f s" % (name, outcome.passed, outcome.failed,
                                                        time.monotonic() - started), flush=True)
        for note in outcome.notes:
            print("\n".join("    " + line for line in note.splitlines()), flush=True)
        total.passed += outcome.passed
        total.failed += outcome.failed
        if name == "build" and outcome.failed:
            break
    summary = "%d passed, %d failed" % (total.passed, total.failed)
    with open(os.path.join(ROOT, "build", "test-summary"), "w", encoding="utf-8") as out:
        out.write(summary + "\n")
    print(summary, flush=True)
    return 0 if total.failed == 0 and total.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
