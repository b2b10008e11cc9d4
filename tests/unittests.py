#!/usr/bin/env python3
"""unittests.py FILE... - runs the unittest cases of files, one line each, and ends with "RESULT passed failed"

TEST_FILTER in the environment runs only the tests whose name contains it. A skipped test counts as failed: what
cannot run here proves nothing.
"""
import importlib.util
import os
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Lines(unittest.TextTestResult):
    def startTest(self, test):
        self.began = time.monotonic()
        self.started = getattr(self, "started", set())
        self.started.add(test.id())
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        print("%6.2f s  %s" % (time.monotonic() - self.began, test.id()), flush=True)


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


def main(paths):
    wanted = os.environ.get("TEST_FILTER", "")
    suite = unittest.TestSuite()
    for path in paths:
        sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
        name = os.path.splitext(os.path.basename(path))[0]
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        for test in flatten(unittest.defaultTestLoader.loadTestsFromModule(module)):
            if wanted in test.id():
                suite.addTest(test)
    result = unittest.TextTestRunner(stream=sys.stdout, resultclass=Lines, verbosity=0).run(suite)
    # A failed subtest stands for its test; a class that could not be set up has no test that started.
    bad = {getattr(test, "test_case", test).id()
           for test, _ in result.failures + result.errors + result.skipped}
    bad.update(test.id() for test in result.unexpectedSuccesses)
    passed = len(getattr(result, "started", set()) - bad)
    print("RESULT %d %d" % (passed, len(bad)), flush=True)
    return 0 if not bad else 1


if __name__ == "__main__":
    sys.path.insert(0, os.path.join(ROOT, "tests"))
    sys.exit(main(sys.argv[1:]))
