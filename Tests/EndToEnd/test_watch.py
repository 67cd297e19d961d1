"""process-images --watch: a process that stays, follows the bucket, and says what it does."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import threading
import urllib.parse

import psycopg
import pytest
from faults import FaultProxy
from prometheus_client.parser import text_string_to_metric_families
from test_ingest import SAMPLE_MODEL, album, album_settings, count_rows, pictures, put, service, start, wait_until
from tools import MODEL, Workplace, new_bucket, s3_client, s3_settings

__all__ = ["album"]

WATCHDOG = "400000"  # microseconds


class ServiceManager:
    """Receives what systemd would."""

    def __init__(self, address):
        self.messages = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.thread = threading.Thread(target=self.receive)

    def receive(self):
        while message := self.socket.recv(4096):
            self.messages.append(message.decode())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        # An empty datagram ends the thread.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.sendto(b"", self.socket.getsockname())
        self.thread.join()
        self.socket.close()


@contextlib.contextmanager
def watching(place, notify, *arguments):
    """A running process-images --watch; afterwards it is killed if the test has not ended it."""
    process = start(
        place, "--watch", "1s", "--workers", "1", *arguments,
        env={"NOTIFY_SOCKET": notify, "WATCHDOG_USEC": WATCHDOG})
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def told_to_stop(process):
    """Ends it as systemd does; gives its lines of stdout, as JSON, and of stderr."""
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return [json.loads(line) for line in output.splitlines()], errors.splitlines()


def add(folder, name, body):
    """A whole file at once: half of it would be a failure."""
    new = folder.with_name("new")
    new.write_bytes(body)
    (folder / name).parent.mkdir(exist_ok=True)
    new.rename(folder / name)


def metrics(path):
    families = text_string_to_metric_families(path.read_text())
    return {
        (sample.name.removeprefix("clip_search_ingest_"), sample.labels.get("outcome")): sample.value
        for family in families for sample in family.samples
    }


def test_follows_the_bucket(workplace, album, tmp_path):
    """New pictures are found, gone ones are not, with the model that was opened at the start."""
    model = tmp_path / "model.pt"
    shutil.copy(MODEL, model)
    workplace.write(workplace.settings | album_settings(album) | {"CLIP_MODEL": str(model)})
    status, numbers = tmp_path / "status.json", tmp_path / "ingest.prom"
    bodies = pictures(8)
    names = sorted(bodies)
    put(album, {name: bodies[name] for name in names[:3]})

    def state():
        return json.loads(status.read_text())

    def found():
        lines = workplace.run("find-images", "cat", "--keys", env={"CLIP_MODEL": str(MODEL)}).stdout
        return set(lines.splitlines())

    def passes():
        return state()["complete_passes"]

    with ServiceManager(str(tmp_path / "notify")) as manager, \
            psycopg.connect(workplace.database, autocommit=True) as watcher, watching(
                workplace, str(tmp_path / "notify"), "--prune", "--status-file", str(status), "--metrics-file",
                str(numbers), "--failed", str(tmp_path / "failed.jsonl")) as process:
        wait_until(lambda: count_rows(watcher) == 3)
        assert found() == set(names[:3])
        wait_until(lambda: passes() >= 1)
        # Another model takes the file's place, as mv does it: this process keeps its own.
        shutil.copy(SAMPLE_MODEL, tmp_path / "new.pt")
        os.replace(tmp_path / "new.pt", model)
        add(album, names[3], bodies[names[3]])
        wait_until(lambda: count_rows(watcher) == 4)
        assert found() == set(names[:4])
        (album / names[0]).unlink()
        add(album, "text.jpg", b"no picture")
        wait_until(lambda: count_rows(watcher) == 3)
        assert found() == set(names[1:4])
        before = passes()
        # Status and metrics are whole whenever they are read, and pictures are counted once.
        wait_until(lambda: passes() > before + 2)
        last = state()["last_complete_pass"]
        assert (last["unchanged"], last["failed"], last["known_failures"]) == (3, 1, 1)
        assert state()["pid"] == process.pid and state()["error"] is None
        wait_until(lambda: "text.jpg" in (tmp_path / "failed.jsonl").read_text())
        found_numbers = metrics(numbers)
        assert found_numbers["pictures_total", "stored"] == 4
        assert found_numbers["pictures_total", "removed"] == 1
        assert found_numbers["pictures_total", "failed"] == 1
        assert found_numbers["objects", "unchanged"] == 3
        assert found_numbers["passes_total", "complete"] >= 4
        assert found_numbers["passes_total", "failed"] == found_numbers["failures_in_a_row", None] == 0
        assert found_numbers["last_complete_pass_timestamp_seconds", None] >= \
            found_numbers["start_time_seconds", None]
        # Signs of life go on between the passes.
        signs = manager.messages.count("WATCHDOG=1")
        wait_until(lambda: manager.messages.count("WATCHDOG=1") > signs + 4)
        summaries, errors = told_to_stop(process)
    assert manager.messages.count("READY=1") == 1
    assert "STOPPING=1" in manager.messages
    assert any(message.startswith("STATUS=waiting") for message in manager.messages)
    assert state()["state"] == "ended" and set(os.listdir(tmp_path)) >= {"status.json", "ingest.prom"}
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".new")]
    # Only passes that changed something say so, and a failure is told once.
    assert sum(summary["stored"] for summary in summaries) == 4
    assert sum(summary["pruned"] for summary in summaries) == 1
    assert len(summaries) <= 4 and all(summary["complete"] for summary in summaries)
    assert sum("text.jpg" in line for line in errors) == 1


def test_outlives_outages(tmp_path):
    """Without a retry budget a pass fails at once, and is made again until it succeeds. A bucket that is
    away is not an empty one."""
    folder = tmp_path / "store" / "album"
    bodies = pictures(6)
    names = sorted(bodies)
    put(folder, {name: bodies[name] for name in names[:4]})
    for parent in [tmp_path, *tmp_path.parents[:2]]:
        os.chmod(parent, 0o755)
    status = tmp_path / "status.json"
    notify = "\0clip-search-" + secrets.token_hex(8)
    with service("postgres", tmp_path / "postgres", "--no-fsync") as (settings, stop, again), \
            ServiceManager(notify) as manager:
        uri = settings["PG_SERVICE_URI"]
        place = Workplace(
            tmp_path / "work",
            album_settings(folder) | {"PG_SERVICE_URI": uri, "CLIP_MODEL": str(MODEL)})
        place.run("create-table")

        def state():
            return json.loads(status.read_text())

        def rows():
            with psycopg.connect(uri) as watcher:
                return count_rows(watcher)

        def fails(count):
            return state()["state"] == "failing" and state()["failures_in_a_row"] >= count

        with watching(
                place, "@" + notify[1:], "--prune", "--retry-for", "0", "--status-file",
                str(status)) as process:
            wait_until(lambda: rows() == 4)
            stop()
            wait_until(lambda: fails(2))
            assert "database" in state()["error"] or "connect" in state()["error"]
            add(folder, names[4], bodies[names[4]])
            again("--port", uri.rsplit(":", 1)[1].split("/")[0])
            wait_until(lambda: rows() == 5 and state()["state"] == "waiting")
            assert state()["failures_in_a_row"] == 0 and state()["error"] is None

            folder.rename(folder.with_name("away"))
            wait_until(lambda: fails(2))
            assert rows() == 5
            add(folder.with_name("away"), names[5], bodies[names[5]])
            folder.with_name("away").rename(folder)
            wait_until(lambda: rows() == 6)

            # An empty folder, as when nothing is mounted: the rows stay, and it goes on.
            folder.rename(folder.with_name("away"))
            folder.mkdir()
            wait_until(lambda: fails(1) and "--force" in state()["error"])
            assert rows() == 6
            stop()
            wait_until(lambda: fails(1) and "--force" not in state()["error"])
            assert any(message == "WATCHDOG=1" for message in manager.messages)
            told_to_stop(process)
    assert state()["state"] == "ended" and state()["failed_passes"] >= 6


def test_outlives_its_store(workplace, tmp_path):
    """Passes fail while the S3 store is away; when it is back, what is new is found."""
    bodies = pictures(5)
    first, *rest = sorted(bodies)
    objects = {first: bodies[first]}
    status = tmp_path / "status.json"

    def state():
        return json.loads(status.read_text())

    # A port that nothing listens at.
    with socket.create_server(("127.0.0.1", 0)) as nothing:
        away = f"http://127.0.0.1:{nothing.getsockname()[1]}"
    with new_bucket(objects) as bucket, ServiceManager(str(tmp_path / "notify")) as manager:
        settings = s3_settings(bucket)
        store = urllib.parse.urlsplit(settings["S3_ENDPOINT"])
        proxy = FaultProxy(settings["S3_ENDPOINT"])
        with proxy.running() as address, psycopg.connect(workplace.database, autocommit=True) as watcher:
            workplace.write(workplace.settings | settings | {"S3_ENDPOINT": address})
            workplace.run("create-table")
            with watching(
                    workplace, str(tmp_path / "notify"), "--prune", "--retry-for", "0", "--status-file",
                    str(status)) as process:
                wait_until(lambda: count_rows(watcher) == 1 and state()["complete_passes"] >= 1)
                proxy.upstream = urllib.parse.urlsplit(away)
                wait_until(lambda: state()["state"] == "failing" and state()["failures_in_a_row"] >= 2)
                assert count_rows(watcher) == 1 and address in state()["error"]
                for key in rest:
                    objects[key] = bodies[key]
                    s3_client().put_object(Bucket=bucket, Key=key, Body=bodies[key])
                proxy.upstream = store
                wait_until(lambda: count_rows(watcher) == 5 and state()["state"] == "waiting")
                assert state()["failures_in_a_row"] == 0 and state()["error"] is None
                summaries, errors = told_to_stop(process)
        assert "WATCHDOG=1" in manager.messages
    assert sum(line["stored"] for line in summaries) == 5 and sum(line["pruned"] for line in summaries) == 0
    assert state()["state"] == "ended" and any(address in line for line in errors)


def test_wrong_settings_end_it(workplace, album):
    put(album, pictures(2))
    workplace.run("process-images")
    (album.parent / "other").mkdir()
    for wrong in [
        {"S3_BUCKET_NAME": "other"}, {"CLIP_MODEL": str(SAMPLE_MODEL)},
        {"PG_SERVICE_URI": urllib.parse.urlsplit(workplace.database)._replace(path="/nowhere").geturl()},
    ]:
        refused = workplace.run("process-images", "--watch", "1s", code=1, env=wrong)
        assert len(refused.stderr.splitlines()) == 1


def test_files_that_cannot_be_written(workplace, album, tmp_path):
    for option in ["--status-file", "--metrics-file"]:
        refused = workplace.run("process-images", option, str(tmp_path / "no" / "file"), code=1)
        assert "no/file cannot be written: No such file" in refused.stderr
    workplace.run("process-images", "--metrics-file", str(tmp_path / "once.prom"))
    assert metrics(tmp_path / "once.prom")["passes_total", "complete"] == 1


@pytest.mark.parametrize("arguments", [
    ["--watch", "0"], ["--watch", "often"], ["--watch=often"], ["--watch", "--dry-run"], ["--watch", "--replace-model"],
    ["--watch", "10m", "--prune", "--force"],
])
def test_wrong_usage(workplace, arguments):
    assert "Usage:" in workplace.run("process-images", *arguments, code=64).stderr
