"""Figures of long lives: what checkpoints and images cost those who write, how the disk fills, how long a start takes."""

import bisect
import concurrent.futures
import datetime
import glob
import http.client
import os
import re
import statistics
import struct
import threading
import time

import requests

from machine import VALUE_BYTES, Cluster, fill, now, percentile, show_machine, wrk
from under_load import Load, leader_of, status, wait_equal


# --- what was measured ---


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
    """What a --times file tells of each operation."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.all = [(due, took) for due, took, _ in struct.iter_unpack("=qII", f.read())]

    def split(self, intervals):
        """How long each took that overlaps with one of these, and each that does not."""
        spans = merged(intervals)
        begins = [begin for begin, _ in spans]
        within, without = [], []
        for due, took in self.all:
            i = bisect.bisect_right(begins, due + took) - 1
            (within if i >= 0 and spans[i][1] >= due else without).append(took)
        return within, without


def show_times_head(of_what):
    print(f"\n{of_what:40}{'number':>11}{'p50':>9}{'p90':>9}{'p99':>9}{'p99.9':>9}{'max':>9}  ms")


def show_times(name, took):
    if not took:
        print(f"{name:40}       none", flush=True)
        return
    shares = "".join(f"{percentile(took, share) / 1000:9.2f}" for share in (0.5, 0.9, 0.99, 0.999))
    print(f"{name:40}{len(took):11}{shares}{max(took) / 1000:9.2f}", flush=True)


class Lines:
    """Intervals of the nodes' logs, in microseconds of CLOCK_BOOTTIME."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.offset = now() - time.time_ns() // 1000

    def at(self, stamp):
        return int(datetime.datetime.fromisoformat(stamp).timestamp() * 1e6) + self.offset

    def find(self, node, pattern):
        """(when, what the group matched) of each line in this life of the node."""
        found = re.findall(rf"^(\S+ \S+) .*: {pattern}", node.log(), re.MULTILINE)
        return [(self.at(stamp), what) for stamp, what in found]

    def checkpoints(self):
        """Those of each node."""
        pattern = r"the state is checkpointed took=(\d+)ms"
        return [[(end - int(took) * 1000, end) for end, took in self.find(n, pattern)] for n in self.nodes]

    def images(self):
        """From the first word of the sender to the node's own that it has it."""
        began = [at for n in self.nodes for at, _ in self.find(n, r"sends an image of the state (to)")]
        over = [at for n in self.nodes for at, _ in self.find(n, r"an image of the state was taken over (by)")]
        return list(zip(sorted(began), sorted(over)))


def show_checkpoints(of_nodes, times):
    """Returns the p99 of the writes without, in microseconds."""
    intervals = [c for node in of_nodes for c in node]
    lasted = [(end - begin) / 1000 for begin, end in intervals]
    within, without = times.split(intervals)
    show_times_head("writes")
    show_times("all", [took for _, took in times.all])
    show_times("while any node checkpoints", within)
    show_times("while none does", without)
    calm = percentile(without, 0.99) if without else 1
    print(
        f"checkpoints: {', '.join(str(len(c)) for c in of_nodes)} on the nodes, "
        f"median {percentile(lasted or [0], 0.5):.0f} ms, longest {max(lasted or [0]):.0f} ms; "
        f"p99 with them / without: {percentile(within or [0], 0.99) / calm:.2f}",
        flush=True,
    )
    return calm


def puts(cluster, leader, keys, *more):
    """A load without a history, of puts unless told otherwise; and the file of its times."""
    path = os.path.join(cluster.nodes.directory, "times")
    command = f"--connections 64 --keys {keys} --prefix bench/ --seed 1 --times {path}".split()
    return Load(cluster.nodes, [leader], *command, *more, history=False), path


def bench_checkpoints(keys, seconds, rate):
    with Cluster(log_level="debug") as cluster:
        show_machine(cluster.nodes.directory)
        leader = leader_of(cluster.all)
        fill(leader, 0, keys)
        wait_equal(cluster.all)
        since = now()
        load, path = puts(cluster, leader, keys, "--duration", str(seconds), "--rate", str(rate))
        figures = load.finish()
        print(f"{figures['writes']['per_second']:.0f} puts/s over {keys} keys")
        found = Lines(cluster.all).checkpoints()
        show_checkpoints([[c for c in node if c[1] >= since] for node in found], Times(path))


# --- disks ---

LOOKS = 20  # at the disk, in a run
MIB = 2**20
BUDGETS = (256 + 1024) * MIB  # [log] budget and image_budget by default


def file_bytes(directory, pattern):
    """What the files take on the disk."""
    found = 0
    for path in glob.glob(os.path.join(directory, pattern)):
        try:
            found += os.stat(path).st_blocks * 512
        except FileNotFoundError:
            pass
    return found


def look(node):
    """Bytes of its log, of the state, of the state's own log, and of all that is not put by for a full disk."""
    parts = [file_bytes(node.data, p) for p in ("log/*", "state.*/state.db", "state.*/log.*")]
    return [*parts, sum(parts)]


def show_disk(seconds, count, seen):
    """The most that a node takes of each."""
    most = [max(column) / MIB for column in zip(*seen)]
    print(f"{seconds:8.0f}{count:12}" + "".join(f"{m:12.0f}" for m in most), flush=True)


def watch_disks(cluster, load, leader, count, halfway):
    """Prints the table while the load goes on; the most that any node ever took."""
    print(f"\n{'seconds':>8}{'puts':>12}{'log':>12}{'state':>12}{'state log':>12}{'all':>12}  MiB, the most of a node")
    begun, shown, most = time.monotonic(), 0, 0
    while load.process.poll() is None:
        time.sleep(1)
        seen = [look(n) for n in cluster.nodes.all]
        most = max(most, *(all for *_, all in seen))
        done = (status(leader) or {"applied": 0})["applied"]
        if done >= count * shown // LOOKS:
            shown += 1
            show_disk(time.monotonic() - begun, done, seen)
        if halfway is not None and done >= count // 2:
            halfway()
            halfway = None
    return most


def bench_long(count, keys):
    """Puts over the same keys again and again; after half of them a node is added, which gets an image."""
    with Cluster(log_level="debug") as cluster:
        show_machine(cluster.nodes.directory)
        leader = leader_of(cluster.all)
        load, path = puts(cluster, leader, keys, "--count", str(count))
        added = cluster.nodes.node("n4", join=leader.http, log_level="debug")
        most = watch_disks(cluster, load, leader, count, added.launch)
        figures = load.finish()
        wait_equal([*cluster.all, added])
        data = keys * (len("bench/00000000") + VALUE_BYTES)
        bound = (data + BUDGETS) * 1.2
        print(f"{figures['writes']['per_second']:.0f} puts/s, {figures['writes']['ok']} in all over {keys} keys")
        print(
            f"the most that a node took: {most / MIB:.0f} MiB; data {data / MIB:.0f} MiB, budgets {BUDGETS / MIB:.0f} MiB, "
            f"with 20 % {bound / MIB:.0f} MiB: {'within' if most <= bound else 'NOT within'} the bound"
        )
        times, lines = Times(path), Lines(cluster.nodes.all)
        images = lines.images()
        calm = show_checkpoints(lines.checkpoints(), times)
        within, _ = times.split(images)
        show_times("while a node gets an image", within)
        print(
            f"images: {', '.join(f'{(end - begin) / 1e6:.1f} s' for begin, end in images) or 'none'}; "
            f"p99 with them / without anything: {percentile(within or [0], 0.99) / calm:.2f}"
        )


# --- restarts ---

RESTARTS = 5
UNDER_WAY_SECONDS = 6  # of puts before each kill


def restart(cluster, node, keys):
    """Killed under load and started: milliseconds until its workers are at work, until a linearizable read is answered;
    bytes of the log, of the state's own log, of the state."""
    load, _ = puts(cluster, node, keys)
    time.sleep(UNDER_WAY_SECONDS)
    node.kill_all()
    load.process.kill()
    load.process.communicate()
    sizes = [file_bytes(node.data, p) for p in ("log/*", "state/log.*", "state/state.db")]
    begun = now()
    node.start()
    at_work = now()
    while requests.get(f"{node.url}/v1/kv/bench/00000000", timeout=60).status_code != 200:
        pass
    return ((at_work - begun) / 1000, (now() - begun) / 1000, *(s / MIB for s in sizes))


def show_restarts(cluster, most):
    node = leader_of(cluster.all)
    print(
        f"\n{'kill -9 under load, median of':30}{RESTARTS:2}{'at work':>10}{'longest':>10}{'read':>10}{'longest':>10}  ms"
        f"{'log':>8}{'state log':>11}{'state':>8}  MiB"
    )
    have, keys = 0, 10000
    while keys <= most:
        fill(node, have, keys)
        rounds = list(zip(*(restart(cluster, node, keys) for _ in range(RESTARTS))))
        middle = [statistics.median(column) for column in rounds]
        print(
            f"{keys:26} keys  {middle[0]:10.0f}{max(rounds[0]):10.0f}{middle[1]:10.0f}{max(rounds[1]):10.0f}    "
            f"{middle[2]:8.0f}{middle[3]:11.0f}{middle[4]:8.0f}",
            flush=True,
        )
        have, keys = keys, keys * 10


def bench_restart(most):
    """Of one node alone, so that nobody else's log makes it wait."""
    with Cluster(1) as cluster:
        show_machine(cluster.nodes.directory)
        show_restarts(cluster, most)


# --- more keys than the cache has room for ---

CACHES = ("64MiB", "0", "1GiB")
PAGE_KEYS = 1000
GETS_A_SECOND = 2000
GETS_SECONDS = 20


def page_through(node, until):
    """Lists all keys in pages, again from the first when it has come to the last, until that event; how many keys."""
    seen, after = 0, ""
    host, port = node.http.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    while not until.is_set():
        connection.request("GET", f"/v1/kv?prefix=bench/&limit={PAGE_KEYS}{after}")
        answer = connection.getresponse()
        page = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"a page was answered {answer.status}")
        last = re.search(rb'"next":"([^"]*)"}\s*$', page)
        seen += PAGE_KEYS if last else page.count(b'"version":')
        after = f"&after={last[1].decode()}" if last else ""
    return seen


def timed_gets(cluster, node, keys):
    load, path = puts(cluster, node, keys, *f"--reads 100 --rate {GETS_A_SECOND} --duration {GETS_SECONDS}".split())
    load.finish()
    return [took for _, took in Times(path).all]


def show_lists(cluster, node, keys):
    """Gets at a steady rate while somebody lists all keys, and while nobody does."""
    show_times_head(f"{GETS_A_SECOND} gets a second")
    without = timed_gets(cluster, node, keys)
    show_times("while nobody lists", without)
    over, begun = threading.Event(), time.monotonic()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        listed = pool.submit(page_through, node, over)
        within = timed_gets(cluster, node, keys)
        over.set()
        count, period = listed.result(), time.monotonic() - begun
    show_times("while a client pages through all keys", within)
    print(
        f"listed {count / period:.0f} keys/s in pages of {PAGE_KEYS}; "
        f"p99 with / without: {percentile(within, 0.99) / percentile(without, 0.99):.2f}",
        flush=True,
    )


def memory(node):
    """MiB that all processes of a node have in memory for themselves."""
    total = 0
    for pid in node.pids():
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
            total += sum(int(kib) for kib in re.findall(r"^Private_\w+:\s+(\d+) kB", f.read(), re.MULTILINE))
    return total / 1024


def show_caches(cluster, keys, seconds):
    node = cluster.all[0]
    for cache in CACHES:
        node.stop()
        node.options["state-cache"] = cache
        node.start()
        leader_of(cluster.all)
        print(f"\n[state] cache = {cache}: {re.search(r'cache=(.*)', node.log())[1]}, {keys} keys")
        for what in ("get", "put"):
            f = wrk(node, what, 64, seconds, keys)
            print(
                f"{what} {f['requests'] / f['seconds']:8.0f}/s, p50 {f['p50_us'] / 1000:.2f} ms, "
                f"p99 {f['p99_us'] / 1000:.2f} ms, errors {f['errors']}",
                flush=True,
            )
        show_lists(cluster, node, keys)
        print(f"memory of its own: {memory(node):.0f} MiB", flush=True)


def bench_wide(keys, seconds):
    """One node alone: what its state does, without a network in between."""
    with Cluster(1) as cluster:
        show_machine(cluster.nodes.directory)
        node = leader_of(cluster.all)
        begun = time.monotonic()
        fill(node, 0, keys)
        took = time.monotonic() - begun
        parts = [f"{name} {size / MIB:.0f} MiB" for name, size in zip(("log", "state", "state log", "all"), look(node))]
        print(f"filled with {keys} keys in {took:.0f} s: {', '.join(parts)}", flush=True)
        show_caches(cluster, keys, seconds)
