#!/usr/bin/env python3
"""Make small models as OpenCLIP and transformers publish them, and the embeddings of their own code.

    pip install torch open_clip_torch transformers safetensors pillow numpy
    python Tests/ClipCoreTests/Fixtures/layouts/make_fixtures.py

Weights are random and c_fc is scaled by 3, which puts its outputs where GELU and QuickGELU differ most.
Matrices are views of two small pools, which keeps the files small.
"""
import collections, json, pathlib, shutil, warnings
warnings.filterwarnings("ignore")
import numpy as np, torch
from PIL import Image
import open_clip
from open_clip.model import CLIP as OpenCLIP, CustomTextCLIP
from open_clip.transform import PreprocessCfg, image_transform_v2

HERE = pathlib.Path(__file__).resolve().parent
PICTURES = HERE.parents[3] / "samples" / "pictures"
TEXTS = ["man jumping", "a photo of a dog", "", "It's a girl's don't we'll", "naïve café — …",
         "日本語の写真", "кот на крыше", "قطة على السطح", "बिल्ली", "고양이 사진", "🚀 emoji 🐈",
         "1234567890 3.14", "Ångström ÅNGSTRÖM", "sunset over the mountains with a lake " * 6]
WIDTH, VOCABULARY = 64, 49408


def photos():
    """Six photos of different shapes, the same that the tests read."""
    files = sorted(PICTURES.rglob("*.jpg"))
    return [files[i * len(files) // 6] for i in range(6)]


def randomise(model, seed):
    """Random weights, representable in fp16; c_fc (fc1) scaled by 3. Returns what to save: matrices
    as fp16 views of one pool, or of another for those that are scaled."""
    torch.manual_seed(seed)
    pool = (0.1 * torch.randn(20_000)).half()
    pools = {False: pool, True: 3 * pool}
    saved = collections.OrderedDict()
    for number, (name, tensor) in enumerate(model.state_dict().items()):
        if not tensor.is_floating_point() or tensor.dim() == 0:
            saved[name] = tensor
        elif tensor.dim() == 1 or any(x in name for x in ("positional", "position_embedding", "pos_embed", "latent",
                                                           "probe")):
            value = 0.1 * torch.randn(tensor.shape)
            if ("ln_" in name or "norm" in name or "layrnorm" in name) and name.endswith("weight"):
                value += 1
            saved[name] = value.half().float() if tensor.dim() == 1 else (0.2 * value).half()
        elif name.endswith("token_embedding.weight"):
            saved[name] = (3 * torch.randn(sum(tensor.shape) - 1) / 10).half().as_strided(
                tensor.shape, (1, 1))
        else:
            scaled = name.endswith(("c_fc.weight", "fc1.weight"))
            # Queries, keys and values one under another, so that merged they are a view too.
            part = next((i for i, x in enumerate("qkv") if f".{x}_proj." in name), 0)
            first = 997 * (number if "_proj.weight" not in name or "out_proj" in name else number // 40)
            inner = torch.empty(tensor.shape[1:], device="meta").stride()
            width = tensor.numel() // tensor.shape[0]
            # Rows overlap where a matrix is larger than the pool.
            step = min(width, (len(pool) - width) // tensor.shape[0])
            room = len(pool) - step * (tensor.shape[0] - 1) - width - 2 * WIDTH * WIDTH
            start = first % room if room > 0 else 0
            saved[name] = pools[scaled].as_strided(
                tensor.shape, (step, *inner), start + part * WIDTH * WIDTH)
    model.load_state_dict({n: t.float() for n, t in saved.items()})
    return saved


def unit(x):
    return [[float(f"{v:.8g}") for v in row] for row in (x / x.norm(dim=-1, keepdim=True)).tolist()]


def write(name, files, weights, state, images, texts):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file, content in files.items():
        (folder / file).write_text(json.dumps(content, indent=2) + "\n")
    torch.save(state, folder / weights)
    (folder / "answers.json").write_text(json.dumps(
        {"images": unit(images), "texts": unit(texts)}, separators=(",", ":")))
    print(name, (folder / weights).stat().st_size)


def open_clip_model(name, seed, vision={}, text={}, preprocess={}, custom=False, **model_cfg):
    cfg = {"embed_dim": 32,
           "vision_cfg": {"image_size": 32, "layers": 2, "width": WIDTH, "patch_size": 8, **vision},
           "text_cfg": {"context_length": 77, "vocab_size": VOCABULARY, "width": WIDTH, "heads": 1,
                        "layers": 2, **text}, **model_cfg}
    if custom:
        cfg["custom_text"] = True
    kind = CustomTextCLIP if custom else OpenCLIP
    arguments = {k: v for k, v in cfg.items() if k != "custom_text"}
    model = kind(**arguments).eval()
    state = randomise(model, seed)
    pre = {"mean": list(open_clip.OPENAI_DATASET_MEAN), "std": list(open_clip.OPENAI_DATASET_STD),
           "interpolation": "bicubic", "resize_mode": "shortest", **preprocess}
    transform = image_transform_v2(PreprocessCfg(**{**pre, "size": cfg["vision_cfg"]["image_size"]}),
                                   is_train=False)
    with torch.no_grad():
        images = model.encode_image(torch.stack([transform(Image.open(p)) for p in photos()]))
        texts = model.encode_text(open_clip.SimpleTokenizer()(TEXTS, 77))
    write(name, {"open_clip_config.json": {"model_cfg": cfg, "preprocess_cfg": pre}},
          "open_clip_pytorch_model.bin", state, images, texts)


def transformers_model(name, seed, activation, heads=1):
    from transformers import CLIPConfig, CLIPModel
    tower = dict(hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=2,
                 num_attention_heads=heads, hidden_act=activation)
    config = CLIPConfig(text_config={**tower, "vocab_size": VOCABULARY},
                        vision_config={**tower, "image_size": 32, "patch_size": 8}, projection_dim=32)
    model = CLIPModel(config).eval()
    state = randomise(model, seed)
    # Images as OpenAI's code makes them: see ModelDescription+Transformers.swift.
    transform = image_transform_v2(PreprocessCfg(size=32), is_train=False)
    ids = open_clip.SimpleTokenizer()(TEXTS, 77)
    output = lambda x: x if torch.is_tensor(x) else x.pooler_output
    with torch.no_grad():
        images = output(model.get_image_features(
            pixel_values=torch.stack([transform(Image.open(p)) for p in photos()])))
        texts = output(model.get_text_features(input_ids=ids))
    preprocessor = {
        "crop_size": {"height": 32, "width": 32}, "do_center_crop": True, "do_convert_rgb": True,
        "do_normalize": True, "do_rescale": True, "do_resize": True,
        "image_mean": list(open_clip.OPENAI_DATASET_MEAN), "image_std": list(open_clip.OPENAI_DATASET_STD),
        "image_processor_type": "CLIPImageProcessor", "resample": 3,
        "rescale_factor": 1 / 255, "size": {"shortest_edge": 32}}
    write(name, {"config.json": json.loads(config.to_json_string(use_diff=False)),
                 "preprocessor_config.json": preprocessor},
          "pytorch_model.bin", state, images, texts)


def same_weights():
    """The weights of transformers-quick by OpenAI's names, merged with torch.cat."""
    state = torch.load(HERE / "transformers-quick" / "pytorch_model.bin")
    out = collections.OrderedDict()
    for theirs, ours in [("vision_model", "visual.transformer"), ("text_model", "transformer")]:
        for n in range(2):
            layer, block = f"{theirs}.encoder.layers.{n}", f"{ours}.resblocks.{n}"
            for kind in ("weight", "bias"):
                parts = [state[f"{layer}.self_attn.{x}_proj.{kind}"] for x in "qkv"]
                merged = torch.cat(parts)
                if kind == "weight":
                    view = parts[0].as_strided(merged.shape, (WIDTH, 1))
                    assert torch.equal(view, merged)
                    merged = view
                out[f"{block}.attn.in_proj_{kind}"] = merged
                for a, b in [("self_attn.out_proj", "attn.out_proj"), ("layer_norm1", "ln_1"),
                             ("layer_norm2", "ln_2"), ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj")]:
                    out[f"{block}.{b}.{kind}"] = state[f"{layer}.{a}.{kind}"]
    for a, b in [
            ("vision_model.embeddings.class_embedding", "visual.class_embedding"),
            ("vision_model.embeddings.patch_embedding.weight", "visual.conv1.weight"),
            ("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
            ("vision_model.pre_layrnorm.weight", "visual.ln_pre.weight"),
            ("vision_model.pre_layrnorm.bias", "visual.ln_pre.bias"),
            ("vision_model.post_layernorm.weight", "visual.ln_post.weight"),
            ("vision_model.post_layernorm.bias", "visual.ln_post.bias"),
            ("text_model.embeddings.token_embedding.weight", "token_embedding.weight"),
            ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
            ("text_model.final_layer_norm.weight", "ln_final.weight"),
            ("text_model.final_layer_norm.bias", "ln_final.bias"), ("logit_scale", "logit_scale")]:
        out[b] = state[a]
    out["visual.proj"] = state["visual_projection.weight"].t()
    out["text_projection"] = state["text_projection.weight"].t()
    for name, value in [("input_resolution", 32), ("context_length", 77), ("vocab_size", VOCABULARY)]:
        out[name] = torch.tensor(value)
    torch.save(out, HERE / "same-as-transformers-quick.pt")


if __name__ == "__main__":
    open_clip_model("gelu", 1)
    open_clip_model("quick-gelu", 2, quick_gelu=True)
    open_clip_model("custom-text", 3, custom=True)
    # Heads of 16 features, hidden layers that are not four times as wide, as in ViT-H, g and bigG.
    open_clip_model("heads", 4, vision={"head_width": 16, "mlp_ratio": 4.3637}, text={"heads": 2})
    open_clip_model("squash", 5, preprocess={"resize_mode": "squash", "interpolation": "bilinear",
                                             "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.4, 0.3]})
    open_clip_model("bilinear", 6, preprocess={"interpolation": "bilinear"})
    open_clip_model("tanh", 7, vision={"act_kwargs": {"approximate": "tanh"}},
                    text={"act_kwargs": {"approximate": "tanh"}})
    # Wider than 1,024.
    open_clip_model("wide", 8, vision={"width": 1040, "head_width": 80, "layers": 1, "mlp_ratio": 0.02})
    transformers_model("transformers-quick", 9, "quick_gelu")
    transformers_model("transformers-gelu", 10, "gelu", heads=4)
    same_weights()
