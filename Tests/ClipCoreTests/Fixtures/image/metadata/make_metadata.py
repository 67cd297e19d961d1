#!/usr/bin/env python3
"""Make the pictures in this folder, which carry EXIF and XMP, and Pillow's answers to them.

    pip install torch torchvision 'setuptools<80' clip-anytorch pillow numpy   # CPU torch is enough
    python make_metadata.py [--pictures]

golden.json has for each picture: mode, size and CRC-32 of the pixels after `load()` and after
`ImageOps.exif_transpose`, the CRC-32 of upstream's 224x224x3 bytes of the latter, and EXIF's time, offset and
camera as Pillow reads them. Without --pictures only golden.json is written. Made with Pillow 13.0.0.
"""
import datetime, io, pathlib, struct, sys, warnings, zlib
warnings.filterwarnings("ignore")
import numpy as np
from PIL import Image, ImageCms, ImageOps

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from upstream import names, replace_pictures, to_bytes_at, write_answers

here = pathlib.Path(__file__).resolve().parent
to_bytes = to_bytes_at(224)
made = {}


def scene(channels=3, width=37, height=23):
    y, x = np.mgrid[0:height, 0:width]
    planes = [(x * (5 + c) + y * (9 - c) + 40 * ((x // 7 + y // 5 + c) % 3)) % 256 for c in range(channels)]
    return Image.fromarray(np.stack(planes, -1).astype(np.uint8).squeeze())


def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def exif(entries, details=(), big=False, name=b"Exif\0\0", magic=None):
    """A TIFF structure. Entries are (tag, type, count, bytes)."""
    order = ">" if big else "<"
    def directory(entries, start):
        entries = sorted(entries)
        after = start + 2 + 12 * len(entries) + 4
        body, data = struct.pack(order + "H", len(entries)), b""
        for tag, kind, count, value in entries:
            body += struct.pack(order + "HHI", tag, kind, count)
            if len(value) > 4:
                body += struct.pack(order + "I", after + len(data))
                data += value + b"\0" * (len(value) & 1)
            else:
                body += value.ljust(4, b"\0")
        return body + bytes(4) + data
    entries = list(entries)
    if details:
        size = len(directory(entries + [(0x8769, 4, 1, bytes(4))], 8))
        entries.append((0x8769, 4, 1, struct.pack(order + "I", 8 + size)))
    head = magic or (b"MM\0*" if big else b"II*\0")
    first = directory(entries, 8)
    return name + head + struct.pack(order + "I", 8) + first + (directory(details, 8 + len(first)) if details else b"")


def turn(value, big=False, kind=3, **options):
    form = {1: "B", 3: "H", 4: "I", 9: "i", 8: "h"}[kind]
    return exif([(0x0112, kind, 1, struct.pack((">" if big else "<") + form, value))], big=big, **options)


def text(tag, value):
    return (tag, 2, len(value), value)


def jpeg_with(*segments, image=None):
    data = encoded(image or scene(), "JPEG", quality=85)
    return data[:2] + b"".join(b"\xff\xe1" + struct.pack(">H", len(s) + 2) + s for s in segments) + data[2:]


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(before=b"", after=b"", image=None):
    data = encoded(image or scene(), "PNG")
    return data[:33] + before + data[33:-12] + after + data[-12:]


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description %s/></x:xmpmeta>'
XAP = b"http://ns.adobe.com/xap/1.0/\0"
PHONE = [text(0x010F, b"Apple\0"), text(0x0110, b"iPhone 15\0")]
TIME = [text(0x9003, b"2024:02:29 23:59:07\0"), text(0x9011, b"+05:30\0")]


def make():
    for value in range(0, 10):
        made[f"exif-{value}.jpg"] = jpeg_with(turn(value, big=value % 2 == 0))
    for value in (2, 3, 5, 6):
        made[f"exif-{value}.png"] = png_with(chunk(b"eXIf", turn(value, name=b"")))
        made[f"exif-{value}.webp"] = encoded(scene(), "WEBP", lossless=True, exif=turn(value, name=b""))
    made["exif-8-grey.jpg"] = jpeg_with(turn(8), image=scene(1))
    made["exif-7-cmyk.jpg"] = jpeg_with(turn(7), image=Image.fromarray(np.asarray(scene(4)), "CMYK"))
    made["exif-8-progressive.jpg"] = encoded(scene(), "JPEG", progressive=True, exif=turn(8))
    made["exif-5-rgba.png"] = png_with(chunk(b"eXIf", turn(5, name=b"")), image=scene(4))
    made["exif-6-palette.png"] = png_with(chunk(b"eXIf", turn(6, name=b"")), image=scene().quantize(50))
    made["exif-6-rgba.webp"] = encoded(scene(4), "WEBP", lossless=True, exif=turn(6))
    grey16 = Image.fromarray((np.asarray(scene(1)).astype(np.uint16) * 257 // 3))
    made["exif-6-grey16.png"] = png_with(chunk(b"eXIf", turn(6, name=b"")), image=grey16)
    # A large one: columns and rows outside of the window are not needed.
    made["exif-6-long.jpg"] = jpeg_with(turn(6), image=scene(3, 900, 260))
    made["exif-3-tall.jpg"] = jpeg_with(turn(3), image=scene(3, 240, 700))
    made["exif-5-long.jpg"] = jpeg_with(turn(5), image=scene(3, 700, 240))

    for name, kind in (("byte", 1), ("long", 4), ("signed-long", 9), ("signed-short", 8)):
        made[f"type-{name}.jpg"] = jpeg_with(turn(6, kind=kind))
    made["two-values.jpg"] = jpeg_with(exif([(0x0112, 3, 2, struct.pack("<HH", 6, 3))]))
    made["three-values.jpg"] = jpeg_with(exif([(0x0112, 3, 3, struct.pack("<HHH", 8, 3, 1))]))
    made["twice.jpg"] = jpeg_with(exif([(0x0112, 3, 1, b"\6\0"), (0x0112, 3, 1, b"\3\0")]))
    made["name-twice.jpg"] = jpeg_with(b"Exif\0\0" + turn(6))
    made["swapped-magic.jpg"] = jpeg_with(turn(6, magic=b"II\0*"))
    made["not-tiff.jpg"] = jpeg_with(b"Exif\0\0no TIFF structure")
    made["empty-exif.jpg"] = jpeg_with(b"Exif\0\0")
    made["cut-exif.jpg"] = jpeg_with(turn(6)[:-8])
    made["two-segments.jpg"] = jpeg_with(turn(6)[:20], b"Exif\0\0" + turn(6)[20:])
    made["fill-bytes.jpg"] = jpeg_with()[:2] + b"\xff\xff\xff" + jpeg_with(turn(6))[2:]
    made["xmp.jpg"] = jpeg_with(XAP + XMP % b'tiff:Orientation="6"')
    made["xmp-element.jpg"] = jpeg_with(XAP + XMP % b"><tiff:Orientation>8</tiff:Orientation><a")
    made["xmp-single-quotes.jpg"] = jpeg_with(XAP + XMP % b"tiff:Orientation='6'")
    made["xmp-and-exif.jpg"] = jpeg_with(XAP + XMP % b'tiff:Orientation="6"', turn(3))
    made["xmp-and-byte.jpg"] = jpeg_with(XAP + XMP % b'tiff:Orientation="6"', turn(3, kind=1))
    made["xmp-and-other-exif.jpg"] = jpeg_with(XAP + XMP % b'tiff:Orientation="6"', exif(PHONE))
    itxt = b"XML:com.adobe.xmp\0"
    made["xmp.png"] = png_with(chunk(b"iTXt", itxt + b"\0\0\0\0" + XMP % b'tiff:Orientation="6"'))
    made["xmp-compressed.png"] = png_with(
        chunk(b"iTXt", itxt + b"\1\0\0\0" + zlib.compress(XMP % b'tiff:Orientation="6"')))
    made["xmp.webp"] = encoded(scene(), "WEBP", lossless=True, xmp=XMP % b'tiff:Orientation="6"')
    made["exif-after-data.png"] = png_with(after=chunk(b"eXIf", turn(6, name=b"")))
    made["exif-named.png"] = png_with(chunk(b"eXIf", turn(6)))
    raw = turn(6)
    profile = b"\nexif\n%8d\n" % len(raw) + b"\n".join(
        raw.hex().encode()[i:i + 72] for i in range(0, 2 * len(raw), 72)) + b"\n"
    name = b"Raw profile type exif\0"
    made["raw-profile.png"] = png_with(chunk(b"tEXt", name + profile))
    made["raw-profile-compressed.png"] = png_with(chunk(b"zTXt", name + b"\0" + zlib.compress(profile)))
    made["raw-profile-and-exif.png"] = png_with(
        chunk(b"tEXt", name + profile) + chunk(b"eXIf", turn(3, name=b"")))
    webp = encoded(scene(), "WEBP", lossless=True, exif=turn(6))
    at = webp.index(b"VP8X") + 8
    made["exif-unannounced.webp"] = webp[:at] + bytes([webp[at] & ~8]) + webp[at + 1:]

    made["camera.jpg"] = jpeg_with(exif([*PHONE, (0x0112, 3, 1, b"\6\0")], TIME))
    made["camera-big.jpg"] = jpeg_with(exif([*PHONE, (0x0112, 3, 1, b"\0\6")], TIME, big=True))
    made["camera.png"] = png_with(chunk(b"eXIf", exif(PHONE, TIME, name=b"")))
    made["camera.webp"] = encoded(scene(), "WEBP", lossless=True, exif=exif(PHONE, TIME))
    made["make-in-model.jpg"] = jpeg_with(
        exif([text(0x010F, b"Canon\0"), text(0x0110, b"Canon EOS 5D\0")], [text(0x9003, b"2008:07:31 05:06:07\0")]))
    made["spaces.jpg"] = jpeg_with(
        exif([text(0x010F, b"  NIKON CORPORATION  \0"), text(0x0110, b"NIKON D90   \0\0\0")],
             [text(0x9003, b"    :  :     :  :  \0"), text(0x9011, b"   :  \0")]))
    made["only-model.jpg"] = jpeg_with(exif([text(0x0110, b"K\xf6nig\0")], [text(0x9003, b"0000:00:00 00:00:00\0")]))
    made["no-such-day.jpg"] = jpeg_with(exif([text(0x010F, b"x\0")], [text(0x9003, b"2023:02:29 00:00:00\0")]))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        made[f"profile.{kind.lower()}"] = encoded(scene(), kind, icc_profile=profile)
    made["profile-alpha.png"] = encoded(scene(4), "PNG", icc_profile=profile)
    made["profile-palette.png"] = encoded(scene().quantize(50), "PNG", icc_profile=profile)
    made["camera.tif"] = encoded(
        scene(), "TIFF", tiffinfo={0x010F: "Apple", 0x0110: "iPhone 15", 0x0112: 6})


# Answers --------------------------------------------------------------------------------------

def camera(exif):
    def text(tag):
        value = exif.get(tag)
        return value.split("\0")[0].strip() if isinstance(value, str) else ""
    make, model = text(0x010F), text(0x0110)
    named = bool(make) and model.lower().startswith(make.split()[0].lower())
    return (model if named else f"{make} {model}".strip()) or None


def taken(details):
    try:
        return str(datetime.datetime.strptime(details.get(0x9003, "").rstrip("\0"), "%Y:%m:%d %H:%M:%S"))
    except ValueError:
        return None


def answer(name, data):
    image = Image.open(io.BytesIO(data))
    image.load()
    stored = zlib.crc32(image.tobytes())
    try:
        exif = image.getexif()
        orientation = exif.get(0x0112, 1)
        details = exif.get_ifd(0x8769)
        upright = ImageOps.exif_transpose(image)
    except SyntaxError:  # not a TIFF structure
        exif, details, upright, orientation = {}, {}, image, 1
    offset = details.get(0x9011, "").rstrip("\0")
    known = {"file": name, "mode": image.mode, "stored": stored, "width": upright.width, "height": upright.height,
             "orientation": orientation if orientation in range(1, 9) else 1,
             "pixels": zlib.crc32(upright.tobytes()), "square": zlib.crc32(to_bytes(upright).tobytes()),
             "takenAt": taken(details), "takenOffset": offset if offset.strip(" :") else None,
             "camera": camera(exif)}
    return {k: v for k, v in known.items() if v is not None}


def main():
    if "--pictures" in sys.argv:
        make()
        replace_pictures(here, made)
    write_answers(here, [answer(name, (here / name).read_bytes()) for name in names(here)])


main()
