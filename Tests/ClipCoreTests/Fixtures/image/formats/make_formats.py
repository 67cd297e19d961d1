#!/usr/bin/env python3
"""Make the pictures in this folder that are not JPEGs, and Pillow's and upstream CLIP's own answers.

    python3 -m venv .venv && . .venv/bin/activate
    pip install torch torchvision 'setuptools<80' clip-anytorch pillow numpy   # CPU torch is enough
    python make_formats.py

Writes the pictures (only with --pictures, so that new answers can be had for the committed ones) and
golden.json: for each picture, or cut picture, what Pillow makes of it: the mode, the size and the
CRC-32 of the pixels (mode 1 as bytes 0 and 255) and of upstream's 224x224x3 bytes; or `error`, when it refuses.

The files are written by the few lines below, since Pillow writes only part of what it reads; WebP, and
what is named so, by Pillow. Made with Pillow 13.0.0.
"""
import io, json, pathlib, struct, sys, warnings, zlib
warnings.filterwarnings("ignore")
import numpy as np
import torch

# torchvision's wheel may be built for another torch; only its Pillow transforms are needed here.
_register = torch.library.register_fake
torch.library.register_fake = lambda op, f=None, /, **k: (
    ((lambda g: g) if f is None else f) if isinstance(op, str) and op.startswith("torchvision::")
    else (_register(op, f, **k) if f is not None else _register(op, **k)))
from clip.clip import _transform
from PIL import Image
from torchvision.transforms import Compose

here = pathlib.Path(__file__).resolve().parent
rng = np.random.default_rng(7)
to_bytes = Compose(_transform(224).transforms[:3])
made = {}


def scene(width, height, channels, depth=8):
    """Waves with edges in full range, and alpha with clear, opaque and half-clear parts."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = []
    for c in range(channels):
        wave = 0.5 + 0.36 * np.sin(x / (5 + 2 * c) + c) + 0.22 * np.cos(y / (4 + c) - c)
        planes.append(wave - 0.2 * (((x // 11 + y // 7 + c) % 3) == 0))
    if channels in (2, 4):
        planes[-1] = np.clip(planes[-1] * 2.4 - 0.7, 0, 1)
    levels = (1 << depth) - 1
    return np.clip(np.stack(planes, -1) * levels, 0, levels).round().astype(np.int64)


def colors(count):
    return np.clip(rng.integers(0, 256, (count, 3)), 0, 255).astype(np.uint8)


def packed(samples, depth):
    """[height, width, channels] as big-endian lines of `depth` bits a sample."""
    lines = []
    for line in samples.reshape(samples.shape[0], -1):
        if depth == 16:
            lines.append(line.astype(">u2").tobytes())
        elif depth == 8:
            lines.append(line.astype(np.uint8).tobytes())
        else:
            bits = ((line[:, None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
            lines.append(np.packbits(bits.ravel()).tobytes())
    return lines


# PNG ------------------------------------------------------------------------------------------

def chunk(kind, body, crc=None):
    crc = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


def filtered(lines, pixel_bytes, first):
    """The lines under all five filters in turn."""
    out, before = b"", None
    for i, line in enumerate(lines):
        kind = (first + i) % 5
        up = before or bytes(len(line))
        left = bytes(pixel_bytes) + line[:-pixel_bytes] if len(line) > pixel_bytes else bytes(len(line))
        corner = bytes(pixel_bytes) + up[:-pixel_bytes] if len(line) > pixel_bytes else bytes(len(line))
        row = bytearray([kind])
        for v, a, b, c in zip(line, left, up, corner):
            p = a + b - c
            near = a if abs(p - a) <= abs(p - b) and abs(p - a) <= abs(p - c) else \
                b if abs(p - b) <= abs(p - c) else c
            row.append((v - (0, a, b, (a + b) // 2, near)[kind]) & 255)
        out += bytes(row)
        before = line
    return out


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(samples, depth, color, interlaced=False, palette=None, before=b"", parts=1, level=9):
    height, width = samples.shape[:2]
    pixel_bytes = max(1, samples.shape[2] * depth // 8)
    data = b""
    for n, (x, y, dx, dy) in enumerate(ADAM7 if interlaced else [(0, 0, 1, 1)]):
        part = samples[y::dy, x::dx]
        if part.size:
            data += filtered(packed(part, depth), pixel_bytes, n)
    data = zlib.compress(data, level)
    cuts = [len(data) * i // parts for i in range(parts + 1)]
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before
            + (chunk(b"PLTE", palette.tobytes()) if palette is not None else b"")
            + b"".join(chunk(b"IDAT", data[a:b]) for a, b in zip(cuts, cuts[1:]))
            + chunk(b"IEND", b""))


def make_png():
    sizes = [(240, 231), (226, 480)]
    kinds = [("grey", 0, 1, (1, 2, 4, 8, 16)), ("rgb", 2, 3, (8, 16)), ("palette", 3, 1, (1, 2, 4, 8)),
             ("grey-alpha", 4, 2, (8, 16)), ("rgba", 6, 4, (8, 16))]
    n = 0
    for name, color, channels, depths in kinds:
        for depth in depths:
            for interlaced in (False, True):
                n += 1
                width, height = (45, 37) if n % 3 or depth == 16 else sizes[n // 3 % 2]
                palette = colors(1 << depth) if color == 3 else None
                if palette is not None and depth == 8 and not interlaced:
                    palette = palette[:200]  # indices beyond the palette
                made[f"{name}-{depth}{'-interlaced' if interlaced else ''}.png"] = png(
                    scene(width, height, channels, depth), depth, color, interlaced, palette)
    for width, height in [(1, 1), (1, 9), (5, 2), (224, 224), (224, 300), (2, 700), (900, 3)]:
        made[f"rgba-{width}x{height}.png"] = png(scene(width, height, 4), 8, 6, width < 6)
        made[f"palette-{width}x{height}.png"] = png(
            scene(width, height, 1), 8, 3, width < 6, colors(256))
        made[f"grey16-{width}x{height}.png"] = png(scene(width, height, 1, 16), 16, 0)
    made["grey-alpha-500x90.png"] = png(scene(500, 90, 2), 8, 4)
    made["narrow.png"] = png(np.zeros((1, 120_000, 1), int), 1, 0)
    # A dark 16-bit picture, since upstream clips instead of scaling.
    made["grey-16-dark.png"] = png(scene(230, 240, 1, 16) // 200, 16, 0)
    small = scene(45, 37, 1)
    made["grey-trns.png"] = png(small, 8, 0, before=chunk(b"tRNS", b"\0\x80"))
    made["rgb-trns.png"] = png(scene(45, 37, 3), 8, 2, before=chunk(b"tRNS", bytes(6)))
    palette = colors(256)
    alphas = chunk(b"tRNS", bytes(range(0, 256)))
    made["palette-trns.png"] = png(small, 8, 3, palette=palette).replace(
        chunk(b"PLTE", palette.tobytes()), chunk(b"PLTE", palette.tobytes()) + alphas)
    made["grey-1-trns.png"] = png(scene(45, 37, 1, 1), 1, 0, before=chunk(b"tRNS", b"\0\0"))
    made["gamma.png"] = png(small, 8, 0, before=chunk(b"gAMA", struct.pack(">I", 100000))
                            + chunk(b"sRGB", b"\0") + chunk(b"pHYs", struct.pack(">IIB", 1, 1, 1)))
    made["profile.png"] = png(small, 8, 0, before=chunk(
        b"iCCP", b"name\0\0" + zlib.compress(bytes(4000))) + chunk(b"tEXt", b"Title\0text"))
    made["orientation.png"] = png(scene(45, 37, 3), 8, 2, before=chunk(
        b"eXIf", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"))
    made["many-parts.png"] = png(scene(60, 50, 3), 8, 2, parts=40)
    made["stored.png"] = png(scene(60, 50, 3), 8, 2, level=0)
    whole = png(small, 8, 0)
    made["animated.png"] = png(small, 8, 0, before=chunk(b"acTL", struct.pack(">II", 1, 0)) + chunk(
        b"fcTL", struct.pack(">IIIIIHHBB", 0, 45, 37, 0, 0, 1, 10, 0, 0)))
    made["wrong-data-checksum.png"] = whole[:-16] + b"\1\2\3\4" + whole[-12:]
    made["wrong-header-checksum.png"] = whole[:29] + b"\1\2\3\4" + whole[33:]
    made["text-after-data.png"] = whole[:-12] + chunk(b"tEXt", b"Title\0" + b"text" * 10) + whole[-12:]
    made["no-end.png"] = whole[:-12]
    made["no-palette.png"] = png(small, 8, 3)
    made["depth-3.png"] = whole[:24] + b"\3" + whole[25:29] + struct.pack(
        ">I", zlib.crc32(whole[12:24] + b"\3" + whole[25:29])) + whole[33:]


# Answers --------------------------------------------------------------------------------------

def answer(data):
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
        pixels = image.convert("L") if image.mode == "1" else image
        known = {"mode": image.mode, "width": image.width, "height": image.height,
                 "pixels": zlib.crc32(pixels.tobytes())}
        if max(image.size) > 100_000 * min(image.size):  # upstream would need gigabytes
            return known
        return {**known, "square": zlib.crc32(to_bytes(image).tobytes())}
    except Exception as e:
        return {"error": "truncated" if "truncated" in str(e).lower() else "refused"}


CUT = {".png": ["rgb-8.png", "grey-4-interlaced.png", "many-parts.png", "text-after-data.png"]}


def main():
    if "--pictures" in sys.argv:
        for make in [make_png]:
            make()
        for old in here.iterdir():
            if old.suffix not in (".py", ".json"):
                old.unlink()
        for name, data in made.items():
            (here / name).write_bytes(data)
    rows = []
    names = sorted(p.name for p in here.iterdir() if p.suffix not in (".py", ".json"))
    for name in names:
        rows.append({"file": name, **answer((here / name).read_bytes())})
    for name in sum(CUT.values(), []):
        data = (here / name).read_bytes()
        size = len(data)
        for length in sorted({13, 30, 40, size // 4, size // 2, 3 * size // 4, size - 40, size - 24,
                              size - 13, size - 9, size - 4, size - 1}):
            rows.append({"file": name, "length": length, **answer(data[:length])})
    body = ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows)
    (here / "golden.json").write_text(f"[\n{body}\n]\n")
    print(len(names), "pictures,", len(rows), "answers,", sum("error" in r for r in rows), "refused")


main()
