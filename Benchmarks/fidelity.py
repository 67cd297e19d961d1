"""How far int8 and int7 are from fp32: the worst and the mean cosine of the pictures' embeddings, and how many of each
picture's ten nearest stay the same.

    scripts/bench --prepare …
    .build/bench/venv/bin/python Benchmarks/fidelity.py --photos DIR [--model FILE] [--limit 1000]

scripts/parity compares with upstream's code instead, through process-images and a database; fp32 equals that.
"""

import argparse
import pathlib
import tempfile

import numpy as np
from runner import workplace
from runner.peer import Peer


def embeddings(precision, model, photos, tensors, log):
    peer = Peer(precision, [workplace.WORK / "swift" / "release" / "ClipBench", precision], log=log)
    peer.ask("load", load={
        "model": str(model), "work": str(workplace.WORK), "cores": 2, "photos": photos, "tensors": tensors,
        "resolution": 224})
    peer.ask("configure", configuration={"lanes": 1, "batch": 32})
    vectors = peer.ask("embed", source="files", count=len(photos))["vectors"]
    peer.stop()
    return np.array(vectors)


def nearest(vectors):
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -2)
    return np.argsort(-similarity, axis=1)[:, :10]


parser = argparse.ArgumentParser(description="Compares the precisions' embeddings.")
parser.add_argument("--photos", type=pathlib.Path, default=workplace.ROOT / "samples" / "pictures")
parser.add_argument("--model", type=pathlib.Path, default=workplace.WORK / "models" / "ViT-B-32.pt")
parser.add_argument("--limit", type=int, default=1000)
options = parser.parse_args()
photos = [str(path.resolve()) for path in sorted(options.photos.glob("*.jpg"))[:options.limit]]
with tempfile.NamedTemporaryFile() as tensors, tempfile.TemporaryFile("w") as log:
    # Only files are asked for.
    tensors.truncate(len(photos) * 3 * 224 * 224 * 4)
    exact = embeddings("fp32", options.model.resolve(), photos, tensors.name, log)
    for precision in ("int8", "int7"):
        vectors = embeddings(precision, options.model.resolve(), photos, tensors.name, log)
        cosines = (vectors * exact).sum(1)
        same = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(nearest(vectors), nearest(exact))])
        print(f"{precision}: worst cosine {cosines.min():.5f}, mean {cosines.mean():.5f}, "
              f"{same:.1%} of the ten nearest the same ({len(photos)} pictures)", flush=True)
