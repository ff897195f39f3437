"""etc/examples: each file is a good configuration, and the three of a folder are a cluster, with nothing changed but the
addresses and the data directory."""

import glob
import os
import re
import subprocess

import pytest
import requests

from nodes import BUILD, PATIENCE, ROOT, Node, wait_until

EXAMPLES = os.path.join(ROOT, "etc", "examples")
FILES = sorted(os.path.relpath(f, EXAMPLES) for f in glob.glob(os.path.join(EXAMPLES, "*", "*.conf")))
HOLDFASTD = os.path.join(BUILD, "holdfastd")


class Configured(Node):
    """A node that has nothing from its command line but its file, and at its first start what the file says."""

    def command(self):
        with open(self.data + ".conf", encoding="utf-8") as f:
            said = re.search(r"^# +holdfastd -c \S+ (--bootstrap)$", f.read(), re.MULTILINE)
        first = [said[1]] if said and not os.path.exists(self.data) else []
        return [self.program, "-c", self.data + ".conf", "--http-workers", "1", *first]


def configured(nodes, folder):
    """The nodes of the files of a folder, here instead of on three machines."""
    made = [Configured(nodes, f"n{i}", {}, HOLDFASTD) for i in (1, 2, 3)]
    here = {"/var/lib/holdfast": None}
    for i, node in enumerate(made, 1):
        here |= {f"10.0.0.{i}:8080": node.http, f"10.0.0.{i}:9000": node.peer}
    for node in made:
        here["/var/lib/holdfast"] = node.data
        with open(os.path.join(EXAMPLES, folder, f"{node.id}.conf"), encoding="utf-8") as f:
            text = f.read()
        with open(node.data + ".conf", "w", encoding="utf-8") as f:
            f.write(re.sub("|".join(map(re.escape, here)), lambda m: here[m[0]], text))
    nodes.all += made
    return made


def voters(node):
    found = requests.get(f"{node.url}/v1/members", timeout=PATIENCE).json()["members"]
    return {m["id"]: m["peer"] for m in found if m["role"] == "voter"}


def test_there_are_three_of_each_kind():
    assert FILES == [f"{folder}/n{i}.conf" for folder in ("join", "static") for i in (1, 2, 3)]


@pytest.mark.parametrize("name", FILES)
def test_it_is_a_good_configuration(name):
    done = subprocess.run([HOLDFASTD, "-t", "-c", os.path.join(EXAMPLES, name)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_node_is_without_join_that_was_to_join():
    """The first one, too: whichever loses its disk comes back to the others."""
    for name in FILES:
        with open(os.path.join(EXAMPLES, name), encoding="utf-8") as f:
            assert re.search(r"^(join|members) = ", f.read(), re.MULTILINE)


@pytest.mark.parametrize("folder", ["join", "static"])
def test_the_three_of_them_are_a_cluster(nodes, folder):
    cluster = configured(nodes, folder)
    for node in reversed(cluster):  # those that join before the one that they join
        node.launch()
    for node in cluster:
        node.wait_log("http 0 worker is at work")
    wanted = {node.id: node.peer for node in cluster}
    if folder == "static":
        assert requests.put(f"{cluster[1].url}/v1/kv/a", data=b"1", timeout=PATIENCE).status_code == 201
    wait_until(lambda: all(voters(node) == wanted for node in cluster), "three voters")
    for i, node in enumerate(cluster):
        assert requests.put(f"{node.url}/v1/kv/{node.id}", data=str(i), timeout=PATIENCE).status_code == 201
    for node in cluster:
        assert [requests.get(f"{node.url}/v1/kv/n{i + 1}", timeout=PATIENCE).text for i in range(3)] == ["0", "1", "2"]


def test_they_are_installed_and_uninstalled(tmp_path):
    """What make would do, without having it build anything."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    make = ["make", "-s", "-C", ROOT, f"DESTDIR={tmp_path}"]
    place = tmp_path / "usr/share/doc/holdfast/examples"
    subprocess.run([*make, "install"], env=environment, check=True)
    assert sorted(str(f.relative_to(place)) for f in place.glob("*/*")) == FILES
    for name in FILES:
        assert (place / name).read_bytes() == open(os.path.join(EXAMPLES, name), "rb").read()
    subprocess.run([*make, "uninstall"], env=environment, check=True)
    assert not (tmp_path / "usr/share/doc/holdfast").exists()
