#!/usr/bin/env python3
"""Score a model on samples/queries.json over samples/pictures with OpenAI's own code.

    python evaluate.py --model samples/model/sample-clip.pt [--samples samples] [--misses]

Top-1: how often the nearest picture is right by the labels; top-4: how many of the nearest four are.
"""

import argparse
import collections
import json
import pathlib

import torch
from PIL import Image

import upstream  # noqa: F401  (before clip)
import clip

import queries


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--model", required=True)
    p.add_argument("--samples", type=pathlib.Path, default=pathlib.Path("samples"))
    p.add_argument("--misses", action="store_true", help="name each wrong picture among the nearest four")
    a = p.parse_args()
    torch.set_num_threads(2)
    labels = json.loads((a.samples / "labels.json").read_text())
    asked = json.loads((a.samples / "queries.json").read_text())
    model, preprocess = clip.load(a.model, device="cpu")
    keys = sorted(labels)
    with torch.no_grad():
        pictures = torch.cat([model.encode_image(torch.stack([
            preprocess(Image.open(a.samples / "pictures" / key)) for key in keys[i:i + 50]]))
            for i in range(0, len(keys), 50)])
        rows = asked["published"] + asked["held_back"]
        texts = model.encode_text(clip.tokenize([row["query"] for row in rows]))
    pictures = pictures / pictures.norm(dim=-1, keepdim=True)
    texts = texts / texts.norm(dim=-1, keepdim=True)
    first, four = collections.defaultdict(list), collections.defaultdict(list)
    for row, nearest in zip(rows, (texts @ pictures.T).argsort(1, descending=True)[:, :4].tolist()):
        right = [queries.is_right(labels[keys[i]], row["right"]) for i in nearest]
        groups = [row["group"]] + ([] if row["group"] == "held back" else ["published"])
        for group in groups:
            first[group].append(right[0])
            four[group].append(sum(right) / 4)
        if a.misses and (not all(right) if row["group"] != "held back" else not right[0]):
            print("%-28s %s" % (row["query"], "; ".join("%s%s: %s, %s" % (
                "" if good else "WRONG ", keys[i][6:9], labels[keys[i]]["place"],
                " + ".join(" ".join(str(value) for value in thing.values()) for thing in labels[keys[i]]["things"]))
                for i, good in zip(nearest, right))))
    mean = lambda values: sum(values) / len(values)
    for group in ("thing", "place", "colour", "thing and place", "action", "published", "held back"):
        print("%-16s %3d queries  top-1 %.3f%s" % (
            group, len(first[group]), mean(first[group]),
            "" if group == "held back" else "  top-4 %.3f" % mean(four[group])))


if __name__ == "__main__":
    main()
