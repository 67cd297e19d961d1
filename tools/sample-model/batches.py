"""Training batches: every picture drawn for its step, from the seed and the step's number alone."""

import io
import os
import queue
import random

import numpy as np
import skia
import torch.multiprocessing as multiprocessing
from PIL import Image

import upstream  # noqa: F401  (before clip)
import captions
import scenes
from clip.simple_tokenizer import SimpleTokenizer

LONGEST = 22  # tokens of a training caption, with its start and end
START, END = 49406, 49407
_RGBA = skia.ColorType.kRGBA_8888_ColorType


class Words:
    """CLIP's own tokens, renumbered so that the trainer keeps only those that captions use.

    Number 0 stands for every token that no caption uses: its embedding is and stays zero.
    """

    def __init__(self, used=None):
        self._tokenizer = SimpleTokenizer()
        self._known = {}
        self.used = used or self._collect()
        self._number = {token: number + 1 for number, token in enumerate(self.used)}

    def tokens(self, text):
        text = text.lower()
        if text not in self._known:
            if len(self._known) > 100_000:
                self._known.clear()
            self._known[text] = [token for word in text.replace(",", " , ").split()
                                 for token in self._word(word)]
        return self._known[text]

    def _word(self, word):
        if ("w", word) not in self._known:
            self._known["w", word] = self._tokenizer.encode(word)
        return self._known["w", word]

    def _collect(self):
        r = random.Random(0)
        used = {START, END}
        for _ in range(60_000):
            scene = scenes.random_scene(r)
            used.update(self.tokens(captions.caption(scene, r, 0.8)[0]))
        return sorted(used)

    def numbers(self, text, r=None):
        inner = [self._number.get(token, 0) for token in self.tokens(text)]
        if r is not None and r.random() < 0.05:
            inner.insert(r.randrange(len(inner) + 1), 0)  # a word that it does not know
        return [self._number[START]] + inner + [self._number[END]]


def picture(scene, resolution, r):
    """What CLIP's preprocessing would hand on: (resolution, resolution, 3) bytes."""
    side = int(resolution * r.uniform(1.0, 2.0)) if r.random() < 0.8 else resolution
    pixels = scenes.draw(scene, side, side, r).toarray(colorType=_RGBA)[:, :, :3]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if scene.grey:
        image = image.convert("L").convert("RGB")
    if r.random() < 0.5:
        kept = io.BytesIO()
        image.save(kept, "JPEG", quality=r.randint(55, 95))
        image = Image.open(kept)
    if side != resolution:
        image = image.resize((resolution, resolution), Image.BICUBIC)
    return np.asarray(image)


def batch(seed, step, size, resolution, words):
    """(pictures uint8, [(token numbers, true pairs) twice]) of one step."""
    r = random.Random(seed * 1_000_003 + step)
    chosen = []
    while len(chosen) < size:
        scene = scenes.random_scene(r)
        chosen.append(scene)
        if r.random() < 0.5:
            for _ in range(3):
                other = scenes.sibling(scene, r)
                if other is not None and len(chosen) < size:
                    chosen.append(other)
    pictures = np.stack([picture(scene, resolution, r) for scene in chosen])
    facts = [captions.scene_facts(scene) for scene in chosen]
    number = {fact: i for i, fact in enumerate(sorted(set().union(*facts), key=str))}
    holds = np.zeros((size, len(number)), np.float32)
    for row, some in zip(holds, facts):
        row[[number[fact] for fact in some]] = 1
    texts = []
    for low, high in ((0.05, 0.6), (0.75, 1.0)):
        rows, says = [], np.zeros((size, len(number)), np.float32)
        for i, scene in enumerate(chosen):
            detail = r.uniform(low, high)
            while True:
                text, said = captions.caption(scene, r, detail)
                row = words.numbers(text, r)
                if text and len(row) <= LONGEST:
                    break
                detail *= 0.9 if text else 1
            rows.append(row)
            says[i, [number[fact] for fact in said]] = 1
        longest = max(map(len, rows))
        ids = np.zeros((size, longest), np.int64)
        for i, row in enumerate(rows):
            ids[i, :len(row)] = row
        ends = np.array([len(row) - 1 for row in rows])
        true = says @ holds.T >= says.sum(1, keepdims=True)  # (caption, picture)
        texts.append((ids, ends, true))
    return pictures, texts


def _work(worker, workers, first, last, seed, size, resolution, used, out):
    words, parent = Words(used), os.getppid()
    for step in range(first + worker, last, workers):
        made = batch(seed, step, size, resolution, words)
        while True:
            try:
                out.put(made, timeout=5)
                break
            except queue.Full:
                if os.getppid() != parent:  # the trainer was killed
                    os._exit(1)


def stream(first, last, seed, size, resolution, words, workers=1):
    """Batches of the steps from `first` up to `last`, made ahead by other processes."""
    context = multiprocessing.get_context("spawn")
    queues = [context.Queue(6) for _ in range(workers)]
    made = [context.Process(target=_work, args=(i, workers, first, last, seed, size, resolution, words.used, q),
                            daemon=True) for i, q in enumerate(queues)]
    for process in made:
        process.start()
    for step in range(first, last):
        while True:
            try:
                yield queues[(step - first) % workers].get(timeout=60)
                break
            except queue.Empty:
                if not all(process.is_alive() for process in made):
                    raise RuntimeError("a process that draws pictures has ended")
