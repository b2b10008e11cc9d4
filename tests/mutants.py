#!/usr/bin/env python3
"""mutants.py - takes each safety rule of the protocol away and sees that the simulator misses it

    mutants.py [SEEDS]      default 2000; writes a table for docs/proving.md to standard output

The rules are those of protocol/mutant.h; the simulator is build/mutants/sim. Ends with 1 when one lives on.
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CAUGHT = re.compile(r"caught after (\d+) lives: seed (\d+) \(([^)]*)\): (.*)")


def mutants():
    with open(os.path.join(ROOT, "protocol", "mutant.h"), encoding="utf-8") as header:
        return re.findall(r'X\(\w+, "([\w-]+)"\)\s*/\* (.*?) \*/', header.read())


def main():
    seeds = sys.argv[1] if len(sys.argv) > 1 else "2000"
    jobs = str(os.cpu_count() or 1)
    alive = 0
    print("| rule taken away | without it | caught by seed | as |\n|---|---|---|---|")
    for name, meaning in mutants():
        run = subprocess.run([os.path.join(ROOT, "build", "mutants", "sim"), "--mutant", name, "--seeds", seeds,
                              "--jobs", jobs], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        found = CAUGHT.search(run.stdout)
        if found:
            print("| `%s` | %s | %s (%s) | %s |" % (name, meaning, found[2], found[3], found[4].split(" (called")[0]))
        else:
            alive += 1
            print("| `%s` | %s | **none of %s** | |" % (name, meaning, seeds))
        sys.stdout.flush()
    print("\n%d mutants, %d not caught" % (len(mutants()), alive))
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
