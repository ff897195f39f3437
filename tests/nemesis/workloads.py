"""What clients do on every node, and what must be true of what they were told.

Each workload is holdfast-load with a history (tests/load/history.h), judged when all is over by check-history, which
knows what each violation is, reads every node at the end, and takes revisions at their word; and by the checker of
linearizability (tests/linear), which takes nothing at its word.
"""

import os
import re
import subprocess
import time

from nodes import BUILD
from under_load import CHECK_HISTORY, Load

LINEAR = os.path.join(BUILD, "linear")

# How long a leader may go on believing that it leads: what a read at level=leader may miss (DESIGN 2). The election
# timeout, and as much again for what lies in the buffers of a slow machine.
LEADER_STALE_US = 1000000

LEAST = 60  # acknowledged operations, without which a run has shown nothing
LEAST_DURING = 20  # of them while the nemesis acts, where a majority can go on

REGISTERS = ["--stay", "--keys", "8", "--reads", "40", "--cas", "20", "--creates", "5", "--deletes", "5"]
WORKLOADS = {
    # Registers, every client with its own node: whoever is cut off goes on asking.
    "register": [*REGISTERS, "--rate", "400"],
    "leader reads": [*REGISTERS, "--rate", "200", "--level", "leader"],
    # Unique values, each with a key of its own, sent until they are acknowledged, some of them twice.
    "set": ["--tokens", "--retry", "20", "--reads", "20", "--rate", "200"],
    # The version of a key counts its writes: it is exact in the end, however often each one was sent, and where.
    "counter": ["--tokens", "--retry", "60", "--keys", "3", "--reads", "20", "--cas", "20", "--rate", "200"],
}
SETS = ("set",)  # no registers: keys that are written once


def clock_us():
    """The clock of the histories."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class Verdict:
    """flaws: what is wrong; thin: why it does not count although nothing is wrong."""

    def __init__(self):
        self.flaws, self.thin = [], None
        self.operations = self.during = 0

    def __str__(self):
        return "WRONG" if self.flaws else "thin" if self.thin else "ok"


def begin(world, name):
    """Three clients on each node, one of which only reads: the others wait for a write as soon as it is cut off."""
    crowd = ["--connections", str(3 * len(world.all)), "--readers", str(len(world.all))]
    return Load(world, world.all, *crowd, "--value-size", "64", *WORKLOADS[name])


def end(load, verdict):
    """It comes to its end by itself, and has seen nothing that must not be."""
    out, err = load.process.communicate(timeout=120)
    # 1 with nothing said: no operation succeeded, which is thin, not wrong.
    if load.process.returncode != 0 and err:
        verdict.flaws.append(f"holdfast-load: status {load.process.returncode}: {err.strip()}")
    return out


def count(history, since_us, until_us, verdict):
    with open(history, encoding="ascii") as f:
        for line in f:
            words = line.split(maxsplit=3)
            if not line.startswith("#") and words[2] == "ok":
                verdict.operations += 1
                verdict.during += since_us <= int(words[0]) <= until_us


def relaxed(history, by_us):
    """The same history in a new file, in which every read began so much earlier: what it may miss it may then show."""
    lines, begun, late = [], {}, 0
    with open(history, encoding="ascii") as f:
        for line in f:
            if line.startswith("#"):
                lines.append((-1, line.replace("level=leader", "level=linearizable")))
                continue
            when, process, event, op, rest = line.split(maxsplit=4)
            when = int(when)
            if op == "get" and event == "invoke":
                late += 1
                begun[process] = f"9{late:08}"  # a process of its own: it overlaps with what went before
                when, process = max(0, when - by_us), begun[process]
            elif op == "get":
                process = begun.pop(process)
            lines.append((when, f"{when} {process} {event} {op} {rest}"))
    path = history + ".relaxed"
    with open(path, "w", encoding="ascii") as f:
        f.writelines(line for _, line in sorted(lines, key=lambda l: l[0]))
    return path


def judge_files(history, nodes=(), linear=True):
    """What is wrong with a history, in words; and with what is on those nodes now."""
    flaws = []
    commands = [[CHECK_HISTORY, *(f"--node={n.http}" for n in nodes), history]]
    if linear:
        commands.append([LINEAR, history])
    for command in commands:
        judged = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if judged.returncode != 0:
            flaws.append(f"{os.path.basename(command[0])}: status {judged.returncode}: {judged.stdout}{judged.stderr}")
    return flaws


def is_exact(history):
    """Every write of a counter has its answer."""
    with open(history, encoding="ascii") as f:
        return re.search(r"^\d+ \d+ info (put|cas)", f.read(), re.MULTILINE) is None


def judge(world, name, load, verdict, since_us, until_us, goes_on):
    """Fills in the verdict. goes_on: a majority could work all the time between since and until."""
    count(load.history, since_us, until_us, verdict)
    if verdict.operations < LEAST:
        verdict.thin = f"{verdict.operations} operations in all"
    elif goes_on and verdict.during < LEAST_DURING:
        verdict.thin = f"{verdict.during} operations while the nemesis acted"
    history = relaxed(load.history, LEADER_STALE_US) if name == "leader reads" else load.history
    verdict.flaws += judge_files(history, world.all, linear=name not in SETS)
    if name in ("set", "counter") and not is_exact(load.history):
        verdict.flaws.append("a write that is sent until it is answered has no answer")
