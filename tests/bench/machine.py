"""What all figures need: a cluster of three nodes, the machine below it, and clients."""

import http.client
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "common"))

# pylint: disable=wrong-import-position
from nodes import BUILD, Nodes  # noqa: E402
from under_load import wait_equal  # noqa: E402

VALUE_BYTES = 256
KEYS = 100000
SYNCS = 3000
BLOCK = 4096
BATCH = 500  # keys in a request of fill()


def now():
    """The clock of the histories, in microseconds."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Cluster:
    """Nodes in a directory of the tree's filesystem, gone at the end."""

    def __init__(self, count=3, **options):
        self.count, self.options = count, options
        os.makedirs(BUILD, exist_ok=True)
        self.nodes = Nodes(tempfile.mkdtemp(prefix="bench-", dir=BUILD))

    def __enter__(self):
        self.all = self.nodes.cluster(self.count, http_workers=str(max(1, (os.cpu_count() or 1) // 2)), **self.options)
        wait_equal(self.all)
        return self

    def __exit__(self, *_):
        self.nodes.clean_up()
        shutil.rmtree(self.nodes.directory)


# --- the machine ---


def sync_cost(directory):
    """Microseconds of each of many appends of 4 KiB with fdatasync to a file that was filled with zeros before."""
    path = os.path.join(directory, "sync")
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    took = []
    try:
        os.write(fd, bytes(SYNCS * BLOCK))
        os.fsync(fd)
        block = os.urandom(BLOCK)
        for i in range(SYNCS):
            begun = time.perf_counter_ns()
            os.pwrite(fd, block, i * BLOCK)
            os.fdatasync(fd)
            took.append((time.perf_counter_ns() - begun) / 1000)
    finally:
        os.close(fd)
        os.unlink(path)
    return took


def show_machine(directory):
    took = sync_cost(directory)
    print(
        f"{os.cpu_count()} cores, Linux {platform.release()}, load average {os.getloadavg()[0]:.1f}; "
        f"{BLOCK // 1024} KiB appended and synced: median {statistics.median(took):.0f} us, p99 {percentile(took, 0.99):.0f} us",
        flush=True,
    )


# --- wrk against the leader ---


def wrk(leader, what, connections, seconds, keys=KEYS):
    done = subprocess.run(
        ["wrk", "-t", str(min(2, connections)), "-c", str(connections), "-d", f"{seconds}s", "--timeout", "10s"]
        + ["-s", "tests/bench/wrk.lua", leader.url, "--", what, str(VALUE_BYTES), str(keys)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


# --- many keys ---


def fill_part(node, prefix, numbers):
    """Every key of these in batches; a batch that is refused for now is sent again."""
    host, port = node.http.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    value = "v".ljust(VALUE_BYTES, ".")  # as holdfast-load would have put it
    for first in numbers:
        steps = ",".join(f'{{"put":{{"key":"{prefix}{first + i:08d}","value":"{value}"}}}}' for i in range(BATCH))
        status = 503
        while status == 503:
            connection.request("POST", "/v1/batch", f"[{steps}]", {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        if status != 200:
            raise RuntimeError(f"a batch was answered {status}")


def fill(node, first, last, prefix="bench/", clients=4):
    """Keys of these numbers are there, in a multiple of BATCH."""
    parts = [range(first + c * BATCH, last, clients * BATCH) for c in range(clients)]
    threads = [threading.Thread(target=fill_part, args=(node, prefix, part)) for part in parts]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
