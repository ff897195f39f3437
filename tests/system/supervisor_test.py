"""The supervisor, with real processes and real signals. Its workers are fake_worker.c: the same life of a worker
(worker/worker.c), with roles that misbehave as told. What matters of the real roles is tested elsewhere."""

import os
import re
import signal
import socket
import subprocess
import time

import pytest
import requests

from nodes import BUILD, ROOT, is_alive, wait_until


@pytest.fixture
def node(nodes, fake):
    def make(node_id="n1", **options):
        return nodes.node(node_id, program=fake, **options)

    return make


def ask(node):
    """(number of the worker that answered, its generation, its share of the sockets)"""
    number, generation, share = requests.get(node.url, timeout=10).text.split()
    return int(number), int(generation), int(share, 16)


def shares(node, workers):
    """The shares as each worker sees it, by asking until all of them have answered."""
    seen = {}
    for _ in range(300):
        number, _, share = ask(node)
        seen[number] = share
    return seen if len(seen) == workers else None


def run(program, *arguments, **environment):
    return subprocess.run(
        [program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
        env={**os.environ, **environment},
    )


def test_a_node_starts_serves_and_stops(node):
    n = node(http_workers="2").start()
    assert set(n.workers()) == {"consensus", "http 0", "http 1"}
    assert ask(n)[0] in (0, 1)
    pids = n.pids()
    assert n.stop() == 0
    assert not any(map(is_alive, pids))
    assert n.ports_are_free()
    assert os.listdir(n.data) == ["lock"]


def test_directories_are_private(node):
    n = node().start()
    for path in (n.data, os.path.join(n.data, "run")):
        assert os.stat(path).st_mode & 0o777 == 0o700


def test_sigint_stops_too(node):
    n = node().start()
    n.signal(signal.SIGINT)
    assert n.wait_exit() == 0


def test_workers_outlive_the_signals_of_a_terminal(node):
    n = node().start()
    before = n.workers()
    for pid in before.values():
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGHUP)
    assert ask(n)[0] == 0
    assert n.workers() == before


@pytest.mark.parametrize("name", ["consensus", "http 0"])
def test_a_killed_worker_is_started_anew(node, name):
    n = node(http_workers="2").start()
    before = n.workers()
    generation = max(int(g) for g in re.findall(r"generation=(\d+)", n.log()))
    dead = n.kill(name)
    wait_until(lambda: n.workers().get(name, dead) != dead, "the new worker")
    n.wait_workers()
    after = n.workers()
    assert {k: v for k, v in before.items() if k != name} == {k: v for k, v in after.items() if k != name}
    assert max(int(g) for g in re.findall(r"generation=(\d+)", n.log())) > generation
    ask(n)
    assert n.stop() == 0


def test_a_worker_that_was_told_to_stop_by_hand_is_started_anew(node):
    n = node().start()
    before = n.workers()["http 0"]
    n.signal(signal.SIGTERM, "http 0")
    wait_until(lambda: n.workers().get("http 0", before) != before, "the new worker")
    n.wait_workers()
    ask(n)


@pytest.mark.parametrize("workers", [1, 3])
def test_sockets_are_dealt_evenly_and_all(node, workers):
    n = node(http_workers=str(workers)).start()
    seen = wait_until(lambda: shares(n, workers), "an answer of every worker")
    assert sum(share.bit_count() for share in seen.values()) == 8
    assert max(s.bit_count() for s in seen.values()) - min(s.bit_count() for s in seen.values()) <= 1


def test_sockets_are_dealt_anew_when_a_worker_is_away_and_when_it_is_back(node):
    n = node(http_workers="2").start()
    for _ in range(4):  # by now it waits before it comes back
        n.kill("http 1")
        wait_until(lambda: "http 1" in n.workers(), "the new worker")
        n.wait_workers()
    n.kill("http 1")
    # None of the waiting sockets is orphaned: every connection is answered, by the one that is there.
    assert all(ask(n)[0] in (0, 1) for _ in range(50))
    wait_until(lambda: "http 1" in n.workers(), "the new worker")
    n.wait_workers()
    seen = wait_until(lambda: shares(n, 2), "an answer of every worker")
    assert sorted(seen.values()) == [0x55, 0xAA]


def test_workers_end_when_the_supervisor_is_killed(node):
    n = node(http_workers="2").start()
    pids = n.pids()
    n.kill()
    wait_until(lambda: not any(map(is_alive, pids)), "the end of the workers")
    assert n.ports_are_free()
    n.start()
    ask(n)
    assert n.stop() == 0


def test_a_node_killed_whole_starts_again(node):
    n = node().start()
    n.kill_all()
    n.start()
    ask(n)


def test_the_lock_is_held_as_long_as_the_consensus_worker_lives(node):
    """A frozen worker of a dead supervisor could still write: nobody else may have the directory meanwhile."""
    n = node().start()
    consensus = n.workers()["consensus"]
    held = next(fd for fd in os.listdir(f"/proc/{consensus}/fd") if os.readlink(f"/proc/{consensus}/fd/{fd}").endswith("/lock"))
    with open(f"/proc/{consensus}/fdinfo/{held}") as f:
        assert "FLOCK" in f.read()


def test_a_second_node_on_the_same_data_is_refused_and_told_who(node, nodes):
    n = node().start()
    other = node("n1")
    assert other.data == n.data
    other.log_path += ".other"
    other.launch()
    assert other.wait_exit() == 75
    assert f"in use by process {n.process.pid}" in other.log()
    ask(n)


def test_a_start_waits_for_a_dying_predecessor(node):
    n = node().start()
    successor = node("n1")
    successor.http, successor.peer, successor.url = n.http, n.peer, n.url
    successor.log_path += ".other"
    successor.launch()
    successor.wait_log("waiting up to 5 s")
    n.kill()
    successor.wait_workers()
    ask(successor)


@pytest.mark.parametrize("reuse", [False, True])
def test_a_port_in_use_is_an_error_that_names_it(node, reuse):
    n = node()
    with socket.socket() as s:
        if reuse:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        s.bind(("127.0.0.1", int(n.http.split(":")[1])))
        s.listen()
        n.launch()
        assert n.wait_exit() == 75
    assert f"cannot listen on {n.http}" in n.log()


def test_two_nodes_on_one_port_do_not_share_it(node):
    n = node().start()
    other = node("n2")
    other.http = n.http
    other.launch()
    assert other.wait_exit() == 75


def test_a_data_directory_that_cannot_be_made(node):
    n = node()
    n.data = "/proc/holdfast"
    n.launch()
    assert n.wait_exit() == 73
    assert "/proc/holdfast" in n.log()


def test_a_data_directory_that_is_a_file(node):
    n = node()
    open(n.data, "w").close()
    n.launch()
    assert n.wait_exit() == 73


def test_the_parents_of_a_data_directory_are_made(node, nodes):
    n = node()
    n.data = os.path.join(nodes.directory, "a", "b", "c")
    n.start()
    assert os.listdir(os.path.join(nodes.directory, "a", "b")) == ["c"]
    assert os.stat(n.data).st_mode & 0o777 == 0o700
    assert n.stop() == 0


@pytest.mark.parametrize("option", ["data", "run"])
def test_a_directory_that_others_use_is_not_taken_over(node, nodes, option):
    shared = os.path.join(nodes.directory, "shared")
    os.mkdir(shared)
    os.chmod(shared, 0o755)
    with open(os.path.join(shared, "notes"), "w"):
        pass
    n = node()
    if option == "data":
        n.data = shared
    else:
        n.options["node-run"] = shared
    n.launch()
    assert n.wait_exit() == 73
    assert f'{shared} cannot be the {option} directory: it holds "notes"' in n.log()
    assert os.listdir(shared) == ["notes"]
    assert os.stat(shared).st_mode & 0o777 == 0o755


def test_a_directory_of_a_start_that_did_not_come_far_is_taken(node, nodes):
    n = node()
    os.makedirs(n.data + "/run")
    os.mkdir(n.data + "/lost+found")
    with open(n.data + "/lock", "w"):
        pass
    n.start()
    assert n.stop() == 0


def test_a_bad_option_is_one_line_with_its_place(nodes, fake):
    path = os.path.join(nodes.directory, "bad.conf")
    with open(path, "w") as f:
        f.write("[raft]\n\nelection = soon\n")
    result = run(fake, "-c", path)
    assert result.returncode == 78
    assert result.stderr.startswith(f"holdfastd: {path}:3: [raft] election: ")
    assert result.stderr.count("\n") == 1


def test_two_listeners_on_one_port_are_a_configuration_error_that_names_both_options(nodes, fake):
    result = run(fake, "-t", nodes.directory + "/d", PORT="4001", BIND="127.0.0.1:4001")
    assert result.returncode == 78
    assert "PORT ([http] listen = :4001) and BIND ([peer] listen = 127.0.0.1:4001) are the same port" in result.stderr
    path = os.path.join(nodes.directory, "one.conf")
    with open(path, "w") as f:
        f.write("[peer]\nlisten = :4001\n")
    result = run(fake, "-c", path, "--http=127.0.0.1:4001", nodes.directory + "/d")
    assert result.returncode == 78
    assert f"--http ([http] listen = 127.0.0.1:4001) and {path}:2 ([peer] listen = :4001) are the same" in result.stderr
    result = run(fake, "-t", "--port", "9000", nodes.directory + "/d")
    assert "--port ([http] listen = :9000) and the default ([peer] listen = 127.0.0.1:9000)" in result.stderr
    assert run(fake, "-t", nodes.directory + "/d", PORT="4001", BIND="127.0.0.1:4002").returncode == 0


@pytest.mark.parametrize(
    "arguments, status, said",
    [
        (["--raft-election", "soon"], 78, "--raft-election: [raft] election: "),
        (["--raft-elction", "1s"], 64, "the nearest is --raft-election"),
        (["--raft-election"], 64, "--raft-election needs a value"),
        (["./somewhere", "elsewhere"], 64, "elsewhere"),
        (["somewhere"], 64, "no such data directory"),
        (["-t", "-c", "/proc/self/fdinfo"], 78, "the directory holds no configuration"),
        (["-c", "/nonexistent"], 78, "/nonexistent: No such file"),
        (["--raft-election", "40ms"], 78, "three times [raft] heartbeat"),
        (["--node-run", "/" + "d" * 120], 78, "over 100 bytes"),
    ],
)
def test_a_bad_command_line(fake, arguments, status, said):
    result = run(fake, *arguments)
    assert result.returncode == status
    assert said in result.stderr and result.stderr.count("\n") == 1


def test_the_configuration_is_checked_and_printed(nodes, fake):
    path = os.path.join(nodes.directory, "some.conf")
    with open(path, "w") as f:
        f.write("[node]\nid = alpha\n[raft]\nelection = 2s\n")
    assert run(fake, "-c", path, "-t").stdout == "the configuration is good\n"
    printed = run(fake, "-c", path, "--raft-heartbeat=50ms", "-T").stdout
    assert "\nid = alpha\n" in printed and "\nelection = 2s\n" in printed and "\nheartbeat = 50ms\n" in printed
    with open(path, "w") as f:
        f.write(printed)
    assert run(fake, "-c", path, "-T").stdout == printed


def test_flags_win_over_the_file(nodes, fake):
    path = os.path.join(nodes.directory, "some.conf")
    with open(path, "w") as f:
        f.write("[node]\nid = alpha\n")
    assert "\nid = beta\n" in run(fake, "--id", "beta", "-c", path, "-T").stdout


def test_a_variable_wins_over_the_file_and_a_flag_over_both(nodes, fake):
    path = os.path.join(nodes.directory, "some.conf")
    with open(path, "w") as f:
        f.write("[node]\nid = alpha\n")
    assert "\nid = beta\n" in run(fake, "-c", path, "-T", IDENTIFIER="beta").stdout
    assert "\nid = gamma\n" in run(fake, "-c", path, "-T", "-id", "gamma", IDENTIFIER="beta").stdout


def test_versions(fake):
    assert re.fullmatch(r"holdfast \S+\n", run(fake, "--version").stdout)
    assert re.fullmatch(r"holdfast \S+\nbuilt by .+\n", run(fake, "-V").stdout)


def test_help_lists_every_option(fake):
    text = run(fake, "--help").stdout
    printed = run(fake, "-T").stdout
    for section, name in re.findall(r"OPT\((\w+), (\w+),", open(os.path.join(ROOT, "common/option.def")).read()):
        if section != "section":
            assert f"--{section}-{name}".replace("_", "-") in text
            assert f"\n{name} = " in printed
    table = open(os.path.join(ROOT, "common/flag.def")).read()
    for kind, name in re.findall(r"^(FLAG|VARIABLE)\(\"(\S+)\",", table, re.MULTILINE):
        assert f"  {'--' if kind == 'FLAG' else ''}{name} " in text


@pytest.mark.parametrize("status", [73, 74, 75, 77, 78])
@pytest.mark.parametrize("role", ["FAKE_CONSENSUS", "FAKE_HTTP"])
def test_permanent_statuses_of_a_worker_end_the_node(node, role, status):
    n = node().launch(**{role: f"exit-{status}"})
    assert n.wait_exit() == status
    assert n.ports_are_free()


def test_five_failed_starts_end_the_node(node):
    n = node().launch(FAKE_HTTP="exit-1")
    assert n.wait_exit() == 69
    assert n.log().count("http 0 worker ended") == 5


def test_a_worker_that_ends_with_0_is_started_anew(node):
    n = node().launch(FAKE_HTTP="exit-0")
    assert n.wait_exit() == 69  # never at work: five times is enough


def test_a_silent_worker_is_killed_and_started_anew(node):
    n = node(supervisor_silence="500ms").launch(FAKE_HTTP="deaf")
    n.wait_log(r"http 0 worker gives no sign of life")
    n.wait_log(r"http 0 worker was killed .* signal=9")
    wait_until(lambda: n.log().count("http 0 worker is at work") >= 2, "the new worker")


def test_a_stopped_worker_is_killed_and_started_anew(node):
    n = node(supervisor_silence="500ms").start()
    dead = n.workers()["consensus"]
    n.signal(signal.SIGSTOP, "consensus")
    wait_until(lambda: n.workers().get("consensus", dead) != dead, "the new worker")
    n.wait_workers()


def test_a_supervisor_that_was_stopped_itself_kills_nobody(node):
    n = node(http_workers="2", supervisor_silence="2s").start()
    before = n.workers()
    n.freeze()
    time.sleep(3)
    n.thaw()
    time.sleep(1)
    n.signal(signal.SIGSTOP)
    time.sleep(3)
    n.signal(signal.SIGCONT)
    time.sleep(1)
    assert n.workers() == before
    assert "no sign of life" not in n.log()


@pytest.mark.parametrize("role", ["FAKE_CONSENSUS", "FAKE_HTTP"])
def test_a_stubborn_worker_is_killed_after_its_time(node, role):
    n = node(limits_request="10ms").start(**{role: "stubborn"})
    assert n.stop() == 0
    assert "does not stop in time" in n.log()


def test_a_second_sigterm_ends_at_once(node):
    n = node(limits_request="1h").start(FAKE_HTTP="stubborn", FAKE_CONSENSUS="stubborn")
    pids = n.pids()
    n.signal(signal.SIGTERM)
    n.wait_log("stopping signal=15")
    n.signal(signal.SIGTERM)
    assert n.wait_exit() == 0
    assert not any(map(is_alive, pids))


def test_http_workers_stop_before_the_consensus_worker(node):
    n = node(http_workers="2").start()
    assert n.stop() == 0
    stopped = re.findall(r"(consensus|http \d) worker stopped", n.log())
    assert len(stopped) == 3 and stopped[-1] == "consensus"


def test_a_worker_does_not_run_alone(fake):
    worker = os.path.join(os.path.dirname(fake), "holdfast-worker")
    result = run(worker)
    assert result.returncode == 64
    assert "started by holdfastd alone" in result.stderr
    result = run(worker, LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
    assert result.returncode == 64


def test_workers_inherit_what_is_theirs_and_nothing_else(node):
    """Descriptors of whoever starts the node stay out, and the consensus worker holds no listening socket."""
    stray = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(stray, True)
    try:
        n = node()
        high = os.dup2(stray, 77, inheritable=True)
        n.process = subprocess.Popen(
            n.command(),
            stderr=open(n.log_path, "ab"),
            close_fds=False,
            env={**os.environ, **n.nodes.environment()},
        )
        os.close(high)
    finally:
        os.close(stray)
    n.wait_workers()
    for name, pid in n.workers().items():
        links = {fd: os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        assert "77" not in links
        sockets = [fd for fd, target in links.items() if target.startswith("socket:") and int(fd) > 2]
        assert len(sockets) == (1 if name == "consensus" else 9), links
        locks = [target for target in links.values() if target.endswith("/lock")]
        assert len(locks) == (1 if name == "consensus" else 0)
