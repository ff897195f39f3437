"""What systemd is told and what it hands over: the tests listen where it would. The unit files are checked by
systemd's own tools."""

import os
import re
import shutil
import signal
import socket
import subprocess

import pytest
import requests

from nodes import BUILD, ROOT, wait_until


class Listener:
    """$NOTIFY_SOCKET."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)
        self.heard = []
        self.told = []

    def listen(self):
        """All that was said so far, one word of it each; `heard` has also what was forgotten."""
        while True:
            try:
                words = self.socket.recv(65536).decode().split("\n")
            except BlockingIOError:
                return self.told
            self.heard += words
            self.told += words

    def stuff(self):
        """There is no room for another word until somebody listens."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.setblocking(False)
            try:
                while True:
                    s.sendto(b"STUFFED=1", self.path)
            except BlockingIOError:
                pass

    def wait(self, pattern):
        """The first word that matches, and forgets what came before it."""

        def find():
            for i, word in enumerate(self.listen()):
                if re.fullmatch(pattern, word):
                    del self.told[: i + 1]
                    return word
            return None

        return wait_until(find, pattern)


@pytest.fixture
def listener(nodes):
    made = Listener(os.path.join(nodes.directory, "notify"))
    yield made
    made.socket.close()


def with_file(node, text):
    """The node reads its other options from a file with this text."""
    path = node.data + ".conf"
    with open(path, "w") as f:
        f.write(text)
    node.options["config"] = path
    return path


def test_a_node_says_when_it_is_ready_and_when_it_stops(nodes, listener):
    n = nodes.node().start(NOTIFY_SOCKET=listener.path)
    listener.wait("READY=1")
    listener.wait("STATUS=at work, with 1 http workers")
    assert requests.get(n.url + "/livez", timeout=10).status_code == 200
    n.signal(signal.SIGTERM)
    listener.wait("STOPPING=1")
    assert n.wait_exit() == 0


def test_a_manager_that_does_not_listen_holds_nobody_up_and_is_told_later(nodes, listener):
    listener.stuff()
    n = nodes.node().start(NOTIFY_SOCKET=listener.path)
    n.signal(signal.SIGHUP)
    n.wait_log("the configuration is reloaded")
    assert n.workers()
    listener.wait("READY=1")
    listener.wait("STATUS=at work, with 1 http workers")
    listener.stuff()
    assert n.stop() == 0


def test_readiness_does_not_wait_for_a_leader(nodes, listener):
    n = nodes.node()
    n.options["members"] = f"n1={n.peer}, n2=127.0.0.1:1, n3=127.0.0.1:2"
    n.start(NOTIFY_SOCKET=listener.path)
    listener.wait("READY=1")


def test_a_start_that_takes_long_asks_for_time_and_is_not_ready(nodes, fake, listener):
    """Ten times as long as would be the end of a worker at work, and longer than one that says nothing is waited for."""
    n = nodes.node(program=fake, supervisor_silence="100ms")
    n.launch(NOTIFY_SOCKET=listener.path, WATCHDOG_USEC="300000", FAKE_CONSENSUS="slow")
    listener.wait(r"EXTEND_TIMEOUT_USEC=30000000")
    listener.wait(r"STATUS=consensus worker: doing what takes long, 0 %")
    listener.wait(r"STATUS=consensus worker: doing what takes long, 2 %")
    for word in (r"EXTEND_TIMEOUT_USEC=30000000", "WATCHDOG=1") * 3:
        listener.wait(word)
    assert "READY=1" not in listener.listen()
    assert len(n.workers()) == 2 and "killing" not in n.log()
    n.signal(signal.SIGTERM)
    assert n.wait_exit() == 0


def test_a_start_that_says_nothing_is_given_no_more_time(nodes, fake, listener):
    n = nodes.node(program=fake, supervisor_silence="100ms")
    n.launch(NOTIFY_SOCKET=listener.path, WATCHDOG_USEC="300000", FAKE_CONSENSUS="mute")
    for word in (r"EXTEND_TIMEOUT_USEC=30000000", "WATCHDOG=1") * 3:
        listener.wait(word)
    wait_until(lambda: is_starved(listener), "a second without a word")
    assert "READY=1" not in listener.listen()
    n.signal(signal.SIGTERM)
    assert n.wait_exit() == 0


def test_a_start_says_how_far_it_is(nodes, listener):
    """One after kill -9, with enough in both logs for several words."""
    n = nodes.node().start()
    steps = [{"put": {"key": f"{i:05d}", "value": "v" * 256}} for i in range(2000)]
    for _ in range(40):
        assert requests.post(n.url + "/v1/batch", json=steps, timeout=30).status_code == 200
    n.kill_all()
    n.start(NOTIFY_SOCKET=listener.path)
    listener.wait("READY=1")
    listener.wait("STATUS=at work, with 1 http workers")
    for doing in ("recovering the state", "reading the log"):
        told = [w for w in listener.heard if w.startswith(f"STATUS=consensus worker: {doing}, ")]
        percents = [int(word.split()[-2]) for word in told]
        assert percents and percents == sorted(percents) and percents[-1] <= 100
    assert requests.get(n.url + "/v1/kv/00000", timeout=30).headers["ETag"]


def test_a_reload_is_begun_and_ended(nodes, listener):
    n = nodes.node()
    path = with_file(n, "[log]\nlevel = info\n")
    n.start(NOTIFY_SOCKET=listener.path)
    listener.wait("READY=1")
    with_file(n, "[log]\nlevel = debug\n")
    n.signal(signal.SIGHUP)
    listener.wait("RELOADING=1")
    assert int(listener.wait(r"MONOTONIC_USEC=\d+").split("=")[1]) > 0
    listener.wait("READY=1")
    with_file(n, "[log]\nlevle = debug\n")
    n.signal(signal.SIGHUP)
    listener.wait("RELOADING=1")
    listener.wait("READY=1")
    listener.wait(f"STATUS=the configuration is not reloaded: {path}:2: there is no option .*")


def test_the_watchdog_is_fed_while_all_goes_well(nodes, listener):
    n = nodes.node().start(NOTIFY_SOCKET=listener.path, WATCHDOG_USEC="300000")
    for _ in range(5):
        listener.wait("WATCHDOG=1")
    assert not any("WATCHDOG" in open(f"/proc/{pid}/environ").read() for pid in n.workers().values())


@pytest.mark.parametrize("behaviour", ["deaf", "stuck"])
def test_the_watchdog_is_not_fed_when_a_loop_or_a_lane_stands_still(nodes, fake, listener, behaviour):
    n = nodes.node(program=fake, supervisor_silence="1h")
    n.start(NOTIFY_SOCKET=listener.path, WATCHDOG_USEC="300000", FAKE_CONSENSUS=behaviour)
    listener.wait("READY=1")

    wait_until(lambda: is_starved(listener), "a second without a word")
    assert n.workers().keys() == {"consensus", "http 0"}


def hears(listener, seconds):
    """Is anything said within this time?"""
    listener.socket.settimeout(seconds)
    try:
        return listener.socket.recv(65536)
    except TimeoutError:
        return None
    finally:
        listener.socket.setblocking(False)


def is_starved(listener):
    del listener.listen()[:]
    return not hears(listener, 1.0)


def launch_with_sockets(node, sockets):
    """As systemd does it: from descriptor 3 on."""

    def place():
        lifted = [os.dup(s.fileno()) for s in sockets]
        for i, fd in enumerate(lifted):
            os.dup2(fd, 3 + i)

    script = f'LISTEN_PID=$$ LISTEN_FDS={len(sockets)} exec "$0" "$@"'
    with open(node.log_path, "ab") as log:
        node.process = subprocess.Popen(
            ["/bin/sh", "-c", script, *node.command()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            close_fds=False,
            preexec_fn=place,
            env={**os.environ, **node.nodes.environment()},
        )


def bound(**options):
    s = socket.socket(**options)
    s.bind(("127.0.0.1", 0))
    return s


def test_sockets_of_systemd_take_the_place_of_own_ones(nodes):
    n = nodes.node(http_workers="2")
    with bound() as one, bound() as two:
        for s in (one, two):
            s.listen()
        launch_with_sockets(n, [one, two])
        n.wait_workers()
        for s in (one, two):
            url = f"http://127.0.0.1:{s.getsockname()[1]}/livez"
            assert requests.get(url, timeout=10).status_code == 200
        with pytest.raises(requests.ConnectionError):
            requests.get(n.url + "/livez", timeout=10)
        assert n.stop() == 0


@pytest.mark.parametrize("kind", ["not listening", "datagrams"])
def test_a_socket_of_systemd_that_is_of_no_use_is_refused(nodes, kind):
    n = nodes.node()
    with bound(type=socket.SOCK_DGRAM if kind == "datagrams" else socket.SOCK_STREAM) as s:
        launch_with_sockets(n, [s])
        assert n.wait_exit() == 78
    assert "socket 0 of those handed over does not listen" in n.log()


UNITS = ["holdfast.service", "holdfast@.service"]


@pytest.fixture
def unit(tmp_path):
    """A unit file as it is, but for where the programs are."""

    def make(name):
        with open(os.path.join(ROOT, "systemd", name)) as f:
            text = f.read()
        assert "/usr/sbin/holdfastd" in text
        (tmp_path / name).write_text(text.replace("/usr/sbin/", BUILD + "/"))
        return tmp_path / name

    return make


def analyze(*arguments):
    return subprocess.run(["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False)


needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")


@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_the_units_are_understood(unit, name):
    """It exits with 0 on keys that it does not know: what counts is that it says nothing."""
    path = unit(name)
    named = str(path).replace("@.", "@n1.")
    done = analyze("verify", "--man=no", named)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_the_units_leave_little_exposed(unit, name):
    done = analyze("security", "--offline=true", "--threshold=15", unit(name))
    assert done.returncode == 0, done.stdout
    assert float(re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)[1]) <= 1.5


def test_what_a_unit_gives_is_where_a_node_works(nodes, tmp_path):
    """The directories of systemd take the place of the defaults."""
    program = os.path.join(BUILD, "holdfastd")
    (tmp_path / "holdfast.conf").write_text("[node]\nid = n1\n", encoding="utf-8")
    given = {"STATE_DIRECTORY": str(tmp_path / "state"), "RUNTIME_DIRECTORY": "/run/a:/run/b"}
    printed = subprocess.run(
        [program, "-c", str(tmp_path), "-T"], env={**os.environ, **given}, capture_output=True, text=True, check=True
    ).stdout
    assert f"\ndata = {tmp_path}/state\n" in printed and "\nrun = /run/a\n" in printed


def make(*arguments):
    # Perhaps this runs under another make, whose children should not become its own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "-s", "-C", ROOT, *arguments], env=environment, capture_output=True, text=True, check=False
    )


def files_below(directory):
    return sorted(os.path.join(d, f).removeprefix(str(directory)) for d, _, names in os.walk(directory) for f in names)


def test_install_and_uninstall(tmp_path):
    there = tmp_path / "root"
    done = make("install", f"DESTDIR={there}")
    assert done.returncode == 0, done.stderr
    assert files_below(there) == [
        "/etc/holdfast/holdfast.conf",
        "/usr/lib/systemd/system/holdfast.service",
        "/usr/lib/systemd/system/holdfast@.service",
        "/usr/lib/sysusers.d/holdfast.conf",
        "/usr/lib/tmpfiles.d/holdfast.conf",
        "/usr/libexec/holdfast/holdfast-worker",
        "/usr/sbin/holdfastd",
        *(f"/usr/share/doc/holdfast/examples/{way}/n{i}.conf" for way in ("join", "static") for i in (1, 2, 3)),
        "/usr/share/man/man5/holdfast.conf.5",
        "/usr/share/man/man8/holdfastd.8",
    ]
    conf = there / "etc/holdfast"
    tested = subprocess.run([there / "usr/sbin/holdfastd", "-c", conf, "-t"], capture_output=True, text=True, check=False)
    assert tested.stdout == "the configuration is good\n", tested.stderr
    (conf / "holdfast.conf").write_text("[node]\nid = mine\n")
    assert make("install", f"DESTDIR={there}").returncode == 0
    assert (conf / "holdfast.conf").read_text() == "[node]\nid = mine\n"
    assert make("uninstall", f"DESTDIR={there}").returncode == 0
    assert files_below(there) == ["/etc/holdfast/holdfast.conf"]
