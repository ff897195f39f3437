"""Every test of processes gets `nodes` (tests/common/nodes.py), on 127.0.0.1 and all gone when it ends.

    def test_something(nodes):
        a, b, c = nodes.cluster(3)

In the sanitizers' build (BUILD=build/asan) its nodes are stopped in order first, so that their leak checkers are asked;
a report of any process is a failure.
"""

import os
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "common"))

# pylint: disable=wrong-import-position
from nodes import BUILD, SANITIZED, Nodes  # noqa: E402

collect_ignore = [] if SANITIZED else ["sanitizer_test.py"]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    setattr(item, "result_" + outcome.get_result().when, outcome.get_result())


@pytest.fixture
def nodes(request):
    # Not pytest's own directory: the paths of sockets must be short.
    directory = tempfile.mkdtemp(prefix="hf-", dir="/tmp")
    made = Nodes(directory)
    try:
        yield made
        if SANITIZED:
            made.end_in_order()
    finally:
        made.clean_up()
        reports = made.take_reports()
        if getattr(request.node, "result_call", None) is not None and request.node.result_call.failed:
            for node in made.all:
                if os.path.exists(node.log_path):
                    with open(node.log_path, errors="replace") as f:
                        print(f"--- {node.id}, the end of its log:\n{''.join(f.readlines()[-60:])}")
        shutil.rmtree(directory)
    if reports:
        pytest.fail("\n".join(reports))


@pytest.fixture(scope="session")
def fake():
    """holdfastd beside a worker with fake roles (fake_worker.c)."""
    directory = tempfile.mkdtemp(prefix="hf-fake-", dir="/tmp")
    try:
        shutil.copy(os.path.join(BUILD, "holdfastd"), directory)
        shutil.copy(os.path.join(BUILD, "tests/system/fake_worker"), os.path.join(directory, "holdfast-worker"))
        yield os.path.join(directory, "holdfastd")
    finally:
        shutil.rmtree(directory)
