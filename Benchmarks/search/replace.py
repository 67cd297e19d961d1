#!/usr/bin/env python3
"""What replacing the model in a second set of columns costs: sizes of the table and times of searches.

    replace.py URI [--rows 1000000]

URI names an empty database of a server with pgvector; needs numpy and psycopg. The statements are those
of process-images, without the model: rows are loaded and indexed, then given a second embedding, which is
indexed too and takes the place of the first. Prints a line for each state; times are the best round's
median of searches for ten neighbours through the index, and the best exact search.
"""

import argparse
import struct
import time

import numpy
import psycopg

DIMENSION, BATCH, ROUNDS, QUERIES = 512, 2_000, 8, 100
SPECTRUM = numpy.arange(1, DIMENSION + 1, dtype=numpy.float32) ** -0.7
NEXT = {"embedding": f"vector({DIMENSION})", "etag": "text", "size": "bigint", "model": "integer",
        "stored_at": "timestamptz"}
ETAG = "0123456789abcdef0123456789abcdef"


def vectors(model, batch, count):
    """Unit vectors whose spectrum falls, in directions of the model's own."""
    rotation = numpy.linalg.qr(numpy.random.default_rng(model).standard_normal((DIMENSION, DIMENSION)))[0]
    draws = numpy.random.default_rng((model, batch)).standard_normal((count, DIMENSION)).astype(numpy.float32)
    rows = (draws * SPECTRUM) @ rotation.astype(numpy.float32)
    return rows / numpy.linalg.norm(rows, axis=1, keepdims=True)


def text(vector):
    return "[" + ",".join(map(str, vector.tolist())) + "]"


def key(number):
    return f"album/{number % 97:02d}/{number:08d}.jpg"


def load(connection, rows):
    for start in range(0, rows, BATCH):
        parts = [b"PGCOPY\n\xff\r\n\0" + bytes(8)]
        for number, vector in enumerate(vectors(0, start, BATCH), start):
            for_row = [key(number).encode(), struct.pack(">hh", DIMENSION, 0) + vector.astype(">f4").tobytes(),
                       ETAG.encode(), struct.pack(">q", 123_456), struct.pack(">i", 7)]
            parts.append(struct.pack(">h", len(for_row)))
            parts += [struct.pack(">i", len(field)) + field for field in for_row]
        parts.append(struct.pack(">h", -1))
        with connection.cursor() as cursor, cursor.copy(
            "COPY pictures (filename, embedding, etag, size, model) FROM STDIN (FORMAT binary)"
        ) as copy:
            copy.write(b"".join(parts))


def fill(connection, rows):
    for start in range(0, rows, BATCH):
        found = vectors(1, start, BATCH)
        for first in range(0, BATCH, 250):
            connection.execute(
                """
                INSERT INTO pictures (filename, etag_next, size_next, embedding_next, model_next, stored_at_next)
                SELECT filename, %s, 123456, embedding::vector, 8, clock_timestamp()
                FROM unnest(%s::text[], %s::text[]) AS incoming (filename, embedding) ORDER BY filename
                ON CONFLICT (filename) DO UPDATE SET etag_next = excluded.etag_next,
                    size_next = excluded.size_next, embedding_next = excluded.embedding_next,
                    model_next = excluded.model_next, stored_at_next = excluded.stored_at_next
                """,
                (ETAG, [key(start + first + i) for i in range(250)], [text(v) for v in found[first:first + 250]]))
        if start % 100_000 == 0:
            connection.execute("VACUUM pictures")


def index(connection, name, column):
    connection.execute(
        f"CREATE INDEX {name} ON pictures USING hnsw (({column}::halfvec({DIMENSION})) halfvec_cosine_ops)")


def state(connection, name, model):
    connection.execute("ANALYZE pictures")
    queries = [f"'{text(vector)}'::vector" for vector in vectors(model, 1 << 30, QUERIES)]
    sizes = connection.execute(
        """
        SELECT pg_relation_size(oid), coalesce(pg_relation_size(nullif(reltoastrelid, 0)), 0), pg_indexes_size(oid)
        FROM pg_class WHERE oid = 'pictures'::regclass
        """).fetchone()

    def run(sql, queries):
        times = []
        for query in queries:
            start = time.perf_counter()
            connection.execute(sql.replace("QUERY", query)).fetchall()
            times.append(1000 * (time.perf_counter() - start))
        return sorted(times)

    connection.execute("SET enable_seqscan = off")
    connection.execute("SET hnsw.ef_search = 200")
    indexed = f"""
        SELECT filename, 1 - (embedding <=> QUERY) FROM (
            SELECT filename, embedding FROM pictures WHERE embedding IS NOT NULL
            ORDER BY (embedding::halfvec({DIMENSION})) <=> (QUERY::halfvec({DIMENSION})) LIMIT 21) AS candidates
        ORDER BY (embedding <=> QUERY) + 0, filename LIMIT 11"""
    median = min(run(indexed, queries)[QUERIES // 2] for _ in range(ROUNDS))
    connection.execute("SET enable_seqscan = on")
    exact = """
        SELECT filename, 1 - distance FROM (
            SELECT filename, (embedding <=> QUERY) + 0 AS distance FROM pictures WHERE embedding IS NOT NULL
            ORDER BY distance, filename LIMIT 11) AS nearest"""
    megabytes = [size / 1e6 for size in sizes]
    print(f"{name}: rows {megabytes[0]:.0f} MB, out of line {megabytes[1]:.0f} MB, indexes {megabytes[2]:.0f} MB, "
          f"search {median:.1f} ms, exact {run(exact, queries[:5])[0]:.0f} ms", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("uri")
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    connection = psycopg.connect(options.uri, autocommit=True)
    connection.execute("SET maintenance_work_mem = '3GB'")
    connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    connection.execute(
        f"""
        CREATE TABLE pictures (filename text PRIMARY KEY, embedding vector({DIMENSION}), etag text, size bigint,
            model integer, stored_at timestamptz DEFAULT now()) WITH (toast_tuple_target = 8160)
        """)
    load(connection, options.rows)
    index(connection, "pictures_embedding_hnsw", "embedding")
    state(connection, "before", 0)
    connection.execute("ALTER TABLE pictures " + ", ".join(f"ADD {n}_next {t}" for n, t in NEXT.items()))
    fill(connection, options.rows)
    index(connection, "pictures_next", "embedding_next")
    state(connection, "both complete", 0)
    start = time.perf_counter()
    with connection.transaction():
        connection.execute("ALTER TABLE pictures " + ", ".join(f"DROP {name}" for name in NEXT))
        for name in NEXT:
            connection.execute(f"ALTER TABLE pictures RENAME {name}_next TO {name}")
        connection.execute("ALTER INDEX pictures_next RENAME TO pictures_embedding_hnsw")
    print(f"switched in {1000 * (time.perf_counter() - start):.0f} ms")
    state(connection, "after the switch", 1)
    connection.execute("VACUUM FULL pictures")
    state(connection, "after VACUUM FULL", 1)


main()
