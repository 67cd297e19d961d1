"""The table in other hands: copied into another database, or filled by a model that is of no use."""

import io
import json
import pathlib
import pickle
import shutil
import struct
import subprocess
import zipfile

import psycopg
import pytest
from test_ingest import SAMPLE_MODEL, album, album_settings, pictures, put, rows, summary
from tools import MODEL, TESTS, Workplace, new_database

__all__ = ["album"]


def restored(source, target):
    """`pg_dump -t pictures | psql`, with the server's own programs."""
    with psycopg.connect(source) as connection:
        folder = connection.execute("SELECT setting FROM pg_config() WHERE name = 'BINDIR'").fetchone()[0]
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
    dump = subprocess.run(
        [pathlib.Path(folder) / "pg_dump", "-t", "pictures", source], check=True, capture_output=True, timeout=60)
    subprocess.run(
        [pathlib.Path(folder) / "psql", "-qv", "ON_ERROR_STOP=1", target], input=dump.stdout, check=True,
        stdout=subprocess.DEVNULL, timeout=60)


@pytest.mark.parametrize("model, stored", [(MODEL, 0), (SAMPLE_MODEL, 46)])
def test_dump_and_restore(workplace, album, tmp_path, model, stored):
    """Rows that were restored without the tables beside them keep their model: a run with it finds them
    unchanged, one with another model embeds everything again."""
    put(album, pictures(46))
    workplace.run("process-images")
    before = rows(workplace.database)
    with new_database() as uri:
        restored(workplace.database, uri)
        place = Workplace(
            tmp_path / "other",
            album_settings(album) | {"PG_SERVICE_URI": uri, "CLIP_MODEL": str(model)})
        done = summary(place.run("process-images", "--json"))
        assert (done["stored"], done["unchanged"]) == (stored, 46 - stored)
        after = rows(uri)
        assert after.keys() == before.keys()
        assert all((after[name] != before[name]) == (stored > 0) for name in after)
        with psycopg.connect(uri) as connection:
            assert connection.execute(
                "SELECT DISTINCT name FROM pictures JOIN picture_models ON id = model"
            ).fetchall() == [(model.name,)]
        place.run("find-images", "cat")
    assert rows(workplace.database) == before


class Tensors(pickle.Unpickler):
    """Reads a state dict of half-precision and single tensors without PyTorch."""

    def __init__(self, archive):
        names = archive.namelist()
        root = next(name for name in names if name.endswith("data.pkl"))
        self.read = lambda key: archive.read(root.replace("data.pkl", f"data/{key}"))
        super().__init__(io.BytesIO(archive.read(root)))

    def find_class(self, module, name):
        if name == "_rebuild_tensor_v2":
            return lambda storage, offset, shape, stride, *_: (*storage, offset, shape, stride)
        if module.startswith("torch"):
            return name
        return super().find_class(module, name)

    def persistent_load(self, identifier):
        return {"HalfStorage": ("F16", 2), "FloatStorage": ("F32", 4), "LongStorage": ("I64", 8)}[
            identifier[1]], self.read(identifier[2])


def contents(tensor):
    """A tensor's type, shape and bytes, one element after the other."""
    (kind, width), storage, offset, shape, stride = tensor
    if not shape:
        return kind, [], storage[width * offset:width * (offset + 1)]
    places = [offset]
    for size, step in zip(shape[:-1], stride[:-1], strict=True):
        places = [place + step * i for place in places for i in range(size)]
    if stride[-1] == 1:
        rows = (storage[width * place:width * (place + shape[-1])] for place in places)
    else:
        rows = (storage[width * (place + stride[-1] * i):][:width] for place in places for i in range(shape[-1]))
    return kind, list(shape), b"".join(rows)


def with_projection(folder, projection, number):
    """A model of which one projection is the same number everywhere; the other tower is as it was."""
    source = TESTS / "ClipCoreTests" / "Fixtures" / "layouts" / "gelu"
    folder.mkdir()
    shutil.copy(source / "open_clip_config.json", folder)
    with zipfile.ZipFile(source / "open_clip_pytorch_model.bin") as archive:
        tensors = {name: contents(tensor) for name, tensor in Tensors(archive).load().items()}
    kind, shape, data = tensors[projection]
    assert kind == "F16"
    tensors[projection] = ("F32", shape, struct.pack("<f", number) * (len(data) // 2))
    header, start = {}, 0
    for name, (kind, shape, data) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, start + len(data)]}
        start += len(data)
    text = json.dumps(header).encode()
    (folder / "open_clip_model.safetensors").write_bytes(
        struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))
    return folder


# The second makes sums overflow. Weights that are not finite themselves are refused when the file is read.
@pytest.mark.parametrize("number", [0.0, 3e38])
def test_embeddings_without_direction(workplace, album, tmp_path, number):
    """A model that gives zero, or nothing finite: every picture is named, nothing is stored, and a search
    with a picture is refused."""
    put(album, pictures(3))
    sentence = "the model gives an embedding that is zero or not finite"
    model = {"CLIP_MODEL": str(with_projection(tmp_path / "model", "visual.proj", number))}
    with psycopg.connect(workplace.database, autocommit=True) as connection:
        connection.execute("DROP TABLE pictures")
        workplace.run("create-table", "--dimension", "32")
        run = workplace.run("process-images", "--json", code=2, env=model)
        done = summary(run)
        assert (done["stored"], done["failed"]) == (0, 3)
        assert [line.split(": ", 1)[1] for line in run.stderr.splitlines()] == 3 * [sentence]
        assert connection.execute("SELECT count(*) FROM pictures").fetchone()[0] == 0
        assert workplace.run("find-images", "cat", env=model).stdout == ""
        refused = workplace.run("find-images", "--image", str(album / min(pictures(1))), code=1, env=model)
        assert sentence in refused.stderr and refused.stdout == ""


@pytest.mark.parametrize("number", [0.0, 3e38])
def test_a_model_without_texts_embeds_no_picture(workplace, album, tmp_path, number):
    put(album, pictures(3))
    model = {"CLIP_MODEL": str(with_projection(tmp_path / "model", "text_projection", number))}
    with psycopg.connect(workplace.database, autocommit=True) as connection:
        connection.execute("DROP TABLE pictures")
        workplace.run("create-table", "--dimension", "32")
        refused = workplace.run("process-images", code=1, env=model)
        assert "not finite" in refused.stderr
        assert connection.execute("SELECT count(*) FROM pictures").fetchone()[0] == 0


def test_index_without_halfvec(workplace):
    """pgvector before 0.7, as Ubuntu 24.04 has it: one sentence, and nothing is left of the index."""
    workplace.run("create-table")
    with psycopg.connect(workplace.database, autocommit=True) as connection:
        connection.execute("ALTER TYPE halfvec RENAME TO halfvec_of_later")
        said = workplace.run("create-table", "--index", "hnsw", code=1).stderr
        assert said.endswith("searches work without an index\n") and "older than 0.7 and lacks halfvec" in said
        assert connection.execute("SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'pictures_embedding%'").fetchone() == (0,)
