#!/usr/bin/env python3
"""Measure process-images on large JPEGs, beside Pillow with torchvision.

    pip install numpy pillow torch torchvision
    python Benchmarks/large.py make DIR --photos PHOTOS --megapixels 12 --count 200
    swift build -c release
    python Benchmarks/large.py measure DIR --model ViT-B-32.pt [--precision fp32 int8] [--options --fast-decode]

`make` enlarges photos and adds a sensor's noise, so that a file has the size and the work of a camera's (4:2:0,
quality 92: 3 to 5 MB at 12 megapixels). `measure` starts a private PostgreSQL, lets process-images embed the folder
into an empty table, and lets Pillow do decoding and preprocessing alone, as upstream does and with scaled decoding
(`draft`), on as many processes as there are processors. All in pictures a second. With `--options` it says how far the
embeddings are from those without: the worst cosine. `--pillow 0` leaves Pillow out.
"""
import argparse, io, json, multiprocessing, os, pathlib, resource, subprocess, tempfile, time, warnings

warnings.filterwarnings("ignore")
ROOT = pathlib.Path(__file__).resolve().parents[1]


def enlarged(job):
    import numpy as np
    from PIL import Image
    source, target, megapixels, seed = job
    image = Image.open(source).convert("RGB")
    scale = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.BICUBIC)
    random = np.random.default_rng(seed)
    # A tile of noise will do; JPEG has no memory beyond 8 x 8 pixels.
    noise = random.normal(0, 6, (512, 512, 3)).astype(np.int16)
    rows, columns = -(-image.height // 512), -(-image.width // 512)
    noise = np.tile(noise, (rows, columns, 1))[: image.height, : image.width]
    noise += np.asarray(image)
    Image.fromarray(np.clip(noise, 0, 255, out=noise).astype(np.uint8)).save(target, quality=92, subsampling="4:2:0")


def make(options):
    photos = sorted(path for path in options.photos.iterdir() if path.suffix == ".jpg")
    options.folder.mkdir(parents=True, exist_ok=True)
    jobs = [(photos[number * len(photos) // options.count], options.folder / f"{number:04}.jpg", options.megapixels, number)
            for number in range(options.count)]
    with multiprocessing.Pool(options.processes) as pool:
        pool.map(enlarged, [job for job in jobs if not job[1].exists()], chunksize=1)


def pillow(job):
    """Seconds of one process for its share of the files."""
    paths, is_scaled = job
    import torch
    from PIL import Image
    from torchvision import transforms
    torch.set_num_threads(1)
    transform = transforms.Compose([
        transforms.Resize(224, interpolation=Image.BICUBIC), transforms.CenterCrop(224), lambda image: image.convert("RGB"),
        transforms.ToTensor(),
        transforms.Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))])
    start = time.monotonic()
    for path in paths:
        image = Image.open(io.BytesIO(path.read_bytes()))
        if is_scaled:
            image.draft("RGB", (448, 448))
        transform(image)
    return time.monotonic() - start


def processor_seconds():
    """Of the programs that have run; a busy machine changes it less than the rate."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(options):
    files = sorted(options.folder.iterdir())
    cores = len(os.sched_getaffinity(0))
    print(f"{len(files)} files, {sum(f.stat().st_size for f in files) / len(files) / 1e6:.1f} MB each, {cores} processors")
    with tempfile.TemporaryDirectory() as work, multiprocessing.Pool(cores) as pool:
        os.chmod(work, 0o755)
        for is_scaled in (False, True) if options.pillow else ():
            some = files[: options.pillow]
            slowest = max(pool.map(pillow, [(some[core::cores], is_scaled) for core in range(cores)], chunksize=1))
            print(f"Pillow and torchvision, decoding and preprocessing alone{', scaled' if is_scaled else ''}: "
                  f"{len(some) / slowest:.1f}/s", flush=True)
        postgres = ROOT / "scripts/services/postgres"
        folder = pathlib.Path(work) / "postgres"
        lines = subprocess.run([postgres, "start", folder, "--no-fsync"], check=True, stdout=subprocess.PIPE, text=True).stdout
        try:
            settings = os.environ | dict(line.split("=", 1) for line in lines.splitlines() if "=" in line) | {
                "S3_ENDPOINT": f"file://{options.folder.resolve().parent}", "S3_BUCKET_NAME": options.folder.resolve().name,
                "CLIP_MODEL": str(options.model.resolve())}
            for precision in options.precision:
                exact = {}
                for extra in [[]] + [[option] for option in options.options]:
                    subprocess.run(["psql", settings["PG_SERVICE_URI"], "-qc", "drop schema public cascade; create schema public"],
                                   check=True, stderr=subprocess.DEVNULL)
                    environment = settings | {"CLIP_PRECISION": precision}
                    subprocess.run([options.tools / "create-table"], env=environment, cwd=work, check=True, stdout=subprocess.DEVNULL)
                    start, used = time.monotonic(), processor_seconds()
                    run = subprocess.run([options.tools / "process-images", "--quiet", "--json", *extra], env=environment,
                                         cwd=work, stdout=subprocess.PIPE, text=True)
                    seconds = time.monotonic() - start
                    encoded = json.loads(run.stdout)["encoded"]
                    print(f"process-images {' '.join(extra)} {precision}: {encoded / seconds:.1f}/s ({encoded} in {seconds:.1f} s, "
                          f"{processor_seconds() - used:.1f} s of processor time, loading included, exit code {run.returncode})", flush=True)
                    rows = subprocess.run(["psql", settings["PG_SERVICE_URI"], "-AtF", "\t", "-c", "select filename, embedding from pictures"],
                                          check=True, stdout=subprocess.PIPE, text=True).stdout
                    vectors = {name: json.loads(vector) for name, vector in (row.split("\t") for row in rows.splitlines())}
                    exact = exact or vectors
                    cosines = sorted((sum(a * b for a, b in zip(vectors[name], exact[name])), name) for name in vectors)
                    if extra:
                        print(f"    cosine to the first of {len(cosines)}: worst {cosines[0][0]:.6f} ({cosines[0][1]}), "
                              f"then {cosines[1][0]:.6f}; mean {sum(c for c, _ in cosines) / len(cosines):.6f}", flush=True)
        finally:
            subprocess.run([postgres, "stop", folder])


parser = argparse.ArgumentParser()
commands = parser.add_subparsers(required=True)
command = commands.add_parser("make")
command.add_argument("folder", type=pathlib.Path)
command.add_argument("--photos", type=pathlib.Path, required=True)
command.add_argument("--megapixels", type=float, default=12)
command.add_argument("--count", type=int, default=200)
command.add_argument("--processes", type=int, default=1)
command.set_defaults(run=make)
command = commands.add_parser("measure")
command.add_argument("folder", type=pathlib.Path)
command.add_argument("--model", type=pathlib.Path, required=True)
command.add_argument("--precision", nargs="+", default=["fp32", "int8"])
command.add_argument("--pillow", type=int, default=40, help="how many of the files Pillow is given")
command.add_argument("--options", nargs="*", default=[])
command.add_argument("--tools", type=pathlib.Path, default=ROOT / ".build/release")
command.set_defaults(run=measure)
options = parser.parse_args()
options.run(options)
