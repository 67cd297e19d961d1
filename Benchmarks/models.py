#!/usr/bin/env python3
"""Measure the image tower of models of several sizes: the speeds of docs/models.md.

    pip install torch open_clip_torch transformers safetensors timm
    swift build -c release --package-path Benchmarks --scratch-path .build/bench/swift
    python Benchmarks/models.py [--precision fp32 int8] [--seconds 10] ViT-B-32 ViT-B-16-SigLIP …

Names are OpenCLIP's. Weights are random and saved in fp16, which does not change the speed of the image tower. A batch
of 8 images on each processor, ready tensors; the median of several runs, in images a second and, for a machine that is
not idle, by processor time; and the memory of the whole process.
"""
import argparse
import array
import os
import pathlib
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "Benchmarks"), str(ROOT / "tools")]

from runner import machine, workplace
from runner.peer import Peer

BATCH = 8


def make(name, folder):
    """In a process of its own, whose memory is given back."""
    if pid := os.fork():
        if os.waitpid(pid, 0)[1]:
            sys.exit(f"models: {name} could not be made")
        return
    status = 1
    try:
        import open_clip
        import layouts
        layouts.make(name, folder, is_half=True)
        side = open_clip.get_model_config(name)["vision_cfg"].get("image_size", 224)
        (folder / "side").write_text(str(side))
        status = 0
    finally:
        os._exit(status)


def measure(name, folder, precision, seconds):
    side, cores = int((folder / "side").read_text()), machine.cores()
    count = cores * BATCH
    tensors = folder / "tensors.f32"
    if not tensors.exists():
        image = array.array("f", [i % 199 / 100 - 1 for i in range(3 * side * side)])
        tensors.write_bytes(image.tobytes() * count)
    with tempfile.TemporaryFile("w") as log:
        peer = Peer("ours", [workplace.WORK / "swift/release/ClipBench", precision], log=log)
        photo = sorted((ROOT / "samples/pictures").glob("*.jpg"))[0]
        loaded = peer.ask("load", load={
            "model": str(folder), "work": str(folder), "cores": cores, "photos": [str(photo)] * count,
            "tensors": str(tensors), "resolution": side})
        peer.ask("configure", configuration={"lanes": cores, "batch": BATCH})
        rates, own, start = [], [], time.monotonic()
        while len(rates) < 2 or time.monotonic() - start < seconds:
            before = machine.process_seconds(peer._process.pid)
            rates.append(count / peer.ask("measure", source="tensors", count=count)["seconds"][0])
            own.append(count * cores / (machine.process_seconds(peer._process.pid) - before))
        memory = machine.resident_mebibytes(peer._process.pid)
        peer.stop()
    print(f"| {name} | {precision} | {statistics.median(rates):.3g} ({min(rates):.3g} to {max(rates):.3g}) | "
          f"{statistics.median(own):.3g} ({min(own):.3g} to {max(own):.3g}) | "
          f"{memory:.0f} MiB | {loaded['version']} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="+")
    parser.add_argument("--precision", nargs="+", default=["fp32", "int8"])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--keep", type=pathlib.Path, help="where the models are made and kept")
    options = parser.parse_args()
    print(f"{machine.cores()} cores of {machine.processor()}: {machine.instructions()}", flush=True)
    for name in options.names:
        with tempfile.TemporaryDirectory() as work:
            folder = (options.keep or pathlib.Path(work)) / name
            if not folder.exists():
                make(name, folder)
            for precision in options.precision:
                measure(name, folder, precision, options.seconds)


main()
