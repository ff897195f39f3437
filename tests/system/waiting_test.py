"""A start that has to wait: for names that do not resolve yet, for addresses that no interface has yet, for a port or a
directory that another process still holds. The operator is obeyed meanwhile."""

import os
import signal
import socket

import pytest
import requests

from nodes import BUILD, is_alive, wait_until
from systemd_test import Listener
from under_load import is_ready, leader_of

SHIM = os.path.join(BUILD, "tests/system/preload/late_names.so")


class Names:
    """Those that resolve; all that end in .test do not before they are said here."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "names")
        self.say()

    def say(self, *names):
        with open(self.path + ".new", "w", encoding="ascii") as f:
            f.writelines(f"{name}\n" for name in names)
        os.rename(self.path + ".new", self.path)

    def environment(self):
        return {"LD_PRELOAD": SHIM, "LATE_NAMES": self.path}


@pytest.fixture
def names(nodes):
    return Names(nodes.directory)


def port_of(address):
    return int(address.rsplit(":", 1)[1])


def rename(node, which, name):
    """It listens there by a name; `which` is "http" or "peer"."""
    setattr(node, which, f"{name}:{port_of(getattr(node, which))}")
    return node


def asks(node, worker):
    """The resolver, by a thread of the supervisor (None) or of that worker."""
    pid = node.process.pid if worker is None else node.workers().get(worker)
    return pid is not None and len(os.listdir(f"/proc/{pid}/task")) > 1


def serves(node):
    try:
        return requests.put(f"http://127.0.0.1:{port_of(node.http)}/v1/kv/a", data=b"1", timeout=10).ok
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize("which", ["http", "peer"])
def test_a_name_that_does_not_resolve_at_boot_is_waited_for(nodes, names, which):
    n = rename(nodes.node(), which, "late.test")
    n.launch(**names.environment())
    n.wait_log(f"warning: cannot listen on late.test:.*{which}] listen.* its name does not resolve")
    n.signal(signal.SIGHUP)
    n.wait_log("the configuration is reloaded")
    assert n.process.poll() is None and not serves(n)
    names.say("late.test")
    n.wait_workers()
    assert n.log().count("does not resolve") == 1
    assert serves(n)
    assert n.stop() == 0


@pytest.mark.parametrize("which", ["http", "peer"])
def test_a_node_that_waits_for_a_name_stops_when_it_is_told_to(nodes, names, which):
    n = rename(nodes.node(), which, "late.test")
    n.launch(**names.environment())
    n.wait_log("its name does not resolve")
    pids = n.pids()
    assert n.stop() == 0
    assert not any(map(is_alive, pids))
    assert os.listdir(n.data) == ["lock"]


@pytest.mark.parametrize("which, worker", [("http", None), ("peer", "consensus")])
def test_a_node_whose_resolver_does_not_answer_stops_when_it_is_told_to(nodes, names, which, worker):
    names.say("hang")
    n = rename(nodes.node(), which, "late.test")
    n.launch(**names.environment())
    wait_until(lambda: asks(n, worker), "a question")
    assert n.stop() == 0


@pytest.mark.parametrize("which", ["http", "peer"])
def test_an_address_that_no_interface_has_yet_is_waited_for(nodes, which):
    n = rename(nodes.node(), which, "192.0.2.1")
    n.launch()
    n.wait_log(f"warning: cannot listen on 192.0.2.1:.*{which}] listen.* no interface of this machine has that address")
    assert n.stop() == 0


@pytest.mark.parametrize("which", ["http", "peer"])
def test_a_node_that_waits_for_a_port_stops_when_it_is_told_to(nodes, which):
    n = nodes.node()
    with socket.socket() as s:
        s.bind(("127.0.0.1", port_of(getattr(n, which))))
        s.listen()
        n.launch()
        n.wait_log(rf"cannot listen on .*{which}] listen.* yet, waiting up to 5 s")
        assert n.stop() == 0


def test_a_port_of_the_peers_that_stays_in_use_is_an_error_that_names_it(nodes):
    n = nodes.node()
    with socket.socket() as s:
        s.bind(("127.0.0.1", port_of(n.peer)))
        s.listen()
        n.launch()
        assert n.wait_exit() == 75
    assert f"cannot listen on {n.peer} ([peer] listen): another process has the port" in n.log()


def test_a_node_that_waits_for_its_directory_stops_when_it_is_told_to(nodes):
    n = nodes.node().start()
    other = nodes.node("n1")
    other.log_path += ".other"
    other.launch()
    other.wait_log("waiting up to 5 s")
    assert other.stop() == 0
    assert serves(n)
    assert os.path.exists(os.path.join(n.data, "run"))


def test_systemd_is_asked_for_time_while_a_name_is_waited_for(nodes, names):
    listener = Listener(os.path.join(nodes.directory, "notify"))
    n = rename(rename(nodes.node(), "peer", "peer.test"), "http", "http.test")
    n.launch(NOTIFY_SOCKET=listener.path, **names.environment())
    listener.wait(r"STATUS=waiting to listen on http.test:\d+ \(\[http\] listen\)")
    listener.wait("EXTEND_TIMEOUT_USEC=30000000")
    names.say("http.test")
    listener.wait(r"STATUS=consensus worker: waiting to listen on peer.test:\d+ \(\[peer\] listen\), 0 %")
    listener.wait("EXTEND_TIMEOUT_USEC=30000000")
    assert "READY=1" not in listener.heard
    names.say("http.test", "peer.test")
    listener.wait("READY=1")
    listener.socket.close()
    assert n.stop() == 0


def test_a_resolver_that_does_not_answer_is_no_reason_for_the_watchdog(nodes, names):
    """systemd would kill the node, and its successor, as long as the name server is down."""
    listener = Listener(os.path.join(nodes.directory, "notify"))
    names.say("hang")
    n = nodes.node()
    n.options["members"] = f"n1={n.peer}, n2=n2.test:1, n3=n3.test:1"
    n.start(**names.environment(), NOTIFY_SOCKET=listener.path, WATCHDOG_USEC="300000")
    listener.wait("READY=1")
    for _ in range(15):  # said three times in that time
        listener.wait("WATCHDOG=1")
    assert asks(n, "consensus")
    listener.socket.close()
    assert n.stop() == 0


def test_members_whose_names_resolve_later_form_their_cluster(nodes, names):
    made = [nodes.node(f"n{i}") for i in (1, 2, 3)]
    for n in made:
        n.options["members"] = ", ".join(f"{m.id}={m.id}.test:{port_of(m.peer)}" for m in made)
        n.start(**names.environment())
    made[0].wait_log(r"n2.test.*Name or service not known")
    names.say("n1.test", "n2.test", "n3.test")
    assert leader_of(made) in made


def test_a_node_joins_when_the_name_that_it_joins_at_resolves(nodes, names):
    n1 = nodes.node("n1").start()
    assert serves(n1)
    n2 = nodes.node("n2", join=f"n1.test:{port_of(n1.http)}").start(**names.environment())
    n2.wait_log("n1.test")
    assert n2.process.poll() is None and not is_ready(n2)
    names.say("n1.test")
    wait_until(lambda: is_ready(n2), "a member")
