"""A web-app over some of the sample pictures, with the sample model."""

import pathlib
import shutil
import struct
import tempfile

from tools import Workplace, new_database

SAMPLES = pathlib.Path(__file__).parents[2] / "samples"
# Enough for more than one page, few enough to be embedded in seconds.
PICTURES = sorted((SAMPLES / "pictures").glob("*.jpg"))[:60]


def filled_workplace(stack, database=None, pictures=PICTURES, others=None):
    """A workplace whose table holds the pictures, and others by their names; `store` is their folder.

    `stack` keeps all of it until it is closed. Without a database, one is made for it.
    """
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    store = pathlib.Path(folder) / "store" / "pictures"
    store.mkdir(parents=True)
    for picture in pictures:
        shutil.copy(picture, store)
    for name, picture in (others or {}).items():
        (store / name).write_bytes(picture)
    settings = {
        "PG_SERVICE_URI": database or stack.enter_context(new_database()),
        "CLIP_MODEL": SAMPLES / "model" / "sample-clip.pt",
        "S3_ENDPOINT": f"file://{folder}/store",
        "S3_BUCKET_NAME": "pictures",
    }
    place = Workplace(f"{folder}/work", settings)
    place.settings = settings
    place.store = store
    place.run("create-table")
    place.run("process-images")
    return place


def large_tiff(width=3_000, height=2_000):
    """A grey gradient without compression (TIFF 6.0, sections 2 to 4)."""
    pixels = bytes(x * 255 // width for x in range(width)) * height
    fields = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height),
              (279, len(pixels))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields)
    directory = struct.pack("<H", len(fields)) + entries + struct.pack("<I", 0)
    return struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + pixels + directory
