"""The four tools through PgBouncer."""

import contextlib
import pathlib
import subprocess
import tempfile
import urllib.parse

import pytest
from test_ingest import SERVICES, album, album_settings, pictures, put, rows
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


def one_sentence(result):
    return len(result.stderr.strip().splitlines()) == 1


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
