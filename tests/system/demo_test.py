"""make demo, in a network namespace of its own: a node that is killed ends nothing, and comes back by hand."""

import os
import re
import signal
import subprocess

import pytest

from nodes import ROOT, is_alive, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace")


def inside(process, *command):
    """Runs it in the namespace of that process."""
    return ["nsenter", "-t", str(process.pid), "-n", *command]


@pytest.fixture
def demo(tmp_path):
    said = tmp_path / "said"
    with open(said, "w", encoding="utf-8") as to:
        process = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", f'ip link set lo up; exec tests/demo "{tmp_path}/demo"'],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=to,
            stderr=to,
            start_new_session=True,
        )
    process.said = lambda: said.read_text(encoding="utf-8")
    process.place = tmp_path / "demo"
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(60)


def is_ready(demo, port):
    done = subprocess.run(
        inside(demo, "curl", "-sf", f"http://127.0.0.1:{port}/readyz"), capture_output=True, timeout=30, check=False
    )
    return done.returncode == 0


def test_the_demo_goes_on_when_a_node_is_killed_and_takes_it_back(demo):
    wait_until(lambda: "Ctrl-C ends all three nodes." in demo.said() or demo.poll() is not None, "the demo")
    assert "hello at" in demo.said(), demo.said()
    pid = int(re.search(r"kill -9 (\d+) +ends n2; build/holdfastd -c \S+/n2.conf starts it again", demo.said())[1])
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: f"n2 (pid {pid}) was killed by signal 9; the others go on" in demo.said(), "what it says")
    assert demo.poll() is None and is_ready(demo, 8001)
    again = subprocess.Popen(
        inside(demo, "build/holdfastd", "-c", f"{demo.place}/n2.conf"), cwd=ROOT, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: is_ready(demo, 8002), "n2 to be back")
    demo.send_signal(signal.SIGINT)
    assert demo.wait(60) == 0, demo.said()
    assert again.wait(60) == 0
    assert not is_alive(pid) and "their ports are free" in demo.said()
