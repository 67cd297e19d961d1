#!/usr/bin/env python3
"""Whether an index of single bits could replace HNSW over halfvec: size, recall@10 and latency of both.

    compact.py URI [--rows 1000000] [--decay 0.75] [--folder DIR] [--steps load,bound,bits,halfvec]

URI names a database of a server with pgvector 0.8, empty before the step `load`; needs numpy and psycopg. A row's 512 bits are the signs of
its embedding less the mean of all embeddings (`binary_quantize`), compared by their Hamming distance; the nearest
candidates are ranked again by the whole vectors. The vectors are those of bench.py: --decay 0.75 is a spectrum that
falls, --decay 0 a flat one. Queries are texts, which lie apart from the pictures, so their bits are made in two ways:
less the pictures' mean, and less the mean of 1,000 other texts. The step `bound` compares
all bits, which is the most that any index over them can find.
"""

import argparse
import pathlib
import time

import bench
import numpy as np
import psycopg

CANDIDATES = [200, 400, 1000]
ROUNDS = 2


def literal(vector):
    return "'[" + ",".join(f"{x:.7g}" for x in vector.tolist()) + "]'::vector"


def load(connection, vectors):
    connection.execute("CREATE TABLE pictures (filename text PRIMARY KEY, embedding vector(512))"
                       " WITH (toast_tuple_target = 8160)")
    bench.copy_vectors(connection, "pictures", vectors)
    connection.execute("VACUUM ANALYZE pictures")


def build(connection, name, expression, rows):
    start = time.monotonic()
    connection.execute(f"CREATE INDEX IF NOT EXISTS {name} ON pictures USING hnsw ({expression})")
    seconds = time.monotonic() - start
    size = connection.execute("SELECT pg_relation_size(%s::regclass)", (name,)).fetchone()[0]
    print(f"{name}: built in {seconds:.0f} s (0 if it was there), {size / rows:.0f} bytes a row", flush=True)


def ask(connection, order, queries, truth, name, candidates, ef_search):
    """order(query) gives what the index is ordered by. The best round's median counts."""
    connection.execute(f"SET hnsw.ef_search = {ef_search}")
    medians = []
    for _ in range(ROUNDS):
        times, answers = [], []
        for number, query in enumerate(queries):
            vector = literal(query)
            sql = f"""
                SELECT filename FROM (
                    SELECT filename, embedding FROM pictures WHERE embedding IS NOT NULL
                    ORDER BY {order(query)} LIMIT {candidates}) AS candidates
                ORDER BY (embedding <=> {vector}) + 0, filename LIMIT {bench.NEIGHBOURS}"""
            start = time.perf_counter()
            found = connection.execute(sql).fetchall()
            times.append(1000 * (time.perf_counter() - start))
            answers.append([row[0] for row in found])
        medians.append(sorted(times)[len(times) // 2])
    print(f"{name}, {candidates} candidates, ef_search {ef_search}: recall@10 {bench.recall(answers, truth):.4f}, "
          f"median {min(medians):.1f} ms (load {bench.load_average()})", flush=True)


def best_possible(vectors, queries, truth, mean, centres):
    """Recall when all bits are compared, by the number of candidates."""
    codes = np.concatenate([
        np.packbits(np.asarray(vectors[start:start + 50_000]) - mean > 0, axis=1)
        for start in range(0, len(vectors), 50_000)]).view("u8")
    counts = CANDIDATES + [5_000, min(20_000, len(vectors) - 1)]
    for name, centre in centres.items():
        found = dict.fromkeys(counts, 0)
        for bits, true in zip(np.packbits(queries - centre > 0, axis=1).view("u8"), truth):
            distances = np.bitwise_count(codes ^ bits).sum(1, dtype="u2")
            nearest = np.argpartition(distances, counts[-1])[:counts[-1]]
            nearest = nearest[np.argsort(distances[nearest], kind="stable")]
            ids = {number for _, number in true}
            for count in counts:
                found[count] += len(ids.intersection(nearest[:count].tolist()))
        shares = ", ".join(f"{count} {hits / bench.NEIGHBOURS / len(truth):.3f}" for count, hits in found.items())
        print(f"all bits compared, query less the mean of the {name}: {shares}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("uri")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--decay", type=float, default=0.75)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("."))
    parser.add_argument("--steps", default="load,bound,bits,halfvec")
    options = parser.parse_args()
    path, queries = bench.vectors(options.folder, options.rows, options.decay)
    vectors = np.memmap(path, dtype="f4", mode="r", shape=(options.rows, bench.DIMENSION))
    connection = psycopg.connect(options.uri, autocommit=True)
    connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    connection.execute("SET maintenance_work_mem = '3GB'")
    connection.execute("SET jit = off")
    connection.execute("SET enable_seqscan = off")
    steps = options.steps.split(",")
    if "load" in steps:
        load(connection, vectors)
    truth = bench.exact(path, options.rows, queries)
    if "bound" in steps or "bits" in steps:
        mean = np.asarray(vectors[:100_000]).mean(0)
        texts = bench.Clusters(options.rows, options.decay)
        texts.rng = np.random.default_rng(8)
        centres = {"pictures": mean, "texts": texts.draw(1_000, text=0.7).mean(0)}
    if "bound" in steps:
        best_possible(vectors, queries, truth, mean, centres)
    if "bits" in steps:
        bits = f"binary_quantize(embedding - {literal(mean)})::bit(512)"
        build(connection, "bits", f"({bits}) bit_hamming_ops", options.rows)
        for name, centre in centres.items():
            for candidates in CANDIDATES:
                ask(connection,
                    lambda query: f"{bits} <~> binary_quantize({literal(query)} - {literal(centre)})::bit(512)",
                    queries, truth, f"bits, query less the mean of the {name}", candidates, max(200, candidates))
    if "halfvec" in steps:
        half = "embedding::halfvec(512)"
        build(connection, "halves", f"(({half})) halfvec_cosine_ops", options.rows)
        for ef_search in [200, 400]:
            ask(connection, lambda query: f"{half} <=> {literal(query)}::halfvec(512)", queries, truth, "halfvec", 21,
                ef_search)


main()
