"""web-app while its model file is replaced, the right way and the wrong way."""

import json
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request

import pytest
from tools import MODEL, PICTURES

PICTURE = PICTURES / "progressive.jpg"


def search(base, text=None):
    """Status and body of a search for a text, or for a picture."""
    request = urllib.request.Request(
        base + "/api/search" + ("?" + urllib.parse.urlencode({"q": text}) if text else ""),
        data=None if text else PICTURE.read_bytes(), headers={} if text else {"Content-Type": "image/jpeg"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def truncate(model):
    os.truncate(model, 0)


def shorten_and_fill(model):
    """What `cp other model` leaves: another file's bytes under the same inode."""
    with open(model, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.truncate(0)
        file.seek(0)
        file.write(b"\7" * size)


def move_over(model):
    other = model.with_suffix(".new")
    other.write_bytes(b"another model")
    os.rename(other, model)


@pytest.mark.parametrize(
    ("change", "status"), [(truncate, 500), (shorten_and_fill, 500), (move_over, 200)])
def test_the_model_file_changes_while_the_page_runs(workplace, tmp_path, change, status):
    model = tmp_path / "model.pt"
    shutil.copy(MODEL, model)
    (tmp_path / "album").mkdir()
    shutil.copy(PICTURE, tmp_path / "album" / "a.jpg")
    workplace.write(
        workplace.settings
        | {"CLIP_MODEL": str(model), "S3_ENDPOINT": tmp_path.as_uri(), "S3_BUCKET_NAME": "album"})
    workplace.run("create-table")
    workplace.run("process-images")
    with workplace.web_app() as base:
        before = search(base, "a cat")
        assert before[0] == 200
        change(model)
        # Words that no earlier text had, so that other rows of the token table are read.
        words = "the quick brown fox jumps over seven lazy dogs by the river near an old mill"
        assert all(search(base, f"{word} {number}")[0] == 200 for number, word in enumerate(words.split()))
        assert search(base, "a  cat") == before
        # The vision tower was not loaded before: it comes from the file as it was, or not at all.
        found, body = search(base)
        assert found == status
        assert search(base, "another text")[0] == 200
