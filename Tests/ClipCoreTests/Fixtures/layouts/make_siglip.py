#!/usr/bin/env python3
"""Make small SigLIP models as OpenCLIP and transformers publish them, with SentencePiece tokenizers
trained for the purpose, and the tokens and embeddings of their own code.

    pip install torch open_clip_torch transformers sentencepiece protobuf pillow numpy
    python Tests/ClipCoreTests/Fixtures/layouts/make_siglip.py
"""
import functools, io, json, shutil, sys

import sentencepiece
import timm, torch
import open_clip
from open_clip.model import CustomTextCLIP
from open_clip.tokenizer import HFTokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from transformers import AutoTokenizer, GemmaTokenizer, SiglipConfig, SiglipModel, T5Tokenizer

from make_fixtures import HERE, TEXTS, photos, randomise, unit

SUBJECTS = ["a cat", "Two Dogs", "an old, red bicycle", "дети играют", "日本の城", "الأطفال", "물고기", "γάτα ΟΔΟΣ",
            "एक नाव", "แมวบนเตียง", "חתול", "café au lait", "Straßenbahn"]
PLACES = ["", " on the beach", ", at night!", " под деревом", " 東京で", " with 3 friends (2024)"]
ODDITIES = ["  two   spaces ", "tab\there\nand there", "cafÃ© mojibake", "&lt;b&gt; &amp;amp; tag", "snake_case_name",
            "ﬁne ligature ｆｕｌｌ ｗｉｄｔｈ", "e\u0301 combining \u00a8", "½ ² Ⅷ", "unseen: ꙮ 𓀀 🐈‍⬛", "x" * 60]
# Without "…", which NFKC makes "...": of segmentations with equal scores ("." and "..") versions of
# SentencePiece choose different ones.
TEXTS = [t.replace("…", "") for t in TEXTS] + [s + p for s in SUBJECTS for p in PLACES] + ODDITIES
assert len(TEXTS) >= 100


def train(**options):
    model = io.BytesIO()
    prose = (HERE.parents[3] / "LICENSE").read_text().split("\n\n")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(t.lower().split()) for t in TEXTS * 20 + prose]), model_writer=model, minloglevel=2,
        hard_vocab_limit=False, character_coverage=0.98, **options)
    return model.getvalue()


def unigram(folder):
    """As SigLIP's: <pad>, </s>, <unk>, NFKC."""
    (folder / "spiece.model").write_bytes(train(
        model_type="unigram", vocab_size=500, pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
        normalization_rule_name="nmt_nfkc"))


def bpe(folder):
    """As Gemma's: no normalisation, bytes for what is unknown, tokens for several spaces."""
    (folder / "tokenizer.model").write_bytes(train(
        model_type="bpe", vocab_size=800, pad_id=0, eos_id=1, bos_id=2, unk_id=3, eos_piece="<eos>",
        bos_piece="<bos>", byte_fallback=True,
        normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False,
        user_defined_symbols=["<mask>", "\u2581\u2581", "\n"], split_by_whitespace=True))


def prepare(name, train):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    train(folder)
    return folder


def write(folder, files, weights, state, images, texts, tokens):
    for file, content in files.items():
        (folder / file).write_text(json.dumps(content, indent=2) + "\n")
    torch.save(state, folder / weights)
    (folder / "answers.json").write_text(json.dumps(
        {"images": unit(images), "texts": unit(texts[:40]), "queries": TEXTS, "tokens": tokens.tolist()},
        ensure_ascii=False, separators=(",", ":")))
    print(folder.name, {p.name: p.stat().st_size for p in sorted(folder.iterdir())})


def open_clip_model(name, seed, timm_name, size, tokenizer, text={}):
    """OpenCLIP with a tower of timm: 12 heads and 12 layers as that has, only narrower."""
    folder = prepare(name, tokenizer)
    if tokenizer is unigram:
        saved = T5Tokenizer.from_pretrained(folder, extra_ids=0, pad_token="</s>")
    else:
        saved = GemmaTokenizer.from_pretrained(folder, add_bos_token=False, add_eos_token=True, padding_side="right")
    for file in folder.iterdir():
        file.unlink()
    # Only tokenizer.json, as timm's repositories have.
    saved.save_pretrained(folder)
    # Not the folder of the machine that made it.
    written = folder / "tokenizer_config.json"
    settings = json.loads(written.read_text())
    if "vocab_file" in settings:
        written.write_text(json.dumps(settings | {"vocab_file": "tokenizer.model"}, indent=2) + "\n")
    tokenize = HFTokenizer(str(folder), context_length=16, clean="canonicalize")
    width = 192
    cfg = {"embed_dim": width, "init_logit_bias": -10, "custom_text": True,
           "vision_cfg": {"image_size": size, "timm_model_name": timm_name, "timm_model_pretrained": False,
                          "timm_pool": "map", "timm_proj": "none"},
           "text_cfg": {"context_length": 16, "vocab_size": len(tokenize.tokenizer),
                        "hf_tokenizer_name": f"timm/{name}", "tokenizer_kwargs": {"clean": "canonicalize"},
                        "width": width, "heads": 12, "layers": 2, "no_causal_mask": True, "proj_bias": True,
                        "pool_type": "last", "norm_kwargs": {"eps": 1e-6}, **text}}
    create = timm.create_model
    timm.create_model = functools.partial(create, embed_dim=width)
    model = CustomTextCLIP(**{k: v for k, v in cfg.items() if k != "custom_text"}).eval()
    timm.create_model = create
    state = randomise(model, seed)
    pre = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    transform = image_transform_v2(PreprocessCfg(**pre, size=size), is_train=False)
    tokens = tokenize(TEXTS)
    with torch.no_grad():
        images = model.encode_image(torch.stack([transform(Image.open(p)) for p in photos()]))
        texts = model.encode_text(tokens)
    write(folder, {"open_clip_config.json": {"model_cfg": cfg, "preprocess_cfg": pre}},
          "open_clip_pytorch_model.bin", state, images, texts, tokens)


def transformers_model(name, seed, tokenizer, settings, resample, vision_act, text_act):
    folder = prepare(name, tokenizer)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    tokenize = AutoTokenizer.from_pretrained(folder)
    tokens = tokenize(TEXTS, padding="max_length", max_length=16, truncation=True, return_tensors="pt").input_ids
    tower = dict(hidden_size=64, intermediate_size=200, num_hidden_layers=2, num_attention_heads=4)
    config = SiglipConfig(
        text_config={**tower, "vocab_size": len(tokenize), "max_position_embeddings": 16, "hidden_act": text_act},
        # 42 is no multiple of 8: the last pixels belong to no patch.
        vision_config={**tower, "image_size": 42, "patch_size": 8, "hidden_act": vision_act})
    model = SiglipModel(config).eval()
    state = randomise(model, seed)
    transform = image_transform_v2(PreprocessCfg(
        size=42, mean=(0.5,) * 3, std=(0.5,) * 3, resize_mode="squash",
        interpolation={2: "bilinear", 3: "bicubic"}[resample]), is_train=False)
    output = lambda x: x if torch.is_tensor(x) else x.pooler_output
    with torch.no_grad():
        images = output(model.get_image_features(
            pixel_values=torch.stack([transform(Image.open(p)) for p in photos()])))
        texts = output(model.get_text_features(input_ids=tokens))
    preprocessor = {
        "do_convert_rgb": None, "do_normalize": True, "do_rescale": True, "do_resize": True,
        "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "image_processor_type": "SiglipImageProcessor",
        "resample": resample, "rescale_factor": 1 / 255, "size": {"height": 42, "width": 42}}
    write(folder, {"config.json": json.loads(config.to_json_string(use_diff=True)),
                   "preprocessor_config.json": preprocessor},
          "pytorch_model.bin", state, images, texts, tokens)


if __name__ == "__main__":
    open_clip_model("siglip-open-clip", 21, "vit_base_patch16_siglip_224", 224, unigram)
    open_clip_model("siglip2-open-clip", 22, "vit_base_patch32_siglip_256", 256, bpe,
                    text={"act_kwargs": {"approximate": "tanh"}})
    # As So400m/16 i18n: texts are not projected.
    open_clip_model("siglip-unprojected", 25, "vit_base_patch32_siglip_256", 256, unigram,
                    text={"proj_type": "none"})
    transformers_model(
        "siglip-transformers", 23, unigram,
        {"tokenizer_class": "SiglipTokenizer", "do_lower_case": True, "eos_token": "</s>", "unk_token": "<unk>",
         "pad_token": "</s>", "model_max_length": 16, "model_input_names": ["input_ids"], "sp_model_kwargs": {}},
        3, "gelu_pytorch_tanh", "gelu_pytorch_tanh")
    transformers_model(
        "siglip2-transformers", 24, bpe,
        {"tokenizer_class": "GemmaTokenizer", "add_bos_token": False, "add_eos_token": True, "bos_token": "<bos>",
         "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>", "padding_side": "right",
         "do_lower_case": True, "model_max_length": 1e30, "model_input_names": ["input_ids"],
         "clean_up_tokenization_spaces": False},
        2, "gelu", "gelu_pytorch_tanh")
