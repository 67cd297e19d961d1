"""What scripts/bench-search runs: loads, builds, asks, compares. See there.

The vectors are clustered, since uniform noise has no neighbours worth finding: pictures of the same
thing lie together, in places crowded and in places sparse, and all pictures lie in a narrow cone.
  centre  c_j = unit(2 m + B z_j)      one for about 50 vectors; B: 48 directions of 512, m the cone's axis
  vector  x_i = unit(c_j + s_j B' z_i) j drawn with weights 1/rank^0.7; spread s_j log-normal around 0.7;
                                       B': 96 directions, B's and 48 more
  query   q   = unit(c_j + s_j B' z + t) held out; t is one direction that no vector has, as texts lie
                                       apart from pictures
The deviation along direction i falls as i^-D, since the spectra of trained embeddings fall by a power law. With
D = 0.75 the median local intrinsic dimension (maximum likelihood over 100 neighbours; Amsaleg et al. 2015) at
100,000 vectors is 21. --decay 0 makes all directions alike and the dimension 45: harder for every graph.
Everything is drawn from a fixed seed.
"""

import argparse
import json
import os
import pathlib
import subprocess
import threading
import time

import numpy as np
import psycopg
import psycopg.adapt

DIMENSION = 512
NEIGHBOURS = 10
QUERIES = 200


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


class Clusters:
    def __init__(self, count, decay, seed=20240613):
        self.rng = np.random.default_rng(seed)
        basis, _ = np.linalg.qr(self.rng.standard_normal((DIMENSION, 98)))
        self.axis, self.text, self.basis = basis[:, 0], basis[:, 1], basis[:, 2:]
        self.clusters = max(16, count // 50)
        self.deviations = (np.arange(1, 97) ** -decay).astype("f4")
        z = self.noise(self.clusters, 48)
        self.centres = unit(2 * self.axis + z @ self.basis[:, :48].T).astype("f4")
        self.spread = (0.7 * np.exp(0.4 * self.rng.standard_normal(self.clusters))).astype("f4")
        weights = 1 / np.arange(1, self.clusters + 1) ** 0.7
        self.cumulative = np.cumsum(weights / weights.sum())

    def noise(self, n, directions):
        """Of unit length on average."""
        deviations = self.deviations[:directions]
        z = self.rng.standard_normal((n, directions)).astype("f4")
        return z * (deviations / np.linalg.norm(deviations))

    def draw(self, n, text=0.0):
        j = np.minimum(np.searchsorted(self.cumulative, self.rng.random(n)), self.clusters - 1)
        x = self.centres[j] + self.spread[j, None] * (self.noise(n, 96) @ self.basis.T.astype("f4"))
        return unit(x + text * self.text).astype("f4")


def vectors(folder, count, decay):
    """The file of `count` vectors, and the queries."""
    path = folder / f"vectors-{count}-{decay}.f32"
    clusters = Clusters(count, decay)
    if not path.exists():
        part = path.with_suffix(".part")
        with open(part, "wb") as file:
            for start in range(0, count, 20_000):
                file.write(clusters.draw(min(20_000, count - start)).tobytes())
        part.rename(path)
    held_out = Clusters(count, decay)
    held_out.rng = np.random.default_rng(7)
    return path, held_out.draw(QUERIES, text=0.7)


def exact(path, count, queries):
    """The true neighbours by numpy, ids and cosines; kept beside the vectors."""
    kept = path.with_suffix(".json")
    if kept.exists():
        return json.loads(kept.read_text())
    x = np.memmap(path, dtype="f4", mode="r", shape=(count, DIMENSION))
    best = [[] for _ in queries]
    for start in range(0, count, 100_000):
        scores = queries @ np.asarray(x[start : start + 100_000]).T
        top = np.argpartition(-scores, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
        for q, ids in enumerate(top):
            best[q] += [(float(scores[q, i]), start + int(i)) for i in ids]
    truth = [sorted(b, reverse=True)[:NEIGHBOURS] for b in best]
    kept.write_text(json.dumps(truth))
    return truth


def key(i):
    return f"pictures/{i // 1000 % 1000:03d}/{i:09d}.jpg"


def recall(answers, truth):
    found = sum(
        len(set(answer) & {key(i) for _, i in true}) for answer, true in zip(answers, truth)
    )
    return found / (NEIGHBOURS * len(truth))


def load_average():
    return round(os.getloadavg()[0], 1)


class Report:
    def __init__(self, path):
        self.path, self.rows = path, []

    def add(self, **row):
        row["load_average"] = load_average()
        self.rows.append(row)
        print("  ".join(f"{name}={value}" for name, value in row.items()), flush=True)
        if self.path:
            self.path.write_text(json.dumps(self.rows, indent=1) + "\n")


def latencies(ask, clients, total, open_client=lambda: None):
    """Runs `total` queries from `clients` threads; ask(client, number)."""
    times, lock, numbers = [], threading.Lock(), iter(range(total))
    failures = []

    def work():
        try:
            client = open_client()
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                start = time.perf_counter()
                ask(client, number)
                elapsed = time.perf_counter() - start
                with lock:
                    times.append(elapsed * 1e3)
        except Exception as error:  # raised below, by the thread that waits
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    seconds = time.perf_counter() - start
    times.sort()
    return {
        "clients": clients,
        "p50_ms": round(times[len(times) // 2], 2),
        "p99_ms": round(times[min(len(times) - 1, len(times) * 99 // 100)], 2),
        "qps": round(len(times) / seconds, 1),
    }


# The statements that Sources/ImageSearch/Table/PicturesTable+Search.swift sends, and the seed's.
INDEXED = """
    SELECT filename, 1 - (embedding <=> %(q)b::vector) AS score
    FROM (
        SELECT filename, embedding FROM pictures WHERE embedding IS NOT NULL
        ORDER BY embedding::halfvec(512) <=> %(q)b::vector::halfvec(512) LIMIT %(candidates)s
    ) AS candidates
    ORDER BY (embedding <=> %(q)b::vector) + 0, filename LIMIT %(limit)s
"""
EXACT = """
    SELECT filename, 1 - distance AS score FROM (
        SELECT filename, (embedding <=> %(q)b::vector) + 0 AS distance FROM pictures
        WHERE embedding IS NOT NULL ORDER BY distance, filename LIMIT %(limit)s
    ) AS nearest
"""
SEED = "SELECT * FROM pictures_seed ORDER BY embedding <-> %s LIMIT 4"


class Packed(bytes):
    """A vector in the format that pgvector receives."""


class PackedDumper(psycopg.adapt.Dumper):
    format = psycopg.pq.Format.BINARY
    oid = 0  # for the server to infer

    def dump(self, value):
        return bytes(value)


psycopg.adapters.register_dumper(Packed, PackedDumper)


def binary(q):
    return Packed(len(q).to_bytes(2, "big") + bytes(2) + q.astype(">f4").tobytes())


class Postgres:
    def __init__(self, uri, queries):
        self.uri, self.queries = uri, queries
        self.settings = []
        self.packed = [binary(q) for q in queries]
        self.texts = [str(q.tolist()) for q in queries]

    def open(self):
        return psycopg.connect(self.uri, autocommit=True)

    def ask(self, connection, number, sql, width=None, limit=NEIGHBOURS, whole=False):
        q = self.packed[number % len(self.packed)]
        values = {"q": q, "limit": limit + 1, "candidates": limit + 1 + (limit + 1) // 4 + 8}
        with connection.pipeline(), connection.cursor() as cursor:
            connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED, READ ONLY")
            for setting in self.settings:
                connection.execute(setting)
            if width:
                connection.execute(f"SET LOCAL hnsw.ef_search = {width}")
            cursor.execute(sql, values, binary=True, prepare=False)
            connection.execute("COMMIT")
            rows = cursor.fetchall()
        return rows if whole else [r[0] for r in rows[:limit]]

    def ask_seed(self, connection, number, limit=4):
        return connection.execute(SEED, (self.texts[number % len(self.texts)],)).fetchall()

    def ask_seed_new(self, _, number):
        with psycopg.connect(self.uri) as connection:
            self.ask_seed(connection, number)


def copy_vectors(connection, table, vectors):
    """Fills a table of keys and vectors by binary COPY."""
    length = len(key(0))
    with connection.cursor() as cursor, cursor.copy(
            f"COPY {table} (filename, embedding) FROM STDIN (FORMAT binary)") as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        for start in range(0, len(vectors), 10_000):
            part = vectors[start:start + 10_000]
            rows = np.zeros(len(part), dtype=[
                ("fields", ">i2"), ("bytes", ">i4"), ("key", f"S{length}"), ("size", ">i4"), ("dimension", ">u2"),
                ("unused", ">u2"), ("vector", ">f4", DIMENSION)])
            rows["fields"], rows["bytes"], rows["size"] = 2, length, 4 + 4 * DIMENSION
            rows["key"] = [key(start + number) for number in range(len(part))]
            rows["dimension"], rows["vector"] = DIMENSION, part
            copy.write(rows.tobytes())
        copy.write(b"\xff\xff")


def build_index(uri, options):
    build = pathlib.Path(options.build)
    environment = dict(os.environ, PG_SERVICE_URI=uri)
    start = time.perf_counter()
    subprocess.run(
        [build / "create-table", "--index", "hnsw", "--memory", options.memory,
         "--index-workers", str(options.workers)],
        check=True, env=environment, cwd=options.folder,
    )
    return time.perf_counter() - start


def measure(options, count, report):
    folder = pathlib.Path(options.folder)
    path, queries = vectors(folder, count, options.decay)
    truth = exact(path, count, queries)
    uri = options.uri
    postgres = Postgres(uri, queries)
    admin = postgres.open()
    admin.execute("DROP TABLE IF EXISTS pictures, pictures_seed, picture_schema, picture_collection, picture_models, "
                  "picture_previews, picture_claims, picture_refusals CASCADE")
    subprocess.run([pathlib.Path(options.build) / "create-table"], check=True, cwd=folder,
                   env=dict(os.environ, PG_SERVICE_URI=uri), stdout=subprocess.DEVNULL)
    for table in ["pictures", "pictures_seed"]:
        if table == "pictures_seed":
            if options.no_seed:
                continue
            admin.execute("CREATE TABLE pictures_seed (filename text PRIMARY KEY, embedding vector(512))")
        start = time.perf_counter()
        copy_vectors(admin, table, np.memmap(path, dtype="f4", mode="r", shape=(count, DIMENSION)))
        seconds = time.perf_counter() - start
        admin.execute(f"VACUUM ANALYZE {table}")
        size, toast = admin.execute(
            "SELECT pg_relation_size(oid), pg_relation_size(reltoastrelid) FROM pg_class WHERE oid = %s::regclass",
            (table,)).fetchone()
        report.add(what="load", table=table, rows=count, rows_per_s=round(count / seconds),
                   bytes_per_row=round(size / count), out_of_line_per_row=round(toast / count))

    few = options.exact_queries
    for name, sql in [("exact", EXACT)]:
        with postgres.open() as c:
            answers = [postgres.ask(c, n, sql) for n in range(few)]
        report.add(what=name, rows=count, recall=round(recall(answers, truth[:few]), 4))
        for clients in options.clients:
            report.add(what=name, rows=count, **latencies(
                lambda c, n: postgres.ask(c, n, sql), clients, max(few, clients), postgres.open))
    if not options.no_seed:
        with postgres.open() as c:
            postgres.ask_seed(c, 0)
            report.add(what="seed, warm connection", rows=count,
                       **latencies(lambda _, n: postgres.ask_seed(c, n), 1, few))
        for clients in options.clients:
            report.add(what="seed, new connection a query", rows=count,
                       **latencies(postgres.ask_seed_new, clients, max(few, clients)))
        admin.execute("DROP TABLE pictures_seed")

    seconds = build_index(uri, options)
    size = admin.execute("SELECT pg_relation_size('pictures_embedding_hnsw')").fetchone()[0]
    admin.execute("SELECT count(*) FROM pictures")
    report.add(what="hnsw build", rows=count, seconds=round(seconds, 1), bytes_per_row=round(size / count),
               memory=options.memory, workers=options.workers)
    for width in options.widths:
        with postgres.open() as c:
            for n in range(QUERIES):
                postgres.ask(c, n, INDEXED, width)
            answers = [postgres.ask(c, n, INDEXED, width) for n in range(QUERIES)]
        report.add(what="hnsw", rows=count, ef_search=width, recall=round(recall(answers, truth), 4),
                   **latencies(lambda c, n: postgres.ask(c, n, INDEXED, width), 1, QUERIES, postgres.open))
    for clients in options.clients:
        report.add(what="hnsw", rows=count, ef_search=200, **latencies(
            lambda c, n: postgres.ask(c, n, INDEXED, 200), clients, 4 * QUERIES, postgres.open))
    admin.close()
    if not options.no_faiss:
        measure_faiss(options, path, count, queries, truth, report)


def measure_faiss(options, path, count, queries, truth, report):
    import faiss

    faiss.omp_set_num_threads(options.workers + 1)
    x = np.memmap(path, dtype="f4", mode="r", shape=(count, DIMENSION))
    kinds = {"faiss flat": lambda: faiss.IndexFlatIP(DIMENSION),
             "faiss HNSW32": lambda: faiss.IndexHNSWFlat(DIMENSION, 32, faiss.METRIC_INNER_PRODUCT)}
    for name, make in kinds.items():
        index = make()
        start = time.perf_counter()
        for first in range(0, count, 100_000):
            index.add(np.ascontiguousarray(x[first : first + 100_000]))
        report.add(what=name + " build", rows=count, seconds=round(time.perf_counter() - start, 1))
        total = QUERIES if "HNSW" in name else options.exact_queries
        for width in [64, 200] if "HNSW" in name else [None]:
            if width:
                index.hnsw.efSearch = width
            answers = [[key(i) for i in index.search(q[None], NEIGHBOURS)[1][0]] for q in queries[:total]]
            report.add(what=name, rows=count, ef_search=width,
                       recall=round(recall(answers, truth[:total]), 4),
                       **latencies(lambda _, n: index.search(queries[n % total][None], NEIGHBOURS), 1, total))
        for clients in options.clients[1:]:
            report.add(what=name, rows=count, ef_search=width, **latencies(
                lambda _, n: index.search(queries[n % total][None], NEIGHBOURS), clients, total))
        del index


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--uri", required=True)
    parser.add_argument("--build", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--widths", type=int, nargs="+", default=[40, 100, 200, 400])
    parser.add_argument("--decay", type=float, default=0.75)
    parser.add_argument("--exact-queries", type=int, default=20)
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--no-faiss", action="store_true")
    parser.add_argument("--no-seed", action="store_true")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    report = Report(options.json)
    for count in options.rows:
        measure(options, count, report)


if __name__ == "__main__":
    main()
