"""A world of its own for a cluster: namespaces of network, processes and mounts that vanish with their first process.

    enter()         in the outer process: runs this program again inside, and returns its exit status
    World(5)        inside: five nodes, each in a network namespace, and a switch that connects them

Everything that the nodes write lies in memory (/run and /dev/shm, mounted anew), every process is a child of this world's init,
and every interface and rule belongs to its namespaces: whatever happens to the test, SIGKILL included, nothing stays.
"""

import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import requests

import nodes
from log_pipe import LogPipe
from nodes import BUILD, is_alive, wait_until

INSIDE = "HOLDFAST_NEMESIS_WORLD"
UNSHARE = ["unshare", "--net", "--pid", "--mount", "--mount-proc", "--fork", "--kill-child", "--"]
DIRECTORY = "/run/hf"
DISK_BYTES = 512 << 20  # of each node
PEERS = "10.77.0.0/28"  # the nodes; the clients are outside of it
CLIENTS = "10.77.0.254/24"
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
SICK_DISK = os.path.join(BUILD, "tests/system/preload/sick_disk.so")
DELAY = os.path.join(BUILD, "tests/nemesis/delay")


def is_inside():
    return INSIDE in os.environ


def why_not():
    """Why there can be no such world here; None when there can."""
    if os.geteuid() != 0:
        return "needs root"
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"no namespaces here: {tried.stderr.strip()}"


def enter():
    """The outer process: ends the inner ones when it is ended itself."""
    ended = []
    command = ["setpriv", "--pdeathsig", "KILL", *UNSHARE, sys.executable, *sys.argv]
    with subprocess.Popen(command, env={**os.environ, INSIDE: "1"}, stdin=subprocess.DEVNULL) as inner:

        def on_signal(number, _frame):
            ended.append(128 + number)
            inner.kill()

        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the inner one sums up what it has
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, on_signal)
        status = inner.wait()
    return ended[0] if ended else status


def run(*command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


class Node(nodes.Node):
    """In a network namespace named as it is, with shims for disk and clock that do nothing until they are told."""

    def __init__(self, world, node_id, options, program):
        super().__init__(world, node_id, options, program)
        self.number = len(world.all) + 1
        self.address = f"10.77.0.{self.number}"
        self.http, self.peer = f"{self.address}:8080", f"{self.address}:9000"
        self.url = f"http://{self.http}"
        self.may_end = False  # by itself: its disk was such that it cannot start
        self.log_pipe = LogPipe(self.log_path)
        self.sickness, self.clock = self.data + ".disk", self.data + ".clock"
        self.set_clock(0)
        os.mkdir(self.data)
        run("mount", "-t", "tmpfs", "-o", f"mode=700,size={DISK_BYTES}", "tmpfs", self.data)
        self.plug_in()

    def plug_in(self):
        run("ip", "netns", "add", self.id)
        run("ip", "link", "add", f"to-{self.id}", "type", "veth", "peer", "name", "eth0", "netns", self.id)
        run("ip", "link", "set", f"to-{self.id}", "master", "switch", "up")
        run("ip", "-n", self.id, "address", "add", f"{self.address}/24", "dev", "eth0")
        run("ip", "-n", self.id, "link", "set", "eth0", "up")
        run("ip", "-n", self.id, "link", "set", "lo", "up")

    def command(self):
        return ["ip", "netns", "exec", self.id, *super().command()]

    def launch(self, **environment):
        shims = {
            "LD_PRELOAD": f"{SICK_DISK} {FAKETIME}",
            "SICK_DISK": self.sickness,
            "FAKETIME_TIMESTAMP_FILE": self.clock,
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
        }
        return super().launch(**shims, **environment)

    def is_up(self):
        return self.process is not None and self.process.poll() is None

    def be_there(self):
        """It is, or starts now if it was right to end."""
        try:
            self.wait_workers()
        except AssertionError:
            if self.is_up() or not self.may_end:
                raise
            self.launch()
            self.wait_workers()
        self.may_end = False

    def set_clock(self, seconds):
        """So far from the right time. Renamed into place: nobody reads half of it."""
        with open(self.clock + ".new", "w", encoding="ascii") as f:
            f.write(f"{seconds:+d}\n")
        os.rename(self.clock + ".new", self.clock)

    def fall_ill(self, how):
        self.may_end = how == "broken"
        with open(self.sickness, "w", encoding="ascii") as f:
            f.write(how)

    def recover(self):
        for path in (self.sickness, self.filler()):
            if os.path.exists(path):
                os.unlink(path)

    def filler(self):
        return os.path.join(self.data, "filler")

    def fill_up(self):
        """Somebody else takes what is left of its disk."""
        self.may_end = True
        fd = os.open(self.filler(), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            size, step = os.fstat(fd).st_size, DISK_BYTES
            while step >= 4096:
                try:
                    os.posix_fallocate(fd, size, step)
                    size += step
                except OSError as e:
                    assert e.errno == errno.ENOSPC, e
                    step //= 2
        finally:
            os.close(fd)


class Clone(Node):
    """A second node with the id of a member: another disk, other addresses. It is none of world.all."""

    def __init__(self, world, member):
        options = {name: value for name, value in member.options.items() if name != "members"}
        options["join"] = ", ".join(n.http for n in world.all)
        super().__init__(world, "clone", options, member.program)
        self.member = member

    def command(self):
        return [self.member.id if word == self.id and before == "--id" else word
                for before, word in itertools.pairwise(["", *super().command()])]

    def vanish(self):
        if self.is_up():
            kill_at_once([self])
        run("umount", self.data)
        run("ip", "link", "delete", f"to-{self.id}")
        run("ip", "netns", "delete", self.id)


class World(nodes.Nodes):
    def __init__(self, count):
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
        run("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/dev/shm")  # where a killed libfaketime leaves something
        os.mkdir(DIRECTORY)
        super().__init__(DIRECTORY)
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "switch", "type", "bridge")
        run("ip", "address", "add", CLIENTS, "dev", "switch")
        run("ip", "link", "set", "switch", "up")
        self.lock = threading.Lock()
        self.cut = set()  # (from, to): what is sent does not arrive
        self.refused = False  # and whoever sent it is told so, by the reset of its connection
        self.loss = 0  # per cent of what nodes send each other
        self.delays = []  # the processes that hold back what nodes send each other
        self.stopped = 0  # packets that were dropped or delayed
        self.lost = []  # nodes on an empty disk, that have to be added again
        # A request is given up before its client gives up, so that what is answered then is in the histories. Logs are
        # cut within seconds, and an image takes its time.
        small = {"log_segment": "128KiB", "log_budget": "512KiB", "raft_image_rate": "4MiB"}
        self.cluster(count, limits_request="1s", **small)

    def node(self, node_id="n1", program=None, **options):
        options = {name.replace("_", "-"): value for name, value in options.items()}
        node = Node(self, node_id, options, program or os.path.join(BUILD, "holdfastd"))
        self.all.append(node)
        return node

    # --- the network ---

    def rules(self, node):
        """What the node does with packets of others, as iptables-restore takes it."""
        rules = []
        for sender in sorted(a.address for a, b in self.cut if b is node):
            if self.refused:
                rules.append(f"-A INPUT -s {sender} -p tcp --tcp-flags RST RST -j ACCEPT")
                rules.append(f"-A INPUT -s {sender} -p tcp -j REJECT --reject-with tcp-reset")
            rules.append(f"-A INPUT -s {sender} -j DROP")
        if self.loss:
            rules.append(f"-A INPUT -s {PEERS} -m statistic --mode random --probability {self.loss / 100} -j DROP")
        if self.delays:
            rules.append(f"-A INPUT -s {PEERS} -j NFQUEUE --queue-num 0 --queue-bypass")
        return "\n".join(["*filter", ":INPUT ACCEPT [0:0]", *rules, "COMMIT", ""])

    def rewire(self):
        for node in self.all:
            self.stopped += self.count_stopped(node)
            run("ip", "netns", "exec", node.id, "iptables-restore", text=self.rules(node))

    @staticmethod
    def count_stopped(node):
        """How many packets met the rules that it has."""
        listed = run("ip", "netns", "exec", node.id, "iptables", "-nvxL", "INPUT")
        return sum(int(line.split()[0]) for line in listed.splitlines()[2:])

    def partition(self, cut, refused=False):
        with self.lock:
            self.cut, self.refused = set(cut), refused
            self.rewire()

    def lose(self, per_cent):
        with self.lock:
            self.loss = per_cent
            self.rewire()

    def delay(self, least_ms, jitter_ms):
        with self.lock:
            for node in self.all:
                command = ["ip", "netns", "exec", node.id, DELAY, "0", str(least_ms), str(jitter_ms)]
                self.delays.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
            self.rewire()

    def delay_no_more(self):
        with self.lock:
            for process in self.delays:
                assert process.poll() is None, "what was to delay packets has ended"
                process.kill()
                process.wait()
            self.delays = []
            self.rewire()

    # --- all of it ---

    def heal(self):
        """Whatever was done: the network is whole, clocks are right, disks well, and every node runs."""
        self.partition([])
        self.lose(0)
        if self.delays:
            self.delay_no_more()
        for node in self.all:
            node.log_pipe.resume()
            node.set_clock(0)
            node.recover()
            if node.is_up():
                node.thaw()
        for node in self.all:
            node.be_there()
        while self.lost:
            self.add_again(self.lost.pop())

    def lose_disk(self, node):
        """It starts on an empty one."""
        kill_at_once([node])
        for name in os.listdir(node.data):
            path = os.path.join(node.data, name)
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        self.lost.append(node)
        node.launch()

    def ask_about(self, node, method, path, **fields):
        """A change of members, asked of the others in turn until it is answered as wanted; False: not in so many seconds."""
        others = itertools.cycle([n for n in self.all if n is not node])
        end = time.monotonic() + nodes.PATIENCE * 2
        while time.monotonic() < end:
            try:
                if requests.request(method, next(others).url + path, timeout=5, **fields).status_code in (200, 404):
                    return True
            except requests.RequestException:
                pass
            time.sleep(0.1)
        return False

    def add_again(self, node):
        query, body = {"wait": "voter", "timeout": "4s"}, {"id": node.id, "peer": node.peer}
        assert self.ask_about(node, "POST", "/v1/members", params=query, json=body), f"{node.id} is not taken back"

    def dissolve(self):
        """So that there is room for another one."""
        self.clean_up()
        for process in self.delays:
            process.kill()
            process.wait()
        for node in self.all:
            run("ip", "link", "delete", f"to-{node.id}")  # at once; with its namespace it would go some time later
            run("ip", "netns", "delete", node.id)
        run("ip", "link", "delete", "switch")
        run("umount", "--lazy", "/dev/shm")
        run("umount", "--lazy", "/run")  # the network namespaces go with their last process


def kill_at_once(victims):
    """kill -9 of all their processes, with nothing in between."""
    pids = [pid for node in victims for pid in node.pids()]
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for node in victims:
        node.process.wait()
    wait_until(lambda: not any(map(is_alive, pids)), "the death of all")
