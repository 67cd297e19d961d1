"""The four tools as a person runs them, on a real PostgreSQL and a real S3 store."""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import psycopg
import pytest
from tools import GOLDEN, MODEL, PICTURES, TESTS, Workplace, new_bucket, s3_settings, tool

TEXTS = json.loads((TESTS / "Fixtures" / "tiny-clip.json").read_text())

# Keys that want care: in URLs, in signatures, in paths, on a terminal.
KEYS = [
    "plain.jpg", "with space.jpg", "plus+and%percent.jpg", "double//slash.jpg", "ünïcödé/日本.jpg",
    "emoji 🐈‍⬛.jpg", "question?mark&amp;.jpg", "hash#and=equals.jpg", "quote'\"<script>.jpg",
    "deep/er/and/deeper.jpeg", "trailing dot..jpg", "~tilde(1)*!.jpg",
]
OTHERS = {
    "folder/": b"",
    "notes.txt": b"not a picture",
    "film.mp4": b"\0\0\0\x18ftypmp42" + bytes(100_000),
}
BROKEN = {
    "broken/cut.jpg": (PICTURES / "progressive.jpg").read_bytes()[:900],
    "broken/text.jpg": b"not a picture at all",
    "broken/empty.jpg": b"",
}


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def nearest(text, embeddings):
    """Keys by falling cosine to one of the texts that upstream has embedded."""
    query = next(row["embedding"] for row in TEXTS if row["text"] == text)
    return sorted(embeddings, key=lambda key: -dot(query, embeddings[key]))


def rows(uri):
    with psycopg.connect(uri) as connection:
        found = connection.execute("SELECT filename, embedding::text FROM pictures").fetchall()
    return {key: json.loads(vector) for key, vector in found}


@pytest.fixture(scope="module")
def pictures():
    """Nasty keys, each with one of the pictures whose embedding upstream gave."""
    names = dict(zip(KEYS, sorted(GOLDEN), strict=True))
    return {
        "bytes": {key: (PICTURES / name).read_bytes() for key, name in names.items()},
        "embeddings": {key: GOLDEN[name] for key, name in names.items()},
    }


def test_from_bucket_to_browser(workplace, pictures):
    embeddings = pictures["embeddings"]
    with new_bucket(pictures["bytes"] | OTHERS | BROKEN) as bucket:
        workplace.write(workplace.settings | s3_settings(bucket))

        first = workplace.run("create-table")
        assert re.fullmatch(
            r"pgvector [0-9.]+ was enabled\.\n"
            r"The table pictures \(embeddings of dimension 512\) was created\.\n",
            first.stdout,
        )
        again = workplace.run("create-table")
        assert re.fullmatch(
            r"pgvector [0-9.]+ was enabled already\.\n"
            r"The table pictures \(embeddings of dimension 512\) was there already\.\n",
            again.stdout,
        )

        # Nothing to find yet is neither an error nor silence.
        empty = workplace.run("find-images", "man jumping")
        assert empty.stdout == ""
        assert "no pictures yet: run process-images" in empty.stderr

        for counts in ["stored 12", "stored 0, unchanged 12"]:
            ingest = workplace.run("process-images", code=2)
            summary = counts + r", skipped 3, failed 3 \(JPEG 1\) in [0-9.]+ s \([0-9.]+ pictures/s\)\n"
            assert re.fullmatch(summary, ingest.stdout), ingest
            failures = [line for line in ingest.stderr.splitlines() if line.startswith("broken/")]
            assert sorted(line.split(":")[0] for line in failures) == sorted(BROKEN)
            stored = rows(workplace.database)
            assert sorted(stored) == sorted(KEYS)
            for key, embedding in stored.items():
                assert dot(embedding, embeddings[key]) > 0.99999, key
                assert abs(dot(embedding, embedding) - 1) < 1e-6

        # Every text finds what upstream's embeddings say, and every link gives the picture.
        for text in [row["text"] for row in TEXTS]:
            found = workplace.run("find-images", text, "--json", "--limit", "12")
            hits = [json.loads(line) for line in found.stdout.splitlines()]
            assert [hit["rank"] for hit in hits] == list(range(1, 13))
            scores = {hit["key"]: hit["score"] for hit in hits}
            query = next(row["embedding"] for row in TEXTS if row["text"] == text)
            for key in KEYS:
                assert abs(scores[key] - dot(query, embeddings[key])) < 1e-5
            assert [hit["score"] for hit in hits] == sorted(scores.values(), reverse=True)
        for hit in hits:
            with urllib.request.urlopen(hit["url"]) as response:
                assert response.read() == pictures["bytes"][hit["key"]]
            parts = urllib.parse.parse_qs(urllib.parse.urlsplit(hit["url"]).query)
            assert parts["X-Amz-Expires"] == ["3600"]

        # What a person sees: four pictures by default.
        shown = workplace.run("find-images", "man jumping")
        assert shown.stderr == ""
        lines = shown.stdout.splitlines()
        assert len(lines) == 8
        expected = nearest("man jumping", embeddings)[:4]
        for rank, key in enumerate(expected, 1):
            assert re.fullmatch(re.escape(f"{rank}: {key} (") + r"-?[01]\.\d{4}\)", lines[2 * rank - 2])
            assert lines[2 * rank - 1].startswith("   URL: http://")

        with workplace.web_app() as address:
            check_web_app(address, expected)


def check_web_app(address, expected):
    def get(path, data=None):
        with urllib.request.urlopen(address + path, data) as response:
            assert response.headers["Content-Type"]
            return response.read().decode()

    assert json.loads(get("/health"))["status"] == "ok"
    assert "<form" in get("/")
    # The tiny model takes some of these pictures for copies of one another.
    page = get("/search?q=man+jumping&stacked=false")
    fragment = get("/search_form", urllib.parse.urlencode({"search_text": "man jumping", "stacked": "false"}).encode())
    assert "<html" in page and "<html" not in fragment
    for html in (page, fragment):
        sources = [unescape(s) for s in re.findall(r'<img[^>]* src="([^"]*)"', html)]
        keys = [urllib.parse.unquote(urllib.parse.urlsplit(s).path).split("/", 2)[2] for s in sources]
        assert keys[:4] == expected and sorted(keys) == sorted(KEYS)
        for source in sources:
            with urllib.request.urlopen(urllib.parse.urljoin(address, source)) as response:
                assert response.read(2) == b"\xff\xd8"
    assert "<script>.jpg" not in page


def unescape(text):
    import html

    return html.unescape(text)


def test_directory_as_bucket(workplace, pictures, tmp_path):
    """file:// stands in for a bucket, needs no keys, and the web app serves the pictures itself."""
    store = tmp_path / "some store"
    bodies = {key: body for key, body in pictures["bytes"].items() if "//" not in key}
    for key, body in bodies.items():
        path = store / "album" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    endpoint = "file://" + urllib.parse.quote(str(store))
    workplace.write(workplace.settings | {"S3_ENDPOINT": endpoint, "S3_BUCKET_NAME": "album"})
    workplace.run("create-table")
    assert workplace.run("process-images").stdout.startswith(f"stored {len(bodies)}, skipped 0, failed 0")
    hits = [
        json.loads(line)
        for line in workplace.run("find-images", "cat", "--json", "-k", "20").stdout.splitlines()
    ]
    assert sorted(hit["key"] for hit in hits) == sorted(bodies)
    for hit in hits:
        with urllib.request.urlopen(hit["url"]) as response:
            assert response.read() == bodies[hit["key"]]
    with workplace.web_app() as address:
        with urllib.request.urlopen(f"{address}/search?q=cat&stacked=false") as response:
            page = response.read().decode()
        sources = [unescape(s) for s in re.findall(r'<img[^>]* src="([^"]*)"', page)]
        assert [urllib.parse.unquote(s) for s in sources] == [f"/thumbnails/{hit['key']}" for hit in hits]
        for hit, source in zip(hits, sources):
            with urllib.request.urlopen(address + source) as response:
                assert response.read(2) == b"\xff\xd8"
            with urllib.request.urlopen(address + source.replace("/thumbnails/", "/pictures/", 1)) as response:
                assert response.read() == bodies[hit["key"]]
        for path in ["/pictures/..%2F..%2F.env", "/pictures/%2Fetc%2Fpasswd", "/pictures/../.env"]:
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(address + path)
            assert refused.value.code in (400, 404)


def test_folder_without_any_store_setting(workplace, pictures, tmp_path):
    """process-images FOLDER needs PG_SERVICE_URI only; the other tools find the folder by the database."""
    folder = tmp_path / "My pictures"
    folder.mkdir()
    for key, body in pictures["bytes"].items():
        if "//" in key:
            continue
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(body)
    settings = tmp_path / "settings.env"
    settings.write_text((workplace.folder / ".env").read_text() + "not a setting\n")
    (workplace.folder / ".env").unlink()
    where = ["--env-file", str(settings)]
    warning = f"line 3 of {settings} cannot be read and is ignored: write NAME=value, with both quotes if it has any"

    def run(name, *arguments, **options):
        result = workplace.run(name, *where, *arguments, **options)
        assert result.stderr.startswith(f"{name}: {warning}\n"), result
        return result

    run("create-table")
    # Nothing tells where the pictures are.
    for name in ["process-images", "find-images", "web-app"]:
        query = ["cat"] if name == "find-images" else []
        assert "S3_ENDPOINT is not set" in run(name, *query, code=1).stderr
    stored = json.loads(run("process-images", "--json", str(folder)).stdout)["stored"]
    assert stored > 0
    found = json.loads(run("find-images", "--json", "-k", "1", "cat").stdout)
    assert urllib.parse.unquote(found["url"]) == f"file://{folder}/{found['key']}"
    assert "groups" in run("find-images", "--duplicates").stderr
    again = json.loads(run("process-images", "--json").stdout)
    assert (again["stored"], again["unchanged"]) == (0, stored)
    with workplace.web_app(*where) as address:
        key = urllib.parse.quote(found["key"])
        assert urllib.request.urlopen(f"{address}/pictures/{key}").read() == (folder / found["key"]).read_bytes()
    # Another folder is another bucket.
    other = tmp_path / "other"
    other.mkdir()
    assert "belongs to the bucket" in run("process-images", str(other), code=1).stderr
    assert "cannot be read" in workplace.run("find-images", "--env-file", "none.env", "cat", code=1).stderr


def test_shares_the_table_with_the_python_demo(workplace, pictures):
    """The demo's statements on our table, and ours on the demo's table."""
    with new_bucket(pictures["bytes"]) as bucket, psycopg.connect(workplace.database) as demo:
        workplace.write(workplace.settings | s3_settings(bucket))
        demo.execute("CREATE EXTENSION vector")
        demo.execute("CREATE TABLE pictures (filename text PRIMARY KEY, embedding vector(512))")
        key = KEYS[0]
        with demo.cursor().copy("COPY pictures (filename, embedding) FROM STDIN") as copy:
            copy.write_row((key, str([1.0] + [0.0] * 511)))
            copy.write_row(("only the demo knows.jpg", str([0.5] * 512)))
        demo.commit()

        assert "was there already, and was brought up" in workplace.run("create-table").stdout
        workplace.run("process-images")
        assert dot(rows(workplace.database)[key], pictures["embeddings"][key]) > 0.99999
        assert "only the demo knows.jpg" in rows(workplace.database)
        demo.execute("DELETE FROM pictures WHERE filename = 'only the demo knows.jpg'")
        demo.commit()

        query = json.loads(workplace.run("find-images", "outer space", "--print-embedding").stdout)
        found = demo.execute(
            "SELECT * FROM pictures ORDER BY embedding <-> %s LIMIT 4;", (str(query),)
        ).fetchall()
        ours = workplace.run("find-images", "outer space", "--json").stdout.splitlines()
        with workplace.web_app() as address:
            with urllib.request.urlopen(f"{address}/api/embedding?q=outer+space") as response:
                answer = json.load(response)
            assert dot(answer["embedding"], query) > 0.9999999 and answer["is_truncated"] is False
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"{address}/api/embedding")
            assert refused.value.code == 400
        assert [row[0] for row in found] == [json.loads(line)["key"] for line in ours]


def test_print_embedding_touches_nothing_else(tmp_path):
    place = Workplace(tmp_path, {"CLIP_MODEL": MODEL})
    for row in TEXTS:
        result = place.run("find-images", "--print-embedding", "--", row["text"])
        embedding = json.loads(result.stdout)
        assert len(embedding) == 512
        assert dot(embedding, row["embedding"]) > 0.99999
        assert result.stderr == ""
    long = place.run("find-images", "--print-embedding", "word " * 100)
    assert "more than 77 tokens" in long.stderr
    assert len(json.loads(long.stdout)) == 512


def test_keys_cannot_move_the_cursor(workplace, tmp_path):
    key = "evil\x1b[2J\nname.jpg"
    store = tmp_path / "store" / "album"
    store.mkdir(parents=True)
    (store / key).write_bytes((PICTURES / "grey.jpg").read_bytes())
    (store / ("broken" + key)).write_bytes(b"no picture")
    workplace.write(
        workplace.settings | {"S3_ENDPOINT": f"file://{tmp_path}/store", "S3_BUCKET_NAME": "album"}
    )
    workplace.run("create-table")
    ingest = workplace.run("process-images", code=2)
    found = workplace.run("find-images", "man jumping")
    assert "\x1b" not in ingest.stderr + found.stdout
    assert len(found.stdout.splitlines()) == 2
    assert json.loads(workplace.run("find-images", "cat", "--json").stdout)["key"] == key


@pytest.mark.parametrize("name", ["create-table", "process-images", "find-images", "web-app"])
def test_missing_settings_are_named(name, workplace):
    needed = {
        "create-table": ["PG_SERVICE_URI"],
        "process-images": ["PG_SERVICE_URI", "S3_ENDPOINT", "S3_BUCKET_NAME", "S3_ACCESS_KEY", "S3_SECRET_KEY"],
    }
    complete = workplace.settings | s3_settings("bucket")
    terms = ["cat"] if name == "find-images" else []
    for missing in needed.get(name, needed["process-images"]):
        workplace.write({key: value for key, value in complete.items() if key != missing})
        result = workplace.run(name, *terms, code=1)
        assert result.stdout == ""
        assert result.stderr == (
            f"{name}: {missing} is not set: set it in the environment or in .env "
            "(.env_example shows how)\n"
        )
    # A real variable wins over the file.
    workplace.write(complete)
    elsewhere = "postgres://nobody:sesame-1@127.0.0.1:1/nowhere"
    if name in ("create-table", "process-images", "find-images"):
        result = workplace.run(name, *terms, code=1, env={"PG_SERVICE_URI": elsewhere})
        assert "127.0.0.1" in result.stderr and "sesame" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["create-table", "--dimension", "0"], ["create-table", "extra"],
        ["process-images", "--workers", "0"], ["process-images", "--batch-size", "none"],
        ["find-images", "--limit", "0"], ["find-images", "two", "texts"], ["find-images", "--unknown"],
        ["web-app", "--port", "65536"], ["web-app", "--port", "http"],
    ],
)
def test_wrong_usage(arguments, tmp_path):
    place = Workplace(tmp_path, {})
    result = place.run(*arguments, code=64)
    assert result.stdout == "" and "Usage:" in result.stderr


@pytest.mark.parametrize("name", ["create-table", "process-images", "find-images", "web-app"])
def test_version_names_formats_and_instruction_sets(name, tmp_path):
    told = subprocess.run([tool(name), "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (0, "")
    version, formats, instructions = told.stdout.splitlines()
    assert re.fullmatch(r"clip-search \d+\.\d+\.\d+( \([0-9a-f]{12}\))?", version)
    assert {"JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF"} <= set(formats.removeprefix("formats: ").split(", "))
    flags = set(re.search(r"^flags\s*:(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)[1].split())
    known = {"avx512_vnni": "avx512-vnni", "avx512vl": "avx512", "avx_vnni": "avx2-vnni", "avx2": "avx2"}
    best = next((known[flag] for flag in known if flag in flags), "sse")
    assert instructions == f"instructions: {best}"
    capped = subprocess.run(
        [tool(name), "--version"], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"CLIP_MAX_ISA": "sse"})
    assert capped.stdout.splitlines()[2] == "instructions: sse"


def test_int8_where_it_does_not_pay_is_noted(tmp_path):
    """The note comes before anything is opened, so no service is needed."""
    place = Workplace(tmp_path, {"CLIP_MAX_ISA": "sse", "CLIP_PRECISION": "int8"})
    note = "CLIP_PRECISION=int8 is not faster than fp32 on this processor (sse).\n"
    assert place.run("process-images", code=1).stderr.startswith(note)
    int7 = place.run("process-images", code=1, env={"CLIP_PRECISION": "int7"}).stderr
    assert int7.startswith(note.replace("int8", "int7"))
    assert note not in place.run("process-images", "--quiet", code=1).stderr
    assert note not in place.run("process-images", code=1, env={"CLIP_PRECISION": "fp32"}).stderr
    unknown = place.run("process-images", code=1, env={"CLIP_MAX_ISA": "mmx"}).stderr
    assert unknown.startswith("process-images: CLIP_MAX_ISA must be one of sse, avx2,")


@pytest.mark.parametrize("name", ["create-table", "process-images", "find-images", "web-app"])
def test_help_is_as_committed(name, tmp_path):
    shown = Workplace(tmp_path, {}).run(name, "--help").stdout
    committed = pathlib.Path(__file__).parent / "help" / f"{name}.txt"
    advice = "if this is wanted: scripts/make-tool-docs BUILD_DIR"
    assert shown == committed.read_text(), advice
    assert f"```text\n{shown.rstrip()}\n```" in (TESTS.parent / "docs/tools.md").read_text(), advice


def test_faults_have_one_sentence_each(workplace, tmp_path):
    """What goes wrong most often, and what is said."""
    with new_bucket({}) as bucket:
        good = workplace.settings | s3_settings(bucket)
        workplace.write(good)
        assert "run create-table first" in workplace.run("process-images", code=1).stderr
        assert "run create-table first" in workplace.run("find-images", "cat", code=1).stderr
        workplace.run("create-table")

        def say(name, **changed):
            workplace.write(good | changed)
            terms = ["cat"] if name == "find-images" else []
            stderr = workplace.run(name, *terms, code=1).stderr
            assert stderr.count("\n") == 1 and stderr.startswith(f"{name}: "), stderr
            return stderr

        # A bucket that is not there, and keys that are wrong.
        assert "NoSuchBucket" in say("process-images", S3_BUCKET_NAME="no-such-bucket-here")
        wrong = say("process-images", S3_SECRET_KEY="wrong-secret-1")
        assert "SignatureDoesNotMatch" in wrong and "wrong-secret-1" not in wrong
        # No such server, wrong password, no such database.
        uri = urllib.parse.urlsplit(workplace.database)
        assert "127.0.0.1" in say("create-table", PG_SERVICE_URI="postgres://a:b@127.0.0.1:1/c")
        netloc = f"{uri.username}:sesame-2@{uri.hostname}:{uri.port}"
        denied = say("create-table", PG_SERVICE_URI=uri._replace(netloc=netloc).geturl())
        assert "password authentication failed" in denied and "sesame" not in denied
        assert "nowhere" in say("create-table", PG_SERVICE_URI=uri._replace(path="/nowhere").geturl())
        # A model that is no model, is cut, or is not there.
        (tmp_path / "text.pt").write_text("hello")
        (tmp_path / "cut.pt").write_bytes(MODEL.read_bytes()[:100_000])
        for path in ["text.pt", "cut.pt", "none.pt"]:
            assert path in say("find-images", CLIP_MODEL=str(tmp_path / path))
        # Another embedding dimension than the model's.
        with psycopg.connect(workplace.database) as connection:
            connection.execute("DROP TABLE pictures")
        workplace.write(good)
        workplace.run("create-table", "--dimension", "768")
        assert "dimension 768" in say("process-images")


def test_results_are_never_lost_silently(workplace, tmp_path):
    """A full disk is an error; a closed stdout or stderr does not end up in a socket."""
    store = tmp_path / "store" / "album"
    store.mkdir(parents=True)
    (store / "a.jpg").write_bytes((PICTURES / "grey.jpg").read_bytes())
    (store / "broken.jpg").write_bytes(b"no picture")
    workplace.write(
        workplace.settings | {"S3_ENDPOINT": f"file://{tmp_path}/store", "S3_BUCKET_NAME": "album"}
    )
    workplace.run("create-table")

    def shell(command):
        return subprocess.run(
            ["bash", "-c", command], cwd=workplace.folder, env=workplace.environment,
            capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        )

    assert shell(f"{tool('process-images')} 2>&-").returncode == 2
    assert len(rows(workplace.database)) == 1
    full = shell(f"{tool('find-images')} cat > /dev/full")
    assert full.returncode == 1 and "cannot be written" in full.stderr
    closed = shell(f"{tool('find-images')} cat >&-")
    assert closed.returncode == 1 and "cannot be written" in closed.stderr


def test_rows_that_others_stored(workplace, tmp_path):
    """A zero vector has no cosine; a key that cannot be in the store has no link."""
    (tmp_path / "store" / "album").mkdir(parents=True)
    workplace.write(
        workplace.settings | {"S3_ENDPOINT": f"file://{tmp_path}/store", "S3_BUCKET_NAME": "album"}
    )
    workplace.run("create-table")
    with psycopg.connect(workplace.database) as connection:
        connection.execute("INSERT INTO pictures VALUES ('zero', array_fill(0, array[512])::vector)")
        connection.execute("INSERT INTO pictures VALUES ('../up.jpg', array_fill(1, array[512])::vector)")
    hits = [json.loads(line) for line in workplace.run("find-images", "cat", "--json").stdout.splitlines()]
    assert [(hit["key"], hit["url"]) for hit in hits] == [("../up.jpg", None)]
    assert "URL: none" in workplace.run("find-images", "man jumping").stdout


def test_web_app_ends_when_told_to(workplace, tmp_path):
    """Even while searches wait for a locked table."""
    (tmp_path / "store" / "album").mkdir(parents=True)
    workplace.write(
        workplace.settings | {"S3_ENDPOINT": f"file://{tmp_path}/store", "S3_BUCKET_NAME": "album"}
    )
    workplace.run("create-table")
    with psycopg.connect(workplace.database) as locker, workplace.web_app() as address:
        locker.execute("LOCK TABLE pictures")

        def search():
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/search?q=cat", timeout=60)

        waiting = [threading.Thread(target=search) for _ in range(6)]
        for thread in waiting:
            thread.start()
        # Until a search has reached the lock; then web_app() sends the signal and waits 30 s.
        with psycopg.connect(workplace.database, autocommit=True) as watcher:
            for _ in range(200):
                if watcher.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()[0]:
                    break
                time.sleep(0.05)
            else:
                raise AssertionError("no search reached the table")
    for thread in waiting:
        thread.join()
