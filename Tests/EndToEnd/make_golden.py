#!/usr/bin/env python3
"""Write golden.json: upstream's embeddings of some of the test pictures under tiny-clip.pt, turned upright by
Pillow first; "stored/NAME" is that of a picture left as it is stored.

    pip install torch 'setuptools<80' pillow==13.0.0 ftfy regex tqdm packaging
    pip install --no-deps torchvision clip-anytorch
    python make_golden.py
"""
import json
import pathlib
import sys
import warnings

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

warnings.filterwarnings("ignore")
import torch
from openai_clip import clip
from PIL import Image, ImageOps

PICTURES = HERE.parent / "ClipCoreTests" / "Fixtures" / "image"
NAMES = [
    "cmyk.jpg", "cmyk-wide.jpg", "exif-rotated.jpg", "grey.jpg", "grey-progressive.jpg", "icc.jpg",
    "many-chunks.jpg", "progressive.jpg", "restart-rows.jpg", "rgb-stored.jpg", "sample-2x2.jpg",
    "sample-2x1-33x31.jpg",
]

model, preprocess = clip.load(str(HERE.parent / "Fixtures" / "tiny-clip.pt"), device="cpu")
pictures = {}
with torch.no_grad():
    for name in [*NAMES, "stored/exif-rotated.jpg"]:
        picture = Image.open(PICTURES / name.removeprefix("stored/"))
        upright = picture if name.startswith("stored/") else ImageOps.exif_transpose(picture)
        features = model.encode_image(preprocess(upright)[None])[0]
        pictures[name] = [round(x, 9) for x in (features / features.norm()).tolist()]
(HERE / "golden.json").write_text(json.dumps(pictures, separators=(",", ":")) + "\n")
