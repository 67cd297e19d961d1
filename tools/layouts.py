"""Models of full size with seeded random weights, saved as OpenCLIP and transformers publish them, and their own
code to compare with. Needs open_clip_torch and transformers."""

import json
import pathlib

import torch

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "Tests" / "ClipCoreTests" / "Fixtures" / "layouts"


def randomise(model):
    """What training leaves and initialisation does not: norms that are not 1, biases that are not 0, and inputs of
    the activation large enough (c_fc times 8) that GELU and QuickGELU differ."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 1 and name.endswith("weight"):
                weight.mul_(1 + 0.3 * torch.randn_like(weight))
            elif name.endswith("bias") and weight.dim() == 1:
                weight.add_(0.05 * torch.randn_like(weight))
            elif name.endswith(("c_fc.weight", "fc1.weight")):
                weight.mul_(8)
    return model.eval()


def copy_tokenizer(kind, folder):
    """A small tokenizer, whose ids any vocabulary of SigLIP has."""
    for name in ("tokenizer.json", "tokenizer_config.json", "spiece.model", "tokenizer.model"):
        if (FIXTURES / kind / name).exists():
            (folder / name).write_bytes((FIXTURES / kind / name).read_bytes())


def open_clip_layout(name, folder, is_half):
    import open_clip
    from open_clip.tokenizer import HFTokenizer
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from safetensors.torch import save_file

    cfg = open_clip.get_model_config(name)
    cfg.pop("hf_hub_id", None)
    model = randomise(open_clip.create_model(name))
    if is_half:
        model.half().float()
    text, is_siglip = cfg["text_cfg"], "SigLIP" in name
    pre = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"} if is_siglip else {
        "mean": list(open_clip.OPENAI_DATASET_MEAN), "std": list(open_clip.OPENAI_DATASET_STD),
        "interpolation": "bicubic", "resize_mode": "shortest"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": cfg, "preprocess_cfg": pre}))
    save_file({k: (v.half() if is_half and v.is_floating_point() else v).contiguous() for k, v in model.state_dict().items()},
              folder / "open_clip_model.safetensors")
    length = text.get("context_length", 77)
    if is_siglip:
        copy_tokenizer("siglip2-open-clip" if "SigLIP2" in name else "siglip-open-clip", folder)
        tokenize = HFTokenizer(str(folder), context_length=length, clean=text["tokenizer_kwargs"]["clean"])
    else:
        tokenize = open_clip.SimpleTokenizer(context_length=length)
    transform = image_transform_v2(PreprocessCfg(**pre, size=cfg["vision_cfg"]["image_size"]), is_train=False)
    return transform, model.encode_image, lambda texts: model.encode_text(tokenize(texts))


def transformers_layout(kind, folder):
    import open_clip
    import transformers
    from openai_clip import clip
    from open_clip.transform import PreprocessCfg, image_transform_v2

    is_siglip = kind == "siglip"
    config = (transformers.SiglipConfig if is_siglip else transformers.CLIPConfig)()
    model = randomise((transformers.SiglipModel if is_siglip else transformers.CLIPModel)(config))
    model.save_pretrained(folder)
    size = config.vision_config.image_size
    mean, std = ([0.5] * 3,) * 2 if is_siglip else (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    (folder / "preprocessor_config.json").write_text(json.dumps({
        "do_resize": True, "do_normalize": True, "do_rescale": True, "do_center_crop": not is_siglip, "resample": 3,
        "size": {"height": size, "width": size} if is_siglip else {"shortest_edge": size},
        "image_mean": list(mean), "image_std": list(std)}))
    # Images as OpenCLIP makes them: Pillow's resize, which the tools use for every model.
    transform = image_transform_v2(PreprocessCfg(
        size=size, mean=tuple(mean), std=tuple(std), resize_mode="squash" if is_siglip else "shortest"), is_train=False)
    if is_siglip:
        copy_tokenizer("siglip-transformers", folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        tokenize = lambda texts: tokenizer(
            texts, padding="max_length", max_length=64, truncation=True, return_tensors="pt").input_ids
    else:
        # OpenAI's: transformers' own neither repairs nor unescapes texts (MODEL.md).
        tokenize = lambda texts: clip.tokenize(texts, truncate=True)
    output = lambda x: x if torch.is_tensor(x) else x.pooler_output
    return (transform, lambda x: output(model.get_image_features(pixel_values=x)),
            lambda texts: output(model.get_text_features(input_ids=tokenize(texts))))


def make(name, folder, is_half=False):
    """`transformers:clip`, `transformers:siglip`, or a configuration of OpenCLIP, which may be saved in fp16. Gives the
    model's preprocessing and its functions from pixels and from texts to embeddings."""
    folder.mkdir(parents=True)
    torch.manual_seed(7)
    family, _, kind = name.partition(":")
    return transformers_layout(kind, folder) if family == "transformers" else open_clip_layout(name, folder, is_half)
