"""harness.py - real nodes for tests: start, ask, kill, start again

Nothing here waits by sleeping for a fixed time: everything polls with a deadline. A node's output is kept and shown
when something does not happen.
"""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FEALTY = os.environ.get("FEALTY") or os.path.join(ROOT, "build", "fealty")
PASSWORD = "a-password-for-tests"
API = "/api/loyalty/v1"


def wait_until(condition, seconds=20.0, what="something"):
    """Polls until condition() is true and returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("%s did not happen within %.0f s" % (what, seconds))
        time.sleep(0.01)


def free_ports(count):
    """Ports that were free a moment ago, below the range that the kernel gives out by itself."""
    found = []
    base = 10000 + (os.getpid() * 61) % 20000
    for port in range(base, base + 2000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "<%d %r>" % (self.status, self.body[:300])


class Client:
    """One keep-alive connection. A broken connection is opened again for the next request, never for the same one."""

    def __init__(self, port, token=None, timeout=30, host="127.0.0.1"):
        self.host = host
        self.port = port
        self.token = token
        self.timeout = timeout
        self.connection = None

    def ask(self, method, path, body=None, headers=None):
        head = dict(headers or {})
        if self.token and "Authorization" not in head:
            head["Authorization"] = "Token " + self.token
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if body is not None:
            head.setdefault("Content-Type", "application/json")
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        try:
            self.connection.request(method, path, body, head)
            reply = self.connection.getresponse()
            answer = Answer(reply.status, reply.headers, reply.read())
        except Exception:
            self.close()
            raise
        if reply.will_close:
            self.close()
        return answer

    def get(self, path, **more):
        return self.ask("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.ask("POST", path, body, **more)

    def login(self, username="admin", password=PASSWORD):
        answer = self.post("/api/auth/login/", {"username": username, "password": password})
        if answer.status != 200:
            raise AssertionError("login: %r" % answer)
        self.token = answer.json["token"]
        return self

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Node:
    """One process. The directory outlives it, so start() after stop() or kill() finds the same books."""

    def __init__(self, data, flags=(), environment=None, port=0, program=None, host="127.0.0.1", before=()):
        self.data = data
        self.host = host
        self.before = list(before)  # words before the program's own, to run it elsewhere
        self.program = program or FEALTY
        self.flags = list(flags)
        self.environment = dict(environment or {})
        self.asked_port = port
        self.port = None
        self.process = None
        self.lines = []
        self.reader = None

    def spawn(self, *more):
        """Starts the process and returns at once."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FEALTY_")}
        environment["FEALTY_ADMIN_PASSWORD"] = PASSWORD
        environment.update(self.environment)
        self.lines = []
        self.port = None
        own = [self.program, "node", "--data", self.data, "--listen", "%s:%d" % (self.host, self.asked_port)]
        self.process = subprocess.Popen(self.before + own + self.flags + list(more), stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment)
        self.reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self.reader.start()
        return self

    def _read(self, process):
        for line in process.stdout:
            self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
        process.stdout.close()

    @property
    def output(self):
        return "\n".join(self.lines)

    def ready(self):
        if self.port is None:
            found = re.search(r"serves http://[^ ]*:(\d+)/", self.output)
            if not found:
                return False
            self.port = int(found.group(1))
        client = Client(self.port, timeout=5, host=self.host)
        try:
            return client.get("/readyz").status == 200
        except OSError:
            return False
        except http.client.HTTPException:
            return False
        finally:
            client.close()

    def wait_ready(self, seconds=40):
        def step():
            if self.process.poll() is not None:
                self.reader.join(5)
                raise AssertionError("the node ended with %s:\n%s" % (self.process.returncode, self.output))
            return self.ready()
        try:
            wait_until(step, seconds, "a ready node")
        except AssertionError as late:
            raise AssertionError("%s; it said:\n%s" % (late, self.output[-4000:])) from None
        return self

    def start(self, *more):
        self.spawn(*more)
        return self.wait_ready()

    def wait_end(self, seconds=20):
        code = self.process.wait(seconds)
        self.reader.join(5)
        return code

    def stop(self, seconds=20):
        """A clean stop; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait_end(seconds)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        return self.wait_end()

    def client(self, login=True):
        client = Client(self.port, host=self.host)
        return client.login() if login else client

    def end(self):
        """Whatever state it is in."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.wait_end()


class Cluster:
    """Nodes on loopback that know each other."""

    def __init__(self, root, count=3, flags=(), keys=None):
        ports = free_ports(2 * count)
        self.addresses = ["127.0.0.1:%d" % port for port in ports[:count]]
        self.nodes = []
        for i, address in enumerate(self.addresses):
            own = ["--cluster-listen", address, "--cluster-peers", ",".join(self.addresses)]
            if keys:
                own += ["--cluster-keys", keys[i]]
            self.nodes.append(Node(os.path.join(root, "n%d" % (i + 1)), own + list(flags), port=ports[count + i]))

    def start(self):
        for node in self.nodes:
            node.spawn()
        for node in self.nodes:
            node.wait_ready()
        return self

    def end(self):
        for node in self.nodes:
            node.end()


def tool(*words, stdin=None, seconds=120, environment=None):
    """Runs `fealty WORDS` and returns (exit code, output)."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FEALTY_")}
    clean.update(environment or {})
    done = subprocess.run([FEALTY] + list(words), input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=clean, timeout=seconds, check=False)
    return done.returncode, done.stdout.decode("utf-8", "replace")


class Directory:
    """A directory of one's own, removed at the end."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="fealty-test-")

    def join(self, *names):
        return os.path.join(self.path, *names)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


def customer(number):
    """A customer id that is the same in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "customer %d" % number))


def create_program(client, **members):
    body = {"name": "Points", "start_date": "2020-01-01T00:00:00Z", "end_date": "2099-01-01T00:00:00Z"}
    body.update(members)
    answer = client.post(API + "/loyaltyPrograms/", body)
    if answer.status != 201:
        raise AssertionError("program: %r" % answer)
    return answer.json["id"]


def create_account(client, program, who, **members):
    body = {"customer_id": who, "program": program}
    body.update(members)
    answer = client.post(API + "/loyaltyAccounts/", body)
    if answer.status != 201:
        raise AssertionError("account: %r" % answer)
    return answer.json["id"]
