"""What oneDNN alone takes for the encoder's linear layers in int8: u8 activations times s8 weights.

PyTorch brings oneDNN. Shapes are those of Benchmarks/Sources/ClipBench/MultiplicationPeak.swift, with one
thread on each core; attention's own products are left out, since an int8 encoder keeps them in fp32.
"""

import torch
from openai_clip import clip
from protocol import Peer, serve


class OneDNN(Peer):
    measures = ("tensors",)

    def load(self, load):
        self.cores = load["cores"]
        self.files = load["photos"]
        self.name, self.version = "oneDNN, the int8 products alone", torch.__version__
        visual = clip.load(load["model"], device="cpu", jit=False)[0].visual
        width = visual.conv1.out_channels
        patch = visual.conv1.kernel_size[0]
        tokens = visual.positional_embedding.shape[0]
        layers = [(tokens - 1, 3 * patch * patch, width)]
        for block in range(visual.transformer.layers):
            rows = tokens
            if block < visual.transformer.layers - 1:
                layers.append((tokens, width, 3 * width))
            else:
                # Of the last block only the class token's row is needed beyond keys and values.
                layers += [(tokens, width, 2 * width), (1, width, width)]
                rows = 1
            layers += [(rows, width, width), (rows, width, 4 * width), (rows, 4 * width, width)]
        torch.manual_seed(7)
        self.layers = []
        for rows, inputs, outputs in layers:
            weight = torch.randint(-127, 128, (outputs, inputs), dtype=torch.int8)
            packed = torch.ops.onednn.qlinear_prepack(weight, None)
            self.layers.append((
                rows, inputs, packed, torch.full((outputs,), 0.01),
                torch.zeros(outputs, dtype=torch.int)))
        torch.set_num_threads(1)
        self.configure({"lanes": self.cores, "batch": self.batches[0]})
        return {
            "name": self.name, "version": self.version, "measures": list(self.measures),
            "configurations": [{"lanes": self.cores, "batch": batch} for batch in self.batches],
            "operations": sum(
                2 * rows * inputs * scales.numel() for rows, inputs, _, scales, _ in self.layers),
        }

    def configure(self, configuration):
        self.lanes, self.batch = configuration["lanes"], configuration["batch"]
        self.inputs = {
            (rows, inputs): torch.randint(0, 256, (self.batch * rows, inputs), dtype=torch.uint8)
            for rows, inputs, *_ in self.layers
        }
        return {}

    def _from_tensors(self, start, end):
        for rows, inputs, packed, scales, zeros in self.layers:
            torch.ops.onednn.qlinear_pointwise(
                self.inputs[rows, inputs][: (end - start) * rows], 0.02, 128, packed, scales, zeros,
                None, 1.0, 0, torch.float32, "none", [], "")


serve(OneDNN())
