#!/usr/bin/env python3
"""Make the pictures in this folder, of the formats that libraries read, and their decoders' own answers.

    pip install torch torchvision 'setuptools<80' clip-anytorch pillow numpy pillow-heif pillow-jxl-plugin rawpy imagecodecs
    python make_libraries.py [--pictures]

golden.json has for each picture the size, upstream's 32x32x3 bytes in Base64 (of the upright picture), and
how much each may differ: libraries differ in version, and some in the conversion of colours. `small/` has 32
more a format, without answers. Without --pictures only golden.json is written. Made with Pillow 13.0.0, pillow-heif 1.8.1, pillow-jxl-plugin 1.3.8 and rawpy 0.28.0.
"""
import base64, io, pathlib, struct, sys, warnings
warnings.filterwarnings("ignore")
import numpy as np
import imagecodecs, pillow_heif, pillow_jxl, rawpy
from PIL import Image, ImageOps

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from upstream import names, replace_pictures, to_bytes_at, write_answers

pillow_heif.register_heif_opener()
here = pathlib.Path(__file__).resolve().parent
to_bytes = to_bytes_at(32)
made = {}


def samples(channels=3, width=160, height=112, levels=255):
    """Soft colours with edges and, as a fourth channel, alpha."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = []
    for c in range(channels):
        wave = 0.5 + 0.3 * np.sin(x / (17 + 5 * c) + c) + 0.2 * np.cos(y / (13 + 3 * c) - c)
        planes.append(wave - 0.2 * ((x // 40 + y // 28) % 2))
    if channels in (2, 4):
        planes[-1] = np.clip(planes[-1] * 2.4 - 0.7, 0, 1)
    return (np.clip(np.stack(planes, -1), 0, 1) * levels).round().astype(np.uint8 if levels == 255 else np.uint16)


def scene(channels=3, **size):
    return Image.fromarray(samples(channels, **size).squeeze())


def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    data[0x010F], data[0x0110] = "Apple", "iPhone 15"
    data.get_ifd(0x8769)[0x9003] = "2024:02:29 23:59:07"
    data.get_ifd(0x8769)[0x9011] = "+05:30"
    return data.tobytes()


def dng(orientation, preview):
    """A raw file with a thumbnail of 8 x 8 pixels, a preview and 64 x 48 samples of a Bayer pattern."""
    raw = samples(1, 64, 48, 4095).astype("<u2").tobytes()
    small = samples(3, 8, 8).tobytes()
    kinds = {"B": 1, "s": 2, "H": 3, "I": 4, "2I": 5, "2i": 10}

    def directory(at, entries):
        body, data, after = struct.pack("<H", len(entries)), b"", at + 2 + 12 * len(entries) + 4
        for tag, (kind, values) in sorted(entries.items()):
            value = values if kind == "s" else b"".join(
                struct.pack("<" + kind, *(v if isinstance(v, tuple) else (v,))) for v in values)
            body += struct.pack("<HHI", tag, kinds[kind], len(values))
            body += value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", after + len(data))
            data += value + b"\0" * (len(value) & 1) if len(value) > 4 else b""
        return body + bytes(4) + data

    def picture(kind, photometric, compression, width, height, bits, at, size):
        return {254: ("I", [kind]), 256: ("I", [width]), 257: ("I", [height]), 258: ("H", bits),
                259: ("H", [compression]), 262: ("H", [photometric]), 273: ("I", [at]), 277: ("H", [len(bits)]),
                278: ("I", [height]), 279: ("I", [size])}

    at_small = 2048
    at_preview = at_small + len(small)
    at_raw = at_preview + len(preview)
    width, height = Image.open(io.BytesIO(preview)).size
    main = picture(1, 2, 1, 8, 8, [8, 8, 8], at_small, len(small))
    camera = {271: ("s", b"Maker\0"), 272: ("s", b"Maker One\0"), 274: ("H", [orientation]), 330: ("I", [800, 1200]),
              50706: ("B", [1, 4, 0, 0]), 50708: ("s", b"Maker One\0"),
              50721: ("2i", [(1, 1), (0, 1), (0, 1), (0, 1), (1, 1), (0, 1), (0, 1), (0, 1), (1, 1)]),
              50728: ("2I", [(1, 1)] * 3), 50778: ("H", [21])}
    bayer = picture(0, 32803, 1, 64, 48, [16], at_raw, len(raw)) | {
        33421: ("H", [2, 2]), 33422: ("B", [0, 1, 1, 2]), 50717: ("I", [4095])}
    large = picture(1, 6, 7, width, height, [8, 8, 8], at_preview, len(preview))
    file = b"II*\0" + struct.pack("<I", 8) + directory(8, main | camera)
    file = file.ljust(800, b"\0") + directory(800, bayer)
    file = file.ljust(1200, b"\0") + directory(1200, large)
    return file.ljust(at_small, b"\0") + small + preview + raw


def directory(at, entries, mark=b"II*\0"):
    """A TIFF structure of one directory that will be at an offset: tag to (kind, values)."""
    kinds = {"s": (2, 1), "H": (3, 2), "I": (4, 4), "B": (7, 1)}
    body, data = struct.pack("<H", len(entries)), b""
    after = at + len(mark) + 4 * bool(mark) + 2 + 12 * len(entries) + 4
    for tag, (kind, values) in sorted(entries.items()):
        value = values if kind in "sB" else struct.pack(f"<{len(values)}{kind}", *values)
        body += struct.pack("<HHI", tag, kinds[kind][0], len(value) // kinds[kind][1])
        body += value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", after + len(data))
        data += value + b"\0" * (len(value) & 1) if len(value) > 4 else b""
    return (mark + struct.pack("<I", 8) if mark else b"") + body + bytes(4) + data


def raw_files(preview, icon, lossless):
    """The preview in files laid out as makers do, between a smaller JPEG and a lossless one, as the sensor's data are."""
    camera = {271: ("s", b"Maker\0"), 272: ("s", b"Maker One\0"), 274: ("H", [6])}
    detail = {0x9003: ("s", b"2024:02:29 23:59:07\0")}
    start = 600
    at = [start, start + len(icon), start + len(icon) + len(preview)]
    jpegs = icon + preview + lossless

    def tiff(start, entries):
        mark = start if len(start) == 4 else b""
        main = directory(0 if mark else len(start), entries | {34665: ("I", [400])}, mark)
        return ((b"" if mark else start) + main).ljust(400, b"\0") + directory(400, detail, b"").ljust(200, b"\0") + jpegs

    strip = {273: ("I", [at[1]]), 279: ("I", [len(preview)])}
    nef = {254: ("I", [1]), 330: ("I", [300])}
    made["preview.nef"] = tiff(b"II*\0", camera | nef)
    made["preview.rw2"] = tiff(b"IIU\0", camera | {0x2E: ("B", bytes(8))})
    made["preview.orf"] = tiff(b"IIRO", camera)
    made["preview.cr2"] = tiff(b"II*\0" + struct.pack("<I", 16) + b"CR\2\0" + bytes(4), camera | strip)
    # Fujifilm's preview has the EXIF.
    with_exif = encoded(scene(), "JPEG", quality=90, exif=exif(6))
    header = b"FUJIFILMCCD-RAW 0201FF383501Maker One".ljust(84, b"\0")
    made["preview.raf"] = (header + struct.pack(">4I", 160, len(with_exif), 160 + len(with_exif), len(lossless))).ljust(160, b"\0") + (
        with_exif + lossless)

    def box(kind, body):
        return struct.pack(">I", 8 + len(body)) + kind + body

    moov = box(b"moov", box(b"uuid", bytes(16) + box(b"CMT1", directory(0, camera)) + box(b"CMT2", directory(0, detail))
                            + box(b"THMB", bytes(16) + icon)))
    made["preview.cr3"] = box(b"ftyp", b"crx \0\0\0\1crx isom") + moov + box(
        b"uuid", bytes(16) + box(b"PRVW", bytes(16) + preview)) + box(b"mdat", lossless)


def with_two_references(data):
    """A HEIC file whose auxiliary image belongs to two images (here to one twice), as iOS 18 writes it.
    libheif 1.15 and 1.17 refuse it."""
    at = data.index(b"iref") - 4
    size, = struct.unpack(">I", data[at:at + 4])
    references = struct.pack(">I4sHHHH", 16, b"auxl", 2, 2, 1, 1)
    data = bytearray(data[:at] + struct.pack(">I4sI", 12 + len(references), b"iref", 0) + references + data[at + size:])
    longer = 12 + len(references) - size
    meta = data.index(b"meta") - 4
    for place in [meta] + [data.index(b"iloc") + 16 + 18 * item for item in range(2)]:
        value, = struct.unpack(">I", data[place:place + 4])
        data[place:place + 4] = struct.pack(">I", value + longer)
    return bytes(data)


def make():
    heif = dict(quality=90)
    made["photo.heic"] = encoded(scene(), "HEIF", **heif)
    made["alpha.heic"] = encoded(scene(4), "HEIF", **heif)
    made["two-references.heic"] = with_two_references(made["alpha.heic"])
    made["grid.heic"] = encoded(scene(width=320, height=256), "HEIF", tile_size=128, **heif)
    made["turned.heic"] = encoded(scene(), "HEIF", exif=exif(6), **heif)
    made["mirrored.heic"] = encoded(scene(), "HEIF", exif=exif(7), **heif)
    several = pillow_heif.from_pillow(scene())
    several.add_from_pillow(scene(width=96, height=96).convert("L").convert("RGB"))
    out = io.BytesIO()
    several.save(out, primary_index=0, **heif)
    made["several.heic"] = out.getvalue()
    wide = np.ascontiguousarray(samples(3, levels=65535))
    out = io.BytesIO()
    pillow_heif.encode("RGB;16", (160, 112), wide.tobytes(), out, **heif)
    made["ten-bits.heic"] = out.getvalue()

    made["photo.avif"] = encoded(scene(), "AVIF", quality=90)
    made["alpha.avif"] = encoded(scene(4), "AVIF", quality=90)
    made["grey.avif"] = encoded(scene(1), "AVIF", quality=90)
    made["full-chroma.avif"] = encoded(scene(), "AVIF", quality=90, subsampling="4:4:4")
    made["turned.avif"] = encoded(scene(), "AVIF", quality=90, exif=exif(6))
    made["mirrored.avif"] = encoded(scene(), "AVIF", quality=90, exif=exif(5))
    made["sequence.avif"] = encoded(scene(), "AVIF", quality=90, save_all=True, append_images=[scene().rotate(180)])

    for name, bits, subsampling in (("ten", 10, "420"), ("twelve", 12, "444")):
        for kind, channels in (("bits", 3), ("bits-grey", 1), ("bits-alpha", 4)):
            wide = samples(channels, levels=(1 << bits) - 1).astype(np.uint16).squeeze()
            made[f"{name}-{kind}.avif"] = imagecodecs.avif_encode(
                wide, level=90, bitspersample=bits, pixelformat="400" if channels == 1 else subsampling)

    made["photo.jxl"] = encoded(scene(), "JXL", quality=90)
    made["lossless.jxl"] = encoded(scene(), "JXL", lossless=True)
    made["alpha.jxl"] = encoded(scene(4), "JXL", lossless=True)
    made["grey.jxl"] = encoded(scene(1), "JXL", lossless=True)
    made["grey-alpha.jxl"] = encoded(scene(2), "JXL", lossless=True)
    made["container.jxl"] = encoded(scene(), "JXL", quality=90, use_container=True, exif=exif(1))

    for name, image in (("grey", scene(1)), ("rgb", scene()), ("alpha", scene(4)), ("grey-alpha", scene(2))):
        made[f"{name}.jp2"] = encoded(image, "JPEG2000")
        made[f"{name}.j2k"] = encoded(image, "JPEG2000", no_jp2=True)
    made["lossy.jp2"] = encoded(scene(), "JPEG2000", quality_layers=[20], irreversible=True)
    made["tiles.jp2"] = encoded(scene(), "JPEG2000", tile_size=(64, 64))
    made["grey-16.jp2"] = encoded(Image.fromarray(samples(1, levels=65535).squeeze()), "JPEG2000")
    made["cmyk.jp2"] = encoded(Image.fromarray(samples(4), "CMYK"), "JPEG2000")
    made["signed.j2k"] = encoded(scene(), "JPEG2000", signed=True, no_jp2=True)

    preview = encoded(scene(), "JPEG", quality=90)
    made["preview.dng"] = dng(1, preview)
    made["turned.dng"] = dng(6, preview)
    # The smallest lossless JPEG's header, with more pixels than the preview.
    lossless = b"\xff\xd8\xff\xc3\0\x0b\x08\2\0\2\0\1\1\x11\0\xff\xda\0\x08\1\1\0\1\0\0" + bytes(64) + b"\xff\xd9"
    raw_files(preview, encoded(scene(width=80, height=56), "JPEG"), lossless)
    made["turned-twice.dng"] = dng(6, encoded(scene(), "JPEG", quality=90, exif=exif(6)))


def make_small():
    """32 pictures a format of a kilobyte or so, for tests that damage them: no answers are kept."""
    small = here / "small"
    small.mkdir(exist_ok=True)
    for path in small.iterdir():
        path.unlink()
    sizes = [(48, 40), (33, 17), (64, 24), (17, 49)]
    for kind, ending in (("HEIF", "heic"), ("AVIF", "avif"), ("JXL", "jxl"), ("JPEG2000", "jp2")):
        for number in range(32):
            width, height = sizes[number % 4]
            channels = [3, 4, 1, 3][number // 4 % 4]
            if kind in ("JXL", "JPEG2000") and number % 8 == 5:
                channels = 2
            second = number >= 16
            options = {
                "HEIF": {"quality": 85 if second else 40, "chroma": 444 if number % 3 == 0 else 420},
                "AVIF": {"quality": 85 if second else 40, "speed": 8, "subsampling": ["4:2:0", "4:2:2", "4:4:4"][number % 3]},
                "JXL": {"lossless": True} if second else {"quality": 60 + number, "use_container": number % 2 == 0},
                "JPEG2000": {"irreversible": second, "no_jp2": number % 3 == 0, "num_resolutions": 1 + number % 4,
                             "progression": ["LRCP", "RLCP", "RPCL", "PCRL", "CPRL"][number % 5]},
            }[kind]
            if kind == "JPEG2000" and number % 4 == 2:
                options["tile_size"] = (24, 16)
            is_sequence = kind == "AVIF" and number % 8 == 7
            if kind in ("HEIF", "AVIF") and number % 5 == 1 and not is_sequence:
                options["exif"] = exif(2 + number % 7)
            image = scene(channels, width=width, height=height)
            if is_sequence:
                options |= {"save_all": True, "append_images": [image.rotate(180)]}
            (small / f"{number:02}.{ending}").write_bytes(encoded(image, kind, **options))


# Answers --------------------------------------------------------------------------------------

# Largest difference of a byte from the answer, where it may differ.
TOLERANCE = {".heic": 4, ".avif": 1, ".jxl": 2}
# libavif 0.11 and 1.4 round alpha of more than 8 bits, and colours beside it, differently.
WIDE_ALPHA = 6


def answer(name, data):
    if name.startswith("preview.") and not name.endswith(".dng"):
        # Too little of a raw file for rawpy. The preview is that of preview.dng; what is around it, a camera's.
        known = answer("turned.dng", (here / "turned.dng").read_bytes())
        camera = "iPhone 15" if name.endswith(".raf") else "Maker One"
        return known | {"file": name, "camera": camera.replace("iPhone", "Apple iPhone"), "takenAt": "2024-02-29 23:59:07"}
    if name.endswith(".dng"):
        with rawpy.imread(io.BytesIO(data)) as raw:
            image = Image.open(io.BytesIO(raw.extract_thumb().data))
            image.load()
            flip = {0: 1, 3: 3, 5: 8, 6: 6}[raw.sizes.flip]
        if image.getexif().get(0x0112, 1) == 1:
            image.getexif()[0x0112] = flip
    else:
        image = Image.open(io.BytesIO(data))
        image.load()
    # The raw file's EXIF counts before the preview's, in the place of which rawpy may give libraw's own.
    exif = (Image.open(io.BytesIO(data)) if name.endswith(".dng") else image).getexif()
    details = exif.get_ifd(0x8769)
    if name.endswith(".dng") and not details:
        details = Image.open(io.BytesIO(data[data.index(b"\xff\xd8\xff"):])).getexif().get_ifd(0x8769)
    upright = image if name.endswith(".jxl") else ImageOps.exif_transpose(image)
    known = {"file": name, "mode": upright.mode, "width": upright.width, "height": upright.height,
             "tolerance": WIDE_ALPHA if name.endswith("bits-alpha.avif") else TOLERANCE.get(pathlib.Path(name).suffix, 0),
             "camera": exif.get(0x0110),
             "takenAt": (details.get(0x9003) or "").replace(":", "-", 2) or None,
             "square": base64.b64encode(to_bytes(upright).tobytes()).decode()}
    if known["camera"] == "iPhone 15":
        known["camera"] = "Apple iPhone 15"
    return {k: v for k, v in known.items() if v is not None}


def main():
    if "--pictures" in sys.argv:
        make()
        replace_pictures(here, made)
        make_small()
    write_answers(here, [answer(name, (here / name).read_bytes()) for name in names(here)])


main()
