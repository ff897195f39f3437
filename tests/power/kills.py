"""A process of a node dies in the middle of a call that changes the disk, call by call; what the kernel has stays. The
node goes on by itself, or is started again where it was the supervisor that died, and nothing is lost."""

import os
import shutil
import signal
import tempfile

import requests

from nodes import Nodes, wait_until

WRITES = 12


def make_small_log_files(data):
    """Berkeley DB's log in small files: many are begun in a short time, and a start that zeroes the rest of the last one
    does so in few calls."""
    os.makedirs(os.path.join(data, "state.0"), 0o700)
    with open(os.path.join(data, "state.0", "DB_CONFIG"), "w", encoding="ascii") as f:
        f.write("set_lg_bsize 32768\nset_lg_max 131072\n")


class Kill:
    def __init__(self, shim, later):
        self.shim = shim
        self.later = later  # the node was at work before: it opens what it has
        self.nodes = Nodes(tempfile.mkdtemp(prefix="hf-", dir="/tmp"))
        self.node = self.nodes.node("n1", log_segment="64KiB", log_budget="256KiB", log_image_budget="16MiB")
        self.node.options["node-run"] = os.path.join(self.nodes.directory, "run")
        self.record = os.path.join(self.nodes.directory, "record")
        self.written = {}
        self.found = []

    def close(self):
        self.nodes.clean_up()
        shutil.rmtree(self.nodes.directory)

    def calls(self):
        with open(self.record, "rb") as f:
            return int.from_bytes(f.read(16)[8:], "little")

    def launch(self, at):
        self.node.launch(LD_PRELOAD=self.shim, POWER_RECORD=self.record, POWER_DATA=self.node.data, POWER_KILL=str(at))

    def write(self, again):
        """One write, until it is acknowledged; again() when the whole node is gone."""
        number = len(self.written)

        def try_it():
            if self.node.process.poll() is not None:
                assert self.node.process.returncode == -signal.SIGKILL, self.node.log()
                again()
            try:
                headers = {"Idempotency-Key": f"t{number}"}
                answer = requests.put(f"{self.node.url}/v1/kv/k{number}", data=str(number), headers=headers, timeout=10)
            except requests.RequestException:
                return False
            return answer.status_code in (200, 201)

        wait_until(try_it, f"write {number} of {self.node.id}")
        self.written[f"k{number}"] = str(number)

    def stop(self):
        assert self.node.stop() == 0, self.node.log()

    def run(self, at):
        """at: the call that is the last; 0: none is. The complaints, and how many calls there were."""
        if self.later:
            make_small_log_files(self.node.data)
            self.node.start()
            for _ in range(WRITES):
                self.write(lambda: None)
            self.stop()
        with open(self.record, "wb"):
            pass
        os.makedirs(self.node.data, 0o700, exist_ok=True)
        self.launch(at)
        for _ in range(WRITES):
            self.write(lambda: self.launch(at))
        while self.calls() < at:
            self.write(lambda: self.launch(at))
        if self.node.process.poll() is None:
            self.node.wait_workers()
            self.stop()
        calls = self.calls()
        self.node.start()
        for key, value in self.written.items():
            there = requests.get(f"{self.node.url}/v1/kv/{key}", timeout=30)
            if there.text != value:
                self.found.append(f"{key} was acknowledged, and is {there.status_code} {there.text}")
        return self.found, calls


def run(shim, later, at):
    k = Kill(shim, later)
    try:
        return k.run(at)
    except (AssertionError, requests.RequestException) as e:
        return [str(e)], 0
    finally:
        k.close()
