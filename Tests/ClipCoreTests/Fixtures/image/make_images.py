#!/usr/bin/env python3
"""Make the JPEGs in this folder, and Pillow's and upstream CLIP's own answers for them.

    python3 -m venv .venv && . .venv/bin/activate
    pip install torch torchvision 'setuptools<80' clip-anytorch pillow numpy   # CPU torch is enough
    sudo apt-get install libjpeg-turbo-progs                                   # cjpeg
    python make_images.py

Writes *.jpg (only with --pictures, so that new answers can be had for the committed ones),
square-64/*.rgb (whole results, for a failing test to show by how much it is off) and golden.json:

  decode    for each picture, or damaged picture, what Pillow makes of it: the mode, the size and the
            CRC-32 of the pixels, of upstream's 224x224x3 bytes and of its normalised floats
            (little-endian); or the kind of error. `smoothed` marks progressive pictures that end
            properly but lack scans: libjpeg smooths their blocks, since 3.0.1 by other rules
  resize    CRC-32 of Image.resize(size, BICUBIC) of synthetic pixels
  square    CRC-32 of upstream's bytes for synthetic pixels of many sizes and resolutions
  fast      CRC-32 of upstream's bytes after Image.draft, for large pictures and several resolutions: what
            a fast rule makes of them
  floats    upstream's ToTensor and Normalize of 0...255 in all three channels, as hexadecimal floats

Made with Pillow 13.0.0 and its libjpeg-turbo 3.2.0. Pillow 12 resizes tall pictures otherwise.
"""
import io, json, pathlib, struct, subprocess, sys, warnings, zlib
warnings.filterwarnings("ignore")
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from upstream import Compose, _transform, to_bytes_at

here = pathlib.Path(__file__).resolve().parent
rng = np.random.default_rng(20)
crc = lambda b: zlib.crc32(bytes(b))


# Pictures ------------------------------------------------------------------------------------

def scene(width, height, channels, noise=6):
    """Smooth waves with edges and a little noise: compresses well, and shows a shift of any kind."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = []
    for c in range(channels):
        wave = 128 + 80 * np.sin(x / (9 + 4 * c) + c) + 47 * np.cos(y / (7 + 3 * c) - c)
        edge = 60 * (((x // 23 + y // 17 + c) % 3) == 0)
        planes.append(wave - edge + rng.normal(0, noise, wave.shape))
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def picture(mode, width, height, **k):
    channels = {"L": 1, "RGB": 3, "CMYK": 4}[mode]
    return Image.frombytes(mode, (width, height), scene(width, height, channels, **k).tobytes())


def pillow(mode, size, **k):
    out = io.BytesIO()
    picture(mode, *size).save(out, "JPEG", **{"quality": 80, **k})
    return out.getvalue()


def cjpeg(mode, size, *options):
    out = io.BytesIO()
    picture(mode, *size).save(out, "PPM")
    return subprocess.run(["cjpeg", "-quality", "80", *options], input=out.getvalue(),
                          capture_output=True, check=True).stdout


def segments(data):
    """(marker, start, end) of each segment up to the first scan."""
    at = 2
    while data[at + 1] != 0xDA:
        end = at + 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
        yield data[at + 1], at, end
        at = end


def without(data, marker):
    for m, start, end in reversed(list(segments(data))):
        if m == marker:
            data = data[:start] + data[end:]
    return data


def with_adobe(data, transform):
    """The same file with an Adobe segment that claims the given colour transform, and no JFIF."""
    data = without(without(data, 0xE0), 0xEE)
    return data[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0" + bytes([transform]) + data[2:]


def with_segment(data, marker, body):
    return data[:2] + b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body + data[2:]


def with_component_names(data, names):
    """The same file with other component identifiers in its frame and scan headers."""
    data = bytearray(data)
    for m, start, _ in segments(bytes(data)):
        if m in (0xC0, 0xC2):
            old = [data[start + 10 + 3 * i] for i in range(data[start + 9])]
            for i, name in enumerate(names):
                data[start + 10 + 3 * i] = name
    at = 2
    for _, _, at in segments(bytes(data)):
        pass
    for i in range(data[at + 4]):
        data[at + 5 + 2 * i] = names[old.index(data[at + 5 + 2 * i])]
    return bytes(data)


def two_components(data):
    """A 4:4:4 file whose headers name two components only: well-formed, and no mode of Pillow's."""
    for m, start, end in segments(data):
        if m == 0xC0:
            frame = bytearray(data[start:end - 3]); frame[3] -= 3; frame[9] = 2
            data = data[:start] + bytes(frame) + data[end:]
            break
    for _, _, at in segments(data):
        pass
    return data[:at] + b"\xff\xda\x00\x0a\x02" + data[at + 5:at + 9] + data[at + 11:]


def make_pictures():
    made = {}
    for width, height in [(1, 1), (2, 3), (7, 5), (8, 8), (9, 17), (16, 16), (17, 33), (1, 300),
                          (300, 1), (5, 223), (223, 225), (224, 224), (225, 224), (224, 341),
                          (341, 256), (449, 448), (640, 427), (10000, 3), (3, 10000)]:
        made[f"size-{width}x{height}"] = pillow("RGB", (width, height), subsampling="4:2:0")
    odd = (61, 45)
    for h, v in [(1, 1), (2, 1), (2, 2), (1, 2), (4, 1), (1, 4), (4, 2), (2, 4), (3, 1), (1, 3)]:
        made[f"sample-{h}x{v}"] = cjpeg("RGB", odd, "-sample", f"{h}x{v}")
        made[f"sample-{h}x{v}-progressive"] = cjpeg(
            "RGB", odd, "-sample", f"{h}x{v}", "-progressive")
    made["sample-mixed"] = cjpeg("RGB", odd, "-sample", "2x2,2x1,1x2")
    made["sample-fine-chroma"] = cjpeg("RGB", odd, "-sample", "1x1,2x2,2x2")
    for h, v in [(2, 1), (2, 2), (1, 2)]:
        for width, height in [(1, 1), (2, 2), (3, 3), (16, 8), (33, 31)]:
            made[f"sample-{h}x{v}-{width}x{height}"] = cjpeg(
                "RGB", (width, height), "-sample", f"{h}x{v}")
    made["grey"] = pillow("L", odd)
    made["grey-progressive"] = pillow("L", (333, 251), progressive=True)
    made["progressive"] = pillow("RGB", (333, 251), progressive=True, quality=60)
    made["arithmetic"] = cjpeg("RGB", odd, "-arithmetic")
    made["arithmetic-progressive"] = cjpeg("RGB", odd, "-arithmetic", "-progressive")
    made["restart-blocks"] = cjpeg("RGB", (150, 111), "-restart", "3B")
    made["restart-rows"] = cjpeg("RGB", (150, 111), "-restart", "1")
    (here / "scans.txt").write_text("0;\n2;\n1;\n")
    made["one-component-a-scan"] = cjpeg("RGB", odd, "-scans", str(here / "scans.txt"))
    (here / "scans.txt").unlink()
    made["rgb-stored"] = pillow("RGB", odd, keep_rgb=True)
    made["rgb-stored-by-cjpeg"] = cjpeg("RGB", odd, "-rgb")
    full = pillow("RGB", odd, subsampling="4:4:4")
    made["adobe-0-is-rgb"] = with_adobe(full, 0)
    made["adobe-1-is-ycc"] = with_adobe(full, 1)
    made["adobe-7-is-ycc"] = with_adobe(full, 7)
    made["no-jfif"] = without(full, 0xE0)
    made["names-RGB"] = with_component_names(without(full, 0xE0), b"RGB")
    made["names-RGB-but-jfif"] = with_component_names(full, b"RGB")
    made["names-other"] = with_component_names(without(full, 0xE0), b"\x05\x09\x07")
    made["cmyk"] = pillow("CMYK", odd)
    made["cmyk-wide"] = pillow("CMYK", (400, 90))
    made["cmyk-subsampled"] = pillow("CMYK", odd, subsampling="4:2:0")
    made["cmyk-without-adobe"] = without(made["cmyk"], 0xEE)
    made["ycck"] = with_adobe(made["cmyk"], 2)
    made["ycck-subsampled"] = with_adobe(made["cmyk-subsampled"], 2)
    made["ycck-progressive"] = with_adobe(pillow("CMYK", odd, progressive=True), 2)
    exif = Image.Exif(); exif[0x0112] = 6
    made["exif-rotated"] = pillow("RGB", odd, exif=exif)
    made["icc"] = pillow("RGB", odd, icc_profile=bytes(range(256)) * 300)
    made["comment"] = with_segment(full, 0xFE, b"hello")
    made["many-chunks"] = pillow("RGB", (430, 300), quality=100, subsampling="4:4:4")
    made["tables-apart"] = tables_apart(full)
    made["fill-bytes"] = full[:2] + b"\xff\xff\xff" + full[2:]
    made["junk-between-segments"] = full[:20] + b"junk\xff\x00junk" + full[20:]
    made["two-components"] = two_components(full)
    twelve = bytearray(full); at = [s for m, s, _ in segments(full) if m == 0xC0][0]
    twelve[at + 4] = 12
    made["twelve-bit"] = bytes(twelve)
    for name, data in made.items():
        (here / f"{name}.jpg").write_bytes(data)


def tables_apart(data):
    """Two streams: quantisation and Huffman tables first, then a picture that lacks them."""
    tables = b"".join(data[s:e] for m, s, e in segments(data) if m in (0xDB, 0xC4))
    return b"\xff\xd8" + tables + b"\xff\xd9" + without(without(data, 0xDB), 0xC4)


# Damage --------------------------------------------------------------------------------------

def damaged():
    """For each damaged picture: its name, {"length": n, "patches": [[at, byte]], "append": hex}."""
    truncated = ["sample-2x2", "progressive", "grey", "cmyk", "restart-rows", "arithmetic",
                 "one-component-a-scan", "many-chunks"]
    for name in truncated:
        size = (here / f"{name}.jpg").stat().st_size
        for length in sorted({0, 1, 2, 3, 4, 20, 100, size // 4, size // 2, 3 * size // 4,
                              size - 40, size - 10, size - 3, size - 2, size - 1, 65536}):
            if length < size:
                yield name, {"length": length}
    for name in ["sample-2x2", "progressive", "grey"]:
        size = (here / f"{name}.jpg").stat().st_size
        for tail in ["00", "ff", "ffd9", "6a756e6b", "ffd8ffe000104a46494600"]:
            yield name, {"append": tail}
            yield name, {"length": size - 2, "append": tail}
            half = {"length": size // 2, "append": tail + "ffd9"}
            yield name, {**half, "smoothed": True} if name == "progressive" else half
    for name in ["sample-2x2", "sample-1x1", "restart-rows", "restart-blocks", "grey", "cmyk",
                 "progressive", "arithmetic", "many-chunks", "one-component-a-scan", "ycck"]:
        data = (here / f"{name}.jpg").read_bytes()
        scan = data.index(b"\xff\xda")
        for _ in range(14):
            yield name, {"patches": [[int(rng.integers(scan, len(data))), int(rng.integers(256))]
                                     for _ in range(int(rng.integers(1, 5)))]}
        for _ in range(6):
            yield name, {"patches": [[int(rng.integers(2, scan)), int(rng.integers(256))]]}


def apply(data, damage):
    data = bytearray(data[:damage.get("length", len(data))])
    for at, byte in damage.get("patches", []):
        data[at] = byte
    return bytes(data) + bytes.fromhex(damage.get("append", ""))


# Answers -------------------------------------------------------------------------------------

to_bytes, to_floats = to_bytes_at(224), Compose(_transform(224).transforms[3:])


def answer(data):
    try:
        image = Image.open(io.BytesIO(data), formats=["JPEG"])
        image.load()
    except UnidentifiedImageError:
        return {"error": "unidentified"}
    except Exception as e:
        text = str(e).lower()
        return {"error": "truncated" if "truncated" in text else
                "corrupt" if "broken" in text else "other"}
    square = to_bytes(image)
    return {"mode": image.mode, "width": image.width, "height": image.height,
            "pixels": crc(image.tobytes()), "square": crc(square.tobytes()),
            "floats": crc(to_floats(square).contiguous().numpy().astype("<f4").tobytes())}


LARGE = ["large-420", "large-444-progressive", "large-cmyk", "large-grey"]


def make_large():
    """Pictures that a fast rule scales, some of them by 8."""
    turned = Image.Exif()
    turned[0x0112] = 6
    for name, mode, size, options in [
        ("large-420", "RGB", (1403, 1291), {"subsampling": "4:2:0", "exif": turned}),
        ("large-444-progressive", "RGB", (1290, 1500), {"subsampling": "4:4:4", "progressive": True}),
        # By its size when scaled by 2 it would be resized to a pixel less at 32 pixels.
        ("large-cmyk", "CMYK", (641, 702), {}), ("large-grey", "L", (2570, 2563), {"quality": 8}),
    ]:
        small = picture(mode, size[0] // 9, size[1] // 9, noise=0)
        out = io.BytesIO()
        small.resize(size, Image.BICUBIC).save(out, "JPEG", **{"quality": 30} | options)
        (here / f"{name}.jpg").write_bytes(out.getvalue())


def fast(name, resolution):
    image = Image.open(here / f"{name}.jpg")
    least = max(2 * resolution, 320)
    image.draft(image.mode, (least, least))
    # The size that the whole picture would be resized to: rounded from the smaller one it can be a pixel off.
    whole = ImageOps.exif_transpose(Image.open(here / f"{name}.jpg")).size
    long = int(resolution * max(whole) / min(whole))
    size = (resolution, long) if whole[0] <= whole[1] else (long, resolution)
    square = to_bytes_at(resolution)(ImageOps.exif_transpose(image).resize(size, Image.BICUBIC))
    return {"file": name, "resolution": resolution, "width": image.width, "height": image.height,
            "square": crc(square.tobytes())}


def synthetic(mode, width, height, pattern):
    """The same integers in the test: `hash` is a texture, `checker` only 0 and 255 (overshoots)."""
    channels = {"L": 1, "RGB": 3, "CMYK": 4}[mode]
    y, x, c = np.mgrid[0:height, 0:width, 0:channels].astype(np.int64)
    if pattern == "hash":
        v = ((x * 40503 + y * 30011 + c * 12007 + x * y * 7) >> 5) & 255
    else:
        v = ((x // 3 + y // 2 + c) & 1) * 255
    return Image.frombytes(mode, (width, height), v.astype(np.uint8).tobytes())


def main():
    if "--pictures" in sys.argv:
        for old in here.glob("*.jpg"):
            old.unlink()
        make_pictures()
        make_large()
    golden = {"decode": [], "resize": [], "square": []}
    names = sorted(p.stem for p in here.glob("*.jpg"))
    for name in names:
        golden["decode"].append({"file": name, **answer((here / f"{name}.jpg").read_bytes())})
    for name, damage in damaged():
        data = apply((here / f"{name}.jpg").read_bytes(), damage)
        golden["decode"].append({"file": name, **damage, **answer(data)})

    sides = [(1, 1), (1, 7), (2, 2), (3, 5), (10, 10), (100, 37), (640, 3), (3, 640), (127, 255)]
    targets = [(1, 1), (2, 9), (7, 3), (10, 10), (64, 64), (100, 5), (5, 37), (255, 255)]
    modes = ["L", "RGB", "CMYK"]
    for i, (w, h) in enumerate(sides):
        for j, (tw, th) in enumerate(targets + [(w, 20), (20, h)]):
            mode, pattern = modes[(i + j) % 3], ["hash", "checker"][(i * 3 + j) % 2]
            image = synthetic(mode, w, h, pattern).resize((tw, th), Image.Resampling.BICUBIC)
            golden["resize"].append({"mode": mode, "width": w, "height": h, "pattern": pattern,
                                     "toWidth": tw, "toHeight": th, "crc": crc(image.tobytes())})

    cases = [(w, h, 224) for w in (1, 2, 3, 50, 223, 224, 225, 226, 333, 449, 1000)
             for h in (1, 3, 51, 223, 224, 225, 448, 675)]
    cases += [(w, h, n) for w, h in [(1, 1), (13, 17), (100, 99), (640, 427)]
              for n in (1, 2, 7, 336, 337)]
    cases += [(10000, 3, 224), (3, 10000, 224), (4000, 3000, 224), (2999, 4001, 336)]
    for i, (w, h, n) in enumerate(cases):
        mode, pattern = modes[i % 3], ["hash", "checker"][i // 3 % 2]
        square = to_bytes_at(n)(synthetic(mode, w, h, pattern))
        golden["square"].append({"mode": mode, "width": w, "height": h, "pattern": pattern,
                                 "resolution": n, "crc": crc(square.tobytes())})

    golden["fast"] = [fast(name, n) for name in LARGE + ["size-640x427"] for n in (32, 224, 336)]

    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    floats = to_floats(Image.fromarray(ramp)).contiguous().numpy().reshape(3, 256)
    golden["floats"] = [[float(v).hex() for v in row] for row in floats]

    whole = here / "square-64"
    whole.mkdir(exist_ok=True)
    for name in ["size-640x427", "size-7x5", "size-10000x3", "size-3x10000", "grey", "cmyk", "ycck",
                 "progressive", "rgb-stored", "sample-1x2"]:
        square = to_bytes_at(64)(Image.open(here / f"{name}.jpg"))
        (whole / f"{name}.rgb").write_bytes(square.tobytes())

    lines = []
    for key, rows in golden.items():
        body = ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows)
        lines.append(f'"{key}":[\n{body}\n]')
    (here / "golden.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(len(names), "pictures,", {k: len(v) for k, v in golden.items()})


main()
