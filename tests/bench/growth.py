"""Figures of long lives: what checkpoints cost those who write."""

import bisect
import datetime
import os
import re
import struct
import time

from machine import Cluster, fill, now, percentile, show_machine
from under_load import Load, leader_of, wait_equal


# --- what was measured ---


def boot_offset():
    """Microseconds from the clock of the logs to that of the figures."""
    return now() - time.time_ns() // 1000


def checkpoints(node):
    """(begin, end) of each in this life of the node, in microseconds of CLOCK_BOOTTIME."""
    offset = boot_offset()
    found = []
    for at, took in re.findall(r"^(\S+ \S+) .*: the state is checkpointed took=(\d+)ms", node.log(), re.MULTILINE):
        end = int(datetime.datetime.fromisoformat(at).timestamp() * 1e6) + offset
        found.append((end - int(took) * 1000, end))
    return found


def merged(intervals):
    """The same without overlaps, in order."""
    made = []
    for begin, end in sorted(intervals):
        if made and begin <= made[-1][1]:
            made[-1] = (made[-1][0], max(made[-1][1], end))
        else:
            made.append((begin, end))
    return made


class Times:
    """The writes of a --times file."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.all = [(due, took) for due, took, write in struct.iter_unpack("=qII", f.read()) if write]

    def split(self, intervals):
        """How long each took that overlaps with one of these, and each that does not."""
        spans = merged(intervals)
        begins = [begin for begin, _ in spans]
        within, without = [], []
        for due, took in self.all:
            i = bisect.bisect_right(begins, due + took) - 1
            (within if i >= 0 and spans[i][1] >= due else without).append(took)
        return within, without


def show_times(name, took):
    if not took:
        print(f"{name:40}       none", flush=True)
        return
    shares = "".join(f"{percentile(took, share) / 1000:9.2f}" for share in (0.5, 0.9, 0.99, 0.999))
    print(f"{name:40}{len(took):11}{shares}{max(took) / 1000:9.2f}", flush=True)


def show_checkpoints(cluster, times, since):
    of_nodes = [[c for c in checkpoints(n) if c[1] >= since] for n in cluster.all]
    intervals = [c for node in of_nodes for c in node]
    lasted = [(end - begin) / 1000 for begin, end in intervals]
    within, without = times.split(intervals)
    print(f"\n{'writes':40}{'number':>11}{'p50':>9}{'p90':>9}{'p99':>9}{'p99.9':>9}{'max':>9}  ms")
    show_times("all", [took for _, took in times.all])
    show_times("while any node checkpoints", within)
    show_times("while none does", without)
    print(
        f"checkpoints: {', '.join(str(len(c)) for c in of_nodes)} on the nodes, "
        f"median {percentile(lasted or [0], 0.5):.0f} ms, longest {max(lasted or [0]):.0f} ms; "
        f"p99 with them / without: {percentile(within or [0], 0.99) / max(1, percentile(without or [1], 0.99)):.2f}",
        flush=True,
    )


def bench_checkpoints(keys, seconds, rate):
    with Cluster(log_level="debug") as cluster:
        show_machine(cluster.nodes.directory)
        leader = leader_of(cluster.all)
        fill(leader, 0, keys)
        wait_equal(cluster.all)
        since = now()
        path = os.path.join(cluster.nodes.directory, "times")
        load = Load(
            cluster.nodes,
            [leader],
            *f"--connections 64 --keys {keys} --prefix bench/ --seed 1 --duration {seconds} --rate {rate} --times {path}".split(),
        )
        figures = load.finish()
        print(f"{figures['writes']['per_second']:.0f} puts/s over {keys} keys")
        show_checkpoints(cluster, Times(path), since)
