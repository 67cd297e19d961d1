"""The tools on a Citus cluster, when TEST_CITUS_URI names one: scripts/services/citus starts it."""

import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import threading
import urllib.parse

import psycopg
import pytest
from test_databases import refused
from test_ingest import (
    SAMPLE_MODEL, SERVICES, check_rows, expected, finish, pictures, put, slow_pictures, start, summary, wait_until,
)
from tools import GOLDEN, MODEL, PICTURES, Workplace, search, tool

URI = os.environ.get("TEST_CITUS_URI")
pytestmark = pytest.mark.skipif(not URI, reason="TEST_CITUS_URI names no Citus cluster (docs/scaling.md)")
SHARDS = 8


def workplace_in(schema, tmp_path):
    """A workplace whose table is in this schema of the cluster's database, with a folder for pictures."""
    (tmp_path / "store" / "album").mkdir(parents=True)
    option = f"&options=-csearch_path%3D{schema},public%20-ccitus.shard_count%3D{SHARDS}"
    place = Workplace(tmp_path / "work", {
        "PG_SERVICE_URI": URI + option, "PG_SCHEMA": schema, "CLIP_MODEL": str(MODEL),
        "S3_ENDPOINT": f"file://{tmp_path}/store", "S3_BUCKET_NAME": "album"})
    place.database, place.schema, place.album = URI + option, schema, tmp_path / "store" / "album"
    return place


@pytest.fixture
def place(tmp_path):
    place = workplace_in("t_" + secrets.token_hex(6), tmp_path)
    yield place
    with psycopg.connect(URI, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {place.schema} CASCADE")


def kinds(place):
    with psycopg.connect(URI) as connection:
        return dict(connection.execute(
            """
            SELECT relname, coalesce(partmethod::text, 'local')
            FROM pg_class LEFT JOIN pg_dist_partition ON logicalrelid = pg_class.oid
            WHERE relkind = 'r' AND relnamespace = %s::regnamespace
            """, (place.schema,)).fetchall())


def hits(place, *arguments, env=None):
    lines = place.run("find-images", "cat", "--json", "--no-url", *arguments, env=env).stdout.splitlines()
    return [(hit["key"], hit["score"]) for hit in map(json.loads, lines)]


def groups(place):
    lines = place.run("find-images", "--duplicates", "--json").stdout.splitlines()
    return {frozenset(copy["key"] for copy in json.loads(line)["copies"]) for line in lines}


def test_all_tools(place):
    put(place.album, pictures(60))
    (place.album / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    place.run("create-table")
    place.run("process-images", code=2)
    truth = hits(place, "-k", "30")
    copies = groups(place)
    # A table with rows can be distributed, and once only.
    assert "was distributed over" in place.run("create-table", "--distributed").stdout
    assert "distributed already" in place.run("create-table", "--distributed").stdout
    assert kinds(place) == {
        "pictures": "h", "picture_refusals": "h", "picture_previews": "h", "picture_claims": "local",
        "picture_models": "local", "picture_collection": "local", "picture_schema": "local"}
    assert hits(place, "-k", "30") == truth
    assert groups(place) == copies
    check_rows(place.database, expected(60))
    done = summary(place.run("process-images", "--json", code=2))
    assert (done["unchanged"], done["stored"], done["failed"]) == (60, 0, 1)

    # Changed, new, refused and gone objects.
    names = sorted(expected(60))
    (place.album / names[0]).write_bytes((PICTURES / sorted(GOLDEN)[-1]).read_bytes() + b"\0")
    (place.album / "broken.jpg").unlink()
    for name in names[-5:]:
        (place.album / name).unlink()
    assert "would remove 5" in place.run("process-images", "--dry-run", "--prune").stdout
    done = summary(place.run("process-images", "--json", "--prune"))
    assert (done["unchanged"], done["stored"], done["pruned"]) == (54, 1, 5)
    status = summary(place.run("create-table", "--status", "--json"))
    assert (status["pictures"], status["failures"], status["shards"]) == (55, 0, SHARDS)
    with psycopg.connect(place.database, autocommit=True) as connection:
        connection.execute("UPDATE pictures SET width = NULL; DELETE FROM picture_previews")
    assert summary(place.run("process-images", "--json", "--refresh"))["refreshed"] == 55
    assert summary(place.run("process-images", "--json", "--refresh"))["refreshed"] == 0

    # With an index, the answers are the same; the settings reach the servers that hold the shards.
    truth = hits(place, "-k", "30")
    assert "maintenance_work_mem" in refused(place, "create-table", "--index", "hnsw", "--memory", "64MB")
    assert "was built" in place.run("create-table", "--index", "hnsw").stdout
    assert hits(place, "-k", "30") == truth
    recall = summary(place.run("create-table", "--recall", "5", "--json"))
    assert recall["recall"] == 1
    status = summary(place.run("create-table", "--status", "--json"))
    assert status["indexes"][0]["valid"] and status["indexes"][0]["bytes"] > SHARDS * 8_192
    assert status["table_bytes"] >= SHARDS * 8_192
    assert groups(place)
    with place.web_app() as address:
        assert search(address)[0] == 200

    # Previews may be dropped; they come back where the pictures are.
    with psycopg.connect(place.database, autocommit=True) as connection:
        connection.execute("DROP TABLE picture_previews")
    place.run("create-table")
    assert kinds(place)["picture_previews"] == "h"
    place.run("process-images", "--refresh")

    new = {"CLIP_MODEL": str(SAMPLE_MODEL)}
    done = summary(place.run("process-images", "--replace-model", "--json", env=new))
    assert done["replaced_model"] and done["stored"] == 55
    assert len(hits(place, "-k", "60", env=new)) == 55
    assert summary(place.run("create-table", "--recall", "5", "--json", env=new))["recall"] == 1
    assert summary(place.run("process-images", "--json", env=new))["unchanged"] == 55
    assert "was dropped" in place.run("create-table", "--index", "none", env=new).stdout


def test_search_settings_reach_the_servers(place):
    """pgvector looks at 40 rows of each shard unless it is told more, there where the shard is."""
    place.run("create-table", "--distributed", "--dimension", "3")
    with psycopg.connect(place.database, autocommit=True) as connection:
        connection.execute(
            """
            INSERT INTO pictures (filename, embedding)
            SELECT 'k' || i, ARRAY[cos(i / 2e4), sin(i / 2e4), 0]::vector FROM generate_series(1, 20000) AS i
            """)
        connection.execute(
            "CREATE INDEX ON pictures USING hnsw ((embedding::halfvec(3)) halfvec_cosine_ops)")
    # With 40 rows of each shard there would be 320 in all.
    lines = place.run("find-images", "--image", "k10000", "--json", "--no-url", "-k", "400").stdout.splitlines()
    assert len(lines) == 400


def test_progress_of_an_index(place):
    """Over the shards, one of which waits for a transaction of somebody else."""
    place.run("create-table", "--distributed")
    with psycopg.connect(place.database, autocommit=True) as connection:
        for column in ["taken_at", "width"]:  # which would wait, too, and tell nothing
            connection.execute(f"CREATE INDEX ON pictures ({column})")
    with psycopg.connect(place.database) as writer:
        # Without any progress the build would wait for ever.
        writer.execute("SET idle_in_transaction_session_timeout = '60s'")
        writer.execute("INSERT INTO pictures (filename) VALUES ('a')")
        builder = subprocess.Popen(
            [tool("create-table"), "--index", "hnsw"], cwd=place.folder, env=place.environment, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        line = next((line for line in builder.stderr if line.startswith("index")), None)
        writer.commit()
    builder.communicate(timeout=120)
    assert builder.returncode == 0 and re.match(rf"index [1-{SHARDS}] of {SHARDS}: ", line), line


def test_without_citus(workplace, tmp_path):
    assert "Citus" in refused(workplace, "create-table", "--distributed")


class Node:
    """The first worker, which is in the folder of the cluster: TEST_CITUS_DIR. It ends as in a crash."""

    folder = pathlib.Path(os.environ.get("TEST_CITUS_DIR", "/nonexistent")) / "worker1"

    def __enter__(self):
        return self

    def kill(self):
        with psycopg.connect(URI) as connection:
            host, port = connection.execute(
                "SELECT nodename, nodeport FROM pg_dist_node WHERE shouldhaveshards ORDER BY nodeid LIMIT 1").fetchone()
        parts = urllib.parse.urlsplit(URI)
        uri = parts._replace(netloc=f"{parts.username}:{parts.password}@{host}:{port}").geturl()
        with psycopg.connect(uri) as connection:
            data = connection.execute("SHOW data_directory").fetchone()[0]
        os.kill(int((pathlib.Path(data) / "postmaster.pid").read_text().splitlines()[0]), signal.SIGQUIT)

    def start(self):
        subprocess.run([SERVICES / "postgres", "start", self.folder, "--no-fsync"], check=True, capture_output=True)

    def __exit__(self, *_):
        self.start()


@pytest.mark.skipif(not Node.folder.exists(), reason="TEST_CITUS_DIR names no folder of scripts/services/citus")
def test_a_killed_node(place, tmp_path):
    """While a node is down, searches and runs say so in one sentence; nothing is lost when it is back.

    TEST_CITUS_SCHEMA names a schema with many rows, as Benchmarks/search/citus.py leaves one; they stay."""
    if schema := os.environ.get("TEST_CITUS_SCHEMA"):
        place = workplace_in(schema, tmp_path / "large")
    with psycopg.connect(URI) as connection:
        begin = connection.execute("SELECT clock_timestamp()").fetchone()
    count = "SELECT count(*) FROM pictures WHERE stored_at > %s"
    put(place.album, pictures(40) | slow_pictures(90))
    place.run("create-table", "--distributed")
    with Node() as node, place.web_app() as address:
        worker = start(place, "--workers", "1", "--batch-size", "2")
        with psycopg.connect(place.database, autocommit=True) as watcher:
            wait_until(lambda: watcher.execute(count, begin).fetchone()[0] > 10)
        codes = []
        stopping = threading.Event()

        def ask():
            while not stopping.is_set():
                codes.append(search(address)[0])

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            wait_until(lambda: 200 in codes)
            node.kill()
            wait_until(lambda: codes[-1] == 503)
            for command in [["find-images", "cat"], ["process-images", "--dry-run"], ["create-table", "--status"]]:
                assert "a server of the database cluster is down" in refused(place, *command)
            node.start()
            wait_until(lambda: codes[-1] == 200)
        finally:
            stopping.set()
            thread.join()
        assert set(codes) == {200, 503}
        output, log = worker.communicate(timeout=240)
        assert worker.returncode == 0 and json.loads(output)["complete"], log
        assert "a server of the database cluster is down" in log and "SQLSTATE 42" not in log
    done = summary(place.run("process-images", "--json"))
    assert (done["unchanged"], done["stored"]) == (130, 0)
    with psycopg.connect(place.database, autocommit=True) as connection:
        assert connection.execute(count, begin).fetchone()[0] == 130
        connection.execute("DELETE FROM pictures WHERE stored_at > %s", begin)
