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
from PIL import Image

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from upstream import names, replace_pictures, to_bytes_at, write_answers

here = pathlib.Path(__file__).resolve().parent
rng = np.random.default_rng(7)
to_bytes = to_bytes_at(224)
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
    sizes = [(228, 226), (60, 226)]
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
    for width, height in [(1, 1), (1, 9), (5, 2), (224, 224), (2, 700), (900, 3)]:
        made[f"rgba-{width}x{height}.png"] = png(scene(width, height, 4), 8, 6, width < 6)
        made[f"palette-{width}x{height}.png"] = png(
            scene(width, height, 1), 8, 3, width < 6, colors(256))
        made[f"grey16-{width}x{height}.png"] = png(scene(width, height, 1, 16), 16, 0)
    made["grey-alpha-500x90.png"] = png(scene(500, 90, 2), 8, 4)
    made["narrow.png"] = png(np.zeros((1, 1_200_000, 1), int), 1, 0)
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


# WebP -----------------------------------------------------------------------------------------

def riff(*chunks):
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def riff_chunk(kind, body):
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) & 1)


def u24(value):
    return struct.pack("<I", value)[:3]


def animation(canvas, place, still, size, alpha):
    """A file whose first frame is the given still picture at a place of a larger canvas."""
    body = still[12:]
    if body[:4] == b"VP8X":
        body = body[18:]
    frame = (u24(place[0] // 2) + u24(place[1] // 2) + u24(size[0] - 1) + u24(size[1] - 1)
             + u24(100) + b"\0" + body)
    other = u24(0) + u24(0) + u24(size[0] - 1) + u24(size[1] - 1) + u24(100) + b"\0" + body
    return riff(
        riff_chunk(b"VP8X", struct.pack("<I", 2 | (16 if alpha else 0)) + u24(canvas[0] - 1)
                   + u24(canvas[1] - 1)),
        riff_chunk(b"ANIM", b"\x10\x20\x30\xff\0\0"),
        riff_chunk(b"ANMF", frame), riff_chunk(b"ANMF", other))


def make_webp():
    def saved(width, height, channels, **k):
        mode = "RGBA" if channels == 4 else "RGB"
        image = Image.frombytes(
            mode, (width, height), scene(width, height, channels).astype(np.uint8).tobytes())
        out = io.BytesIO()
        image.save(out, "WEBP", **k)
        return out.getvalue()

    for width, height in [(45, 37), (240, 231), (1, 1), (16, 16), (17, 500), (400, 33)]:
        size = f"{width}x{height}"
        made[f"lossy-{size}.webp"] = saved(width, height, 3, quality=70)
        made[f"lossless-{size}.webp"] = saved(width, height, 3, lossless=True)
        made[f"lossy-alpha-{size}.webp"] = saved(width, height, 4, quality=60)
        made[f"lossless-alpha-{size}.webp"] = saved(width, height, 4, lossless=True, exact=True)
    made["profile.webp"] = saved(45, 37, 3, icc_profile=b"profile" * 9, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0")
    made["animated-offset.webp"] = animation(
        (70, 60), (8, 14), saved(45, 37, 3), (45, 37), False)
    made["animated-offset-alpha.webp"] = animation(
        (70, 60), (24, 2), saved(45, 37, 4), (45, 37), True)
    made["animated-lossless.webp"] = animation(
        (45, 37), (0, 0), saved(45, 37, 4, lossless=True), (45, 37), True)
    made["unannounced-alpha.webp"] = animation(
        (50, 40), (2, 2), saved(45, 37, 4, lossless=True), (45, 37), False)
    made["frame-outside.webp"] = animation((50, 40), (8, 8), saved(45, 37, 3), (45, 37), False)


# GIF ------------------------------------------------------------------------------------------

def lzw(samples, bits):
    """GIF's compression, with a new table when it is full."""
    clear, out, size = 1 << bits, [], bits + 1
    table, codes = {bytes([i]): i for i in range(clear)}, [(clear, bits + 1)]
    string, next_code = b"", clear + 2
    for sample in samples:
        longer = string + bytes([sample])
        if longer in table:
            string = longer
            continue
        codes.append((table[string], size))
        if next_code < 4096:
            table[longer] = next_code
            if next_code == 1 << size and size < 12:
                size += 1
            next_code += 1
        else:
            codes.append((clear, size))
            table = {bytes([i]): i for i in range(clear)}
            next_code, size = clear + 2, bits + 1
        string = bytes([sample])
    codes += [(table[string], size), (clear + 1, size)]
    value = shift = 0
    data = bytearray()
    for code, size in codes:
        value |= code << shift
        shift += size
        while shift >= 8:
            data.append(value & 255); value >>= 8; shift -= 8
    if shift:
        data.append(value & 255)
    return b"".join(bytes([len(data[i:i + 255])]) + data[i:i + 255]
                    for i in range(0, len(data), 255)) + b"\0"


def gif(samples, bits, palette=None, local=None, screen=None, place=(0, 0), interlaced=False,
        before=b"", version=b"89a"):
    height, width = samples.shape
    screen = screen or (width, height)
    table = lambda p: p.tobytes() + bytes(3 * (1 << bits) - p.size) if p is not None else b""
    lines = list(samples)
    if interlaced:
        lines = lines[::8] + lines[4::8] + lines[2::4] + lines[1::2]
    data = bytes(np.concatenate(lines).astype(np.uint8))
    return (b"GIF" + version + struct.pack(
        "<HHBBB", *screen, (128 if palette is not None else 0) | bits - 1, 3, 0) + table(palette)
        + before + b"," + struct.pack("<HHHHB", *place, width, height, (
            (128 if local is not None else 0) | (64 if interlaced else 0) | bits - 1)) + table(local)
        + bytes([max(2, bits)]) + lzw(data, max(2, bits)) + b";")


def make_gif():
    control = lambda index: b"!\xf9\4\1\0\0" + bytes([index]) + b"\0"
    ramp = lambda count: np.repeat(np.arange(count, dtype=np.uint8)[:, None], 3, 1)
    for bits in (1, 2, 4, 8):
        made[f"palette-{bits}.gif"] = gif(
            scene(45, 37, 1, bits)[..., 0], bits, colors(1 << bits))
    made["large.gif"] = gif(scene(240, 231, 1, 8)[..., 0], 8, colors(256))
    made["tall-interlaced.gif"] = gif(scene(30, 300, 1, 4)[..., 0], 4, colors(16), interlaced=True)
    made["noise.gif"] = gif(rng.integers(0, 256, (60, 70)), 8, colors(256))
    made["flat.gif"] = gif(np.full((230, 300), 5), 4, colors(16))
    small = scene(45, 37, 1, 4)[..., 0]
    for height in (1, 2, 3, 5, 8, 37):
        made[f"interlaced-{height}.gif"] = gif(small[:height], 4, colors(16), interlaced=True)
    made["grey-ramp.gif"] = gif(scene(45, 37, 1)[..., 0], 8, ramp(256))
    made["grey-ramp-local.gif"] = gif(small, 4, colors(16), local=ramp(16))
    made["no-palette.gif"] = gif(small, 4)
    made["local-palette.gif"] = gif(small, 4, colors(16), local=colors(16))
    made["only-local-palette.gif"] = gif(small, 4, local=colors(16))
    made["short-palette.gif"] = gif(small, 4, colors(16))
    made["transparent.gif"] = gif(small, 4, colors(16), before=control(5))
    made["offset.gif"] = gif(small, 4, colors(16), screen=(70, 60), place=(9, 13))
    made["offset-transparent.gif"] = gif(
        small, 4, colors(16), screen=(70, 60), place=(9, 13), before=control(7))
    made["larger-than-screen.gif"] = gif(small, 4, colors(16), screen=(20, 20), place=(9, 13))
    made["no-screen.gif"] = gif(small, 4, colors(16), screen=(1, 0))
    made["version-87a.gif"] = gif(small, 4, colors(16), version=b"87a")
    made["extensions.gif"] = gif(small, 4, colors(16), before=(
        b"!\xfe\5hello\3all\0" b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0" b"!\1\4text\2up\0" b"\0\0!\xfe\0"))
    made["two-frames.gif"] = made["offset.gif"][:-1] + made["local-palette.gif"][13 + 48:]
    made["no-frame.gif"] = made["offset.gif"][:13 + 48] + b";"
    made["missing-pixels.gif"] = gif(small[:20], 4, colors(16)).replace(
        b"," + struct.pack("<HHHHB", 0, 0, 45, 20, 3), b"," + struct.pack("<HHHHB", 0, 0, 45, 37, 3))
    made["more-pixels.gif"] = gif(small, 4, colors(16)).replace(
        b"," + struct.pack("<HHHHB", 0, 0, 45, 37, 3), b"," + struct.pack("<HHHHB", 0, 0, 45, 20, 3))
    made["empty-frame.gif"] = gif(small, 4, colors(16)).replace(
        b"," + struct.pack("<HHHHB", 0, 0, 45, 37, 3), b"," + struct.pack("<HHHHB", 0, 0, 0, 37, 3))
    made["code-size-13.gif"] = gif(small, 4, colors(16)).replace(
        struct.pack("<HHHHB", 0, 0, 45, 37, 3) + b"\4", struct.pack("<HHHHB", 0, 0, 45, 37, 3) + b"\15")


# BMP ------------------------------------------------------------------------------------------

def bmp(lines, bits, size, palette=b"", header=40, compression=0, colors=0, masks=b"",
        top_down=False, padding=4, offset=None):
    """`lines` from the top, each as stored."""
    width, height = size
    if isinstance(lines, list):
        data = b"".join(l + bytes(-len(l) % 4) for l in (lines if top_down else lines[::-1]))
    else:
        data = lines
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IIiHHIIIIII", header, width, -height if top_down else height, 1, bits,
                           compression, len(data), 2835, 2835, colors, 0)
        if header > 40:
            info += (masks + bytes(header))[:header - 40]
            masks = b""
    start = 14 + len(info) + len(masks) + len(palette)
    return (b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start if offset is None else offset)
            + info + masks + palette + data)


def rle(rows, bits, absolute=False):
    out = b""
    for row in rows[::-1]:
        row = list(row)
        while row:
            run = 1
            while run < min(len(row), 255) and row[run] == row[0]:
                run += 1
            if absolute and run < 3 and len(row) >= 3:
                count = min(len(row), 9)
                part = row[:count]
                if bits == 4:
                    part = [(a << 4) | b for a, b in zip((part + [0])[::2], (part + [0])[1::2] + [0])]
                    part = part[:(count + 1) // 2]
                out += bytes([0, count]) + bytes(part) + bytes(len(part) & 1)
                row = row[count:]
            else:
                value = row[0] if bits == 8 else (row[0] << 4) | row[0]
                out += bytes([run, value])
                row = row[run:]
        out += b"\0\0"
    return out + b"\0\1"


def make_bmp():
    size = (45, 37)
    quads = lambda p: b"".join(bytes([b, g, r, 0]) for r, g, b in p)
    triples = lambda p: b"".join(bytes([b, g, r]) for r, g, b in p)
    for bits in (1, 4, 8):
        for count, name in [(1 << bits, ""), ((1 << bits) - 1, "-fewer")]:
            if count < 2:
                continue
            made[f"palette-{bits}{name}.bmp"] = bmp(
                packed(scene(*size, 1, bits), bits), bits, size, quads(colors(count)), colors=count)
        made[f"palette-{bits}-os2.bmp"] = bmp(
            packed(scene(*size, 1, bits), bits), bits, size, triples(colors(1 << bits)), header=12)
        made[f"palette-{bits}-top-down.bmp"] = bmp(
            packed(scene(*size, 1, bits), bits), bits, size, quads(colors(1 << bits)), top_down=True)
    made["large-palette.bmp"] = bmp(packed(scene(240, 231, 1), 8), 8, (240, 231), quads(colors(256)))
    ramp = [(i, i, i) for i in range(256)]
    made["grey-8.bmp"] = bmp(packed(scene(*size, 1), 8), 8, size, quads(ramp))
    made["grey-4.bmp"] = bmp(packed(scene(*size, 1, 4), 4), 4, size, quads(ramp[:16]))
    made["black-white.bmp"] = bmp(
        packed(scene(*size, 1, 1), 1), 1, size, quads([(0, 0, 0), (255, 255, 255)]))
    made["black-white-8.bmp"] = bmp(
        packed(scene(*size, 1, 8), 8), 8, size, quads([(0, 0, 0), (255, 255, 255)]), colors=2)
    made["white-black.bmp"] = bmp(
        packed(scene(*size, 1, 1), 1), 1, size, quads([(255, 255, 255), (0, 0, 0)]))
    made["offset-right-after-header.bmp"] = bmp(
        packed(scene(*size, 1, 4), 4), 4, size, quads(colors(16)), offset=54)
    made["offset-0.bmp"] = bmp(packed(scene(*size, 1, 4), 4), 4, size, quads(colors(16)), offset=0)
    rgb = scene(*size, 3)[..., ::-1]
    made["rgb-24.bmp"] = bmp(packed(rgb, 8), 24, size)
    made["rgb-24-top-down.bmp"] = bmp(packed(rgb, 8), 24, size, top_down=True)
    made["rgb-24-os2.bmp"] = bmp(packed(rgb, 8), 24, size, header=12)
    made["rgb-24-large.bmp"] = bmp(packed(scene(226, 60, 3), 8), 24, (226, 60))
    four = packed(scene(*size, 4), 8)
    made["rgb-32.bmp"] = bmp(four, 32, size)
    sixteen = [rng.integers(0, 65536, 45).astype("<u2").tobytes() for _ in range(37)]
    made["rgb-16.bmp"] = bmp(sixteen, 16, size)
    masked = [(32, (0xFF0000, 0xFF00, 0xFF, 0)), (32, (0xFF000000, 0xFF0000, 0xFF00, 0)),
              (32, (0xFF000000, 0xFF00, 0xFF, 0)), (32, (0xFF000000, 0xFF0000, 0xFF00, 0xFF)),
              (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
              (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
              (32, (0xFF000000, 0xFF00, 0xFF, 0xFF0000)), (32, (0, 0, 0, 0)),
              (32, (0xFF, 0xFF00, 0xFF0000, 0)), (16, (0xF800, 0x7E0, 0x1F, 0)),
              (16, (0x7C00, 0x3E0, 0x1F, 0)), (16, (0xF00, 0xF0, 0xF, 0)),
              (24, (0xFF0000, 0xFF00, 0xFF, 0))]
    for n, (bits, masks) in enumerate(masked):
        lines = {32: four, 16: sixteen, 24: packed(rgb, 8)}[bits]
        for header in (40, 52, 56, 108, 124):
            if header in (40, (52, 56, 108, 124)[n % 4], 124):
                made[f"masks-{n}-{header}.bmp"] = bmp(
                    lines, bits, size, header=header, compression=3,
                    masks=struct.pack("<4I", *masks)[:12 if header in (40, 52) else 16])
    made["header-64.bmp"] = bmp(packed(rgb, 8), 24, size, header=64)
    made["header-60.bmp"] = bmp(packed(rgb, 8), 24, size, header=60)
    for bits, compression in [(8, 1), (4, 2)]:
        rows = scene(*size, 1, bits)[..., 0] // 3
        for absolute in (False, True):
            made[f"runs-{bits}{'-absolute' if absolute else ''}.bmp"] = bmp(
                rle(rows, bits, absolute), bits, size, quads(colors(1 << bits)),
                compression=compression)
        made[f"runs-{bits}-grey.bmp"] = bmp(
            rle(rows, bits), bits, size, quads(ramp[:1 << bits]), compression=compression)
        moved = b"\5\x11\0\2\3\2\4\x22\0\0" + rle(rows[:20], bits)
        made[f"runs-{bits}-moves.bmp"] = bmp(
            moved + bytes(600), bits, size, quads(colors(1 << bits)), compression=compression)
        made[f"runs-{bits}-short.bmp"] = bmp(
            rle(rows[:30], bits), bits, size, quads(colors(1 << bits)), compression=compression)
    made["runs-black-white.bmp"] = bmp(
        rle(scene(*size, 1, 1)[..., 0], 8), 8, size, quads([(0, 0, 0), (255, 255, 255)]),
        compression=1, colors=2)
    made["runs-top-down.bmp"] = bmp(
        rle(scene(*size, 1, 8)[..., 0] // 3, 8), 8, size, quads(colors(256)), compression=1,
        top_down=True)
    for bits in (16, 24, 32):
        made[f"runs-of-{bits}.bmp"] = bmp(rle(scene(*size, 1)[..., 0], 8) * 4, bits, size, compression=1)
    made["jpeg-inside.bmp"] = bmp(packed(rgb, 8), 24, size, compression=4)
    made["bits-2.bmp"] = bmp(packed(scene(*size, 1, 2), 2), 2, size, quads(colors(4)))
    made["palette-300.bmp"] = bmp(
        packed(scene(*size, 1), 8), 8, size, quads(colors(300)), colors=300)


# TIFF -----------------------------------------------------------------------------------------

def tiff(samples, depth, photometric, order="<", compression=1, rows=None, tile=None, extra=None,
         sample_format=None, palette=None, orientation=None, fill_order=None, predictor=False,
         raw=None, big=False, planar=None, last_strip=None, more={}):
    """`samples` [height, width, channels]; 16 bits and more in the file's byte order."""
    height, width, channels = samples.shape
    kind = {16: "u2", 32: "u4"}.get(depth)
    if sample_format == 3:
        kind = "f4"

    def stored(part):
        if kind is None:
            lines = b"".join(packed(part, depth))
        else:
            part = part.astype(order + kind)
            lines = part.tobytes()
        if predictor:
            lines = b"".join(
                np.diff(line.astype(np.int64), axis=0, prepend=0).astype(np.uint8).tobytes() for line in part)
        if fill_order == 2:
            lines = bytes(int(f"{b:08b}"[::-1], 2) for b in lines)
        return zlib.compress(lines) if compression in (8, 32946) else lines

    if tile:
        tw, th = tile
        padded = np.zeros((-(-height // th) * th, -(-width // tw) * tw, channels), samples.dtype)
        padded[:height, :width] = samples
        parts = [stored(padded[y:y + th, x:x + tw])
                 for y in range(0, height, th) for x in range(0, width, tw)]
    else:
        rows = rows or height
        planes = [samples[..., c:c + 1] for c in range(channels)] if planar == 2 else [samples]
        parts = [stored(plane[y:y + rows]) for plane in planes for y in range(0, height, rows)]
    if raw:
        parts = [raw]
    if last_strip is not None:
        parts[-1] = parts[-1][:last_strip]

    tags = {256: ("I", [width]), 257: ("I", [height]), 258: ("H", [depth] * channels),
            259: ("H", [compression]), 262: ("H", [photometric]), 277: ("H", [channels])}
    if tile:
        tags.update({322: ("I", [tile[0]]), 323: ("I", [tile[1]])})
    else:
        tags[278] = ("I", [rows or height])
    offsets, counts = (324, 325) if tile else (273, 279)
    if extra is not None:
        tags[338] = ("H", extra if isinstance(extra, list) else [extra])
    if sample_format is not None:
        tags[339] = ("H", [sample_format] * channels)
    if palette is not None:
        tags[320] = ("H", [int(v) * 257 for v in palette.T.ravel()])
    if orientation is not None:
        tags[274] = ("H", [orientation])
    if fill_order is not None:
        tags[266] = ("H", [fill_order])
    if predictor:
        tags[317] = ("H", [2])
    if planar:
        tags[284] = ("H", [planar])
    tags.update(more)
    data, starts = b"", []
    base = 16 if big else 8
    for part in parts:
        starts.append(base + len(data))
        data += part + bytes(len(part) & 1)
    tags[offsets], tags[counts] = ("I", starts), ("I", [len(p) for p in parts])
    directory_at = base + len(data)
    size, entry = (8, 20) if big else (4, 12)
    after = directory_at + (8 if big else 2) + entry * len(tags) + size
    entries, overflow = b"", b""
    for tag in sorted(tags):
        letter, values = tags[tag]
        body = struct.pack(f"{order}{len(values)}{letter}", *values)
        if len(body) > size:
            overflow += bytes(len(overflow) & 1)
            field = struct.pack(order + ("Q" if big else "I"), after + len(overflow))
            overflow += body
        else:
            field = body.ljust(size, b"\0")
        entries += struct.pack(order + ("HHQ" if big else "HHI"), tag, {"B": 1, "H": 3, "I": 4, "b": 6}[letter], len(values)) + field
    magic = {"<": b"II", ">": b"MM"}[order]
    if big:
        head = magic + struct.pack(order + "HHHQ", 43, 8, 0, directory_at)
        return head + data + struct.pack(order + "Q", len(tags)) + entries + bytes(8) + overflow
    head = magic + struct.pack(order + "HI", 42, directory_at)
    return head + data + struct.pack(order + "H", len(tags)) + entries + bytes(4) + overflow


def make_tiff():
    size = (45, 37)
    for order, name in (("<", ""), (">", "-big-endian")):
        for depth in (1, 2, 4, 8):
            made[f"grey-{depth}{name}.tif"] = tiff(scene(*size, 1, depth), depth, 1, order)
        made[f"rgb-8{name}.tif"] = tiff(scene(*size, 3), 8, 2, order, rows=8)
        made[f"rgb-16{name}.tif"] = tiff(scene(*size, 3, 16), 16, 2, order)
        made[f"rgba-16{name}.tif"] = tiff(scene(*size, 4, 16), 16, 2, order, extra=2)
        made[f"rgb-16-deflate{name}.tif"] = tiff(scene(*size, 3, 16), 16, 2, order, compression=8)
        made[f"palette-8{name}.tif"] = tiff(scene(*size, 1), 8, 3, order, palette=colors(256))
        made[f"cmyk-16{name}.tif"] = tiff(scene(*size, 4, 16), 16, 5, order)
        made[f"grey-16{name}.tif"] = tiff(scene(*size, 1, 16), 16, 1, order)
        made[f"big{name}.tif"] = tiff(scene(*size, 3), 8, 2, order, big=True)
    for depth in (1, 2, 4, 8):
        made[f"inverted-{depth}.tif"] = tiff(scene(*size, 1, depth), depth, 0)
        made[f"inverted-{depth}-deflate.tif"] = tiff(scene(*size, 1, depth), depth, 0, compression=8)
        made[f"reversed-{depth}.tif"] = tiff(scene(*size, 1, depth), depth, 1, fill_order=2)
        made[f"reversed-{depth}-deflate.tif"] = tiff(
            scene(*size, 1, depth), depth, 1, fill_order=2, compression=8)
        made[f"palette-{depth}.tif"] = tiff(
            scene(*size, 1, depth), depth, 3, palette=colors(1 << depth))
    made["reversed-rgb.tif"] = tiff(scene(*size, 3), 8, 2, fill_order=2)
    made["signed-8.tif"] = tiff(scene(*size, 1), 8, 1, sample_format=2)
    made["inverted-16.tif"] = tiff(scene(*size, 1, 16) // 200, 16, 0)
    made["grey-16-dark.tif"] = tiff(scene(230, 240, 1, 16) // 200, 16, 1, compression=8)
    made["grey-16-tall.tif"] = tiff(scene(20, 100, 1, 16) // 150, 16, 1)
    made["signed-16.tif"] = tiff(scene(*size, 1, 16) // 64 - 300, 16, 1, sample_format=2)
    made["signed-16-deflate.tif"] = tiff(
        scene(*size, 1, 16) // 64 - 300, 16, 1, sample_format=2, compression=8)
    made["integer-32.tif"] = tiff(scene(*size, 1, 16) // 64 - 300, 32, 1, sample_format=2)
    made["integer-32-wide.tif"] = tiff(
        (scene(300, 28, 1, 16) - 30000) * 65536, 32, 1, sample_format=2)
    made["unsigned-32.tif"] = tiff(scene(*size, 1, 16) // 64, 32, 1)
    made["float-32.tif"] = tiff(scene(*size, 1, 16) / 170.3 - 30, 32, 1, sample_format=3)
    made["float-32-tall.tif"] = tiff(
        scene(60, 500, 1, 16) / 170.3 - 30, 32, 1, sample_format=3, compression=8)
    made["float-32-inverted.tif"] = tiff(scene(*size, 1, 16) / 170.3 - 30, 32, 0, sample_format=3)
    for extra in (0, 1, 2):
        made[f"grey-extra-{extra}.tif"] = tiff(scene(*size, 2), 8, 1, extra=extra)
        made[f"rgb-extra-{extra}.tif"] = tiff(scene(*size, 4), 8, 2, extra=extra)
        made[f"rgb-16-extra-{extra}.tif"] = tiff(scene(*size, 4, 16), 16, 2, extra=extra)
        made[f"palette-extra-{extra}.tif"] = tiff(
            scene(*size, 2), 8, 3, extra=extra, palette=colors(256))
    made["rgb-extra-none.tif"] = tiff(scene(*size, 4), 8, 2)
    made["rgb-extra-none-deflate.tif"] = tiff(scene(*size, 4), 8, 2, compression=8)
    made["rgb-extra-1-large.tif"] = tiff(scene(250, 100, 4), 8, 2, extra=1, compression=8)
    made["cmyk.tif"] = tiff(scene(*size, 4), 8, 5)
    made["cmyk-deflate.tif"] = tiff(scene(*size, 4), 8, 5, compression=32946, rows=10)
    made["lab.tif"] = tiff(scene(*size, 3), 8, 8)
    made["planes.tif"] = tiff(scene(*size, 3), 8, 2, planar=2)
    made["predictor.tif"] = tiff(scene(*size, 3), 8, 2, compression=8, predictor=True)
    for compression in (1, 8):
        made[f"tiles-{compression}.tif"] = tiff(
            scene(*size, 3), 8, 2, compression=compression, tile=(16, 16))
        made[f"tiles-grey-4-{compression}.tif"] = tiff(
            scene(*size, 1, 4), 4, 1, compression=compression, tile=(32, 16))
        made[f"tile-larger-{compression}.tif"] = tiff(
            scene(*size, 1), 8, 1, compression=compression, tile=(64, 48))
    for orientation in range(0, 10):
        made[f"orientation-{orientation}.tif"] = tiff(
            scene(*size, 3), 8, 2, orientation=orientation, compression=8 if orientation % 2 else 1)
    made["orientation-tiles.tif"] = tiff(scene(*size, 4), 8, 2, extra=2, orientation=6, tile=(16, 16))
    made["large.tif"] = tiff(scene(240, 120, 3), 8, 2, compression=8, rows=50)
    made["short-strip.tif"] = tiff(scene(*size, 3), 8, 2, rows=8, last_strip=100)
    made["short-deflate.tif"] = tiff(scene(*size, 3), 8, 2, rows=8, compression=8, last_strip=50)
    made["compression-9.tif"] = tiff(scene(*size, 3), 8, 2, compression=9)
    for compression in ("tiff_lzw", "packbits", "tiff_deflate"):
        image = Image.frombytes("RGB", size, scene(*size, 3).astype(np.uint8).tobytes())
        out = io.BytesIO()
        image.save(out, "TIFF", compression=compression)
        made[f"by-pillow-{compression}.tif"] = out.getvalue()
    for compression in ("tiff_ccitt", "group3", "group4"):
        image = Image.frombytes("L", size, scene(*size, 1).astype(np.uint8).tobytes()).convert("1")
        out = io.BytesIO()
        image.save(out, "TIFF", compression=compression)
        made[f"by-pillow-{compression}.tif"] = out.getvalue()
    out = io.BytesIO()
    image = Image.frombytes("RGB", size, scene(*size, 3).astype(np.uint8).tobytes())
    image.save(out, "TIFF", save_all=True, append_images=[image.rotate(90)])
    made["two-pages.tif"] = out.getvalue()
    out = io.BytesIO()
    image.save(out, "TIFF", compression="jpeg")
    made["jpeg-inside.tif"] = out.getvalue()


def make_more_tiff():
    size = (45, 37)
    made["grey-12.tif"] = tiff(scene(*size, 1, 12), 12, 1)
    made["grey-12-deflate.tif"] = tiff(scene(*size, 1, 12), 12, 1, compression=8)
    made["grey-16-deflate-big-endian.tif"] = tiff(scene(*size, 1, 16), 16, 1, ">", compression=8)
    made["grey-16-dark-big-endian.tif"] = tiff(scene(230, 240, 1, 16) // 200, 16, 1, ">", compression=8)
    made["signed-16-big-endian.tif"] = tiff(
        scene(*size, 1, 16) // 64 - 300, 16, 1, ">", sample_format=2)
    made["integer-32-big-endian.tif"] = tiff(
        scene(*size, 1, 16) // 64 - 300, 32, 1, ">", sample_format=2)
    made["float-32-big-endian.tif"] = tiff(
        scene(*size, 1, 16) / 170.3 - 30, 32, 1, ">", sample_format=3)
    for name, channels, photometric, extra in (
            ("rgb-extra-0-0", 5, 2, [0, 0]), ("rgb-extra-1-0", 5, 2, [1, 0]),
            ("rgb-extra-2-0-0", 6, 2, [2, 0, 0]), ("cmyk-extra-0", 5, 5, [0]),
            ("cmyk-extra-0-0", 6, 5, [0, 0])):
        made[f"{name}.tif"] = tiff(scene(*size, channels), 8, photometric, extra=extra)
    for depth in (8, 16):
        for name, channels, photometric, extra in (
                ("rgb", 3, 2, None), ("rgba", 4, 2, 2), ("rgb-extra-0", 4, 2, 0), ("cmyk", 4, 5, None)):
            made[f"planes-{name}-{depth}.tif"] = tiff(
                scene(*size, channels, depth), depth, photometric, extra=extra, planar=2, rows=10,
                compression=8)
    made["planes-cmyk.tif"] = tiff(scene(*size, 4), 8, 5, planar=2)
    made["orientation-byte.tif"] = tiff(scene(*size, 3), 8, 2, more={274: ("B", [6])})
    made["orientation-long.tif"] = tiff(scene(*size, 3), 8, 2, more={274: ("I", [6])})
    image = Image.frombytes("RGB", (200, 150), scene(200, 150, 3).astype(np.uint8).tobytes())
    for name, mode, options in (
            ("lzma", "RGB", {"compression": "lzma"}), ("zstd", "RGB", {"compression": "zstd"}),
            ("jpeg-grey", "L", {"compression": "jpeg"}), ("jpeg-cmyk", "CMYK", {"compression": "jpeg"}),
            ("jpeg-1x1", "RGB", {"compression": "jpeg", "tiffinfo": {530: (1, 1)}}),
            ("jpeg-2x2", "RGB", {"compression": "jpeg", "tiffinfo": {530: (2, 2)}})):
        out = io.BytesIO()
        image.convert(mode).save(out, "TIFF", **options)
        made[f"by-pillow-{name}.tif"] = out.getvalue()
    ycc = np.array(image.convert("YCbCr"))
    made["ycbcr-1x1.tif"] = tiff(
        ycc, 8, 6, compression=8, raw=zlib.compress(ycc.tobytes()), more={530: ("H", [1, 1])})
    blocks = b"".join(
        ycc[y:y + 2, x:x + 2, 0].tobytes() + ycc[y:y + 2, x:x + 2, 1:].mean((0, 1)).astype(np.uint8).tobytes()
        for y in range(0, 150, 2) for x in range(0, 200, 2))
    made["ycbcr-2x2.tif"] = tiff(
        ycc, 8, 6, compression=8, raw=zlib.compress(blocks), more={530: ("H", [2, 2])})
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    jpeg = out.getvalue()
    made["old-style-jpeg.tif"] = tiff(
        ycc, 8, 6, compression=6, raw=jpeg,
        more={512: ("H", [1]), 513: ("I", [8]), 514: ("I", [len(jpeg)]), 530: ("H", [2, 2])})
    # CCITT data that end early, which newer versions of libtiff go on with differently.
    made["group4-of-zeros.tif"] = tiff(
        np.zeros((60, 90, 1), int), 1, 1, compression=4, raw=bytes([38, 160, 0, 0] * 9 + [0] * 200))


def make_more_png():
    rgb, used = png(scene(45, 37, 3), 8, 2), chunk(b"PLTE", bytes(range(30)))
    start, rest = rgb[:33], rgb[33:]
    made["palette-empty.png"] = start + chunk(b"PLTE", b"") + rest
    made["palette-twice.png"] = start + used + used + rest
    made["palette-wrong-checksum.png"] = start + chunk(b"PLTE", b"", 5) + rest
    indexed, first = png(scene(45, 37, 1), 8, 3, palette=colors(256)), chunk(b"PLTE", bytes(range(240)))
    start, rest = indexed[:33], indexed[33:]
    data = rest.index(b"IDAT") - 4
    trns = chunk(b"tRNS", bytes(range(9)))
    made["palette-second.png"] = start + first + rest
    made["palette-second-shorter.png"] = start + rest[:data] + trns + first + rest[data:]
    made["palette-third.png"] = start + first + first + chunk(b"tEXt", b"Title\0text") + rest
    made["palette-after-data.png"] = indexed[:-12] + first + indexed[-12:]
    start, rest = rgb[:33], rgb[33:]
    frame = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 45, 37, 0, 0, 1, 10, 0, 0))
    for frames, first in ((2, frame), (1, frame), (1, b"")):
        body = start + chunk(b"acTL", struct.pack(">II", frames, 0)) + first + rest[:-12]
        made[f"animated-{frames}-{'' if first else 'not-'}first-cut.png"] = (
            body + frame + chunk(b"fdAT", bytes(4) + rest[8:100])[:60])


# Answers --------------------------------------------------------------------------------------

def answer(data):
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
        if image.mode == "I;16B":
            # Only the byte order sets it apart, and Pillow's resize takes its samples for I;16.
            image = Image.frombytes("I;16", image.size, np.frombuffer(
                image.tobytes(), ">u2").astype("<u2").tobytes())
        pixels = image.convert("L") if image.mode == "1" else image
        known = {"mode": image.mode, "width": image.width, "height": image.height,
                 "pixels": zlib.crc32(pixels.tobytes())}
        if max(image.size) > 1_000_000 * min(image.size):  # upstream would need gigabytes
            return known
        return {**known, "square": zlib.crc32(to_bytes(image).tobytes())}
    except Exception as e:
        return {"error": "truncated" if "truncated" in str(e).lower() else "refused"}


CUT = {".png": ["rgb-8.png", "grey-4-interlaced.png", "many-parts.png", "text-after-data.png"],
       ".webp": ["lossy-45x37.webp", "lossless-alpha-45x37.webp", "animated-offset.webp"],
       ".gif": ["large.gif", "offset-transparent.gif", "two-frames.gif"],
       ".bmp": ["rgb-24.bmp", "palette-4.bmp", "runs-8.bmp", "masks-3-40.bmp"],
       ".tif": ["rgb-8.tif", "by-pillow-tiff_lzw.tif", "tiles-8.tif"]}


def main():
    if "--pictures" in sys.argv:
        for make in [make_png, make_webp, make_gif, make_bmp, make_tiff, make_more_tiff, make_more_png]:
            make()
        replace_pictures(here, made)
    rows = []
    for name in names(here):
        rows.append({"file": name, **answer((here / name).read_bytes())})
    for name in sum(CUT.values(), []):
        data = (here / name).read_bytes()
        size = len(data)
        for length in sorted({13, 30, 40, size // 4, size // 2, 3 * size // 4, size - 40, size - 24,
                              size - 13, size - 9, size - 4, size - 1}):
            # libtiff wants the whole directory, which is at the end; Pillow can do with less of it.
            if name.endswith(".tif") and length > 3 * size // 4:
                continue
            rows.append({"file": name, "length": length, **answer(data[:length])})
    write_answers(here, rows)
    print(sum("error" in r for r in rows), "refused")


main()
