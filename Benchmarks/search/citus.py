"""Measures one PostgreSQL and Citus clusters beside each other, on one machine: what a cluster costs, not what
it gains, since all servers share the processors.

    python Benchmarks/search/citus.py --build .build/release --server plain=URI --server 'two workers'=URI ...

A server with Citus is a coordinator that scripts/services/citus started. Needs numpy and psycopg, as
scripts/bench-search installs them into .build/bench-search/venv. Prints lines as they come, each with the
machine's load average. --steps says which of these are done:

  store     rows a second through the statement of process-images, 256 rows at a time, on one connection, into a
            table without an index in a schema of its own
  load      a new schema `bench`, filled with COPY
  build     create-table --index hnsw
  exact     every row compared
  search    the statements of find-images: recall@10, median, queries a second with one client and with eight
  add_rows  the statement of process-images again, on the table with its rows and index; rolled back
  cost      processor time of a search, by server
  shards    the part of a search that Citus sends to each shard, sent there directly: medians
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import time
import urllib.parse

import numpy as np
import psycopg
from bench import (
    DIMENSION, EXACT, INDEXED, NEIGHBOURS, QUERIES, Packed, Postgres, Report, copy_vectors, exact, key,
    latencies, recall, vectors,
)

STORE = """
    INSERT INTO {schema}.pictures (filename, etag, size, decoding, embedding, model, stored_at)
    SELECT filename, nullif(etag, ''), size, 'upright', embedding, 1, clock_timestamp()
    FROM unnest(%s::text[], %s::text[], %s::text[]::bigint[], %b::vector[])
        AS incoming (filename, etag, size, embedding)
    ORDER BY filename
    ON CONFLICT (filename) DO UPDATE SET etag = excluded.etag, size = excluded.size, decoding = excluded.decoding,
        embedding = excluded.embedding, model = excluded.model, stored_at = excluded.stored_at
"""
ROWS_AT_ONCE = 256
# What a distributed table is asked instead of INDEXED, since Citus sends the result of a query in FROM to a server that
# answers the outer one; the client ranks the candidates. --nested asks INDEXED.
CANDIDATES = """
    SELECT filename, 1 - (embedding <=> %(q)b::vector) AS score FROM pictures WHERE embedding IS NOT NULL
    ORDER BY embedding::halfvec(512) <=> %(q)b::vector::halfvec(512) LIMIT %(candidates)s
"""


def vector_array(x, oid):
    """vector[] as PostgreSQL receives it."""
    rows = np.zeros(len(x), dtype=[("bytes", ">i4"), ("dimension", ">u2"), ("unused", ">u2"), ("x", ">f4", DIMENSION)])
    rows["bytes"], rows["dimension"], rows["x"] = 4 + 4 * DIMENSION, DIMENSION, x
    return Packed(np.array([1, 0, oid, len(x), 1], dtype=">i4").tobytes() + rows.tobytes())


def store(connection, schema, x, count, name=key):
    """Rows a second."""
    oid = connection.execute("SELECT 'vector'::regtype::oid").fetchone()[0]
    start = time.perf_counter()
    for number in range(0, count, ROWS_AT_ONCE):
        part = range(number, min(number + ROWS_AT_ONCE, count))
        connection.execute(STORE.format(schema=schema), (
            [name(i) for i in part], ["0123456789abcdef0123456789abcdef"] * len(part), ["100000"] * len(part),
            vector_array(x[part.start:part.stop], oid)))
    return round(count / (time.perf_counter() - start))


def processor_seconds(connection):
    """What the processes of a server on this machine have used so far, ended ones included."""
    def fields(pid):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()

    postmaster = fields(connection.execute("SELECT pg_backend_pid()").fetchone()[0])[1]
    ticks = sum(map(int, fields(postmaster)[11:15]))
    for child in pathlib.Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split():
        try:
            ticks += sum(map(int, fields(child)[11:13]))
        except FileNotFoundError:  # ended just now
            pass
    return ticks / os.sysconf("SC_CLK_TCK")


class Server:
    def __init__(self, name, uri, queries, truth, options, report):
        self.name, self.options, self.truth, self.report = name, options, truth, report
        self.x = np.memmap(options.folder / f"vectors-{options.rows}-0.75.f32", dtype="f4", mode="r",
                           shape=(options.rows, DIMENSION))
        settings = {"search_path": "bench,public", **dict(s.split("=", 1) for s in options.set)}
        with psycopg.connect(uri) as connection:
            self.is_cluster = bool(connection.execute("SELECT FROM pg_extension WHERE extname = 'citus'").fetchall())
        if self.is_cluster:
            settings["citus.shard_count"] = options.shards
        else:
            settings = {name: value for name, value in settings.items() if not name.startswith("citus.")}
        flags = " ".join(f"-c{name}={value}" for name, value in settings.items())
        self.uri = uri + ("&" if "?" in uri else "?") + "options=" + urllib.parse.quote(flags)
        self.admin = psycopg.connect(self.uri, autocommit=True)
        self.postgres = Postgres(self.uri, queries)
        self.nodes = {self.name: self.admin}
        if self.is_cluster:
            self.nodes = {"coordinator": self.admin} | {
                f"{host}:{port}": psycopg.connect(self.address(host, port), autocommit=True)
                for host, port in self.admin.execute(
                    "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid > 0 ORDER BY groupid").fetchall()}

    def address(self, host, port):
        parts = urllib.parse.urlsplit(self.uri)
        user = parts.netloc.rpartition("@")[0]
        return parts._replace(netloc=f"{user}@{host}:{port}", query="sslmode=disable").geturl()

    def add(self, **row):
        self.report.add(server=self.name, rows=self.options.rows, **row)

    def create(self, *arguments, schema="bench"):
        start = time.perf_counter()
        subprocess.run([self.options.build / "create-table", *arguments], check=True, cwd=self.options.folder,
                       stdout=subprocess.DEVNULL, env=os.environ | {"PG_SERVICE_URI": self.uri, "PG_SCHEMA": schema})
        return time.perf_counter() - start

    def make(self, schema):
        self.admin.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        self.create(*["--distributed"] if self.is_cluster else [], schema=schema)

    def store(self):
        self.make("bench_store")
        self.add(what="store", rows_per_s=store(self.admin, "bench_store", self.x, self.options.stored))
        self.admin.execute("DROP SCHEMA bench_store CASCADE")

    def load(self):
        self.make("bench")
        start = time.perf_counter()
        copy_vectors(self.admin, "bench.pictures", self.x)
        self.add(what="load", rows_per_s=round(self.options.rows / (time.perf_counter() - start)))
        self.admin.execute("ANALYZE bench.pictures")

    def build(self):
        self.add(what="build", seconds=round(self.create("--index", "hnsw"), 1))

    def exact(self):
        few = self.options.exact_queries
        with self.postgres.open() as c:
            answers = [self.postgres.ask(c, n, EXACT) for n in range(few)]
        self.add(what="exact", recall=round(recall(answers, self.truth[:few]), 4), **latencies(
            lambda c, n: self.postgres.ask(c, n, EXACT), 1, few, self.postgres.open))

    def ask(self, connection, number):
        if not self.is_cluster or self.options.nested:
            return self.postgres.ask(connection, number, INDEXED, 200)
        rows = self.postgres.ask(connection, number, CANDIDATES, 200, whole=True)
        return [key for score, key in sorted((-score, key) for key, score in rows)][:NEIGHBOURS]

    def use_index(self):
        self.postgres.settings = ["SET LOCAL enable_seqscan = off"]
        if self.is_cluster:
            self.postgres.settings.insert(0, "SET LOCAL citus.propagate_set_commands = 'local'")

    def search(self):
        self.use_index()
        with self.postgres.open() as c:
            for n in range(QUERIES):
                self.ask(c, n)
            answers = [self.ask(c, n) for n in range(QUERIES)]
        found = round(recall(answers, self.truth), 4)
        for clients in self.options.clients:
            self.add(what="search", ef_search=200, recall=found, **latencies(
                self.ask, clients, 2 * QUERIES, self.postgres.open))

    def add_rows(self):
        with self.admin.transaction(force_rollback=True):
            self.add(what="add", rows_per_s=store(
                self.admin, "bench", self.x, self.options.stored // 10, lambda i: f"new/{key(i)}"))

    def cost(self):
        self.use_index()
        with self.postgres.open() as c:
            before = {name: processor_seconds(node) for name, node in self.nodes.items()}
            for n in range(2 * QUERIES):
                self.ask(c, n)
            used = {name: (processor_seconds(node) - before[name]) / (2 * QUERIES) for name, node in self.nodes.items()}
        first, *others = used.values()
        self.add(what="cost", **{
            "coordinator_ms" if others else "server_ms": round(1000 * first, 2),
            **({"workers_ms": round(1000 * sum(others), 2)} if others else {})})

    def shards(self):
        if not self.is_cluster:
            return
        medians = {}
        for shard, host, port in self.admin.execute(
                "SELECT shard_name, nodename, nodeport FROM citus_shards"
                " WHERE table_name = 'bench.pictures'::regclass ORDER BY 1").fetchall():
            server = Postgres(self.address(host, port), [])
            server.packed, server.settings = self.postgres.packed, ["SET LOCAL enable_seqscan = off"]
            part = CANDIDATES.replace("pictures", shard)
            with server.open() as c:
                for n in range(QUERIES // 2):
                    server.ask(c, n, part, 200)
                times = []
                for n in range(QUERIES // 2):
                    start = time.perf_counter()
                    server.ask(c, n, part, 200)
                    times.append(1000 * (time.perf_counter() - start))
            medians[shard] = statistics.median(times)
        self.add(what="shards", shards=len(medians), slowest_ms=round(max(medians.values()), 2),
                 together_ms=round(sum(medians.values()), 2))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True, help="the folder of create-table")
    parser.add_argument("--server", action="append", required=True, metavar="NAME=URI")
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(".build/bench-search"))
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--stored", type=int, default=20_000, help="rows of the step store; a tenth of them of add_rows")
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--exact-queries", type=int, default=20)
    parser.add_argument("--steps", default="store,load,exact,build,search,cost,shards,add_rows")
    parser.add_argument("--nested", action="store_true", help="ask clusters with the statement for one server")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the sessions")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    options.build = options.build.resolve()
    options.folder.mkdir(parents=True, exist_ok=True)
    report = Report(options.json)
    path, queries = vectors(options.folder, options.rows, 0.75)
    truth = exact(path, options.rows, queries)
    for server in options.server:
        name, _, uri = server.partition("=")
        measured = Server(name, uri, queries, truth, options, report)
        for step in filter(None, options.steps.split(",")):
            getattr(measured, step)()


if __name__ == "__main__":
    main()
