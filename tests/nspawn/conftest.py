import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "common"))

# pylint: disable=wrong-import-position
from machine import Machine, Unable  # noqa: E402


@pytest.fixture(scope="session")
def machine():
    try:
        with Machine() as made:
            yield made
    except Unable as e:
        pytest.skip(str(e))
