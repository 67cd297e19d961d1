"""ONNX Runtime on the exported towers: `onnx_runtime.py fp32` or `int8` (dynamic quantisation)."""

import sys

import onnxruntime
from protocol import UpstreamPeer, serve, unit


class ONNXRuntime(UpstreamPeer):
    measures = ("tensors", "files", "text")

    def open(self, work, model):
        self.precision = sys.argv[1]
        self.name = f"ONNX Runtime, {self.precision}"
        self.version = onnxruntime.__version__
        self.folder = work
        self.session = None
        self.text = self._session("text", self.cores)
        side = onnxruntime.InferenceSession(
            str(work / "vision.fp32.onnx"), providers=["CPUExecutionProvider"]
        ).get_inputs()[0].shape[2]
        self.transform_for(side)

    def _session(self, tower, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        path = self.folder / f"{tower}.{self.precision}.onnx"
        return onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"])

    def threads(self, lanes, threads):
        # A session may be used by several threads at once; each then computes in the calling thread.
        if self.session is None or self.per_lane != threads:
            self.session, self.per_lane = self._session("vision", threads), threads

    def encode(self, pixels):
        return unit(self.session.run(None, {"pixels": pixels})[0])

    def embed_text(self, text):
        tokens = self.tokens(text).numpy()
        return unit(self.text.run(None, {"tokens": tokens})[0])[0]


serve(ONNXRuntime())
