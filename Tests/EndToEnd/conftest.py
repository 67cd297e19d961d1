"""Fixtures of the end-to-end tests."""

import signal

import pytest
from tools import MODEL, Workplace, new_database


def pytest_configure(config):
    # A shell ignores Ctrl-C for what it runs in the background, and the tools respect that: their tests
    # need it as a terminal leaves it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def workplace(tmp_path):
    """A workplace with an empty database, the small model and no bucket yet."""
    with new_database() as uri:
        place = Workplace(tmp_path / "work", {})
        place.database = uri
        place.settings = {"PG_SERVICE_URI": uri, "CLIP_MODEL": str(MODEL)}
        place.write(place.settings)
        yield place
