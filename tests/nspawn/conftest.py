import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "common"))

# pylint: disable=wrong-import-position
from machine import Machine, Unable, make_root  # noqa: E402


@pytest.fixture(scope="session")
def root():
    try:
        make_root()
    except Unable as e:
        pytest.skip(str(e))


@pytest.fixture(scope="session")
def machine(root):
    try:
        with Machine() as made:
            yield made
    except Unable as e:
        pytest.skip(str(e))
