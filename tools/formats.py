#!/usr/bin/env python3
"""Compare how pictures are decoded with Pillow 13 and its plugins, on public test suites.

    pip install torch torchvision 'setuptools<80' clip-anytorch numpy pillow==13.* pillow-heif pillow-jxl-plugin
    git clone --depth 1 https://github.com/AOMediaCodec/libavif        (and so on: docs/formats.md lists the suites)
    swift build --product DescribeImages
    python tools/formats.py SUITE… [--format HEIC …] [--describe .build/debug/DescribeImages] [--verbose]

Takes every file whose name ends as its format's do. Both sides make the upright square of 224 x 224 pixels that the
model sees: this project's code, and Pillow followed by ImageOps.exif_transpose and upstream's transform. Squares that
differ are embedded by upstream's code, with a full-size model of random weights and with the sample model. Prints a
table for docs/formats.md; with --verbose also a line for every file that is not equal. Ends with 1 when a file that
both read is below a cosine of 0.9995 with the full-size model and is not listed in KNOWN.
"""
import argparse, base64, collections, io, logging, pathlib, subprocess, sys, warnings

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
import numpy as np
import torch

from openai_clip import clip, make_checkpoints
import pillow_heif, pillow_jxl
from clip.clip import _transform
from PIL import Image, ImageOps
from torchvision.transforms import Compose

BAR = 0.9995
ENDINGS = {
    "HEIC": "heic heif hif", "AVIF": "avif", "JPEG XL": "jxl", "JPEG 2000": "jp2 j2k j2c jpx jpf jpc jhc", "TIFF": "tif tiff",
    "JPEG": "jpg jpeg jpe mpo", "PNG": "png apng", "WebP": "webp", "GIF": "gif", "BMP": "bmp dib",
}
# Read differently on purpose or by another version of a library; docs/formats.md says how they differ.
KNOWN = {
    "C005.heic", "tests_images_heif_other_invalid_id.heic",  # the primary item is not the one pillow-heif takes
    "xmp_tags_orientation.avif",  # XMP's orientation has no say in a container that has its own
    "tests_data_sofa_grid1x5_420_reversed_dimg_order.avif",  # libavif before 1.1 orders tiles by number
    # An animation's first frame; the plugin hands out the last.
    "testcases_animation_icos4d_input.jxl", "testcases_animation_newtons_cradle_input.jxl",
    "testcases_animation_spline_input.jxl", "cropped_traffic_light.jxl",
    "testcases_blendmodes_input.jxl", "testcases_noise_input.jxl",  # libjxl 0.7 and 0.11 differ
    "input_conformance_file2.jp2",  # Pillow leaves out the order of the components
    # Pillow's lines of halved chroma are off by one where the width is odd.
    "input_nonregression_issue411-ycc420.jp2", "input_nonregression_issue411-ycc422.jp2", "input_conformance_p0_06.j2k",
    # In Pillow white of 12 bits wraps around to black.
    "input_nonregression_issue135.j2k", "input_nonregression_kodak_2layers_lrcp.j2c",
}
pillow_heif.register_heif_opener()
HERE = pathlib.Path(__file__).resolve().parents[1]


def described(tool, paths):
    """What this project makes of each file: its size and square, or the sentence that refuses it."""
    left, answers = list(paths), []
    while left:
        run = subprocess.run([tool], input="\n".join(map(str, left)) + "\n", capture_output=True, text=True)
        lines = [line.split("\t") for line in run.stdout.splitlines()]
        for kind, *fields in lines:
            if kind == "read":
                square = np.frombuffer(base64.b64decode(fields[2]), np.uint8).reshape(224, 224, 3)
                answers.append(((int(fields[0]), int(fields[1])), square))
            else:
                answers.append(fields[0])
        if len(lines) < len(left):
            answers.append(f"CRASHED ({run.returncode})")
        left = left[len(lines) + 1:] if len(lines) < len(left) else []
    return answers


def reference(path, to_bytes):
    """The same by Pillow."""
    try:
        image = Image.open(io.BytesIO(path.read_bytes()))
        image.load()
        mode = image.mode
        if mode == "I;16B":
            # The pixels are right, but Pillow's resize takes their bytes in the other order.
            image = Image.frombytes("I;16", image.size, np.frombuffer(image.tobytes(), ">u2").astype("<u2").tobytes())
        if image.format in ("HEIF", "JXL") and mode == "I;16":
            # These plugins give grey of more than 8 bits 16; upstream's transform would make nearly all of it white.
            image = Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
        # JPEG XL's plugin turns pixels as the codestream says, but not those that it gets as a JPEG. It leaves the EXIF.
        if image.format != "JXL" or image.jpeg:
            try:
                image = ImageOps.exif_transpose(image)
            except SyntaxError:
                pass  # EXIF that is none
        return image.size, np.asarray(to_bytes(image)), mode
    except Exception as error:
        return f"{type(error).__name__}: {error}".split("\n")[0]


class Model:
    def __init__(self, path):
        self.model, _ = clip.load(str(path), device="cpu", jit=False)
        self.resolution = self.model.visual.input_resolution

    def cosine(self, one, other):
        mean, deviation = _transform(224).transforms[-1].mean, _transform(224).transforms[-1].std
        images = [Image.fromarray(square).resize((self.resolution,) * 2, Image.BICUBIC) for square in (one, other)]
        values = (np.stack(images) / 255 - np.array(mean)) / np.array(deviation)
        with torch.no_grad():
            features = self.model.encode_image(torch.tensor(values, dtype=torch.float32).permute(0, 3, 1, 2)).double()
        return float(torch.nn.functional.cosine_similarity(features[0], features[1], dim=0))


def main():
    options = argparse.ArgumentParser()
    options.add_argument("suites", nargs="+", type=pathlib.Path)
    options.add_argument("--format", nargs="+", choices=ENDINGS, default=["HEIC", "AVIF", "JPEG XL", "JPEG 2000"])
    options.add_argument("--describe", default=HERE / ".build/debug/DescribeImages")
    options.add_argument("--models", default=HERE / "models", help="where the random weights are made once")
    options.add_argument("--verbose", action="store_true")
    options = options.parse_args()
    to_bytes = Compose(_transform(224).transforms[:3])
    models = [Model(make_checkpoints("ViT-B/32", options.models)[1]), Model(HERE / "samples/model/sample-clip.pt")]
    print("| format | suite | files | read by both | equal | worst cosine, full size | sample | refused by both | only here | only by Pillow |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    below = []
    for name in options.format:
        endings = tuple("." + ending for ending in ENDINGS[name].split())
        lines, total = [], collections.Counter()
        for suite in options.suites:
            paths = sorted(path for path in suite.rglob("*") if path.is_file() and path.name.lower().endswith(endings)
                           and ".git" not in path.parts)
            counts, worst = collections.Counter(), [1.0, 1.0]
            for path, ours in zip(paths, described(options.describe, paths)):
                theirs = reference(path, to_bytes)
                short = f"{suite.name}/{path.relative_to(suite)}"
                counts["files"] += 1
                if isinstance(ours, str) or isinstance(theirs, str):
                    kind = "neither" if isinstance(ours, str) and isinstance(theirs, str) else (
                        "theirs" if isinstance(ours, str) else "ours")
                    counts[kind] += 1
                    lines.append((kind, short, ours if isinstance(ours, str) else "", theirs if isinstance(theirs, str) else ""))
                    continue
                counts["both"] += 1
                if ours[0] == theirs[0] and (ours[1] == theirs[1]).all():
                    counts["equal"] += 1
                    continue
                cosines = [model.cosine(ours[1], theirs[1]) for model in models]
                difference = np.abs(ours[1].astype(int) - theirs[1])
                sizes = "" if ours[0] == theirs[0] else f"{ours[0]} and {theirs[0]}, "
                lines.append((f"{min(cosines):.6f}", short,
                              f"{sizes}mean difference {difference.mean():.2f}, largest {difference.max()}", theirs[2]))
                if path.name in KNOWN:
                    counts["known"] += 1
                    continue
                worst = [min(pair) for pair in zip(worst, cosines)]
                if cosines[0] < BAR:
                    below.append(short)
            if paths:
                total += counts
                total["suites"] += 1
                print_row(name, suite.name, counts, worst)
        if options.verbose:
            for line in sorted(lines):
                print("    " + " | ".join(str(field) for field in line), file=sys.stderr)
    for path in below:
        print("below the bar:", path, file=sys.stderr)
    sys.exit(1 if below else 0)


def print_row(name, suite, counts, worst):
    cosines = [f"{w:.6f}" if counts["both"] > counts["equal"] + counts["known"] else "" for w in worst]
    print(f"| {name} | {suite} | {counts['files']} | {counts['both']} | {counts['equal']} | {cosines[0]} | {cosines[1]} "
          f"| {counts['neither']} | {counts['ours']} | {counts['theirs']} |", flush=True)


main()
