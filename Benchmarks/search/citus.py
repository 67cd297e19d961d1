"""Measures one PostgreSQL and Citus clusters beside each other, on one machine: what a cluster costs, not what
it gains, since all servers share the processors.

    python Benchmarks/search/citus.py --build .build/release --server plain=URI --server 'two workers'=URI ...

Each server's database gets a schema `bench`, which is dropped first. A server with Citus is a coordinator that
scripts/services/citus started. Needs numpy and psycopg, as scripts/bench-search installs them into
.build/bench-search/venv. Prints lines as they come, each with the machine's load average.

  store    rows a second through the statement of process-images, 256 rows at a time, on one connection
  build    create-table --index hnsw
  search   the statements of find-images: median of one client, queries a second of eight, recall@10
"""

import argparse
import os
import pathlib
import subprocess
import time

import numpy as np
import psycopg
from bench import DIMENSION, EXACT, INDEXED, QUERIES, Packed, Postgres, Report, exact, key, latencies, recall, vectors

STORE = """
    INSERT INTO bench.pictures (filename, etag, size, decoding, embedding, model, stored_at)
    SELECT filename, nullif(etag, ''), size, 'upright', embedding, 1, clock_timestamp()
    FROM unnest(%s::text[], %s::text[], %s::text[]::bigint[], %b::vector[])
        AS incoming (filename, etag, size, embedding)
    ORDER BY filename
    ON CONFLICT (filename) DO UPDATE SET etag = excluded.etag, size = excluded.size, decoding = excluded.decoding,
        embedding = excluded.embedding, model = excluded.model, stored_at = excluded.stored_at
"""
ROWS_AT_ONCE = 256


def vector_array(x, oid):
    """vector[] as PostgreSQL receives it."""
    rows = np.zeros(len(x), dtype=[("bytes", ">i4"), ("dimension", ">u2"), ("unused", ">u2"), ("x", ">f4", DIMENSION)])
    rows["bytes"], rows["dimension"], rows["x"] = 4 + 4 * DIMENSION, DIMENSION, x
    return Packed(np.array([1, 0, oid, len(x), 1], dtype=">i4").tobytes() + rows.tobytes())


def store(connection, x, first, last):
    oid = connection.execute("SELECT 'vector'::regtype::oid").fetchone()[0]
    start = time.perf_counter()
    for number in range(first, last, ROWS_AT_ONCE):
        part = range(number, min(number + ROWS_AT_ONCE, last))
        connection.execute(STORE, (
            [key(i) for i in part], ["0123456789abcdef0123456789abcdef"] * len(part), ["100000"] * len(part),
            vector_array(x[part.start:part.stop], oid)))
    return (last - first) / (time.perf_counter() - start)


def copy(connection, x, first, last):
    with connection.cursor() as cursor, cursor.copy(
            "COPY bench.pictures (filename, embedding) FROM STDIN (FORMAT binary)") as out:
        out.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        name = len(key(0))
        for number in range(first, last, 10_000):
            part = x[number:min(number + 10_000, last)]
            rows = np.zeros(len(part), dtype=[
                ("fields", ">i2"), ("bytes", ">i4"), ("key", f"S{name}"), ("size", ">i4"), ("dimension", ">u2"),
                ("unused", ">u2"), ("x", ">f4", DIMENSION)])
            rows["fields"], rows["bytes"], rows["size"] = 2, name, 4 + 4 * DIMENSION
            rows["key"] = [key(number + i) for i in range(len(part))]
            rows["dimension"], rows["x"] = DIMENSION, part
            out.write(rows.tobytes())
        out.write(b"\xff\xff")


def measure(name, uri, options, report):
    path, queries = vectors(options.folder, options.rows, 0.75)
    x = np.memmap(path, dtype="f4", mode="r", shape=(options.rows, DIMENSION))
    truth = exact(path, options.rows, queries)
    uri += ("&" if "?" in uri else "?") + "options=-csearch_path%3Dbench,public"
    admin = psycopg.connect(uri, autocommit=True)
    is_cluster = admin.execute("SELECT count(*) FROM pg_extension WHERE extname = 'citus'").fetchone()[0] > 0
    admin.execute("DROP SCHEMA IF EXISTS bench CASCADE")
    if is_cluster:
        uri += f"%20-ccitus.shard_count%3D{options.shards}"

    def create(*arguments):
        start = time.perf_counter()
        subprocess.run([options.build / "create-table", *arguments], check=True, cwd=options.folder,
                       stdout=subprocess.DEVNULL, env=os.environ | {"PG_SERVICE_URI": uri, "PG_SCHEMA": "bench"})
        return time.perf_counter() - start

    def add(**row):
        report.add(server=name, rows=options.rows, **row)

    create(*["--distributed"] if is_cluster else [])
    stored = min(options.stored, options.rows)
    add(what="store", rows_per_s=round(store(admin, x, 0, stored)))
    copy(admin, x, stored, options.rows)
    admin.execute("ANALYZE bench.pictures")
    postgres = Postgres(uri, queries)
    few = options.exact_queries
    with postgres.open() as c:
        answers = [postgres.ask(c, n, EXACT) for n in range(few)]
    add(what="exact", recall=round(recall(answers, truth[:few]), 4), **latencies(
        lambda c, n: postgres.ask(c, n, EXACT), 1, few, postgres.open))
    add(what="build", seconds=round(create("--index", "hnsw"), 1))
    postgres.settings = ["SET LOCAL enable_seqscan = off"]
    if is_cluster:
        postgres.settings.insert(0, "SET LOCAL citus.propagate_set_commands = 'local'")
    with postgres.open() as c:
        for n in range(QUERIES):
            postgres.ask(c, n, INDEXED, 200)
        answers = [postgres.ask(c, n, INDEXED, 200) for n in range(QUERIES)]
    found = round(recall(answers, truth), 4)
    for clients in options.clients:
        add(what="search", ef_search=200, recall=found, **latencies(
            lambda c, n: postgres.ask(c, n, INDEXED, 200), clients, 2 * QUERIES, postgres.open))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True, help="the folder of create-table")
    parser.add_argument("--server", action="append", required=True, metavar="NAME=URI")
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(".build/bench-search"))
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--stored", type=int, default=20_000, help="rows that are stored as process-images does")
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--exact-queries", type=int, default=20)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    options.build = options.build.resolve()
    options.folder.mkdir(parents=True, exist_ok=True)
    report = Report(options.json)
    for server in options.server:
        name, _, uri = server.partition("=")
        measure(name, uri, options, report)


if __name__ == "__main__":
    main()
