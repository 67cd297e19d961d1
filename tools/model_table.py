#!/usr/bin/env python3
"""Make the table of docs/models.md: each configuration of OpenCLIP and each family of transformers that
resembles CLIP, exact or refused with which sentence.

    pip install torch open_clip_torch transformers safetensors
    swift build --product DescribeModel
    python tools/model_table.py [--describe .build/debug/DescribeModel] [--write docs/models.md]

Models are made on PyTorch's meta device, which has shapes and no numbers, and written as sparse
safetensors files with the configuration that OpenCLIP publishes. What the tools understand of an accepted
one (widths, layers, heads, activations, epsilons, sizes, preprocessing) is compared with the modules that
OpenCLIP built; any difference ends with 1.
"""
import argparse, collections, contextlib, io, json, os, pathlib, re, struct, subprocess, sys, tempfile, warnings

warnings.filterwarnings("ignore")
os.environ["HF_HUB_OFFLINE"] = "1"
import torch

HERE = pathlib.Path(__file__).resolve().parent
LAYOUTS = HERE.parent / "Tests" / "ClipCoreTests" / "Fixtures" / "layouts"
DTYPES = {torch.float32: ("F32", 4), torch.float16: ("F16", 2), torch.int64: ("I64", 8), torch.int32: ("I32", 4),
          torch.bool: ("BOOL", 1), torch.uint8: ("U8", 1), torch.bfloat16: ("BF16", 2)}


def write_sparse(path, state):
    """A safetensors file of the right size without data."""
    header, end = {}, 0
    for name, tensor in state.items():
        kind, size = DTYPES[tensor.dtype]
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [end, end + size * tensor.numel()]}
        end += size * tensor.numel()
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


def tokenizer_files(folder, vocabulary):
    """The tokenizer of a small fixture: ids below any vocabulary's size."""
    kind = "siglip2-open-clip" if vocabulary > 200_000 else "siglip-open-clip"
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((LAYOUTS / kind / name).read_bytes())


def activation(module):
    name = type(module).__name__.lower()
    if "quick" in name:
        return "quick_gelu"
    return "gelu_tanh" if "tanh" in name or getattr(module, "approximate", "none") == "tanh" else "gelu"


def tower_of(module):
    """What DescribeModel prints of a tower, from the modules of OpenCLIP and timm."""
    if hasattr(module, "trunk"):
        block = module.trunk.blocks[0]
        return [module.trunk.embed_dim, len(module.trunk.blocks), block.attn.num_heads, block.mlp.fc1.out_features,
                activation(block.mlp.act), block.norm1.eps]
    blocks = module.transformer.resblocks
    return [blocks[0].ln_1.normalized_shape[0], len(blocks), blocks[0].attn.num_heads,
            blocks[0].mlp.c_fc.out_features, activation(blocks[0].mlp.gelu), blocks[0].ln_1.eps]


def same(a, b):
    return str(a) == str(b) or (isinstance(a, float) and abs(float(b) - a) < 1e-6 * max(a, 1e-6))


def expected(model, cfg, pre):
    text = model.text if hasattr(model, "text") else model
    size = cfg["vision_cfg"].get("image_size", 224)
    patch = model.visual.trunk.patch_embed.patch_size if hasattr(model.visual, "trunk") else model.visual.patch_size
    return (tower_of(model.visual) + tower_of(text) + [cfg["embed_dim"], cfg["text_cfg"].get("context_length", 77),
            cfg["text_cfg"].get("vocab_size", 49408), size, patch[0], pre["resize_mode"], pre["interpolation"]]
            + [float(x) for x in pre["mean"]] + [float(x) for x in pre["std"]])


class Describe:
    def __init__(self, program):
        self.program = program

    def __call__(self, folder):
        line = subprocess.run([self.program, folder], capture_output=True, text=True, check=True).stdout.strip()
        _, verdict, *rest = line.split("\t")
        if verdict == "refused":
            return None, rest[0].split(": ", 1)[1] if ": " in rest[0] else rest[0]
        return [word for part in rest[1:] for word in part.split()], None


def make_open_clip(cfg, folder, pre):
    import open_clip.model as m
    cfg = json.loads(json.dumps(cfg))
    arguments = {k: v for k, v in cfg.items() if k not in ("custom_text", "multimodal_cfg")}
    custom = cfg.get("custom_text") or "hf_model_name" in cfg["text_cfg"]
    with torch.device("meta"), contextlib.redirect_stdout(io.StringIO()):
        if "multimodal_cfg" in cfg:
            from open_clip.coca_model import CoCa
            model = CoCa(**{**arguments, "multimodal_cfg": cfg["multimodal_cfg"]})
        else:
            model = (m.CustomTextCLIP if custom else m.CLIP)(**arguments)
    write_sparse(folder / "open_clip_model.safetensors", model.state_dict())
    return model


def write_config(folder, cfg, pre):
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": cfg, "preprocess_cfg": pre}))
    if "siglip" in cfg["vision_cfg"].get("timm_model_name", "").lower():
        tokenizer_files(folder, cfg["text_cfg"].get("vocab_size", 0))


def open_clip_rows(describe, work):
    import open_clip
    from open_clip.pretrained import _PRETRAINED
    names = sorted(open_clip.list_models())
    verdicts, tags = {}, collections.Counter()
    for name in names:
        cfg = open_clip.get_model_config(name)
        cfg.pop("hf_hub_id", None)
        pretrained = _PRETRAINED.get(name, {})
        # Tags of one configuration may differ in their preprocessing.
        variants = {}
        for tag, entry in pretrained.items():
            pre = {"mean": list(entry["mean"]), "std": list(entry["std"]), "interpolation": entry["interpolation"],
                   "resize_mode": entry["resize_mode"]}
            variants.setdefault(json.dumps(pre), []).append(tag)
        default = {"mean": list(open_clip.OPENAI_DATASET_MEAN), "std": list(open_clip.OPENAI_DATASET_STD),
                   "interpolation": "bicubic", "resize_mode": "shortest"}
        variants = variants or {json.dumps(default): []}
        folder = pathlib.Path(tempfile.mkdtemp(dir=work))
        model, problem = None, None
        try:
            model = make_open_clip(cfg, folder, default)
        except Exception as error:  # A tower that needs a download: the configuration alone is refused.
            problem = f"{type(error).__name__}"
            write_sparse(folder / "open_clip_model.safetensors", {"visual.conv1.weight": torch.empty(64, 3, 8, 8, device="meta")})
        for text, with_tags in variants.items():
            pre = json.loads(text)
            write_config(folder, cfg, pre)
            found, sentence = describe(folder)
            if found is not None:
                wanted = expected(model, cfg, pre)
                differing = [(a, b) for a, b in zip(wanted, found) if not same(a, b)]
                if differing or len(wanted) != len(found):
                    sys.exit(f"{name}: understood as {found}, but OpenCLIP has {wanted}: {differing}")
            # Refusals of the file itself come before those of the configuration; name the latter.
            verdicts.setdefault(name, []).append((sentence, with_tags))
            tags["exact" if found is not None else "refused"] += len(with_tags)
        for file in folder.iterdir():
            file.unlink()
    return verdicts, tags


def transformers_rows(describe, work):
    import transformers as t
    families = ["CLIP", "Siglip", "Siglip2", "AltCLIP", "ChineseCLIP", "CLIPSeg", "Align", "Flava", "Blip", "GroupViT",
                "OwlViT", "Owlv2", "XCLIP", "MetaClip2", "MobileClip", "Clvp"]
    rows = []
    for family in families:
        config, model = getattr(t, family + "Config", None), getattr(t, family + "Model", None)
        if config is None or model is None:
            continue
        folder = pathlib.Path(tempfile.mkdtemp(dir=work))
        config = config()
        try:
            with torch.device("meta"):
                state = model(config).state_dict()
        except Exception as error:
            rows.append((family, f"not built here: {type(error).__name__}"))
            continue
        write_sparse(folder / "model.safetensors", state)
        (folder / "config.json").write_text(json.dumps(json.loads(config.to_json_string(use_diff=False))))
        size = getattr(getattr(config, "vision_config", None), "image_size", 224)
        squash = family.startswith("Siglip")
        (folder / "preprocessor_config.json").write_text(json.dumps({
            "do_resize": True, "size": {"height": size, "width": size} if squash else {"shortest_edge": size},
            "resample": 3, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
        if squash:
            for name in ("spiece.model", "tokenizer_config.json"):
                (folder / name).write_bytes((LAYOUTS / "siglip-transformers" / name).read_bytes())
        found, sentence = describe(folder)
        rows.append((f"{family} (`{config.model_type}`)", sentence))
    return rows


def table(verdicts, tags, families):
    import open_clip, transformers
    groups = collections.defaultdict(list)
    for name, all in verdicts.items():
        sentence = next((s for s, _ in all if s), None)
        count = sum(len(t) for _, t in all)
        groups[re.sub(r'\("[^"]*"\)', "(…)", sentence) if sentence else None].append((name, count))
    lines = [f"OpenCLIP {open_clip.__version__}: {len(groups[None])} of {len(verdicts)} configurations are exact, with "
             f"{tags['exact']} of {sum(tags.values())} published tags; the others are refused by name. "
             "Made by `tools/model_table.py`.", "", "| configurations | tags | verdict |", "|---|---|---|"]
    for sentence, names in sorted(groups.items(), key=lambda g: (g[0] is not None, -len(g[1]))):
        verdict = "**exact**" if sentence is None else sentence
        lines.append(f"| {', '.join(n for n, _ in names)} | {sum(c for _, c in names)} | {verdict} |")
    lines += ["", f"transformers {transformers.__version__}:", "", "| family | verdict |", "|---|---|"]
    lines += [f"| {name} | {sentence or '**exact**'} |" for name, sentence in families]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--describe", default=".build/debug/DescribeModel")
    parser.add_argument("--write", help="replace the part between the markers of this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        describe = Describe(options.describe)
        verdicts, tags = open_clip_rows(describe, work)
        text = table(verdicts, tags, transformers_rows(describe, work))
    if options.write:
        path = pathlib.Path(options.write)
        before, rest = path.read_text().split("<!-- table -->\n", 1)
        after = rest.split("<!-- end of table -->\n", 1)[1]
        path.write_text(f"{before}<!-- table -->\n{text}<!-- end of table -->\n{after}")
    else:
        print(text)
