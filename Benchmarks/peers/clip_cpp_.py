"""clip.cpp through its package clip-cpp, on a GGUF file of the same weights.

The package takes one picture at a time and keeps its working memory in static variables, so there is
one lane and no batch. Its resize is its own, so what it makes of a file is not upstream's embedding.
"""

import ctypes
import importlib.metadata

import numpy as np
from protocol import Peer, serve


class ClipCpp(Peer):
    name = "clip.cpp, fp16"
    measures = ("tensors", "files", "text")
    has_lanes = False
    batches = (1,)
    decodes_itself = True

    def open(self, work, model):
        import clip_cpp.clip as library

        self.version = importlib.metadata.version("clip_cpp")
        self.library = library
        self.model = library.Clip(str(work / "clip.gguf"), verbosity=0)

    def ready(self, tensors):
        # It takes pixels interleaved.
        return np.ascontiguousarray(tensors.transpose(0, 2, 3, 1))

    def encode(self, pixels):
        rows = np.empty((len(pixels), self.model.vec_dim), dtype=np.float32)
        for row, picture in zip(rows, pixels):
            image = self.library.ClipImageF32(
                nx=picture.shape[1], ny=picture.shape[0],
                data=picture.ctypes.data_as(ctypes.POINTER(ctypes.c_float)))
            target = row.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            if not self.library.clip_image_encode(
                self.model.ctx, self.cores, ctypes.byref(image), target, True
            ):
                raise RuntimeError("clip_image_encode failed")
        return rows

    def _from_files(self, start, end):
        # It reads files by name only.
        paths = [self.paths[i % len(self.paths)] for i in range(start, end)]
        return [
            self.model.load_preprocess_encode_image(path, n_threads=self.cores) for path in paths
        ]

    def embed_text(self, text):
        return self.model.encode_text(self.model.tokenize(text), n_threads=self.cores)


serve(ClipCpp())
