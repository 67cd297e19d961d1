#!/usr/bin/env python3
"""Measures what finding costs at size: filters, results while typing, and find-images --duplicates.

    swift build -c release
    scripts/services/postgres start DIR --no-fsync      # prints PG_SERVICE_URI; give it shared_buffers
    python Benchmarks/search/finding.py --uri URI --model ViT-B-32.pt --rows 100000 [--memory 3GB] [--keep]

Needs numpy and psycopg. Makes a schema `finding` (--keep uses the one there is) with bench.py's vectors, of which every
hundredth is a copy of the one before (a cosine of about 0.98), an HNSW index, and columns by which a filter keeps 50 %,
1 % or 0.01 % of the rows, independently of what the pictures show. Everything is asked through web-app and find-images:
24 results a page, copies stacked. The load average stands beside each line.
"""

import argparse
import datetime
import gzip
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

import numpy as np
import psycopg
from bench import DIMENSION, Clusters, unit

ROOT = pathlib.Path(__file__).resolve().parents[2]
START = datetime.datetime(2020, 1, 1)
# All of one length, so that rows are; the last one is everybody else's.
CAMERAS = [("Canon EOS R5", 0.5), ("Nikon Z 8 II", 0.01), ("Leica Q3 43 ", 0.0001), ("Apple iPhone", 1)]
SHARES = {
    "50 %": ["prefix=0/", "after=2020-07-27T08:00", "camera=canon", "min_width=4000"],
    "1 %": ["prefix=0/07/", "after=2020-07-27T08:00&before=2020-07-31T12:00", "camera=nikon", "min_width=8000"],
    "0.01 %": ["prefix=0/07/0712/", "after=2020-07-27T08:00&before=2020-07-27T09:00", "camera=leica", "min_width=12000"],
}
TEXTS = ["man jumping over a fence", "old wooden boat at sunset", "children playing in the snow", "red bicycle by a wall",
         "market in the rain", "cat asleep on a sofa"]


def load(connection, rows):
    """Rows of one size, written as COPY's binary format by numpy."""
    clusters, chance = Clusters(rows, 0.75), np.random.default_rng(11)
    record = np.dtype([
        ("fields", ">i2"), ("key_size", ">i4"), ("key", "S23"), ("size", ">i4"), ("dimension", ">i2"), ("unused", ">i2"),
        ("vector", ">f4", DIMENSION), ("width_size", ">i4"), ("width", ">i4"), ("height_size", ">i4"), ("height", ">i4"),
        ("taken_size", ">i4"), ("taken", ">i8"), ("camera_size", ">i4"), ("camera", "S12")])
    names = np.array([name.encode() for name, _ in CAMERAS])
    bounds = np.array([0.5, 0.51, 0.5101])
    epoch = int((START - datetime.datetime(2000, 1, 1)).total_seconds())
    with connection.cursor() as cursor, cursor.copy(
            "COPY pictures (filename, embedding, width, height, taken_at, camera) FROM STDIN (FORMAT binary)") as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        for first in range(0, rows, 20_000):
            count = min(20_000, rows - first)
            part = np.zeros(count, record)
            vectors = clusters.draw(count)
            noise = chance.standard_normal((count, DIMENSION)).astype("f4")
            vectors[99::100] = unit(vectors[98::100] + 0.2 * unit(noise)[99::100])
            part["fields"], part["vector"] = 6, vectors
            part["key_size"], part["size"], part["dimension"] = 23, 4 + 4 * DIMENSION, DIMENSION
            group = chance.integers(0, 10_000, count)
            part["key"] = [f"{g // 5000}/{g // 100:02d}/{g:04d}/{number:09d}.jpg".encode()
                           for number, g in enumerate(group, first)]
            for name in ("width", "height"):
                part[name + "_size"] = 4
            sizes = chance.random(count)
            part["width"] = np.select([sizes < 0.0001, sizes < 0.01, sizes < 0.5], [12_000, 8_000, 4_000], 2_000)
            part["height"] = part["width"] * 3 // 4
            part["taken_size"] = 8
            part["taken"] = (epoch + 3600 * chance.integers(0, 10_000, count)) * 1_000_000
            part["camera_size"], part["camera"] = 12, names[np.searchsorted(bounds, chance.random(count), side="right")]
            copy.write(part.tobytes())
        copy.write(b"\xff\xff")


def report(what, seconds=None, **more):
    figures = {}
    if seconds:
        ms = sorted(1e3 * second for second in seconds)
        figures = {"median_ms": round(ms[len(ms) // 2], 1), "p95_ms": round(ms[len(ms) * 95 // 100], 1),
                   "worst_ms": round(ms[-1], 1), "requests": len(ms)}
    row = {"what": what, **figures, **more, "load_average": round(os.getloadavg()[0], 1)}
    print("  ".join(f"{name}={value}" for name, value in row.items()), flush=True)


def get(address, **headers):
    """The answer, and the seconds until all of it is there."""
    begin = time.perf_counter()
    request = urllib.request.Request(address, headers={"Accept-Encoding": "gzip"} | headers)
    with urllib.request.urlopen(request, timeout=120) as response:
        body = response.read()
    seconds = time.perf_counter() - begin
    return gzip.decompress(body) if response.headers["Content-Encoding"] == "gzip" else body, seconds


def measure_page(address, connection, options):
    total = connection.execute("SELECT count(*) FROM pictures").fetchone()[0]
    keys = [row[0] for row in connection.execute(
        "SELECT filename FROM pictures TABLESAMPLE SYSTEM (%s) ORDER BY md5(filename) LIMIT %s",
        (min(100, 100_000 / total * 5), options.queries)).fetchall()]
    for share in ["none", *SHARES]:
        for condition in SHARES.get(share, [""]):
            seconds, least = [], 24
            for key in keys:
                query = urllib.parse.urlencode({"image_key": key, "limit": 24, "stacked": "true"})
                body, taken = get(f"{address}/api/search?{query}&{condition}")
                seconds.append(taken)
                least = min(least, len(json.loads(body)["results"]))
            report("filter", seconds, keeps=share, by=condition, least_results=least)
    # What a visitor's page asks for while these are typed, slowly enough for each letter; none is cached.
    seconds = []
    for text in TEXTS:
        for end in range(2, len(text) + 1):
            if text[end - 1] == " ":
                continue
            query = urllib.parse.urlencode({"q": text[:end]}, quote_via=urllib.parse.quote)
            body, taken = get(f"{address}/search?{query}", **{"X-Fragment": "typing"})
            assert b"<li" in body
            seconds.append(taken)
    report("typing", seconds)


def measure_duplicates(tools, place, environment, rows):
    # A process of its own, whose peak is known when it ends.
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([tools / "find-images", "--duplicates", "--json"], cwd=place, env=environment,
                                   stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0
        seconds = time.perf_counter() - begin
        output.seek(0)
        groups = [[copy["key"] for copy in json.loads(line)["copies"]] for line in output]
    numbers = [{int(re.search(r"(\d+)\.jpg$", key)[1]) for key in group} for group in groups]
    found = {number for group in numbers for number in group if number % 100 == 99 and number - 1 in group}
    report("duplicates", rows=rows, minutes=round(seconds / 60, 2), rows_per_s=round(rows / seconds), groups=len(groups),
           planted=rows // 100, found=len(found), largest=max(map(len, groups), default=0),
           peak_mib=usage.ru_maxrss // 1024)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uri", required=True)
    parser.add_argument("--model", required=True, type=pathlib.Path)
    parser.add_argument("--tools", type=pathlib.Path, default=ROOT / ".build/release")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--queries", type=int, default=25)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--only", choices=["page", "duplicates", "load"])
    options = parser.parse_args()
    connection = psycopg.connect(options.uri, autocommit=True)
    with tempfile.TemporaryDirectory() as place:
        (pathlib.Path(place) / "store/pictures").mkdir(parents=True)
        environment = os.environ | {
            "PG_SERVICE_URI": options.uri, "PG_SCHEMA": "finding", "CLIP_MODEL": str(options.model.resolve()),
            "S3_ENDPOINT": f"file://{place}/store", "S3_BUCKET_NAME": "pictures"}
        connection.execute("SET search_path = finding, public")
        if not options.keep:
            connection.execute("DROP SCHEMA IF EXISTS finding CASCADE")
            connection.execute("CREATE SCHEMA finding")
            run = lambda *words: subprocess.run([options.tools / words[0], *words[1:]], env=environment, cwd=place,
                                                check=True, stdout=subprocess.DEVNULL)
            run("create-table")
            begin = time.perf_counter()
            load(connection, options.rows)
            connection.execute("VACUUM ANALYZE pictures")
            report("load", rows=options.rows, s=round(time.perf_counter() - begin, 1))
            begin = time.perf_counter()
            run("create-table", "--index", "hnsw", "--memory", options.memory)
            report("index", rows=options.rows, s=round(time.perf_counter() - begin, 1))
        if options.only in (None, "page"):
            log = open(f"{place}/log", "w+")
            site = subprocess.Popen([options.tools / "web-app", "--port", "0"], env=environment, cwd=place, stdout=log,
                                    stderr=log)
            try:
                for _ in range(600):
                    found = re.search(r"Search at (http\S+)", pathlib.Path(log.name).read_text())
                    if found or site.poll() is not None:
                        break
                    time.sleep(0.1)
                assert found, pathlib.Path(log.name).read_text()
                address = found[1].rstrip("/")
                while True:
                    try:
                        get(f"{address}/ready")
                        break
                    except urllib.error.HTTPError:
                        time.sleep(0.1)
                measure_page(address, connection, options)
            finally:
                site.terminate()
                site.wait()
        if options.only in (None, "duplicates"):
            measure_duplicates(options.tools, place, environment, options.rows)


if __name__ == "__main__":
    main()
