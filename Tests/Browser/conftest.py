"""Starts a web-app over a directory of pictures for the browser tests, unless WEB_APP_URL names one."""

import contextlib
import os

import pytest
from Browser.sample_site import SAMPLES, filled_workplace, large_tiff
from tools import PICTURES as FIXTURES
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


@pytest.fixture(scope="session")
def album():
    """A workplace with 120 sample pictures of ten shapes, copies of some, and formats that browsers do not show."""
    pictures = sorted((SAMPLES / "pictures").glob("*.jpg"))[:120]
    others = {
        f"{pictures[index].stem}-copy-{number}.jpg": pictures[index].read_bytes()
        for index, copies in [(3, 1), (40, 2), (77, 4)] for number in range(copies)
    }
    others |= {"large.tif": large_tiff(), "wrong-name.jpg": large_tiff()}
    for name in ["photo.heic", "photo.jxl", "rgb.jp2", "photo.avif"]:
        others[name] = (FIXTURES / "libraries" / name).read_bytes()
    with contextlib.ExitStack() as stack:
        place = filled_workplace(stack, pictures=pictures, others=others)
        place.address = stack.enter_context(place.web_app())
        yield place


@pytest.fixture
def visit(browser, album):
    """Opens the album's page, or another one's (`base`)."""
    from Browser.test_site import Visit

    visits = []

    def make(base=album.address, **options):
        visits.append(Visit(browser, base=base, **options))
        return visits[-1]

    yield make
    for visit in visits:
        visit.context.close()
