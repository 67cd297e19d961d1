"""Compare the tools with OpenAI's CLIP, OpenCLIP or transformers; run by scripts/parity, which says how."""

import argparse
import itertools
import json
import os
import pathlib
import subprocess
import sys
import time
import warnings

warnings.filterwarnings("ignore")
import numpy as np
import psycopg
import torch

import layouts
from openai_clip import SIZES, clip, make_checkpoints
from PIL import Image

BAR = 0.99999
# Integers against upstream's fp32: the worst picture, the mean, and how many of a picture's ten nearest stay.
INTEGER_BARS = {"worst": 0.985, "mean": 0.995, "overlap": 0.95}
SUBJECTS = [
    "a cat", "a man jumping", "two dogs", "a red bicycle", "an old house", "children playing",
    "a sailing boat", "a bowl of fruit", "a woman reading", "a steam train", "a flock of birds", "coffee",
]
PLACES = [
    "", "on the beach", "in the snow", "at night", "in outer space", "on a street in Paris",
    "under a tree", "in the desert", "at sunset", "in a small room", "by the sea", "in black and white",
]
ODDITIES = [
    "", " ", "man jumping", "outer space", "  two   spaces ", "It's a girl's don't we'll they've I'D",
    "naïve café — “quoted” …", "1234567890 3.14 $5 €7", "HELLO World!!!", "日本語の写真", "東京タワーの夜景",
    "🚀 emoji 🐈‍⬛ 👩‍👩‍👧", "a\tb\nc\r\nd", "&lt;b&gt; &amp;amp; tag &eacute;", "red circle, blue square; green-triangle",
    "x" * 60, "ﬁne ligature ﬂow", "Ångström ÅNGSTRÖM", "sunset over the mountains " * 20, "собака на снегу",
    "قطة على السرير", "חתול על המיטה", "बिल्ली", "แมวบนเตียง", "고양이", "γάτα στον ήλιο ΟΔΟΣ", "İstanbul ISPARTA",
    "cafÃ© â€œmojibakeâ€\x9d", "schÃ¶n", "ｆｕｌｌ ｗｉｄｔｈ", "<|startoftext|>", "<|endoftext|> after the end",
    "a <|endoftext|> b", "<start_of_text>", "a <end_of_text> b", "\u200bzero\u200dwidth", "e\u0301 combining", "ＡＢＣ１２３", "½ ² ³ Ⅷ ٣ ४", "#hashtag @name",
    "C++ && || !=", "http://example.org/?q=1&r=2", "don’t", "'''", "...---...", "a" * 500, "\x07bell\x1b[31m",
    "tab\x0bfeed\x0c", "snake_case camelCase", "ＨＴＭＬ &nbsp; &#39; &#x1F600;", "1st 2nd 3rd 4th",
    "ß ẞ SS", "ﷺ", "𝕬𝖇𝖈", "🇫🇷🇩🇪", "©®™", "\u202eright to left", "long-hyphen—dash–en",
]


# For which the nearest pictures are compared too.
SAMPLES = ["man jumping", "a cat", "outer space", "a cat on the beach", "日本語の写真"]


def texts(limit):
    every = [f"{s} {p}".strip() for s, p in itertools.product(SUBJECTS, PLACES)] + ODDITIES
    if limit is None:
        return every
    others = [text for text in every if text not in SAMPLES]
    return SAMPLES + others[:: max(1, len(others) // max(1, limit - len(SAMPLES)))]


def unit(features):
    return (features / features.norm(dim=-1, keepdim=True)).double().numpy()


class Tools:
    def __init__(self, folder, work, model, precision):
        self.folder = pathlib.Path(folder).resolve()
        self.work = work
        self.environment = os.environ | {
            "CLIP_MODEL": str(model), "CLIP_PRECISION": precision, "S3_ENDPOINT": f"file://{work}/store", "S3_BUCKET_NAME": "photos",
        }

    def run(self, name, *arguments):
        result = subprocess.run(
            [self.folder / name, *arguments], env=self.environment, cwd=self.work, capture_output=True, text=True
        )
        if result.returncode:
            sys.exit(f"{name} {' '.join(arguments)} ended with {result.returncode}: {result.stderr}")
        return result.stdout


def nearest(table, queries, count=10):
    """The places of each query's nearest rows, nearest first."""
    return np.argsort(-(queries @ table.T), axis=1)[:, :count]


def overlap(a, b):
    return float(np.mean([len(set(x) & set(y)) / len(x) for x, y in zip(a, b)]))


def compare(tools, preprocess, encode_images, encode_texts, photos, precision, limit):
    """Prints one block of figures; true when all are within the bar."""
    with psycopg.connect(os.environ["PG_SERVICE_URI"], autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS pictures")
        with torch.no_grad():
            dimension = encode_texts(["a"]).shape[1]
        tools.run("create-table", "--dimension", str(dimension))
        print("  " + tools.run("process-images").strip(), flush=True)
        rows = connection.execute("SELECT filename, embedding::text FROM pictures").fetchall()
    ours = {key: np.array(json.loads(vector)) for key, vector in rows}

    start = time.time()
    theirs = {}
    with torch.no_grad():
        for i in range(0, len(photos), 50):
            part = photos[i : i + 50]
            features = unit(encode_images(torch.stack([preprocess(Image.open(p)) for p in part])))
            theirs |= {path.name: row for path, row in zip(part, features)}
    print(f"  upstream: {len(photos) / (time.time() - start):.1f} pictures/s, decoding included")
    assert ours.keys() == theirs.keys(), "not every picture was stored"
    cosine = lambda a, b: float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    pictures = {key: cosine(ours[key], theirs[key]) for key in theirs}
    worst = min(pictures, key=pictures.get)
    mean = float(np.mean(list(pictures.values())))
    print(f"  {len(pictures)} pictures: worst cosine 1 - {1 - pictures[worst]:.1e} ({worst}), mean 1 - {1 - mean:.1e}")

    every = texts(limit)
    with torch.no_grad():
        queries = unit(torch.cat([encode_texts(every[i : i + 16]) for i in range(0, len(every), 16)]))
    similarity = {}
    for text, query in zip(every, queries):
        printed = tools.run("find-images", "--print-embedding", "--", text)
        similarity[text] = cosine(np.array(json.loads(printed)), query)
    worst_text = min(similarity, key=similarity.get)
    print(f"  {len(similarity)} texts: worst cosine 1 - {1 - similarity[worst_text]:.1e} ({worst_text[:40]!r})")

    keys = sorted(theirs)
    matrix = np.stack([theirs[key] for key in keys])
    if precision != "fp32":
        quick = np.stack([ours[key] for key in keys])
        # A picture is its own nearest in both; it does not count.
        pairs = [[row[row != i][:10] for i, row in enumerate(nearest(t, t, 11))] for t in (quick, matrix)]
        kept = overlap(*pairs)
        print(f"  ten nearest pictures of each picture: {kept:.4f} the same")
        print(f"  ten nearest pictures of each text: {overlap(nearest(quick, queries), nearest(matrix, queries)):.4f} the same", flush=True)
        return (
            pictures[worst] >= INTEGER_BARS["worst"] and mean >= INTEGER_BARS["mean"]
            and kept >= INTEGER_BARS["overlap"] and similarity[worst_text] >= BAR
        )
    equal = 0
    for text in SAMPLES:
        scores = matrix @ queries[every.index(text)]
        expected = [keys[i] for i in np.argsort(-scores)[:10]]
        lines = tools.run("find-images", text, "--json", "--limit", "10").splitlines()
        found = [json.loads(line)["key"] for line in lines]
        equal += found == expected
        if text == SAMPLES[0] or found != expected:
            print(f"  {text!r}, nearest four:")
            print(f"    tools:    {' '.join(found[:4])}")
            print(f"    upstream: {' '.join(expected[:4])}")
    print(f"  nearest ten of {len(SAMPLES)} texts: {equal} of {len(SAMPLES)} equal upstream's", flush=True)
    return pictures[worst] >= BAR and similarity[worst_text] >= BAR and equal == len(SAMPLES)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--photos", required=True, type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--random", choices=SIZES)
    parser.add_argument("--layout")
    parser.add_argument("--half", action="store_true")
    parser.add_argument("--outliers", action="store_true")
    parser.add_argument("--precision", choices=["fp32", "int8", "int7"], default="fp32")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--texts", type=int)
    parser.add_argument("--keep", type=pathlib.Path)
    options = parser.parse_args()
    if not options.model and not options.random and not options.layout:
        parser.error("one of --model, --random and --layout is needed")

    photos = sorted(path for path in options.photos.iterdir() if path.is_file())[: options.limit]
    bucket = options.work / "store" / "photos"
    bucket.mkdir(parents=True)
    for path in photos:
        # Not links: a bucket's links must not leave it.
        (bucket / path.name).write_bytes(path.read_bytes())

    models = [] if options.layout else (
        [options.model.resolve()]
        if options.model
        else make_checkpoints(options.random, (options.keep or options.work / "models").resolve(), options.outliers)
    )
    good = True
    for path in models:
        print(path.name, flush=True)
        model, preprocess = clip.load(str(path), device="cpu")
        good &= compare(
            Tools(options.bin, options.work, path, options.precision), preprocess, model.encode_image,
            lambda texts: model.encode_text(clip.tokenize(texts, truncate=True)), photos, options.precision,
            options.texts
        )
    if options.layout:
        print(options.layout, flush=True)
        path = options.work / "model"
        made = layouts.make(options.layout, path, options.half)
        good &= compare(Tools(options.bin, options.work, path, options.precision), *made, photos, options.precision,
                        options.texts)
    bars = INTEGER_BARS if options.precision != "fp32" else f"a cosine is below {BAR} or a neighbour differs"
    print("equal within the bar" if good else f"NOT equal: {bars}")
    sys.exit(not good)


main()
