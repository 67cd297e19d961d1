"""The four tools through PgBouncer, while other clients use the same pool.

INGEST_FULL=1 runs the repeated prune at full size: 15 times over 6,000 keys.
"""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import urllib.parse

import psycopg
import pytest
from test_ingest import (
    FULL, SAMPLE_MODEL, SERVICES, album, album_settings, check_rows, count_rows, expected, finish, leases,
    pictures, put, rows, slow_pictures, start, summary, wait_until,
)
from tools import Workplace, variable

__all__ = ["album"]


@contextlib.contextmanager
def pool(mode, size):
    """A pool in front of the tests' server; gives a function that leads a service URI through it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="clip-search-pool."))
    try:
        output = subprocess.run(
            [SERVICES / "pgbouncer", "start", folder, "--to", variable("TEST_PG_URI"), "--mode", mode,
             "--size", str(size)],
            check=True, stdout=subprocess.PIPE, text=True, timeout=60, stdin=subprocess.DEVNULL,
        ).stdout
        address = urllib.parse.urlsplit(output.strip().split("=", 1)[1]).netloc
        yield lambda uri: urllib.parse.urlsplit(uri)._replace(netloc=address).geturl()
    finally:
        subprocess.run([SERVICES / "pgbouncer", "stop", folder], check=True, timeout=60)


@contextlib.contextmanager
def other_clients(uri, count=2):
    """Clients that use the pool all the time, so that it hands its connections from one to another."""
    done = threading.Event()
    errors = []

    def work():
        try:
            with psycopg.connect(uri, autocommit=True, prepare_threshold=None) as connection:
                while not done.is_set():
                    connection.execute("SELECT pg_sleep(0.003)")
        except psycopg.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not errors


@pytest.fixture
def direct(workplace, album):
    """The database's address without a pool; the table is there already, made by `album`."""
    return workplace.database


def through(place, album, uri):
    """A workplace like another, whose settings name a pool."""
    return Workplace(
        place.folder.with_name("pooled"),
        place.settings | album_settings(album) | {"PG_SERVICE_URI": uri},
    )


def check_nothing_remains(uri, pooled, size):
    """Nothing of the tools is left on any server connection of the pool."""
    with contextlib.ExitStack() as stack:
        seen = {}
        # Transactions that are open at once have different server connections.
        for _ in range(size):
            connection = stack.enter_context(psycopg.connect(pooled, prepare_threshold=None))
            process = connection.execute("SELECT pg_backend_pid()").fetchone()[0]
            seen[process] = connection.execute(
                """
                SELECT name, setting FROM pg_settings WHERE source = 'session' AND name NOT IN
                    ('application_name', 'client_encoding', 'DateStyle', 'TimeZone',
                    'standard_conforming_strings')
                """
            ).fetchall()
            assert connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()[0] == 0
            assert connection.execute("SHOW search_path").fetchone()[0] == '"$user", public'
        assert len(seen) == size and not any(seen.values()), seen
    with psycopg.connect(uri) as connection:
        assert connection.execute(
            """
            SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database =
                    (SELECT oid FROM pg_database WHERE datname = current_database())),
                (SELECT count(*) FROM pg_class WHERE relpersistence = 't'),
                (SELECT count(*) FROM picture_claims)
            """
        ).fetchone() == (0, 0, 0)


# In session mode a client keeps its server connection, so two workers need more than two.
@pytest.mark.parametrize("mode, size", [("session", 12), ("transaction", 2)])
def test_all_tools(workplace, album, direct, mode, size):
    with pool(mode, size) as lead:
        pooled = lead(direct)
        place = through(workplace, album, pooled)
        with other_clients(pooled):
            assert "was there already" in place.run("create-table").stdout

            # Two workers, one of which is killed: the other stores everything.
            put(album, pictures(60) | slow_pictures(16))
            workers = [start(place, "--workers", "1", "--batch-size", "2") for _ in range(2)]
            with psycopg.connect(direct, autocommit=True) as watcher:
                wait_until(lambda: count_rows(watcher) > 10)
            os.kill(workers[0].pid, signal.SIGKILL)
            workers[0].communicate()
            assert finish(workers[1])["complete"]
            stored = rows(direct)
            assert len(stored) == 76
            # What the killed worker had claimed after others stored it stays claimed until its lease ends.
            with psycopg.connect(direct, autocommit=True) as watcher:
                wait_until(lambda: not leases(watcher))
            assert summary(place.run("process-images", "--json"))["unchanged"] == 76

            for key in slow_pictures(16):
                (album / key).unlink()
            assert summary(place.run("process-images", "--json", "--prune"))["pruned"] == 16
            check_rows(direct, expected(60))

            found = place.run("find-images", "cat", "--json", "--no-url", "-k", "5").stdout.splitlines()
            assert len(found) == 5
            with place.web_app() as address:
                answer = subprocess.run(
                    ["curl", "-sSf", f"{address}/api/search?q=cat"], check=True, capture_output=True)
                assert len(json.loads(answer.stdout)["results"]) > 0

            # An index is built outside of transactions, under a lock of the session.
            refused = place.run("create-table", "--index", "hnsw", code=1)
            assert one_sentence(refused) and "pool" in refused.stderr
        check_nothing_remains(direct, pooled, min(size, 2))
        workplace.run("create-table", "--index", "hnsw")
        assert len(place.run("find-images", "cat", "--json", "--no-url", "-k", "5").stdout.splitlines()) == 5
        check_nothing_remains(direct, pooled, min(size, 2))


def one_sentence(result):
    return len(result.stderr.strip().splitlines()) == 1


def test_repeated_prune_removes_nothing(workplace, album, direct):
    count, times = (6_000, 15) if FULL else (1_000, 3)
    put(album, pictures(count))
    workplace.run("process-images")
    with pool("transaction", 2) as lead:
        pooled = lead(direct)
        place = through(workplace, album, pooled)
        with other_clients(pooled):
            for _ in range(times):
                done = summary(place.run("process-images", "--json", "--prune"))
                assert (done["unchanged"], done["pruned"], done["complete"]) == (count, 0, True)
        check_nothing_remains(direct, pooled, 2)
    with psycopg.connect(direct) as connection:
        assert count_rows(connection) == count


def test_replacing_the_model(workplace, album, direct):
    """It works through a pool, except that an index is built outside of transactions."""
    put(album, pictures(40))
    workplace.run("process-images")
    workplace.run("create-table", "--index", "hnsw")
    new = {"CLIP_MODEL": str(SAMPLE_MODEL)}
    with pool("transaction", 2) as lead:
        pooled = lead(direct)
        place = through(workplace, album, pooled)
        with other_clients(pooled):
            refused = place.run("process-images", "--replace-model", code=1, env=new)
            assert one_sentence(refused) and "pool" in refused.stderr and "index" in refused.stderr
            workplace.run("create-table", "--index", "none")
            done = summary(place.run("process-images", "--replace-model", "--json", env=new))
            assert done["replaced_model"] and done["stored"] == 40
            place.run("find-images", "cat", env=new)
        check_nothing_remains(direct, pooled, 2)


def test_statement_mode_is_refused(workplace, album, direct):
    """Without transactions nothing is safe, so every tool refuses such a pool in one sentence."""
    put(album, pictures(5))
    workplace.run("process-images")
    with pool("statement", 2) as lead:
        place = through(workplace, album, lead(direct))
        for command in [
            ["create-table"], ["create-table", "--index", "hnsw"], ["create-table", "--status"],
            ["process-images"], ["process-images", "--prune"], ["find-images", "cat"],
        ]:
            refused = place.run(*command, code=1)
            assert one_sentence(refused) and "statement" in refused.stderr, refused
            assert refused.stdout == ""
        # The page stays up, so that it recovers by itself; it cannot search.
        with place.web_app() as address:
            answer = subprocess.run(
                ["curl", "-sS", "-w", "\n%{http_code}", f"{address}/api/search?q=cat"],
                check=True, capture_output=True, text=True,
            ).stdout
            assert answer.splitlines()[-1] == "503"
    assert len(rows(direct)) == 5


def test_an_index_needs_a_direct_connection(workplace, album, direct):
    """It is built outside of transactions, under a lock and settings of the session."""
    for mode in ["session", "transaction"]:
        with pool(mode, 2) as lead:
            place = through(workplace, album, lead(direct))
            place.run("create-table")
            refused = place.run("create-table", "--index", "hnsw", code=1)
            assert one_sentence(refused) and "pool" in refused.stderr, refused
    assert "was built" in workplace.run("create-table", "--index", "hnsw").stdout
