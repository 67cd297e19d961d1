"""A web-app over some of the sample pictures, with the sample model."""

import pathlib
import shutil
import tempfile

from tools import Workplace, new_database

SAMPLES = pathlib.Path(__file__).parents[2] / "samples"
# Enough for more than one page, few enough to be embedded in seconds.
PICTURES = sorted((SAMPLES / "pictures").glob("*.jpg"))[:60]


def filled_workplace(stack, database=None, pictures=PICTURES):
    """A workplace whose table holds the pictures; `store` is the folder in which they lie.

    `stack` keeps all of it until it is closed. Without a database, one is made for it.
    """
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    store = pathlib.Path(folder) / "store" / "pictures"
    store.mkdir(parents=True)
    for picture in pictures:
        shutil.copy(picture, store)
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
