"""The READMEs of the five servers that Holdfast takes over from, command by command: readme-*.sh, one for each.

A script has every command of its README, with the program's name and the host names changed and nothing else; and
what our own README tells their users to type to start a node or to ask one.
"""

import os
import re
import subprocess

import pytest

from nodes import BUILD, ROOT

HERE = os.path.join(ROOT, "tests/system")
SHARED = os.path.join(ROOT, os.environ.get("SHARED", "../shared"))
STORES = ["m2", "hraft", "raftdb", "raft-kv-demo", "raft-kv-example"]
NAMESPACES = ["unshare", "--net", "--pid", "--mount-proc", "--fork", "--kill-child"]
SECONDS = 280

# In the order in which they are changed.
CHANGES = [
    (r"^(\$GOPATH/bin/(hraft|raftd)|\./m2|raft-kv-demo) ", "holdfastd "),
    (r"raft-cluster-host-0(\d)", r"127.0.0.1\1"),
    (r"cluster-host(\d)", r"127.0.0.\1"),
]


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return f.read()


def script(store):
    return {line.strip() for line in read(HERE, f"readme-{store}.sh").splitlines()}


def commands(text):
    """Those of a README that start the server or ask it, as they stand; commented ones too."""
    for line in text.splitlines():
        line = re.sub(r"^(~/ > |# )", "", line.strip())
        if re.match(r"curl |\$GOPATH/bin/|\./m2 |raft-kv-demo -", line):
            yield line


@pytest.fixture(scope="module")
def namespaces():
    """unshare, as whoever runs the tests may call it."""
    for more in ([], ["--map-root-user"]):
        command = [*NAMESPACES, *more, "--"]
        if subprocess.run([*command, "ip", "link", "set", "lo", "up"], capture_output=True).returncode == 0:
            return command
    pytest.skip("no network namespaces for us here")


@pytest.mark.parametrize("store", STORES)
def test_the_script_has_every_command_of_the_readme(store):
    path = os.path.join(SHARED, "dialects", f"{store}.README.md")
    if not os.path.exists(path):
        pytest.skip(f"no {path}")
    found = list(commands(read(path)))
    assert len(found) >= 3
    for line in found:
        for pattern, changed in CHANGES:
            line = re.sub(pattern, changed, line)
        assert line in script(store)


@pytest.mark.parametrize("store", STORES)
def test_what_our_readme_shows_is_in_the_script(store):
    section = re.search(rf"\n### Coming from {store}\n(.*?)\n##", read(ROOT, "README.md"), re.DOTALL).group(1)
    shown = [line for line in re.findall(r"^    \$ (.*)", section, re.MULTILINE) if re.search(r"\bcurl |/holdfastd\b", line)]
    assert len(shown) >= 3
    for line in shown:
        assert re.sub(r"\bbuild/holdfastd", "holdfastd", line) in script(store)


@pytest.mark.parametrize("store", STORES)
def test_the_readme_of(store, nodes, namespaces):
    environment = {
        **os.environ,
        **nodes.environment(),
        "PLACE": nodes.directory,
        "HOLDFASTD": os.path.join(BUILD, "holdfastd"),
    }
    for name in ("BIND", "JOIN", "PORT", "DATA_DIR", "BOOTSTRAP", "IDENTIFIER"):
        environment.pop(name, None)
    ran = subprocess.run(
        [*namespaces, "sh", "-c", 'ip link set lo up && exec bash "$0"', f"{HERE}/readme-{store}.sh"],
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.endswith("all as documented\n")
