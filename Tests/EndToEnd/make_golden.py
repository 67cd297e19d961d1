#!/usr/bin/env python3
"""Write golden.json: upstream's embeddings of some of the test pictures under tiny-clip.pt.

    pip install torch 'setuptools<80' pillow==13.0.0 ftfy regex tqdm packaging
    pip install --no-deps torchvision clip-anytorch
    python make_golden.py
"""
import json
import pathlib
import warnings

warnings.filterwarnings("ignore")
import torch

# torchvision's wheel may be built for another torch; only its Pillow transforms are needed here.
_register = torch.library.register_fake


def register(op, function=None, /, **options):
    if isinstance(op, str) and op.startswith("torchvision::"):
        return (lambda given: given) if function is None else function
    return _register(op, **options) if function is None else _register(op, function, **options)


torch.library.register_fake = register
import clip
from PIL import Image

HERE = pathlib.Path(__file__).parent
PICTURES = HERE.parent / "ClipCoreTests" / "Fixtures" / "image"
NAMES = [
    "cmyk.jpg", "cmyk-wide.jpg", "exif-rotated.jpg", "grey.jpg", "grey-progressive.jpg", "icc.jpg",
    "many-chunks.jpg", "progressive.jpg", "restart-rows.jpg", "rgb-stored.jpg", "sample-2x2.jpg",
    "sample-2x1-33x31.jpg",
]

model, preprocess = clip.load(str(HERE.parent / "Fixtures" / "tiny-clip.pt"), device="cpu")
pictures = {}
with torch.no_grad():
    for name in NAMES:
        features = model.encode_image(preprocess(Image.open(PICTURES / name))[None])[0]
        pictures[name] = [round(x, 9) for x in (features / features.norm()).tolist()]
(HERE / "golden.json").write_text(json.dumps(pictures, separators=(",", ":")) + "\n")
