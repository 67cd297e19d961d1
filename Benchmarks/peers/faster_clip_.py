"""The package faster-clip, on a safetensors file of the same vision tower.

It takes files only, and its text tower is another model's (multilingual DistilBERT), so of all
measurements one is left. Its weights are int8, its arithmetic fp32.
"""

import importlib.metadata
import os

from protocol import Peer, serve, unit


class FasterClip(Peer):
    name = "faster-clip, int8 weights"
    measures = ("files",)
    decodes_itself = True

    def open(self, work, model):
        os.environ["FASTER_CLIP_CACHE"] = str(work / "faster-clip")
        from faster_clip import ClipModel

        self.version = importlib.metadata.version("faster-clip")
        self.model = ClipModel()

    def encode_files(self, files):
        return unit(self.model.encode_image(files))


serve(FasterClip())
