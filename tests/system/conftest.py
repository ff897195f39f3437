"""Every test of processes gets `nodes` (tests/common/nodes.py), on 127.0.0.1 and all gone when it ends.

    def test_something(nodes):
        a, b, c = nodes.cluster(3)
"""

import os
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "common"))

# pylint: disable=wrong-import-position
from nodes import Nodes  # noqa: E402


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
    finally:
        made.clean_up()
        if getattr(request.node, "result_call", None) is not None and request.node.result_call.failed:
            for node in made.all:
                if os.path.exists(node.log_path):
                    with open(node.log_path, errors="replace") as f:
                        print(f"--- {node.id}, the end of its log:\n{''.join(f.readlines()[-60:])}")
        shutil.rmtree(directory)
