"""Upstream's own code: the package clip-anytorch on PyTorch, fp32 as it loads on a processor."""

import numpy as np
from protocol import UpstreamPeer, serve, unit


class PyTorch(UpstreamPeer):
    measures = ("tensors", "files", "preprocessing", "text")

    def open(self, work, model):
        self.name, self.version = "PyTorch, fp32", self.torch.__version__
        self.model, _ = self.clip.load(model, device="cpu", jit=False)
        self.model.eval()
        self.transform_for(self.model.visual.input_resolution)

    def threads(self, lanes, threads):
        self.torch.set_num_threads(threads)

    def measure(self, source, count):
        if source != "preprocessing":
            return super().measure(source, count)
        self.torch.set_num_threads(1)
        try:
            return super().measure(source, count)
        finally:
            self.threads(self.lanes, max(1, self.cores // self.lanes))

    def encode(self, pixels):
        with self.torch.inference_mode():
            return unit(self.model.encode_image(self.torch.from_numpy(pixels)).numpy())

    def embed_text(self, text):
        with self.torch.inference_mode():
            return unit(self.model.encode_text(self.tokens(text)).numpy())[0]


serve(PyTorch())
