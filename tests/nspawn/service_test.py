"""holdfast.service under a real systemd: start, readiness, reload, watchdog, stop. As `make install` leaves it, but for
times that are too long for a test."""

import re
import signal

import pytest

from nodes import wait_until

URL = "http://127.0.0.1:8080"
# Long enough for a start, and for a sign of life, on a machine that is busy with other things.
SHORT = "[Service]\nWatchdogSec=10s\nRestartSec=100ms\n"


class Service:
    def __init__(self, machine):
        self.machine = machine

    def __call__(self, verb, unit="holdfast"):
        """systemctl, which must succeed."""
        return self.machine.must(f"systemctl {verb} {unit}")

    def show(self, name, unit="holdfast"):
        return self.machine.must(f"systemctl show --value -p {name} {unit}").strip()

    def log(self):
        return self.machine.must("journalctl -q -o cat -u holdfast")

    def wait_log(self, pattern, seen):
        return wait_until(lambda: re.search(pattern, self.log()[seen:]), f"/{pattern}/ in the journal")

    def configure(self, name, text):
        self.machine.write(f"/etc/holdfast/conf.d/{name}.conf", text)

    def put(self, value, url=URL):
        return self.machine.must(f"curl -sS --max-time 20 -w ' %{{http_code}}' -X PUT {url}/v1/kv/a -d {value}")

    def get(self):
        return self.machine.must(f"curl -sS --max-time 20 {URL}/v1/kv/a")

    def worker(self, name):
        """Its pid in the machine."""
        found = self.machine.run(f"pgrep -f '^holdfast-worker {name}'").stdout.split()
        return found[0] if len(found) == 1 else None

    def kill(self, number, pid):
        self.machine.must(f"kill -{int(number)} {pid}")


@pytest.fixture
def service(machine):
    """Stopped, and without data or a configuration of an earlier test."""
    made = Service(machine)
    yield made
    machine.run("systemctl stop holdfast; systemctl reset-failed holdfast")
    machine.must("rm -rf /var/lib/holdfast /etc/holdfast/conf.d/* /etc/systemd/system/holdfast.service.d")
    machine.must("systemctl daemon-reload")


def test_it_is_ready_when_start_returns(service):
    service("enable --now")
    assert service.put("one").endswith(" 201")
    assert service.show("Type") == "notify"
    assert service.show("ActiveState") == "active"
    assert service.show("StatusText") == "at work, with 1 http workers"


def test_it_runs_as_its_user_in_directories_of_its_own(service, machine):
    service("start")
    pid = service.show("MainPID")
    facts = machine.must(f"cat /proc/{pid}/status")
    user = machine.must("id -u holdfast").strip()
    assert re.search(r"Uid:\t(\d+)", facts)[1] == user != "0"
    assert re.search(r"CapBnd:\t0+\n", facts) and re.search(r"NoNewPrivs:\t1\n", facts) and re.search(r"Seccomp:\t2\n", facts)
    for directory in ("/var/lib/holdfast", "/run/holdfast"):
        assert machine.must(f"stat -c '%U %a' {directory}") == "holdfast 700\n"


def test_a_reload_takes_over_what_is_right_and_refuses_what_is_wrong(service, machine):
    service("start")
    before = service.show("MainPID"), service.worker("consensus")
    seen = len(service.log())
    service.configure("10", "[log]\nlevel = debug\n[http]\nworkers = 2\n")
    service("reload")
    service.wait_log(r"the configuration is reloaded changes=2", seen)
    wait_until(lambda: service.worker("http 1"), "a second http worker")

    service.configure("20", "[log]\nlevle = info\n")
    refused = machine.run("systemctl reload holdfast")
    assert refused.returncode != 0
    service.wait_log(r"/etc/holdfast/conf.d/20.conf:2: there is no option \[log\] levle; the nearest is \[log\] level", seen)
    assert service.show("ActiveState") == "active"
    assert (service.show("MainPID"), service.worker("consensus")) == before
    assert service.put("two").endswith(" 201")


def test_a_wrong_configuration_is_not_started_over_and_over(service, machine):
    service.configure("10", "[log]\nlevle = info\n")
    assert machine.run("systemctl start holdfast").returncode != 0
    assert service.show("ExecMainStatus") == "78"
    assert service.show("ActiveState") == "failed"
    assert service.show("NRestarts") == "0"


def test_a_worker_that_stands_still_is_replaced_by_the_supervisor(service):
    service.configure("10", "[supervisor]\nsilence = 1s\n")
    service("start")
    assert service.put("kept").endswith(" 201")
    main, old = service.show("MainPID"), service.worker("consensus")
    service.kill(signal.SIGSTOP, old)
    wait_until(lambda: service.worker("consensus") not in (None, old), "another consensus worker")
    assert wait_until(service.get, "an answer") == "kept"
    assert service.show("MainPID") == main and service.show("NRestarts") == "0"


def test_a_supervisor_that_stands_still_is_replaced_by_the_watchdog(service, machine):
    machine.write("/etc/systemd/system/holdfast.service.d/short.conf", SHORT)
    machine.must("systemctl daemon-reload")
    service("start")
    assert service.put("kept").endswith(" 201")
    old, seen = service.show("MainPID"), len(service.log())
    service.kill(signal.SIGSTOP, old)
    service.wait_log(r"Watchdog timeout", seen)
    wait_until(lambda: service.show("NRestarts") == "1" and service.show("ActiveState") == "active", "another start")
    assert service.show("MainPID") not in ("0", old)
    assert service.get() == "kept"


def test_a_watchdog_that_is_fed_bites_nobody(service, machine):
    machine.write("/etc/systemd/system/holdfast.service.d/short.conf", SHORT)
    machine.must("systemctl daemon-reload")
    service("start")
    old = service.show("MainPID")
    machine.must("sleep 21")
    assert (service.show("MainPID"), service.show("NRestarts")) == (old, "0")


def test_it_stops_in_order_and_leaves_nothing_behind(service, machine):
    service("start")
    assert service.put("kept").endswith(" 201")
    seen = len(service.log())
    service("stop")
    assert (service.show("ActiveState"), service.show("Result"), service.show("ExecMainStatus")) == ("inactive", "success", "0")
    said = service.log()[seen:]
    assert said.index("http 0 worker stopped") < said.index("consensus worker stopped") < said.index("stopped status=0")
    assert machine.run("pgrep ^holdfast").stdout == ""
    assert machine.run(f"curl -sS {URL}/livez").returncode == 7
    service("start")
    assert service.get() == "kept"


def test_several_nodes_run_beside_each_other(service, machine):
    for i, name in enumerate(("one", "two")):
        text = f"[node]\nid = {name}\n[http]\nlisten = 127.0.0.1:81{i}0\n[peer]\nlisten = 127.0.0.1:91{i}0\n"
        machine.write(f"/etc/holdfast/{name}/holdfast.conf", text)
        service("start", f"holdfast@{name}")
    for i, name in enumerate(("one", "two")):
        assert service.put(name, f"http://127.0.0.1:81{i}0").endswith(" 201")
        assert f'"node": "{name}"' in machine.must(f"curl -sS http://127.0.0.1:81{i}0/v1/status")
        service("stop", f"holdfast@{name}")
    machine.must("rm -rf /etc/holdfast/one /etc/holdfast/two")


@pytest.mark.parametrize("unit", ["holdfast.service", "holdfast@n1.service"])
def test_systemd_has_nothing_to_say_against_the_units(machine, unit):
    done = machine.run(f"systemd-analyze verify --man=no {unit}")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    exposed = machine.must(f"systemd-analyze security --no-pager {unit}")
    assert float(re.search(r"Overall exposure level for \S+: ([\d.]+)", exposed)[1]) <= 1.5
