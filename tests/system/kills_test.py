"""kill -9 of any process of any node, again and again under load: the node is whole again each time, a port is
closed only while its supervisor is away, and nothing that was acknowledged is lost.

SEED=n repeats the choices of a run, KILLS=n makes it longer.
"""

import os
import random
import re
import socket
import threading

from nodes import PATIENCE, is_alive, wait_until
from under_load import Load, check_history, is_ready, leader_of, wait_equal

KILLS = int(os.environ.get("KILLS") or 50)
HTTP_WORKERS = 2
PROBE_SECONDS = 0.01  # between two connects

COMMON = ["--connections", "8", "--rate", "400", "--tokens", "--retry", "20"]
KINDS = [["--reads", "30"], ["--keys", "20", "--reads", "40", "--cas", "20", "--deletes", "10"]]


class Ports:
    """Connects to the HTTP port of every node all the time, and notes what fails."""

    def __init__(self, cluster):
        self.failed = []
        self.connects = {n.id: 0 for n in cluster}
        self.over = threading.Event()
        self.locks = {n.id: threading.Lock() for n in cluster}
        self.threads = [threading.Thread(target=self.probe, args=(n,), daemon=True) for n in cluster]
        for thread in self.threads:
            thread.start()

    def probe(self, node):
        host, port = node.http.rsplit(":", 1)
        while not self.over.wait(PROBE_SECONDS):
            with self.locks[node.id]:
                try:
                    socket.create_connection((host, int(port)), timeout=PATIENCE).close()
                    self.connects[node.id] += 1
                except OSError as e:
                    self.failed.append(f"{node.id}: {e}")

    def excused(self, node):
        """with ports.excused(n): nothing is asked of it meanwhile."""
        return self.locks[node.id]

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


def is_whole(node):
    """Each of its HTTP workers is connected to the consensus worker that there is, and one of them calls it ready."""
    said = node.log()
    generation = re.findall(r"consensus worker started pid=\d+ generation=(\d+)", said)[-1]
    http = [f"{name}[{pid}]" for name, pid in node.workers().items() if name != "consensus"]
    there = rf" info: the consensus worker is there generation={generation} "
    return all(re.search(re.escape(worker) + there, said) for worker in http) and is_ready(node)


def kill_supervisor(node):
    """And starts it again when its workers have gone too."""
    workers = node.workers().values()
    node.kill()
    wait_until(lambda: not any(map(is_alive, workers)), f"the end of the workers of {node.id}")
    wait_until(node.ports_are_free, f"the ports of {node.id} to be free")
    node.start()


def kill_something(node, dice, ports):
    """Any kind of process as likely as another; what it was."""
    kind = dice.choice(["supervisor", "consensus", "http"])
    if kind == "supervisor":
        with ports.excused(node):
            kill_supervisor(node)
        return kind
    name = f"http {dice.randrange(HTTP_WORKERS)}" if kind == "http" else kind
    node.kill(name)
    node.wait_workers()
    return kind


def test_any_process_may_be_killed_at_any_time(nodes):
    seed = int(os.environ.get("SEED") or random.randrange(1 << 32))
    print(f"SEED={seed}")
    dice = random.Random(seed)
    cluster = nodes.cluster(3, http_workers=HTTP_WORKERS)
    leader_of(cluster)
    loads = [Load(nodes, cluster, *COMMON, *kind) for kind in KINDS]
    ports = Ports(cluster)
    killed = []
    for _ in range(KILLS):
        for load in loads:
            load.wait_writes(20)
        node = dice.choice(cluster)
        killed.append(kill_something(node, dice, ports))
        wait_until(lambda: is_whole(node), f"{node.id} to be whole")
    ports.stop()
    assert ports.failed == []
    figures = [load.stop() for load in loads]
    wait_equal(cluster)
    check_history(loads, cluster, least=500)
    assert [(f["writes"]["failed"], f["writes"]["unknown"], f["wrong"]) for f in figures] == [(0, 0, 0)] * len(loads)
    kinds = ", ".join(f"{killed.count(k)} {k}" for k in sorted(set(killed)))
    connects, writes = sum(ports.connects.values()), sum(f["writes"]["ok"] for f in figures)
    print(f"killed {kinds}; {connects} connects, 0 failed; {writes} writes, 0 failed")
