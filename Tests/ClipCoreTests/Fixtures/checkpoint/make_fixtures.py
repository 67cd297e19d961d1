#!/usr/bin/env python3
"""Make tiny CLIP checkpoints in every container that is read or refused, and upstream's answers.

Upstream is OpenAI's code (the PyPI package clip-anytorch) on PyTorch. Run it to make all files again:

    pip install torch torchvision 'setuptools<80' clip-anytorch safetensors numpy
    python Tests/ClipCoreTests/Fixtures/checkpoint/make_fixtures.py

It writes beside itself, and Tests/Fixtures/tiny-clip.{pt,json} for tests that need a model with the
real vocabulary. Weights are random, representable in fp16 (upstream rounds them to it), and many
are overlapping views of one storage, which keeps the files small and exercises offsets and strides.
"""
import collections, io, json, math, pathlib, pickle, struct, sys, warnings, zipfile
warnings.filterwarnings("ignore")

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[3] / "tools"))
import torch
from openai_clip import clip
import numpy as np
from clip.model import CLIP, build_model, convert_weights
from safetensors.torch import save_file

SHARED = HERE.parents[2] / "Fixtures"
SHARED.mkdir(exist_ok=True)
MASK = (1 << 64) - 1

TEXTS = ["man jumping", "cat", "outer space", "a photo of a dog", "room", "", "  two   spaces ",
         "It's a girl's don't we'll they've", "naïve café — “quoted” …", "1234567890 3.14 $5",
         "HELLO World!!!", "日本語の写真", "🚀 emoji 🐈‍⬛", "a\tb\nc", "&lt;b&gt; &amp;amp; tag",
         "red circle, blue square; green-triangle", "x" * 60, "ﬁne ligature", "Ångström ÅNGSTRÖM",
         "sunset over the mountains with a lake in the foreground " * 3]


def splitmix(seed):
    """Vigna's splitmix64; the tests have the same generator, so inputs need no files."""
    state = seed
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def pixels(seed, count, side):
    """Uniform in -2..<2, exact in fp32: the top 24 bits of each draw."""
    draws = splitmix(seed)
    flat = [(next(draws) >> 40) * 2.0**-22 - 2 for _ in range(count * 3 * side * side)]
    return torch.tensor(flat, dtype=torch.float32).reshape(count, 3, side, side)


def sequences(seed, vocabulary, lengths):
    """Start token, draws, end token (the highest id). Every third ends early and continues."""
    draws, rows = splitmix(seed), []
    for number, length in enumerate(lengths):
        body = [next(draws) % (vocabulary - 2) for _ in range(length - 2)]
        row = [vocabulary - 2] + body + [vocabulary - 1]
        if number % 3 == 2 and length > 4:
            row[length // 2] = vocabulary - 1
        rows.append(row)
    return rows


def overlap(shape, pool, offset):
    """A contiguous view of `shape` in the pool, or one with overlapping rows when it is too large."""
    count = math.prod(shape)
    if offset + count <= len(pool):
        return pool.as_strided(shape, torch.empty(shape, device="meta").stride(), offset)
    rows, width = shape[0], count // shape[0]
    step = (len(pool) - width) // max(rows - 1, 1)
    assert step > 0
    inner = torch.empty(shape[1:], device="meta").stride()
    return pool.as_strided(shape, (step, *inner), 0)


def weights(model, seed, size):
    """A state dict whose matrices are views of one fp16 pool of `size` elements."""
    torch.manual_seed(seed)
    pool = (0.1 * torch.randn(size)).half()
    state, draws = collections.OrderedDict(), splitmix(seed)
    for name, tensor in model.state_dict().items():
        shape = tuple(tensor.shape)
        if tensor.dim() < 2:
            if "ln_" in name and name.endswith("weight"):
                value = 1 + 0.2 * torch.randn(shape)
            elif name == "logit_scale":
                value = tensor
            else:
                value = 0.1 * torch.randn(shape)
            state[name] = value.half().float()
        else:
            room = max(1, size - math.prod(shape))
            state[name] = overlap(shape, pool, next(draws) % room)
    return state


def tiny(vision_layers=2, vision_width=64, patch=16, resolution=32, vocabulary=600,
         text_width=64, text_layers=2, embed=32, context=77):
    return CLIP(embed, resolution, vision_layers, vision_width, patch, context, vocabulary,
                text_width, text_width // 64, text_layers)


def dense(state):
    """The same numbers without sharing."""
    return collections.OrderedDict((n, t.clone().contiguous()) for n, t in state.items())


def answers(name, state, seed, batches=(1, 3, 17), lengths=(2, 3, 8, 9, 17, 40, 76, 77)):
    """Upstream's embeddings in fp32, as it computes them on a CPU."""
    model = build_model(collections.OrderedDict((n, t.float()) for n, t in dense(state).items()))
    model = model.float()
    unit = lambda x: (x / x.norm(dim=-1, keepdim=True)).numpy().astype(np.float32)
    side, vocabulary, context = model.visual.input_resolution, model.vocab_size, model.context_length
    rows = sequences(seed, vocabulary, [n for n in lengths if n <= context])
    padded = torch.zeros(len(rows), context, dtype=torch.int)
    for i, row in enumerate(rows):
        padded[i, :len(row)] = torch.tensor(row)
    with torch.no_grad():
        images = [unit(model.encode_image(pixels(seed + n, n, side))) for n in batches]
        texts = unit(model.encode_text(padded))
    floats = lambda rows: [[float(f"{v:.9g}") for v in row] for row in rows.tolist()]
    json.dump({
        "configuration": {
            "embeddingDimension": model.text_projection.shape[1], "imageResolution": side,
            "patchSize": model.visual.conv1.kernel_size[0],
            "visionWidth": model.visual.conv1.out_channels,
            "visionLayers": model.visual.transformer.layers,
            "visionHeads": model.visual.transformer.resblocks[0].attn.num_heads,
            "textWidth": model.transformer.width, "textLayers": model.transformer.layers,
            "textHeads": model.transformer.resblocks[0].attn.num_heads,
            "contextLength": context, "vocabularySize": vocabulary},
        "seed": seed,
        "images": [{"count": n, "embeddings": floats(e)} for n, e in zip(batches, images)],
        "texts": [{"tokens": row, "embedding": e} for row, e in zip(rows, floats(texts))],
    }, open(HERE / f"{name}.json", "w"), separators=(",", ":"))


def rezip(source, target, change=lambda name, data: data, zip64=False, method=zipfile.ZIP_STORED):
    """Rewrites a zip archive with CPython's zipfile."""
    limit, count = zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT
    if zip64:
        zipfile.ZIP64_LIMIT = zipfile.ZIP_FILECOUNT_LIMIT = 0
    try:
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", method) as new:
            for item in old.infolist():
                info = zipfile.ZipInfo(item.filename)
                info.compress_type = method
                new.writestr(info, change(item.filename, old.read(item)))
            if not zip64:
                new.comment = b"a comment behind the directory"
    finally:
        zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = limit, count


def without_debug_paths(path):
    """Leaves out `*.debug_pkl`, which name source files on the machine that traced the model.

    Everything else stays as PyTorch writes it: tensors stored and aligned to 64 bytes by padding in
    the extra field ("FB"), source code compressed."""
    with zipfile.ZipFile(path) as old:
        entries = [(i, old.read(i)) for i in old.infolist() if not i.filename.endswith(".debug_pkl")]
    with zipfile.ZipFile(path, "w") as new:
        for item, data in entries:
            info = zipfile.ZipInfo(item.filename)
            info.compress_type = item.compress_type
            if item.compress_type == zipfile.ZIP_STORED:
                start = new.fp.tell() + 30 + len(item.filename) + 4
                padding = -start % 64
                info.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
            new.writestr(info, data)


def make_models():
    # OpenAI's way: a traced module, matrices fp16, norms fp32. Every tensor takes its own space here.
    model = tiny(vision_layers=1, text_layers=1, patch=8, vocabulary=100)
    model.load_state_dict(dense(weights(model, 1, 60_000)))
    model.eval()
    answers("torchscript", model.state_dict(), 100)
    convert_weights(model)
    traced = torch.jit.trace(
        model, (torch.zeros(1, 3, 32, 32).half(), torch.zeros(1, 77, dtype=torch.int)),
        check_trace=False)
    torch.jit.save(traced, str(HERE / "torchscript.pt"))
    without_debug_paths(HERE / "torchscript.pt")

    # One small model in the containers of torch.save.
    model = tiny(vision_layers=1, vision_width=128, patch=8, text_layers=3)
    state = weights(model, 2, 20_000)
    answers("state-dict", state, 200)
    torch.save(state, HERE / "state-dict.pt")
    whole = tiny(vision_layers=1, text_layers=1, patch=16)
    state = weights(whole, 3, 16_400)
    answers("small", state, 300, batches=(1, 3), lengths=(2, 8, 9, 77))
    torch.save({"epoch": 3, "state_dict": collections.OrderedDict(
        ("module." + n, t) for n, t in state.items())}, HERE / "training.pt", pickle_protocol=4)
    torch.save(collections.OrderedDict((n, t.double()) if t.dim() < 2 else (n, t)
               for n, t in state.items()), HERE / "protocol4.pt", pickle_protocol=4)

    # A whole module; its parameters share the pool as views.
    for name, parameter in whole.named_parameters():
        holder = whole
        *path, last = name.split(".")
        for part in path:
            holder = getattr(holder, part)
        setattr(holder, last, torch.nn.Parameter(state[name], requires_grad=False))
    torch.save(whole.eval(), HERE / "module.pt")

    plain = io.BytesIO()
    torch.save(state, plain)
    def cuda(name, data):
        tag = lambda s: b"X" + struct.pack("<I", len(s)) + s
        if not name.endswith("data.pkl"):
            return data
        assert tag(b"cpu") in data
        return data.replace(tag(b"cpu"), tag(b"cuda:0"))
    rezip(plain, HERE / "cuda.pt", cuda)
    rezip(plain, HERE / "zip64.pt", zip64=True)
    rezip(plain, HERE / "deflated.pt", method=zipfile.ZIP_DEFLATED)
    torch.save(state, HERE / "legacy.pt", _use_new_zipfile_serialization=False)

    # safetensors cannot share storages: a mixture of dtypes, OpenCLIP's names (the same as OpenAI's).
    model = tiny(vision_layers=1, text_layers=1, patch=8, vocabulary=100)
    state = dense(weights(model, 4, 60_000))
    dtypes = [torch.float16, torch.bfloat16]
    mixed = collections.OrderedDict()
    for i, (name, tensor) in enumerate(state.items()):
        dtype = torch.float32 if tensor.dim() < 2 else dtypes[i % 2]
        mixed[name] = tensor.to(dtype)
        # What upstream rounds to fp16 must survive it: bf16 here has no small exponents.
        if dtype == torch.bfloat16:
            mixed[name] = mixed[name].half().bfloat16()
            assert torch.equal(mixed[name].half().float(), mixed[name].float())
    answers("safetensors", mixed, 400, batches=(1, 3), lengths=(2, 8, 9, 77))
    save_file(dict(mixed), HERE / "openclip.safetensors", metadata={"format": "pt"})


def make_refusals():
    """Shapes only: every tensor repeats one element."""
    shapes = lambda model: collections.OrderedDict(
        (n, torch.zeros((), dtype=t.dtype).expand(t.shape)) for n, t in model.state_dict().items())
    resnet = CLIP(32, 64, (1, 1, 1, 1), 16, None, 77, 600, 64, 1, 1)
    torch.save(shapes(resnet), HERE / "resnet.pt")


def make_tensors():
    """A model's shapes with tensors of every dtype and layout beside it, and torch's own values."""
    torch.manual_seed(5)
    model = tiny(vision_layers=1, text_layers=1)
    base = torch.arange(-30, 30)
    wild = torch.randn(60) * torch.logspace(-6, 4, 60)
    extra = collections.OrderedDict()
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        extra[str(dtype)] = wild.to(dtype)
    for dtype in (torch.int8, torch.int16, torch.int32, torch.int64):
        extra[str(dtype)] = base.to(dtype)
    extra["large"] = torch.tensor([2**53 + 1, -(2**62), 16777217, 33554435])
    extra["uint8"] = (base + 200).to(torch.uint8)
    extra["bool"] = base % 3 == 0
    grid = wild.reshape(3, 4, 5)
    extra["transposed"] = grid.transpose(0, 2)
    extra["matrix"] = wild.reshape(6, 10).t()
    extra["sliced"] = grid[1:, ::2, 1:4]
    extra["offset"] = wild[7:31]
    extra["repeated"] = wild[3].expand(4, 3)
    extra["half_strided"] = wild.half().reshape(6, 10)[:, 1::3]
    extra["scalar"] = torch.tensor(2.5)
    extra["odd_strides"] = wild.as_strided((1, 4, 1), (999_999, 3, 12_345), 2)
    extra["empty"] = torch.zeros(0, 3)
    extra["sliding"] = wild.as_strided((20, 8), (1, 1), 5)
    state = collections.OrderedDict(
        (n, torch.zeros((), dtype=t.dtype).expand(t.shape)) for n, t in model.state_dict().items())
    for name, tensor in extra.items():
        state["optimizer." + name] = tensor
    state["optimizer.parameter"] = torch.nn.Parameter(wild[:5].clone())
    torch.save(state, HERE / "tensors.pt")
    json.dump({n: {"shape": list(t.shape), "bits": t.detach().contiguous().float().numpy()
                   .view(np.uint32).ravel().tolist()}
               for n, t in state.items() if n.startswith("optimizer.")},
              open(HERE / "tensors.json", "w"), separators=(",", ":"))


class Thing:
    """An instance with state, as a training script may leave in a checkpoint."""
    def __init__(self):
        self.name, self.size, self.inner = "thing", 7, {"deep": (1, 2, 3)}


def render(value):
    """The values of a pickle as text; the tests render theirs alike."""
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return str(value) if -(2**63) <= value < 2**63 else "None"
    if isinstance(value, float):
        return "f" + struct.pack(">d", value).hex()
    if isinstance(value, str):
        return "t" + value.encode().hex()
    if isinstance(value, bytes):
        return "t" + value.hex()
    if isinstance(value, list):
        return "[" + ",".join(map(render, value)) + "]"
    if isinstance(value, tuple):
        return "(" + ",".join(map(render, value)) + ")"
    if isinstance(value, collections.OrderedDict):
        return "object{" + ",".join(render(k) + "=" + render(v) for k, v in value.items()) + "}"
    if isinstance(value, dict):
        return "{" + ",".join(render(k) + "=" + render(v) for k, v in value.items()) + "}"
    return "object{" + ",".join(render(k) + "=" + render(v) for k, v in vars(value).items()) + "}"


def make_pickles():
    shared = ["shared", 1]
    golden = []
    for protocol in range(6):
        data = {
            "none": None, "yes": True, "no": False,
            "ints": [0, 1, -1, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1,
                     2**63 - 1, -(2**63), 2**64],
            "floats": [0.0, -0.0, 1.5, -2.25e-300, math.pi, math.inf, -math.inf],
            "empty": [[], (), {}, ""], "tuples": [(1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
            "shared": [shared, shared], "long": "x" * 300, "many": [0] * 1100,
            "table": {i: str(i) for i in range(40)}, "thing": Thing(),
            "ordered": collections.OrderedDict(a=1, b=[2, 3]),
            "nested": [[[[["deep"]]]]],
        }
        if protocol >= 1:
            data["unicode"] = "größe 日本 🐈"
        if protocol >= 3:
            data["bytes"] = [b"\x00\xff", b"y" * 300]
        golden.append({"protocol": protocol, "pickle": pickle.dumps(data, protocol).hex(),
                       "rendered": render(data)})
    json.dump(golden, open(HERE / "pickles.json", "w"), separators=(",", ":"))


def make_shared_model():
    """The real vocabulary, context, resolution and dimension in a few hundred kilobytes."""
    torch.manual_seed(6)
    model = CLIP(512, 224, 2, 64, 32, 77, 49408, 64, 1, 2)
    state = weights(model, 6, 131_072)
    tokens = (0.3 * torch.randn(49408 + 63)).half()
    state["token_embedding.weight"] = tokens.as_strided((49408, 64), (1, 1))
    # Pictures differ less than texts do: let the patches weigh more than their positions.
    state["visual.positional_embedding"] = (0.02 * torch.randn(50, 64)).half()
    state["visual.class_embedding"] = (0.1 * torch.randn(64)).half().float()
    # As in OpenAI's archives: they say that the model has QuickGELU.
    for name, value in [("input_resolution", 224), ("context_length", 77), ("vocab_size", 49408)]:
        state[name] = torch.tensor(value)
    torch.save(state, SHARED / "tiny-clip.pt")
    model, preprocess = clip.load(str(SHARED / "tiny-clip.pt"), device="cpu")
    unit = lambda x: (x / x.norm(dim=-1, keepdim=True)).numpy()
    ids = clip.tokenize(TEXTS, truncate=True)
    with torch.no_grad():
        embeddings = unit(model.encode_text(ids))
    off = embeddings @ embeddings.T - 2 * np.eye(len(TEXTS))
    print(f"tiny-clip texts: cosines {(off + 4 * np.eye(len(TEXTS))).min():.3f} to {off.max():.3f}")
    rows = [{"text": t, "ids": i, "embedding": [float(f"{v:.9g}") for v in e]}
            for t, i, e in zip(TEXTS, ids.tolist(), embeddings.tolist())]
    with open(SHARED / "tiny-clip.json", "w") as file:
        file.write("[" + ",\n".join(
            json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows) + "]\n")


if __name__ == "__main__":
    make_models()
    make_refusals()
    make_tensors()
    make_pickles()
    make_shared_model()
    for folder in (HERE, SHARED):
        for file in sorted(folder.iterdir()):
            print(f"{file.stat().st_size:9,} {file.name}")
