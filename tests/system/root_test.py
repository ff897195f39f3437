"""Started as root, with another user for the workers."""

import os
import pwd
import shutil
import stat

import pytest
import requests

from nodes import BUILD, is_alive, wait_until

USER = "nobody"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def node(nodes):
    """A node whose program and directory that user may reach."""
    os.chmod(nodes.directory, 0o755)
    for name in ("holdfastd", "holdfast-worker"):
        shutil.copy(os.path.join(BUILD, name), nodes.directory)
    made = nodes.node(program=os.path.join(nodes.directory, "holdfastd"), node_user=USER)
    made.data = os.path.join(nodes.directory, "data")
    return made


def status_of(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def owner(path):
    return pwd.getpwuid(os.stat(path).st_uid).pw_name


def test_workers_have_no_privilege_and_the_supervisor_keeps_its_own(node):
    node.start()
    assert requests.put(node.url + "/v1/kv/a", data=b"1", timeout=30).status_code == 201
    user = pwd.getpwnam(USER)
    for pid in node.workers().values():
        s = status_of(pid)
        assert s["Uid"].split() == [str(user.pw_uid)] * 4
        assert s["Gid"].split() == [str(user.pw_gid)] * 4
        assert s["Groups"].split() == []
        for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(s[caps], 16) == 0, caps
        assert s["NoNewPrivs"] == "1"
    assert status_of(node.process.pid)["Uid"].split() == ["0"] * 4
    for path in (node.data, node.data + "/run", node.data + "/lock", node.data + "/identity"):
        assert owner(path) == USER
    assert stat.S_IMODE(os.stat(node.data).st_mode) == 0o700
    assert node.stop() == 0
    node.start()
    assert requests.get(node.url + "/v1/kv/a", timeout=30).content == b"1"


def test_workers_of_another_user_still_end_with_the_supervisor(node):
    node.start()
    pids = node.pids()
    node.freeze()  # so that the end of the channel is not what ends them
    os.kill(node.process.pid, 9)
    node.process.wait()
    wait_until(lambda: not any(map(is_alive, pids)), "the end of the workers")


def test_a_directory_made_by_root_is_given_away(node):
    os.mkdir(node.data, 0o755)
    node.start()
    assert owner(node.data) == USER


def test_the_parents_that_root_makes_let_the_user_through(node, nodes):
    node.data = os.path.join(nodes.directory, "a", "b")
    before = os.umask(0o077)
    try:
        node.start()
    finally:
        os.umask(before)
    assert owner(node.data) == USER
    assert requests.put(node.url + "/v1/kv/a", data=b"1", timeout=30).status_code == 201


def test_root_in_the_directory_of_a_service_user_is_told_both_users_and_the_way_out(node):
    os.mkdir(node.data)
    os.chown(node.data, pwd.getpwnam(USER).pw_uid, -1)
    del node.options["node-user"]
    node.launch()
    assert node.wait_exit() == 73
    assert f"belongs to user {USER} ({pwd.getpwnam(USER).pw_uid}), and this process runs as root (0)" in node.log()
    assert "name the owner in [node] user" in node.log()


def test_a_link_of_the_user_is_not_followed_with_the_rights_of_root(node, nodes):
    """The data directory is the user's: what he puts where the run directory is to be must not become his."""
    treasure = os.path.join(nodes.directory, "treasure")
    os.mkdir(treasure, 0o700)
    os.mkdir(node.data)
    os.chown(node.data, pwd.getpwnam(USER).pw_uid, -1)
    os.symlink(treasure, os.path.join(node.data, "run"))
    node.launch()
    assert node.wait_exit() == 73
    assert owner(treasure) == "root"


def test_a_user_that_does_not_exist_is_a_configuration_error(node):
    node.options["node-user"] = "no-such-user"
    node.launch()
    assert node.wait_exit() == 78
    assert "there is no user no-such-user" in node.log()
