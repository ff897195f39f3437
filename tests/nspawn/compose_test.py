"""docker/: the three containers of the compose file do what raft-kv-example's README shows of its own."""

import os
import re
import subprocess
import tempfile

import pytest

from containers import Composed, Dockerfile, wait_healthy
from machine import TREE, package_of
from nodes import BUILD, PATIENCE, ROOT, wait_until

SHARED = os.path.abspath(os.path.join(ROOT, os.environ.get("SHARED", "../shared")))
README = os.path.join(SHARED, "dialects", "raft-kv-example.README.md")
PORTS = (4001, 4002, 4003)


@pytest.fixture
def composed(root):
    with tempfile.TemporaryDirectory(prefix="hf-", dir="/tmp") as directory:
        os.chmod(directory, 0o755)
        with Composed(TREE, directory) as made:
            yield made
            for c in made.containers.values():
                print(f"--- {c.name}\n{c.log()[-3000:]}")


def commands_of_readme():
    """[(command, what it prints)]"""
    with open(README, encoding="utf-8") as f:
        found = re.findall(r"^~/ > (curl .*)\n\n(\S+)", f.read(), re.MULTILINE)
    assert len(found) == 3
    return found


def status(composed, port, path):
    return composed.at_host(f"curl -s -o /dev/null -w '%{{http_code}}' --max-time {PATIENCE} http://127.0.0.1:{port}{path}")


def leader_of(composed, ports):
    def ask():
        leading = [port for port in ports if status(composed, port, "/leader") == "200"]
        return leading[0] if len(leading) == 1 else None

    return wait_until(ask, "a leader")


def members(composed, port):
    return composed.at_host(f"curl -sS --max-time {PATIENCE} http://127.0.0.1:{port}/v1/members")


def voters(composed, port):
    return len(re.findall(r'"role": *"voter"', members(composed, port)))


@pytest.mark.skipif(not os.path.exists(README), reason="no ../shared")
def test_the_commands_of_the_readme(composed):
    containers = dict(zip(PORTS, composed.containers.values()))
    for c in containers.values():
        c.start()
    wait_healthy(containers.values())
    wait_until(lambda: all(voters(composed, port) == 3 for port in PORTS), "three voters")
    for c in containers.values():
        assert c.service["environment"]["BIND"] in members(composed, 4001)
    for command, printed in commands_of_readme():
        assert composed.at_host(command) == printed, command
    for port in PORTS:
        for command, printed in commands_of_readme()[1:]:
            command = command.replace(":4001", f":{port}")
            assert composed.at_host(command) == printed, command

    # "Try to stop the leader node, see how they elect a new leader": and start it again, as its README does.
    old = leader_of(composed, PORTS)
    assert containers[old].stop() == 0
    others = [port for port in PORTS if port != old]
    new = leader_of(composed, others)
    for port in others:
        url = f"http://127.0.0.1:{port}/keys/other-key/"
        assert composed.at_host(f"""curl -sS {url} -d '{{"value": "{port}"}}'""") == f'{{"value":"{port}"}}'
    containers[old].start()
    wait_healthy([containers[old]])
    assert leader_of(composed, PORTS) == new
    get = f"curl -sS http://127.0.0.1:{old}/keys"
    assert composed.at_host(f"{get}/some-key/") == '{"value":"some-value"}'
    assert composed.at_host(f"{get}/other-key/") == f'{{"value":"{others[-1]}"}}'
    for c in containers.values():
        assert c.stop() == 0


def test_nodes_run_as_their_user_and_keep_what_they_have_in_their_volume(composed):
    c = composed.containers["node_1"]
    c.start()
    wait_healthy([c])
    url = "http://127.0.0.1:4001/keys/a/"
    assert composed.at_host(f"""curl -sS {url} -d '{{"value":"1"}}'""") == '{"value":"1"}'
    volume = os.stat(c.volume)
    assert volume.st_uid != 0 and volume.st_mode & 0o777 == 0o700
    for pid in [c.pid(), *c.children()]:
        assert os.stat(f"/proc/{pid}").st_uid == volume.st_uid
    assert {"identity", "log", "state"} <= set(os.listdir(c.volume))
    assert c.stop() == 0
    c.start()
    wait_healthy([c])
    assert composed.at_host(f"curl -sS {url}") == '{"value":"1"}'


def test_every_library_has_its_package_in_the_image():
    needed = set()
    for name in ("holdfastd", "holdfast-worker"):
        told = subprocess.run(["objdump", "-p", os.path.join(BUILD, name)], capture_output=True, text=True, check=True)
        needed |= set(re.findall(r"NEEDED +(\S+)", told.stdout))
    # The C library is there in every image, and in several packages here.
    assert Dockerfile().packages() == {"curl", *package_of(needed - {"libc.so.6"})}


def test_every_variable_is_known(composed):
    with open(os.path.join(ROOT, "common", "flag.def"), encoding="utf-8") as f:
        known = set(re.findall(r'^VARIABLE\("(\w+)"', f.read(), re.MULTILINE))
    for c in composed.containers.values():
        assert set(c.environment()) - {"PATH"} <= known
