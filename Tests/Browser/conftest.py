"""Starts a web-app over a directory of pictures for the browser tests, unless WEB_APP_URL names one."""

import contextlib
import os

from Browser.sample_site import filled_workplace

_stack = contextlib.ExitStack()


def pytest_configure(config):
    if os.environ.get("WEB_APP_URL"):
        return
    place = filled_workplace(_stack)
    os.environ["WEB_APP_URL"] = _stack.enter_context(place.web_app())
    os.environ["WEB_APP_STORE"] = str(place.store)


def pytest_unconfigure(config):
    _stack.close()
