"""What all peers written in Python share: answering the runner's requests, and the timing.

A request is a line of JSON on stdin, an answer a line of JSON on stdout; Benchmarks/README.md lists
them. Peers differ in a few functions, so that everything that could favour one of them is here.
"""

import concurrent.futures
import itertools
import json
import os
import pathlib
import sys
import threading
import time

import numpy as np


class Peer:
    """One way to run CLIP. A subclass says what it can do in `measures`."""

    name = ""
    version = ""
    # Of "tensors" (encode), "files" (decode to embedding), "preprocessing" (one core), "text".
    measures = ()
    # Whether several batches can be computed side by side.
    has_lanes = True
    batches = (8, 32)
    # Whether it takes picture files itself (encode_files) rather than what preprocess() makes of them.
    decodes_itself = False

    # ---- what a subclass defines ----

    def open(self, work, model):
        """Loads the model; `work` is the folder with what prepare.py made of it."""
        raise NotImplementedError

    def threads(self, lanes, threads):
        """Called when the runner sets how the work is spread: threads for each of the lanes."""

    def encode(self, pixels):
        """Embeddings `[n, dimension]` of preprocessed pictures, fp32 `[n, 3, resolution, resolution]`."""
        raise NotImplementedError

    def preprocess(self, file):
        """A file's bytes as encode() takes it, `[3, resolution, resolution]`."""
        raise NotImplementedError

    def embed_text(self, text):
        """The embedding of a text, from the string on."""
        raise NotImplementedError

    def ready(self, tensors):
        """Tensors in the layout that encode() takes; not timed."""
        return tensors

    def encode_files(self, files):
        """Embeddings of files' bytes."""
        return self.encode(np.stack([self.preprocess(file) for file in files]))

    # ---- requests ----

    def load(self, load):
        self.cores = load["cores"]
        self.paths = load["photos"]
        self.files = [pathlib.Path(path).read_bytes() for path in self.paths]
        self.open(pathlib.Path(load["work"]), load["model"])
        if "tensors" in self.measures:
            resolution = load["resolution"]
            flat = np.fromfile(load["tensors"], dtype=np.float32)
            pixels = flat.reshape(len(self.files), 3, resolution, resolution)
            # Twice the same, so that a batch that goes beyond the last picture is one array too.
            self.tensors = self.ready(np.concatenate([pixels, pixels]))
        self.configure({"lanes": 1, "batch": self.batches[0]})
        lanes = sorted({1, self.cores}) if self.has_lanes else [1]
        configurations = [
            {"lanes": lane, "batch": batch}
            for lane, batch in itertools.product(lanes, self.batches)
            if batch <= len(self.files)
        ]
        return {
            "name": self.name, "version": self.version, "measures": list(self.measures),
            "configurations": configurations or [{"lanes": 1, "batch": len(self.files)}],
        }

    def configure(self, configuration):
        self.lanes, self.batch = configuration["lanes"], configuration["batch"]
        self.threads(self.lanes, max(1, self.cores // self.lanes))
        return {}

    def embed(self, source, count):
        run = self._from_tensors if source == "tensors" else self._from_files
        rows = []
        for start in range(0, count, self.batch):
            rows.extend(run(start, min(start + self.batch, count)))
        return {"vectors": [[float(value) for value in row] for row in rows]}

    def embed_texts(self, texts):
        return {"vectors": [[float(value) for value in self.embed_text(text)] for text in texts]}

    def measure(self, source, count):
        start = time.perf_counter()
        if source == "preprocessing":
            for index in range(count):
                self.preprocess(self.files[index % len(self.files)])
        elif source == "tensors":
            self._spread(self._from_tensors, count)
        elif self.lanes == 1 and not self.decodes_itself:
            self._decode_ahead(count)
        else:
            self._spread(self._from_files, count)
        return {"seconds": [time.perf_counter() - start]}

    def measure_text(self, text, repeats):
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            self.embed_text(text)
            seconds.append(time.perf_counter() - start)
        return {"seconds": seconds}

    # ---- spreading the work ----

    def _from_tensors(self, start, end):
        first = start % len(self.files)
        return self.encode(self.tensors[first : first + end - start])

    def _from_files(self, start, end):
        return self.encode_files([self.files[i % len(self.files)] for i in range(start, end)])

    def _spread(self, run, count):
        """Batches side by side, a thread for each lane, all taking from one row."""
        size = max(1, min(self.batch, -(-count // self.lanes)))
        starts = iter(range(0, count, size))
        lock = threading.Lock()

        def lane():
            while True:
                with lock:
                    start = next(starts, None)
                if start is None:
                    return
                run(start, min(start + size, count))

        if self.lanes == 1:
            return lane()
        with concurrent.futures.ThreadPoolExecutor(self.lanes) as pool:
            for future in [pool.submit(lane) for _ in range(self.lanes)]:
                future.result()

    def _decode_ahead(self, count):
        """One batch is encoded on all cores while the next ones are decoded by a thread for each."""
        with concurrent.futures.ThreadPoolExecutor(self.cores) as pool:
            waiting = []
            for index in range(count):
                waiting.append(pool.submit(self.preprocess, self.files[index % len(self.files)]))
            for start in range(0, count, self.batch):
                batch = waiting[start : start + self.batch]
                self.encode(np.stack([future.result() for future in batch]))
                waiting[start : start + self.batch] = [None] * len(batch)


def answer(peer, request):
    task = request["do"]
    if task == "load":
        return peer.load(request["load"])
    if task == "configure":
        return peer.configure(request["configuration"])
    if task == "embed":
        return peer.embed(request["source"], request["count"])
    if task == "embedTexts":
        return peer.embed_texts(request["texts"])
    if task == "measure":
        return peer.measure(request["source"], request["count"])
    if task == "measureText":
        return peer.measure_text(request["text"], request["repeats"])
    raise ValueError(f"there is no task {task}")


def serve(peer):
    # Libraries print what they like to file descriptor 1; answers have a descriptor of their own.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            reply = answer(peer, json.loads(line))
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(reply) + "\n")


class UpstreamPeer(Peer):
    """A peer that decodes with Pillow, preprocesses with torchvision and tokenises as upstream does."""

    def __init__(self):
        import io

        import torch
        from openai_clip import clip
        from PIL import Image

        self.torch, self.clip, self._image, self._bytes = torch, clip, Image, io.BytesIO

    def transform_for(self, resolution):
        self._transform = self.clip.clip._transform(resolution)

    def preprocess(self, file):
        return self._transform(self._image.open(self._bytes(file))).numpy()

    def tokens(self, text):
        return self.clip.tokenize([text], truncate=True)


def unit(rows):
    """Rows of length 1."""
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)
