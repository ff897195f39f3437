"""Nodes as real processes, each with a data directory and addresses of its own.

    nodes = Nodes(directory)        # for their data and logs
    n1 = nodes.node("n1")           # made, not started
    n1.start()                      # returns when its workers are at work
    requests.put(n1.url + "/v1/kv/a", data=b"1")
    n1.kill("consensus")            # kill -9 of that worker
    a, b, c = nodes.cluster(3)      # started, with a static list of members
    nodes.clean_up()                # whatever is left is killed by its pid

A process belongs to a test when its environment says so. What is waited for in vain is an AssertionError.
BUILD says which build is tested (default: build); that of the sanitizers is build/asan.
"""

import glob
import os
import random
import re
import signal
import socket
import subprocess
import time
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
SANITIZED = os.path.basename(BUILD) == "asan"
PATIENCE = 30.0  # seconds: the end of any waiting; nothing is asserted about how long it took


def wait_until(condition, what="the condition", seconds=PATIENCE):
    """Returns the first true value of condition()."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.01)


def is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def free_port(taken=set()):
    """A port that nobody has, below those that the kernel gives out by itself; never the same twice in a run."""
    while True:
        port = random.randrange(12000, 32000)
        if port not in taken and is_free(port):
            taken.add(port)
            return port


def children_of(pid):
    """{pid: command line} of the processes whose parent it is."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as f:
                stat = f.read()
            with open(f"/proc/{entry}/cmdline") as f:
                command = f.read().replace("\0", " ").strip()
        except OSError:
            continue
        state, parent = stat[stat.rindex(")") + 2 :].split()[:2]
        if int(parent) == pid and state != "Z" and command:
            found[int(entry)] = command
    return found


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            stat = f.read()
    except OSError:
        return False
    return stat[stat.rindex(")") + 2] != "Z"


class Node:
    def __init__(self, nodes, node_id, options, program):
        self.nodes = nodes
        self.id = node_id
        self.data = os.path.join(nodes.directory, node_id)
        self.http = f"127.0.0.1:{free_port()}"
        self.peer = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.http}"
        self.log_path = self.data + ".log"
        self.options = {"http-workers": "1", **options}  # names as in [section] name, "section-name"
        self.program = program
        self.process = None
        self.log_pipe = None  # a LogPipe: the node writes to that, and it into the log
        self.seen = 0  # how much of the log belongs to earlier starts

    def command(self):
        flags = ["--id", self.id, "--data", self.data, "--http", self.http, "--peer", self.peer]
        for name, value in self.options.items():
            flags += [f"--{name}", str(value)]
        return [self.program, *flags]

    def launch(self, **environment):
        """Starts the supervisor and does not wait."""
        assert self.process is None or self.process.poll() is not None
        self.seen = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        with open(self.log_path, "ab") as log:
            output = log if self.log_pipe is None else self.log_pipe.to
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self.nodes.environment(), **environment},
            )
        return self

    def start(self, **environment):
        """Starts the supervisor and waits until every worker is at work."""
        self.launch(**environment)
        self.wait_workers()
        return self

    def wait_workers(self):
        wanted = 1 + int(self.options["http-workers"])

        def at_work():
            if self.process.poll() is not None:
                raise AssertionError(f"{self.id} ended with status {self.process.returncode}:\n{self.log()}")
            pids = self.workers()
            said = re.findall(r"is at work pid=(\d+)", self.log())
            return len(pids) == wanted and all(str(pid) in said for pid in pids.values())

        wait_until(at_work, f"the workers of {self.id}")

    def log(self):
        """What it wrote since its last start."""
        with open(self.log_path, "rb") as f:
            f.seek(self.seen)
            return f.read().decode(errors="replace")

    def wait_log(self, pattern):
        return wait_until(lambda: re.search(pattern, self.log()), f"/{pattern}/ in the log of {self.id}")

    def workers(self):
        """{"consensus": pid, "http 0": pid ...} of those that are there now."""
        found = {}
        for pid, command in children_of(self.process.pid).items():
            if command.startswith("holdfast-worker "):
                found[command.removeprefix("holdfast-worker ")] = pid
        return found

    def pids(self):
        """Of all its processes, the supervisor first."""
        return [self.process.pid, *self.workers().values()]

    def signal(self, number, name=None):
        """To one worker, or to the supervisor."""
        os.kill(self.workers()[name] if name else self.process.pid, number)

    def kill(self, name=None):
        """kill -9 of one worker, or of the supervisor; returns its pid when it is gone."""
        pid = self.workers()[name] if name else self.process.pid
        os.kill(pid, signal.SIGKILL)
        if name is None:
            self.process.wait()
        wait_until(lambda: not is_alive(pid), f"the death of {pid}")
        return pid

    def kill_all(self):
        """kill -9 of every process of the node, at once."""
        pids = self.pids()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not any(map(is_alive, pids)), "the death of all")

    def freeze(self):
        for pid in self.pids():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self):
        for pid in self.pids():
            os.kill(pid, signal.SIGCONT)

    def wait_exit(self):
        """The status that the supervisor exits with."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.id} does not end:\n{self.log()}")

    def stop(self):
        """SIGTERM; the status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait_exit()

    def ports_are_free(self):
        return all(is_free(int(address.rsplit(":", 1)[1])) for address in (self.http, self.peer))


def restart_all(nodes):
    """kill -9 of all of them, and all are there again."""
    for node in nodes:
        node.kill_all()
    for node in nodes:
        node.launch()
    for node in nodes:
        node.wait_workers()


class Nodes:
    def __init__(self, directory):
        self.directory = directory
        self.mark = uuid.uuid4().hex
        self.all = []

    def node(self, node_id="n1", program=None, **options):
        """A node, not started. Options by flag, with _ for each -: raft_election="300ms"."""
        options = {name.replace("_", "-"): value for name, value in options.items()}
        node = Node(self, node_id, options, program or os.path.join(BUILD, "holdfastd"))
        self.all.append(node)
        return node

    def cluster(self, count, prepare=lambda node: node, **options):
        """Started nodes n1, n2 ... that form one cluster by a static list of members; each is prepared before any starts."""
        made = [prepare(self.node(f"n{i + 1}", **options)) for i in range(count)]
        members = ", ".join(f"{n.id}={n.peer}" for n in made)
        for n in made:
            n.options["members"] = members
            n.launch()
        for n in made:
            n.wait_workers()
        return made

    def environment(self):
        """What the processes of this test have in theirs."""
        report = f"log_path={self.directory}/report"
        options = {name: f"{os.environ.get(name, '')}:{report}" for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS")}
        return {"HOLDFAST_TEST": self.mark, **options}

    def take_reports(self):
        """What the sanitizers have had to say of all these processes, since this was asked last."""
        told = []
        for path in glob.glob(os.path.join(self.directory, "report.*")):
            with open(path, errors="replace") as f:
                told.append(f.read())
            os.unlink(path)
        return told

    def end_in_order(self):
        """TERM for every node that still runs; what does not end by it is left."""
        running = [node for node in self.all if node.process is not None and node.process.poll() is None]
        for node in running:
            node.thaw()
            node.process.send_signal(signal.SIGTERM)
        for node in running:
            try:
                node.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                pass

    def left_over(self):
        """The pids of all processes that this test started."""
        mark = f"HOLDFAST_TEST={self.mark}".encode()
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/environ", "rb") as f:
                    if mark in f.read().split(b"\0"):
                        found.append(int(entry))
            except OSError:
                continue
        return [pid for pid in found if is_alive(pid)]

    def clean_up(self):
        for pid in self.left_over():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for node in self.all:
            if node.process is not None:
                node.process.wait()
        wait_until(lambda: not self.left_over(), "the end of all processes")
        for node in self.all:
            if node.log_pipe is not None:
                node.log_pipe.close()
                node.log_pipe = None
