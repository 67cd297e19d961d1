"""Starts a web-app over a directory of pictures for the browser tests, unless WEB_APP_URL names one."""

import contextlib
import os

import pytest
from Browser.sample_site import filled_workplace
from playwright.sync_api import sync_playwright

SYSTEM_CHROMIUM = "/usr/bin/chromium"

_stack = contextlib.ExitStack()


def pytest_configure(config):
    if os.environ.get("WEB_APP_URL"):
        return
    place = filled_workplace(_stack)
    os.environ["WEB_APP_URL"] = _stack.enter_context(place.web_app())
    os.environ["WEB_APP_STORE"] = str(place.store)


def pytest_unconfigure(config):
    _stack.close()


@pytest.fixture(scope="session")
def browser():
    path = os.environ.get("CHROMIUM")
    if not path and os.path.exists(SYSTEM_CHROMIUM):
        path = SYSTEM_CHROMIUM
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
