"""check-history and linear by recorded histories: they flag what must be flagged, each as what it is, and nothing else."""

import glob
import os
import subprocess

import pytest

from nodes import ROOT
from under_load import run_linear

HISTORIES = os.path.join(ROOT, "tests", "system", "histories")
VERDICTS = {
    "good": None,
    "good_overwritten": None,
    "good_created": None,
    "stale_read": "stale",
    "stale_read_overwritten": "stale",
    "stale_read_after_read": "stale",
    "applied_twice": "once",
    "applied_twice_unseen": "once",
    "applied_twice_in_between": "once",
    "lost": "end",
    "never_written": "never",
    "refused_and_done": "never",
    "condition_ignored": "condition",
    "created_over_another": "condition",
    "order": "order",
}
# What only revisions and versions show is no business of registers.
INVISIBLE = {"applied_twice_unseen", "order"}


def check(*arguments):
    program = os.path.join(ROOT, "tests", "load", "check-history")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)


def test_every_recorded_history_has_its_verdict():
    recorded = {os.path.basename(path)[:-4] for path in glob.glob(os.path.join(HISTORIES, "*.txt"))}
    assert recorded == set(VERDICTS)


@pytest.mark.parametrize("name", VERDICTS)
def test_recorded(name):
    done = check(os.path.join(HISTORIES, name + ".txt"))
    kinds = {line.split(": ")[1] for line in done.stdout.splitlines()[:-1]}
    assert kinds == ({VERDICTS[name]} if VERDICTS[name] else set())
    assert done.returncode == (1 if VERDICTS[name] else 0)


@pytest.mark.parametrize("name", VERDICTS)
def test_linear_on_recorded(name):
    done = run_linear(os.path.join(HISTORIES, name + ".txt"))
    flagged = VERDICTS[name] and name not in INVISIBLE
    assert f"{name}.txt: {'not ' if flagged else ''}linearizable: " in done.stdout
    assert done.returncode == (1 if flagged else 0)


def test_linear_gives_the_worst_of_many_verdicts():
    good, bad = (os.path.join(HISTORIES, name + ".txt") for name in ("good", "stale_read"))
    assert run_linear(good, good).returncode == 0
    assert run_linear(good, bad, good).returncode == 1
    assert run_linear(bad, "/nonexistent", good).returncode == 65
    assert run_linear().returncode == 64


def test_a_history_of_nothing_shows_nothing(tmp_path):
    path = tmp_path / "history"
    path.write_text("# holdfast-history 1\n")
    done = check(str(path))
    assert done.returncode == 1
    assert "show nothing" in done.stdout
    assert run_linear(path).returncode == 1


def test_too_few_writes_show_nothing():
    good = os.path.join(HISTORIES, "good.txt")
    assert check("--least", "1", good).returncode == 0
    assert check("--least", "2", good).returncode == 1


@pytest.mark.parametrize(
    "line",
    [
        "1000 1 ok put k/a v1 5 - t1 n1 201\n",  # never begun
        "1000 1 invoke put k/a\n",
        "1000 1 happened put k/a v1 5 - t1 n1 201\n",
        "1000 1 invoke put k/a v1 - - t1 n1 -",  # cut
    ],
)
def test_what_is_no_history_is_not_judged(tmp_path, line):
    path = tmp_path / "history"
    path.write_text(line)
    assert check(str(path)).returncode == 2
    assert run_linear(path).returncode == 65
