"""A cluster under load: holdfast-load in the background, and what must be true of the nodes when it has ended."""

import json
import os
import signal
import subprocess

import requests

from nodes import BUILD, ROOT, wait_until

CHECK_HISTORY = os.path.join(ROOT, "tests", "load", "check-history")


def status(node):
    """GET /v1/status, or None while the node does not answer."""
    try:
        answer = requests.get(node.url + "/v1/status", timeout=2)
        return answer.json() if answer.status_code == 200 else None
    except (requests.RequestException, ValueError):
        return None


def is_ready(node):
    try:
        return requests.get(node.url + "/readyz", timeout=2).status_code == 200
    except requests.RequestException:
        return False


def leader_of(nodes):
    """The node that leads, as soon as one does and knows it."""

    def find():
        leading = [n for n in nodes if (s := status(n)) and s["role"] == "leader" and s["confirmed"]]
        return leading[0] if len(leading) == 1 else None

    return wait_until(find, "a leader")


def wait_equal(nodes):
    """All nodes come to one applied index, and have the same state there."""

    def equal():
        seen = [status(n) for n in nodes]
        if not all(seen) or len({s["applied"] for s in seen}) != 1 or seen[0]["applied"] != seen[0]["commit"]:
            return None
        if len({s["hash"] for s in seen}) != 1:
            raise AssertionError(f"different states at {seen[0]['applied']}: {[s['hash'] for s in seen]}")
        return seen

    return wait_until(equal, "equal states")


class Load:
    """holdfast-load over these nodes until stop(); without a history nothing is known of it before its end."""

    made = 0

    def __init__(self, nodes, over, *arguments, history=True):
        Load.made += 1
        self.history = os.path.join(nodes.directory, f"load-{Load.made}") if history else ""
        command = [os.path.join(BUILD, "holdfast-load"), "--json", "--history", self.history]
        command += ["--nodes", ",".join(n.http for n in over), "--timeout", "1500", *arguments]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **nodes.environment()},
        )
        self.read = 0
        self.acknowledged = 0

    def writes(self):
        """How many writes were acknowledged so far."""
        if os.path.exists(self.history):
            with open(self.history, "rb") as f:
                f.seek(self.read)
                new = f.read()
            whole = new[: new.rfind(b"\n") + 1]
            self.read += len(whole)
            self.acknowledged += sum(whole.count(b" ok " + op) for op in (b"put ", b"cas ", b"delete "))
        return self.acknowledged

    def wait_writes(self, count):
        """So many more are acknowledged."""
        wanted = self.writes() + count

        def enough():
            assert self.process.poll() is None, f"the load ended: {self.process.communicate()}"
            return self.writes() >= wanted

        wait_until(enough, f"{count} more acknowledged writes")

    def finish(self):
        """Waits until it ends by itself; the figures."""
        out, err = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, err
        return json.loads(out)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.finish()


def run_linear(*histories):
    """The checker's verdict on each (tests/linear/main.c); the exit status is 0 when all are linearizable."""
    return subprocess.run([os.path.join(BUILD, "linear"), *histories], capture_output=True, text=True, timeout=120)


def judge_history(load, nodes, least=1):
    """check-history's verdict on what the load was told and what is on every node."""
    return subprocess.run(
        [CHECK_HISTORY, "--least", str(least), *(f"--node={n.http}" for n in nodes), load.history],
        capture_output=True,
        text=True,
        timeout=120,
    )


def check_history(loads, nodes, least=1):
    """What each load was told is what is there, on every node, and could have been told by one register for each key."""
    for load in loads:
        judged = judge_history(load, nodes, least)
        assert judged.returncode == 0, judged.stdout + judged.stderr
        judged = run_linear(load.history)
        assert judged.returncode == 0, judged.stdout + judged.stderr


class Loads:
    """Three kinds of load at once: keys of their own with tokens and forced repetitions, the same without tokens,
    and a few keys that everybody overwrites."""

    KINDS = [
        ["--tokens", "--retry", "30", "--reads", "30"],
        ["--reads", "30"],
        ["--tokens", "--retry", "20", "--keys", "20", "--reads", "40", "--cas", "20", "--deletes", "10"],
    ]

    def __init__(self, nodes, over):
        self.over = over
        self.all = [Load(nodes, over, "--connections", "6", *kind) for kind in self.KINDS]

    def wait_writes(self, count=300):
        for load in self.all:
            load.wait_writes(count)

    def end_and_check(self):
        """The load ends; all nodes are there and equal, and nothing was lost or done twice."""
        for load in self.all:
            load.process.send_signal(signal.SIGTERM)
        figures = [load.finish() for load in self.all]
        wait_equal(self.over)
        check_history(self.all, self.over, least=200)
        assert figures[0]["writes"]["unknown"] == figures[2]["writes"]["unknown"] == 0
        return figures
