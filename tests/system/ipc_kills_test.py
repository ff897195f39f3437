"""kill -9 of one side of the socket between an HTTP worker and the consensus worker, at any point of a message and
again and again under load: the other side goes on, and no descriptor and no thread of it is left over.

The supervisor waits longer and longer before it starts a worker again that keeps dying, so each round has a new
supervisor. SEED=n repeats the choices of a run, KILLS=n makes it longer.
"""

import collections
import os
import random
import re
import signal
import time
from datetime import datetime

import requests
from nodes import PATIENCE, is_alive, wait_until
from under_load import Load, check_history, leader_of, wait_equal

KILLS = int(os.environ.get("KILLS") or 60)
HTTP_WORKERS = 2
SMALL = ["--connections", "6", "--rate", "300", "--tokens", "--retry", "20", "--reads", "30"]
LARGE = ["--connections", "2", "--rate", "20", "--tokens", "--retry", "20", "--reads", "50", "--value_size", "400000"]
LARGE += ["--keys", "10"]
ROUND_KILLS = {"http": 8, "consensus": 4}
DELAY_MAX = 0.02  # seconds before a kill
RESTS_SECONDS = 0.05
WHOLE_SECONDS = 0.1  # what is hoped for, and counted; not asserted


def held_by(pid):
    """What its descriptors are, without files (those of the log come and go), and how many threads it has."""
    kinds = collections.Counter()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            link = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            continue
        if not link.startswith("/"):
            kinds[re.sub(r":\[\d+\]$", "", link)] += 1
    return dict(kinds), len(os.listdir(f"/proc/{pid}/task"))


def held_at_rest(pid):
    """The same when the load has gone: it does not change for a while."""
    seen = []

    def rests():
        time.sleep(RESTS_SECONDS)
        seen.append(held_by(pid))
        return len(seen) > 5 and all(s == seen[-1] for s in seen[-5:])

    wait_until(rests, f"{pid} to rest")
    return seen[-1]


def stamps(node, since, pattern):
    """When the log, from there on, has such lines."""
    with open(node.log_path, "rb") as f:
        f.seek(since)
        lines = f.read().decode(errors="replace").splitlines()
    return [datetime.fromisoformat(line.split()[0]).timestamp() for line in lines if re.search(pattern, line)]


def is_answered(node):
    try:
        return requests.get(node.url + "/v1/kv/nothing", timeout=PATIENCE).status_code == 404
    except requests.RequestException:
        return False


def kill_once(node, name, dice):
    """Seconds until all was whole and a request was answered: since the successor is at work, and since the kill."""
    time.sleep(dice.uniform(0, DELAY_MAX))
    since, pid, killed = os.path.getsize(node.log_path), node.workers()[name], time.time()
    os.kill(pid, signal.SIGKILL)
    links = HTTP_WORKERS if name == "consensus" else 1
    at_work = wait_until(lambda: stamps(node, since, r"is at work pid="), f"the successor of {name}")[0]
    wait_until(lambda: is_answered(node), "an answer")
    answered = time.time()

    def find_links():
        found = stamps(node, since, r" info: the consensus worker is there generation=")
        return found if len(found) >= links else None

    whole = max(answered, *wait_until(find_links, f"{links} workers to be connected"))
    return whole - at_work, whole - killed


def told(seconds):
    ordered = sorted(s * 1000 for s in seconds)
    p99 = ordered[(len(ordered) - 1) * 99 // 100]
    return f"median {ordered[len(ordered) // 2]:.0f} ms, p99 {p99:.0f} ms, max {ordered[-1]:.0f} ms"


def kill_phase(nodes, node, side, dice):
    """One side is killed again and again, the other must be what it was; what each kill took."""
    killed = [name for name in node.workers() if name.startswith(side)]
    survivors = {name: pid for name, pid in node.workers().items() if name not in killed}
    before = {name: held_at_rest(pid) for name, pid in survivors.items()}
    loads = [Load(nodes, [node], *SMALL), Load(nodes, [node], *LARGE)]
    took = []
    for _ in range(ROUND_KILLS[side]):
        loads[0].wait_writes(3)
        took.append(kill_once(node, dice.choice(killed), dice))
    figures = [load.stop() for load in loads]
    wait_equal([node])
    check_history(loads, [node])
    assert [(f["writes"]["failed"], f["writes"]["unknown"], f["wrong"]) for f in figures] == [(0, 0, 0)] * len(loads)
    assert {name: node.workers()[name] for name in survivors} == survivors
    assert {name: held_at_rest(pid) for name, pid in survivors.items()} == before
    return took


def test_either_side_may_be_killed_at_any_point_of_a_message(nodes):
    seed = int(os.environ.get("SEED") or random.randrange(1 << 32))
    print(f"SEED={seed}")
    dice = random.Random(seed)
    node = nodes.node("n1", http_workers=HTTP_WORKERS).start()
    took = {side: [] for side in ROUND_KILLS}
    while sum(map(len, took.values())) < KILLS:
        for side in took:
            leader_of([node])
            wait_until(lambda: is_answered(node), "an answer")
            took[side] += kill_phase(nodes, node, side, dice)
        assert node.stop() == 0
        node.start()
    for side, seconds in took.items():
        whole, down = zip(*seconds)
        in_time = sum(s <= WHOLE_SECONDS for s in whole)
        print(f"{side} killed {len(whole)} times; since its successor is at work: {told(whole)}, {in_time} within 100 ms")
        print(f"    since the kill, with the pause before a restart: {told(down)}")
