"""Starts a web-app over a directory of pictures for the browser tests, unless WEB_APP_URL names one."""

import contextlib
import os
import shutil
import tempfile

from tools import GOLDEN, MODEL, PICTURES, Workplace, new_database

_stack = contextlib.ExitStack()


def pytest_configure(config):
    if os.environ.get("WEB_APP_URL"):
        return
    folder = _stack.enter_context(tempfile.TemporaryDirectory())
    os.makedirs(f"{folder}/store/pictures")
    for name in GOLDEN:
        shutil.copy(PICTURES / name, f"{folder}/store/pictures")
    place = Workplace(
        f"{folder}/work",
        {
            "PG_SERVICE_URI": _stack.enter_context(new_database()),
            "CLIP_MODEL": MODEL,
            "S3_ENDPOINT": f"file://{folder}/store",
            "S3_BUCKET_NAME": "pictures",
        },
    )
    place.run("create-table")
    place.run("process-images")
    os.environ["WEB_APP_URL"] = _stack.enter_context(place.web_app())


def pytest_unconfigure(config):
    _stack.close()
