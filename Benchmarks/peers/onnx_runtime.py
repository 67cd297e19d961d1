"""ONNX Runtime on the exported towers: `onnx_runtime.py fp32` or `int8` (dynamic quantisation).

It has no switch for instruction sets. With CLIP_MAX_ISA=avx2 a copy is loaded in which the two jumps to its
kernels for AVX-512 and AVX-VNNI (MLAS's platform.cpp) are never taken.
"""

import importlib.util
import os
import pathlib
import re
import shutil
import sys


def keep_to_avx2():
    package = pathlib.Path(importlib.util.find_spec("onnxruntime").origin).parent
    folder = package.parents[4] / "onnxruntime-avx2"
    if not folder.exists():
        part = folder.with_suffix(f".{os.getpid()}")
        shutil.copytree(package, part / package.name)
        library = next((part / package.name / "capi").glob("onnxruntime_pybind11_state*.so"))
        code = library.read_bytes()
        # not rax; test al, 0xE0; je: the state of 512-bit registers. cpuid; test al, 0x10; je: AVX-VNNI.
        code, wide = re.subn(
            rb"(\x48\xf7\xd0\xa8\xe0)\x0f\x84....", lambda m: m[1] + b"\x90" * 6, code, flags=re.DOTALL)
        code, vnni = re.subn(
            rb"(\x0f\xa2\xa8\x10)\x74(.\x48\x8d\x05)", lambda m: m[1] + b"\xeb" + m[2], code,
            flags=re.DOTALL)
        if (wide, vnni) != (1, 1):
            raise RuntimeError("this build of ONNX Runtime cannot be kept to AVX2")
        library.write_bytes(code)
        part.rename(folder)
    sys.path.insert(0, str(folder))


if os.environ.get("CLIP_MAX_ISA") == "avx2":
    keep_to_avx2()

import onnxruntime  # noqa: E402
from protocol import UpstreamPeer, serve, unit  # noqa: E402


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
