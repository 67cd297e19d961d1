"""OpenVINO on the exported towers: `openvino_.py fp32`, or `default` with the precision it picks."""

import sys

import openvino
from protocol import UpstreamPeer, serve, unit


class OpenVINO(UpstreamPeer):
    measures = ("tensors", "files", "text")

    def open(self, work, model):
        self.version = openvino.__version__.split("-")[0]
        self.settings = {"INFERENCE_PRECISION_HINT": "f32"} if sys.argv[1] == "fp32" else {}
        self.core = openvino.Core()
        self.vision = self.core.read_model(work / "vision.fp32.onnx")
        self.transform_for(self.vision.inputs[0].partial_shape[2].get_length())
        self.text = self._compile(
            self.core.read_model(work / "text.fp32.onnx"), 1, self.cores).create_infer_request()
        precision = self.text.get_compiled_model().get_property("INFERENCE_PRECISION_HINT")
        self.name = "OpenVINO, " + {"f32": "fp32", "bf16": "bf16"}.get(
            precision.get_type_name(), precision.get_type_name())
        self.requests = []

    def _compile(self, model, streams, threads):
        return self.core.compile_model(
            model, "CPU",
            self.settings | {"NUM_STREAMS": str(streams), "INFERENCE_NUM_THREADS": threads})

    def threads(self, lanes, threads):
        compiled = self._compile(self.vision, lanes, self.cores)
        self.requests = [compiled.create_infer_request() for _ in range(lanes)]

    def encode(self, pixels):
        # Taking from a list is atomic: each lane gets a request of its own.
        request = self.requests.pop()
        try:
            return unit(next(iter(request.infer({"pixels": pixels}).values())))
        finally:
            self.requests.append(request)

    def embed_text(self, text):
        result = self.text.infer({"tokens": self.tokens(text).numpy()})
        return unit(next(iter(result.values())))[0]


serve(OpenVINO())
