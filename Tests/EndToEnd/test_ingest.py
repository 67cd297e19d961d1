"""process-images as one runs it nightly on a large bucket: killed, cut off, shared by several, repeated.

The numbers are small, so that the tests are quick. INGEST_FULL=1 runs them at full size: 1,000 pictures
and 100 kills, outages of 10 s, a listing of a million keys.
"""

import contextlib
import fnmatch
import json
import os
import random
import resource
import signal
import struct
import subprocess
import time
import urllib.parse
import zlib

import psycopg
import pytest
from faults import SIZE, FaultProxy, invented_store
from tools import (
    GOLDEN, MODEL, PICTURES, TESTS, Workplace, new_bucket, s3_client, s3_settings, search, tool,
)

FULL = os.environ.get("INGEST_FULL") == "1"
SERVICES = TESTS.parent / "scripts" / "services"
# By how much an element of an embedding may depend on the pictures that shared its batch: sums are added
# in another order. Up to 2.5e-7 was measured.
BATCH_BOUND = 1e-6
SAMPLE_MODEL = TESTS.parent / "samples" / "model" / "sample-clip.pt"


def pictures(count):
    """Keys, each with one of the pictures whose embedding upstream gave."""
    names = sorted(GOLDEN)
    bodies = {name: (PICTURES / name).read_bytes() for name in names}
    return {f"folder {i % 7}/{i:05d}.jpg": bodies[names[i % len(names)]] for i in range(count)}


def expected(count):
    names = sorted(GOLDEN)
    return {f"folder {i % 7}/{i:05d}.jpg": GOLDEN[names[i % len(names)]] for i in range(count)}


def slow_pictures(count):
    """Keys that come last, of large pictures: on any machine they take seconds, so that a run whose
    first rows are there is halfway."""
    width, height = 5000, 4000
    line = b"\0" + bytes(x * 255 // width for x in range(width) for _ in "RGB")
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),
        b"IDAT": zlib.compress(line * height), b"IEND": b"",
    }
    body = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    )
    return {f"slow/{i:02d}.png": body for i in range(count)}


def put(folder, objects):
    for name, body in objects.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


@pytest.fixture
def album(workplace, tmp_path):
    """A directory that stands for a bucket, with the settings for it, and a table."""
    folder = tmp_path / "store" / "album"
    folder.mkdir(parents=True)
    workplace.write(
        workplace.settings | {"S3_ENDPOINT": f"file://{tmp_path}/store", "S3_BUCKET_NAME": "album"}
    )
    workplace.run("create-table")
    return folder


def rows(uri):
    with psycopg.connect(uri) as connection:
        found = connection.execute("SELECT filename, embedding::text FROM pictures").fetchall()
    assert len({name for name, _ in found}) == len(found)
    return {name: json.loads(vector) for name, vector in found}


def count_rows(connection):
    return connection.execute("SELECT count(*) FROM pictures").fetchone()[0]


def check_rows(uri, golden):
    """Exactly the right rows: each picture's own embedding, as upstream's code gives it."""
    stored = rows(uri)
    assert stored.keys() == golden.keys()
    for name, embedding in stored.items():
        cosine = sum(a * b for a, b in zip(embedding, golden[name], strict=True))
        assert cosine > 0.99999, (name, cosine)
    return stored


def summary(result):
    return json.loads(result.stdout)


def start(place, *arguments, env=None, **options):
    return subprocess.Popen(
        [tool("process-images"), "--json", *arguments], cwd=place.folder, env=place.environment | (env or {}),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )


def finish(process, code=0):
    output, errors = process.communicate(timeout=300)
    assert process.returncode == code, (output, errors)
    return json.loads(output)


def wait_until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


def leases(connection):
    """How many pictures are claimed by a worker, alive or killed."""
    return connection.execute(
        "SELECT count(*) FROM picture_claims WHERE lease >= clock_timestamp()").fetchone()[0]


# Bar 1 ---------------------------------------------------------------------------------------------


def test_killed_again_and_again(workplace, album):
    """Whenever the process is killed, the next one goes on: every row is there, right, and only once."""
    count, kills = (1_000, 100) if FULL else (200, 12)
    put(album, pictures(count))
    draw = random.Random(5)
    killed = 0
    with psycopg.connect(workplace.database, autocommit=True) as watcher:
        for _ in range(50 * kills):
            if killed == kills:
                break
            process = start(workplace, "--workers", "1", "--batch-size", "2")
            try:
                process.wait(timeout=draw.uniform(0.02, 1.5))
                # It was done before it was killed: take some rows away, so that there is work.
                watcher.execute("DELETE FROM pictures WHERE random() < 0.5")
            except subprocess.TimeoutExpired:
                process.kill()
                killed += 1
            process.communicate()
        assert killed == kills
        workplace.run("process-images")
        check_rows(workplace.database, expected(count))
        undisturbed = {row[0]: row[1] for row in all_vectors(watcher)}
        # The last one killed may have claimed pictures that were stored by then.
        wait_until(lambda: not leases(watcher))
        watcher.execute("TRUNCATE pictures")
        workplace.run("process-images")
        assert watcher.execute("SELECT count(*) FROM picture_claims").fetchone()[0] == 0
        for name, vector in all_vectors(watcher):
            there = json.loads(undisturbed[name])
            assert max(abs(a - b) for a, b in zip(json.loads(vector), there)) < BATCH_BOUND


def all_vectors(connection):
    return connection.execute("SELECT filename, embedding::text FROM pictures").fetchall()


# Bar 2 ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def service(name, folder, *options):
    """A private service that can be stopped; gives its settings and functions that stop and start
    it again."""

    def run(action, *more):
        result = subprocess.run(
            [SERVICES / name, action, str(folder), *more], check=True, stdout=subprocess.PIPE,
            text=True, timeout=120, stdin=subprocess.DEVNULL,
        )
        return dict(line.split("=", 1) for line in result.stdout.splitlines() if "=" in line)

    settings = run("start", *options)
    try:
        yield settings, lambda: run("stop"), lambda *more: run("start", *options, *more)
    finally:
        run("stop")


def test_database_is_restarted(tmp_path):
    outage = 10 if FULL else 3
    count = 1_000
    folder = tmp_path / "store" / "album"
    put(folder, pictures(count))
    os.chmod(tmp_path, 0o755)
    for parent in tmp_path.parents[:2]:
        os.chmod(parent, 0o755)
    with service("postgres", tmp_path / "postgres", "--no-fsync") as (settings, stop, again):
        uri = settings["PG_SERVICE_URI"]
        port = str(urllib.parse.urlsplit(uri).port)
        place = Workplace(
            tmp_path / "work",
            {
                "PG_SERVICE_URI": uri, "CLIP_MODEL": str(MODEL),
                "S3_ENDPOINT": f"file://{tmp_path}/store", "S3_BUCKET_NAME": "album",
            },
        )
        place.run("create-table")
        arguments = ["--workers", "1", "--batch-size", "1"]
        process = stop_halfway(uri, stop, lambda: start(place, *arguments))
        time.sleep(outage)
        assert process.poll() is None
        again("--port", port)
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, (output, errors)
        assert "trying again" in errors and "the database is back" in errors
        done = json.loads(output)
        assert done["stored"] + done["elsewhere"] == count and done["failed"] == 0
        check_rows(uri, expected(count))
        # Without a retry budget the run ends.
        with psycopg.connect(uri, autocommit=True) as watcher:
            watcher.execute("TRUNCATE pictures")
        process = stop_halfway(uri, stop, lambda: start(place, *arguments, "--retry-for", "0"))
        assert finish(process, code=1)["complete"] is False


def stop_halfway(uri, stop, begin):
    """Starts a run and stops the database when some rows are stored and others never can be, because
    somebody else is about to insert one of them."""
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(uri) as other:
        middle = sorted(pictures(1_000))[500]
        other.execute("INSERT INTO pictures (filename) VALUES (%s)", (middle,))
        process = begin()
        with psycopg.connect(uri, autocommit=True) as watcher:
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            wait_until(lambda: watcher.execute(waiting).fetchone()[0] and count_rows(watcher))
        stop()
    return process


def test_store_is_restarted(workplace, tmp_path, monkeypatch):
    outage = 10 if FULL else 3
    count = 1_000 if FULL else 60
    with service("object-store", tmp_path / "objects") as (settings, stop, again):
        for name, value in settings.items():
            monkeypatch.setenv(f"TEST_{name}", value)
        # It goes away with its store.
        client = s3_client()
        client.create_bucket(Bucket="album")
        for name, body in pictures(count).items():
            client.put_object(Bucket="album", Key=name, Body=body)
        proxy = FaultProxy(settings["S3_ENDPOINT"], hold_after=10)
        with proxy.running() as address:
            workplace.write(workplace.settings | s3_settings("album") | {"S3_ENDPOINT": address})
            workplace.run("create-table")
            process = start(workplace, "--workers", "1", "--batch-size", "1")
            wait_until(lambda: len(proxy.objects) > 10)
            stop()
            proxy.gate.set()
            time.sleep(outage)
            assert process.poll() is None
            # Another port, behind the same proxy.
            proxy.upstream = urllib.parse.urlsplit(again()["S3_ENDPOINT"])
            done = finish(process)
            assert done["stored"] == count and done["failed"] == 0
            check_rows(workplace.database, expected(count))


def test_bad_network(workplace):
    """Transfers that are cut off or refused, and bodies that end early, are asked for again."""
    count, more = (1_000, 1) if FULL else (80, 3)
    faults = {"cut": 0.05 * more, "refused": 0.05 * more, "long": 0.02 * more, "short": 0.02 * more}
    with new_bucket(pictures(count)) as bucket:
        settings = s3_settings(bucket)
        proxy = FaultProxy(settings["S3_ENDPOINT"], faults)
        with proxy.running() as address:
            workplace.write(workplace.settings | settings | {"S3_ENDPOINT": address})
            workplace.run("create-table")
            result = workplace.run("process-images", "--json", "--quiet")
            assert summary(result)["stored"] == count
            assert result.stderr == "" or "trying again" in result.stderr.lower()
            assert proxy.harmed.keys() == faults.keys()
            check_rows(workplace.database, expected(count))

            # Bar 6: what is unchanged is not asked for at all.
            asked, listings = dict(proxy.objects), proxy.listings
            again = summary(workplace.run("process-images", "--json"))
            assert (again["unchanged"], again["stored"], again["encoded"]) == (count, 0, 0)
            assert proxy.objects == asked and proxy.listings > listings
            print(f"{count} unchanged pictures: {again['seconds']} s")


# Bar 3 ---------------------------------------------------------------------------------------------


def test_several_share_a_bucket(workplace, album):
    """Four workers, of which two are killed: those who live do what is left, and nothing twice."""
    count = 1_000 if FULL else 300
    put(album, pictures(count))
    # It takes its time, so that the workers meet.
    workplace.write(workplace.settings | album_settings(album) | {"CLIP_MODEL": str(SAMPLE_MODEL)})
    arguments = ["--workers", "1", "--batch-size", "4"]
    with psycopg.connect(workplace.database, autocommit=True) as watcher:
        for _ in range(10):
            workers = start_together(watcher, [lambda: start(workplace, *arguments)] * 4)
            wait_until(lambda: count_rows(watcher) > 0)
            for worker in workers[:2]:
                worker.kill()
                worker.communicate()
            lived = [finish(worker) for worker in workers[2:]]
            if all(worker.returncode == -signal.SIGKILL for worker in workers[:2]):
                break
            # They were done already.
            watcher.execute("TRUNCATE pictures")
        else:
            raise AssertionError("the workers were always done before they could be killed")
        disturbed = rows(workplace.database)
        assert disturbed.keys() == pictures(count).keys()
        for worker in lived:
            # Nothing that they embedded was another's.
            assert worker["encoded"] == worker["stored"]
            assert worker["listed"] == count
        assert 0 < sum(worker["stored"] for worker in lived) <= count
        # Once the leases of those killed have ended, the next one finds nothing to do and leaves nothing.
        wait_until(lambda: not leases(watcher))
        assert summary(workplace.run("process-images", "--json"))["unchanged"] == count
        assert watcher.execute("SELECT count(*) FROM picture_claims").fetchone()[0] == 0

        # Undisturbed, each picture is embedded exactly once, and everybody gets some.
        watcher.execute("TRUNCATE pictures")
        done = [
            finish(worker)
            for worker in start_together(watcher, [lambda: start(workplace, *arguments)] * 4)
        ]
        assert sum(worker["encoded"] for worker in done) == count
        assert sum(worker["stored"] for worker in done) == count
        for name, embedding in rows(workplace.database).items():
            assert max(abs(a - b) for a, b in zip(embedding, disturbed[name])) < 1e-6


def start_together(connection, starts):
    """Starts workers, and lets none of them claim anything before all want to."""
    with psycopg.connect(connection.info.dsn, password=connection.info.password) as locker:
        locker.execute("LOCK TABLE picture_claims IN SHARE MODE")
        processes = [start() for start in starts]
        wait_until(
            lambda: connection.execute(
                "SELECT count(*) FROM pg_locks WHERE NOT granted"
                " AND relation = 'picture_claims'::regclass"
            ).fetchone()[0] >= len(starts)
        )
    return processes


def album_settings(album):
    return {"S3_ENDPOINT": f"file://{album.parent}", "S3_BUCKET_NAME": album.name}


# Bar 5 ---------------------------------------------------------------------------------------------


def test_a_long_listing_is_streamed(workplace):
    """Nothing is fetched, and memory does not grow with the listing."""
    count = 1_000_000 if FULL else 50_000
    with invented_store(count) as (address, others):
        workplace.write(
            workplace.settings
            | {
                "S3_ENDPOINT": address, "S3_BUCKET_NAME": "endless", "S3_ACCESS_KEY": "a",
                "S3_SECRET_KEY": "b",
            }
        )
        workplace.run("create-table")
        with psycopg.connect(workplace.database, autocommit=True) as connection:
            # Makes the model known.
            model = adopt_model(workplace, connection)
            connection.execute("ALTER TABLE pictures ALTER embedding SET STORAGE EXTENDED")
            # As faults.key() and faults.etag() have them.
            connection.execute(
                """
                INSERT INTO pictures (filename, etag, size, model, embedding)
                SELECT 'all/' || lpad(i::text, 9, '0') || '.jpg',
                    lpad(to_hex(i * 2654435761 %% 4294967296), 32, '0'), %s, %s, vector
                FROM generate_series(0::bigint, %s) AS i,
                    (SELECT array_fill(0.5, array[512])::vector AS vector) AS one
                """,
                (SIZE, model, count - 1),
            )
            connection.execute("ANALYZE pictures")
        process = start(workplace)
        _, status, usage = os.wait4(process.pid, 0)
        output, errors = process.stdout.read(), process.stderr.read()
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, (output, errors)
        done = json.loads(output)
        assert (done["unchanged"], done["encoded"], others) == (count, 0, [])
        megabytes = usage.ru_maxrss / 1024
        print(f"{count} unchanged keys: {done['seconds']} s, {megabytes:.0f} MB")
        assert megabytes < 300
        if FULL:
            assert done["seconds"] < 180


def adopt_model(place, connection):
    """Makes the model known to the table, by a run over an empty directory; gives its number."""
    (place.folder / "empty" / "album").mkdir(parents=True)
    place.run(
        "process-images",
        env={"S3_ENDPOINT": f"file://{place.folder}/empty", "S3_BUCKET_NAME": "album"},
    )
    connection.execute("DELETE FROM picture_collection")
    known = connection.execute("SELECT id FROM picture_models WHERE active_since IS NOT NULL")
    return known.fetchone()[0]


# Ctrl-C, failures, dry runs, another model -----------------------------------------------------------


def test_interrupting(workplace, album):
    put(album, pictures(200) | slow_pictures(60))
    with psycopg.connect(workplace.database, autocommit=True) as watcher:
        process = start(workplace, "--workers", "1", "--batch-size", "1")
        wait_until(lambda: count_rows(watcher) > 0)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 130, errors
        assert "run process-images again" in errors
        done = json.loads(output)
        assert not done["complete"] and 0 < done["stored"] == done["encoded"] < 260
        assert count_rows(watcher) == done["stored"]
        assert watcher.execute("SELECT count(*) FROM picture_claims").fetchone()[0] == 0
        assert summary(workplace.run("process-images", "--json"))["stored"] == 260 - done["stored"]

        # A second signal ends it at once, even while it waits for a lock.
        watcher.execute("TRUNCATE pictures")
        with psycopg.connect(workplace.database) as locker:
            locker.execute("LOCK TABLE picture_claims")
            process = start(workplace)
            wait_until(
                lambda: watcher.execute(
                    "SELECT count(*) FROM pg_locks WHERE NOT granted"
                ).fetchone()[0]
            )
            # Signals that follow at once may become one on a busy machine.
            for _ in range(300):
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.2)
                    break
            process.communicate(timeout=60)
            assert process.returncode == 143
        workplace.run("process-images")
        assert count_rows(watcher) == 260


def test_failures_are_listed(workplace, album, tmp_path):
    put(album, pictures(5))
    broken = {
        "cut.jpg": (PICTURES / "progressive.jpg").read_bytes()[:900], "text.jpg": b"no picture",
        "empty.jpg": b"", 'quote".jpg': b"\0",
    }
    put(album, broken)
    log = tmp_path / "failed.jsonl"
    for _ in range(2):
        result = workplace.run("process-images", "--failed", str(log), "--json", "--quiet", code=2)
        assert summary(result)["failed"] == len(broken)
        failures = [json.loads(line) for line in log.read_text().splitlines()]
        assert {failure["key"] for failure in failures} == broken.keys()
        assert all(failure["reason"] for failure in failures)
        assert len(result.stderr.splitlines()) == len(broken)
    assert "cannot be written" in workplace.run(
        "process-images", "--failed", "/nonexistent/file", code=1
    ).stderr


def test_known_failures_and_formats(workplace, album, tmp_path):
    """Nightly: what was reported before does not fail the run again; what is new does. Failures are counted
    by format in the summary, --json and --failed, and a dry run reports the same."""
    put(album, pictures(3))
    cut = (PICTURES / "progressive.jpg").read_bytes()[:900]
    put(album, {
        "a.psd": b"8BPS" + bytes(100), "named.jpg": b"8BPS" + bytes(100), "cut.jpg": cut,
        "text.jpg": b"no picture", "film.mov": b"\0\0\0\x14ftypqt  ", "edit.AAE": b"<?xml",
    })
    log = tmp_path / "failed.jsonl"
    # Of new files a dry run reads the first bytes, which do not tell that one is cut.
    dry = workplace.run("process-images", "--dry-run", "--failed", str(log), code=2)
    assert "would fetch 4, unchanged 0, skipped 2, failed 3 (PSD 2)" in dry.stdout
    reasons = {failure["key"]: failure["reason"] for failure in map(json.loads, log.read_text().splitlines())}
    assert reasons == {key: "PSD is not supported" for key in ("a.psd", "named.jpg")} | {"text.jpg": "not a picture"}
    nightly = ["process-images", "--known-failures-ok", "--failed", str(log)]
    first = workplace.run(*nightly, code=2)
    assert "skipped 2, failed 4 (PSD 2, JPEG 1)" in first.stdout
    failures = [json.loads(line) for line in log.read_text().splitlines()]
    formats = {"a.psd": "PSD", "named.jpg": "PSD", "cut.jpg": "JPEG", "text.jpg": None}
    assert {failure["key"]: failure.get("format") for failure in failures} == formats
    second = summary(workplace.run(*nightly, "--json"))
    assert (second["failed"], second["known_failures"]) == (4, 4)
    assert second["failed_formats"] == {"JPEG": 1, "PSD": 2}
    workplace.run("process-images", code=2)
    assert "failed 4 (PSD 2, JPEG 1)" in workplace.run("process-images", "--dry-run", code=2).stdout
    workplace.run("process-images", "--dry-run", "--known-failures-ok")
    # One that has changed is news, and so is another one.
    (album / "cut.jpg").write_bytes(cut[:800])
    third = summary(workplace.run(*nightly, "--json", code=2))
    assert (third["failed"], third["known_failures"]) == (4, 3)
    workplace.run(*nightly)


def test_dry_run_of_a_bucket(workplace):
    """In a bucket a dry run goes by names, since it fetches nothing."""
    with new_bucket({"a.psd": b"8BPS", "b/c.JXR": b"II\xbc\1", "d.jpg": b"8BPS", "e.txt": b"text"}) as bucket:
        workplace.write(workplace.settings | s3_settings(bucket))
        workplace.run("create-table")
        dry = summary(workplace.run("process-images", "--dry-run", "--json", code=2))
        assert (dry["changed"], dry["failed"], dry["failed_formats"]) == (2, 2, {"JPEG XR": 1, "PSD": 1})
        done = summary(workplace.run("process-images", "--json", code=2))
        assert (done["skipped"], done["failed"], done["failed_formats"]) == (1, 3, {"JPEG XR": 1, "PSD": 2})


def test_exclusions(workplace, album):
    """What a pattern leaves out is what Python's fnmatch says."""
    keys = ["a.jpg", "b.JPG", "thumbs/a.jpg", "x/thumbs/b.jpg", "x/avatars/c.jpg", "th[u]mbs/d.jpg", "é.jpg"]
    body = (PICTURES / "grey.jpg").read_bytes()
    put(album, {key: body for key in keys})
    for patterns in [
        ["thumbs/*"], ["*thumbs/*"], ["*/thumbs/*", "*.JPG"], ["?.jpg"], ["*"], ["a*a*.jpg"], ["*s/?.jpg"], ["t*"],
    ]:
        arguments = [word for pattern in patterns for word in ("--exclude", pattern)]
        workplace.run("process-images", "--quiet", *arguments)
        with psycopg.connect(workplace.database) as connection:
            stored = {key for (key,) in connection.execute("SELECT filename FROM pictures")}
            connection.execute("DELETE FROM pictures")
        left = {key for key in keys if not any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns)}
        assert stored == left, patterns
    assert "that --prefix and --exclude leave" in workplace.run("process-images", "--prefix", "none/").stdout


def test_scopes_of_a_bucket(workplace):
    """The same for an S3 store: a prefix is asked of the store, and rows outside the scope stay."""
    objects = {name.replace("folder ", "f"): body for name, body in pictures(12).items()}
    with new_bucket(objects) as bucket:
        workplace.write(workplace.settings | s3_settings(bucket))
        workplace.run("create-table")
        scope = ["--prefix", "f1/", "--exclude", "*08.jpg"]
        done = summary(workplace.run("process-images", "--json", *scope))
        wanted = {name for name in objects if name.startswith("f1/")}
        assert done["listed"] + done["excluded"] == len(wanted) == 2 and done["excluded"] == 1
        workplace.run("process-images")
        with psycopg.connect(workplace.database, autocommit=True) as watcher:
            watcher.execute(
                "INSERT INTO pictures (filename, stored_at) VALUES ('f1/gone.jpg', NULL), ('f2/gone.jpg', NULL),"
                " ('f1/gone 08.jpg', NULL)"
            )
            assert "removed 1" in workplace.run("process-images", "--prune", *scope).stdout
            assert count_rows(watcher) == 14
    refused = workplace.run("process-images", "--replace-model", *scope, code=64)
    assert "whole bucket" in refused.stderr


def test_previews_and_columns(workplace, album):
    """What the user's own program reads: sizes, dates and previews; --previews none stores none."""
    put(album, pictures(5))
    put(album, {"camera.jpg": (PICTURES / "metadata" / "camera.jpg").read_bytes()})
    workplace.run("process-images", "--previews", "none")
    with psycopg.connect(workplace.database, autocommit=True) as connection:
        def previews():
            return connection.execute("SELECT count(*) FROM picture_previews").fetchone()[0]

        assert previews() == 0
        assert workplace.run("find-images", "cat", "--camera", "iphone 15", "--keys").stdout == "camera.jpg\n"
        hit = json.loads(workplace.run("find-images", "cat", "--after", "2024-02-29", "--json").stdout)
        assert (hit["width"], hit["height"], hit["taken_at"], hit["camera"]) == (
            23, 37, "2024-02-29T23:59:07", "Apple iPhone 15")
        assert "refreshed 6" in workplace.run("process-images", "--refresh").stdout
        assert previews() == 6
        connection.execute("DROP TABLE picture_previews")
        workplace.run("find-images", "cat")
        assert "unchanged 6" in workplace.run("process-images").stdout
        assert "refreshed 6" in workplace.run("process-images", "--refresh").stdout
        (album / "camera.jpg").unlink()
        workplace.run("process-images", "--prune")
        assert previews() == 5


def test_the_space_of_previews_is_told(workplace, album):
    # Padded, so that their previews are expected to have their full size: 18 kB.
    put(album, {f"{number}.jpg": (PICTURES / "grey.jpg").read_bytes().ljust(20_000, b"\0") for number in range(60)})
    told = "previews will take about 1 MB in the database (--previews none leaves them out)"
    assert told not in workplace.run("process-images", "--previews", "none").stderr
    assert told in workplace.run("process-images", "--refresh").stderr
    assert told not in workplace.run("process-images", "--refresh").stderr
    with psycopg.connect(workplace.database, autocommit=True) as connection:
        connection.execute("DELETE FROM pictures")
    assert told in workplace.run("process-images").stderr


def test_dry_run_and_prune(workplace, album):
    put(album, pictures(20))
    assert "would fetch 20" in workplace.run("process-images", "--dry-run").stdout
    with psycopg.connect(workplace.database, autocommit=True) as watcher:
        assert count_rows(watcher) == 0
        workplace.run("process-images")
        for name in list(pictures(20))[:5]:
            (album / name).unlink()
        workplace.run("process-images")
        assert count_rows(watcher) == 20
        dry = workplace.run("process-images", "--dry-run", "--prune").stdout
        assert "unchanged 15" in dry and "would remove 5" in dry
        assert count_rows(watcher) == 20
        assert "removed 5" in workplace.run("process-images", "--prune").stdout
        assert rows(workplace.database).keys() == set(list(pictures(20))[5:])
        # A bucket that is suddenly empty is more likely a mistake.
        for name in list(pictures(20))[5:]:
            (album / name).unlink()
        assert "--force" in workplace.run("process-images", "--prune", code=1).stderr
        assert count_rows(watcher) == 15
        workplace.run("process-images", "--prune", "--force")
        assert count_rows(watcher) == 0


def test_stopped_worker_leaves_nothing_undone(workplace, album):
    """Two workers, of which one gets SIGTERM: the other finishes everything before it says so."""
    count = 300
    put(album, pictures(count))
    workplace.write(workplace.settings | album_settings(album) | {"CLIP_MODEL": str(SAMPLE_MODEL)})
    arguments = ["--workers", "1", "--batch-size", "4"]
    with psycopg.connect(workplace.database, autocommit=True) as watcher:
        for _ in range(3):
            watcher.execute("TRUNCATE pictures")
            stopped, survivor = start_together(watcher, [lambda: start(workplace, *arguments)] * 2)
            wait_until(lambda: count_rows(watcher) > 0)
            stopped.send_signal(signal.SIGTERM)
            stopped.communicate(timeout=120)
            done = finish(survivor)
            assert done["complete"] and done["stored"] + done["elsewhere"] == count
            assert count_rows(watcher) == count


def test_another_bucket_is_refused(workplace, album, tmp_path):
    """The table knows its bucket: no tool works on it with another one, so --prune cannot empty it."""
    put(album, pictures(10))
    other = album.parent / "other"
    put(other, pictures(3))
    workplace.run("process-images")
    wrong = {"S3_BUCKET_NAME": "other"}
    for arguments in [
        ["process-images"], ["process-images", "--prune", "--force"], ["process-images", "--dry-run"],
        ["find-images", "cat"], ["create-table"], ["create-table", "--status"],
        ["process-images", "--add-endpoint"],
    ]:
        result = workplace.run(*arguments, code=1, env=wrong)
        assert '"album"' in result.stderr and '"other"' in result.stderr, arguments
        assert len(result.stderr.splitlines()) == 1 and result.stdout == ""
    with workplace.web_app() as address:
        assert search(address)[0] == 200
    # The same bucket at another address is accepted once it is added.
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "album").symlink_to(album)
    there = {"S3_ENDPOINT": f"file://{moved}"}
    assert "--add-endpoint" in workplace.run("process-images", code=1, env=there).stderr
    workplace.run("process-images", "--add-endpoint", env=there)
    workplace.run("find-images", "cat", env=there)
    workplace.run("find-images", "cat")
    assert len(rows(workplace.database)) == 10


def test_pruning_that_looks_like_a_mistake(workplace, album):
    """A run that records the bucket of a table with rows, and one that would remove a fifth of the rows
    and more than 100, need --force."""
    put(album, pictures(10))
    workplace.run("process-images")
    with psycopg.connect(workplace.database, autocommit=True) as watcher:
        watcher.execute("DELETE FROM picture_collection")
        watcher.execute(
            "INSERT INTO pictures (filename, stored_at) SELECT 'gone ' || i, NULL"
            " FROM generate_series(1, 20000) AS i"
        )
        # Only process-images records the bucket of a table that has none; a dry run does not.
        for other in [["create-table"], ["find-images", "cat"], ["process-images", "--dry-run"]]:
            workplace.run(*other)
            assert watcher.execute("SELECT count(*) FROM picture_collection").fetchone()[0] == 0
        # A dry run that compared every row with every key took half a minute here, in one statement.
        database = urllib.parse.urlsplit(workplace.database).path[1:]
        watcher.execute(f"ALTER DATABASE {database} SET statement_timeout = '15s'")
        assert "records which bucket" in workplace.run("process-images", "--prune", code=1).stderr
        refused = workplace.run("process-images", "--prune", code=1)
        assert "20000 of 20010 rows" in refused.stderr and "unchanged 10" in refused.stdout
        assert count_rows(watcher) == 20_010
        dry = workplace.run("process-images", "--dry-run", "--prune")
        assert "would remove 20000" in dry.stdout and "--force" in dry.stderr
        assert "removed 20000" in workplace.run("process-images", "--prune", "--force").stdout
        assert count_rows(watcher) == 10


def test_incomplete_listing_prunes_nothing(workplace, album):
    """A folder that cannot be listed is reported; what is in it does not count as gone."""
    deep = "/".join(["d"] * 258) + "/x.jpg"
    put(album, pictures(10))
    workplace.run("process-images")
    with psycopg.connect(workplace.database, autocommit=True) as watcher:
        watcher.execute("INSERT INTO pictures (filename) VALUES (%s), ('gone.jpg')", (deep,))
        put(album, {deep: (PICTURES / "progressive.jpg").read_bytes(), "new.jpg": b"no picture"})
        for arguments in [["--prune", "--force"], ["--dry-run", "--prune"]]:
            result = workplace.run("process-images", "--json", *arguments, code=2)
            assert not summary(result)["complete"] and "pruned" not in summary(result)
            assert "incomplete" in result.stderr and "d/d/d" in result.stderr
        assert count_rows(watcher) == 12


def test_full_disk_for_the_list_of_failures(workplace, album, tmp_path):
    """The list of failures is complete or the run says that it is not; it is not emptied in vain."""
    put(album, pictures(3) | {"text.jpg": b"no picture"})
    result = workplace.run("process-images", "--failed", "/dev/full", "--json", code=1)
    assert "/dev/full" in result.stderr and "No space left" in result.stderr
    assert not summary(result)["complete"]
    log = tmp_path / "failed.jsonl"
    log.write_text("former\n")
    result = workplace.run(
        "process-images", "--failed", str(log), code=1, env={"S3_BUCKET_NAME": "nowhere"}
    )
    assert log.read_text() == "former\n" and result.stdout == ""
    workplace.run("process-images", "--failed", str(log), code=2)
    assert [json.loads(line)["key"] for line in log.read_text().splitlines()] == ["text.jpg"]
    (album / "text.jpg").unlink()
    workplace.run("process-images", "--failed", str(log))
    assert log.read_text() == ""


def test_too_few_open_files_are_refused(workplace, album):
    """The limit is raised to the hard one; a run that could not hold its connections does not begin."""
    put(album, pictures(3))

    def run(limit):
        return subprocess.run(
            [tool("process-images")], cwd=workplace.folder, env=workplace.environment, capture_output=True,
            text=True, timeout=300, stdin=subprocess.DEVNULL,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit))

    refused = run((40, 40))
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1 and "40 files" in refused.stderr
    assert "stored 3" in run((40, 256)).stdout


def test_empty_bucket_says_so(workplace, album):
    assert "album in " in (said := workplace.run("process-images").stdout) and "is empty" in said


def test_searching_while_storing(workplace, album):
    """Searches with and without the index while pictures are stored: none fails, and a picture that was
    found stays found."""
    put(album, pictures(50))
    workplace.run("process-images")
    workplace.run("create-table", "--index", "hnsw")
    rest = {name: body for name, body in pictures(300).items() if not (album / name).exists()}
    put(album, rest | slow_pictures(40))
    process = start(workplace, "--batch-size", "4")
    known, rounds = set(), 0
    while process.poll() is None or rounds == 0:
        for exact in [["--exact"], []]:
            lines = workplace.run("find-images", "cat", "--json", "--no-url", "-k", "500", *exact).stdout
            hits = [json.loads(line) for line in lines.splitlines()]
            keys = {hit["key"] for hit in hits}
            assert len(keys) == len(hits) >= 50
            scores = [hit["score"] for hit in hits]
            assert scores == sorted(scores, reverse=True)
            if exact:
                assert keys >= known
                known = keys
        rounds += 1
    assert finish(process)["stored"] == 290
    assert rounds > 1
    stored, golden = rows(workplace.database), expected(300)
    assert len(stored) == 340
    for name in golden:
        assert sum(a * b for a, b in zip(stored[name], golden[name], strict=True)) > 0.99999
    # Copies of a picture have the same embedding, up to what their batches change.
    first = {}
    for name, picture in zip(sorted(golden, key=lambda name: name.split("/")[1]), 60 * sorted(GOLDEN)):
        copy = first.setdefault(picture, stored[name])
        assert max(abs(a - b) for a, b in zip(stored[name], copy, strict=True)) < BATCH_BOUND
    # The index holds the new pictures too: it finds the nearest, or copies of them, so compare scores.
    nearest = [
        [json.loads(line)["score"] for line in workplace.run(*search, *exact).stdout.splitlines()]
        for search in [["find-images", "cat", "--json", "--no-url", "-k", "10"]]
        for exact in [[], ["--exact"]]
    ]
    assert len(nearest[0]) == 10
    assert nearest[0] == pytest.approx(nearest[1], rel=0, abs=BATCH_BOUND)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--retry-for", "soon"], ["--max-pixels", "0"], ["--max-bytes", "-1"], ["--force"],
        ["--exclude", ""], ["--previews", "gif"], ["--replace-model", "--prefix", "a"],
    ],
)
def test_wrong_usage(arguments, tmp_path):
    assert "Usage:" in Workplace(tmp_path, {}).run("process-images", *arguments, code=64).stderr
