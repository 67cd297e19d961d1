"""process-images from a real S3 store to rows: its rate beside the encoder's own, processors, memory.

Store and database run on the same machine, so they take processor time from the tools; the report says
how much.
"""

import contextlib
import os
import subprocess
import time

from . import machine, workplace
from .peer import Peer
from .report import digits
from .workplace import note

BUCKET = "bench"
BATCH = 16


@contextlib.contextmanager
def services(options):
    """Store and database, filled: the settings of both as the tools take them."""
    with workplace.object_store() as store, workplace.postgres("postgres-ingest") as uri:
        settings = {
            **store, "PG_SERVICE_URI": uri, "S3_BUCKET_NAME": BUCKET, "PATH": os.environ["PATH"],
            "HOME": str(workplace.WORK)}
        stamp = workplace.WORK / "object-store" / "bench.stamp"
        wanted = f"{options.objects} {options.photos.resolve()}"
        if not stamp.exists() or stamp.read_text() != wanted:
            note(f"uploading {options.objects} objects")
            workplace.run(
                [workplace.PYTHON, workplace.BENCHMARKS / "upload.py", options.objects, options.photos],
                env=settings)
            stamp.write_text(wanted)
        yield settings


def run(results, model, photos, options):
    with services(options) as settings:
        settings |= {"CLIP_MODEL": str(model.path), "CLIP_PRECISION": options.precision}
        workplace.run(
            [workplace.tools() / "create-table", "--dimension", model.dimension], env=settings,
            cwd=workplace.WORK)
        workplace.exports("rows", "0", str(model.dimension), environment=settings)
        data = {
            "objects": options.objects, "precision": options.precision, "cores": machine.cores(),
            "encoder": [encoder_rates(model, photos, options)],
        }
        data |= process_images(settings)
        data["encoder"].append(encoder_rates(model, photos, options))
        results.data["ingest"] = data
        results.save()


def encoder_rates(model, photos, options):
    """What the encoder reaches by itself, with the batches of process-images."""
    peer = Peer(
        f"ours-{options.precision}",
        [workplace.WORK / "swift" / "release" / "ClipBench", options.precision])
    try:
        peer.ask("load", load={
            "model": str(model.path), "work": str(model.folder), "cores": machine.cores(),
            "photos": photos.paths, "tensors": str(photos.tensors), "resolution": model.side})
        configuration = {"lanes": machine.cores(), "batch": BATCH}
        peer.ask("configure", configuration=configuration)
        unit = configuration["lanes"] * configuration["batch"]
        first = peer.ask("measure", source="tensors", count=unit)["seconds"][0]
        # Long, since the two are compared with one long run.
        count = unit * max(1, round(4 * options.seconds / first))
        return {
            source: count / peer.ask("measure", source=source, count=count)["seconds"][0]
            for source in ("tensors", "files")
        }
    finally:
        peer.stop()


def process_images(settings):
    """Runs the tool and watches it, once a second."""
    note("process-images")
    start, busy = time.monotonic(), machine.busy_seconds()
    process = subprocess.Popen(
        [str(workplace.tools() / "process-images")], env=settings, cwd=workplace.WORK,
        stdout=subprocess.PIPE, text=True)
    samples = []
    while process.poll() is None:
        used = machine.process_seconds(process.pid)
        resident = machine.resident_mebibytes(process.pid)
        if used is not None and resident is not None:
            samples.append(
                [round(time.monotonic() - start, 2), round(used, 2), round(resident, 1)])
        time.sleep(1 if len(samples) > 5 else 0.2)
    seconds = time.monotonic() - start
    return {
        "seconds": seconds, "status": process.returncode, "summary": process.stdout.read().strip(),
        "busy": machine.busy_seconds() - busy, "samples": samples,
    }


def sparkline(values, width=50):
    """A line of blocks from 0 to the largest value, each the largest of its share of the values."""
    if not values or max(values) <= 0:
        return ""
    blocks = "▁▂▃▄▅▆▇█"
    count = min(width, len(values))
    parts = [
        max(values[i * len(values) // count : (i + 1) * len(values) // count])
        for i in range(count)
    ]
    return "".join(
        blocks[min(len(blocks) - 1, int(part / max(values) * len(blocks)))] for part in parts)


def render(data):
    rate = data["objects"] / data["seconds"]
    lines = [
        f"process-images, {data['precision']}, {data['objects']} objects from the S3 store to rows: "
        f"{data['seconds']:.1f} s, {digits(rate)} pictures/s (exit code {data['status']})",
        f"  {data['summary']}",
    ]
    for source, title in (("tensors", "encoder alone"), ("files", "JPEG file to embedding")):
        own = [rates[source] for rates in data["encoder"]]
        mean = sum(own) / len(own)
        lines.append(
            f"  {title}, before and after: {' and '.join(map(digits, own))} pictures/s; "
            f"process-images reaches {100 * rate / mean:.0f} % of their mean")
    if data["samples"]:
        used = data["samples"][-1][1] / data["samples"][-1][0]
        busy = data["busy"] / data["seconds"]
        lines.append(
            f"  processors: {busy:.2f} of {data['cores']} busy, {used:.2f} of it process-images, the "
            "rest the store, the database and whatever else runs")
        resident = [sample[2] for sample in data["samples"]]
        lines.append(f"  memory over time, up to {max(resident):.0f} MiB: {sparkline(resident)}")
        quarters = [resident[min(len(resident) - 1, i * len(resident) // 4)] for i in range(1, 5)]
        lines.append(
            "  memory after a quarter, half, three quarters, all of the run: "
            + ", ".join(f"{value:.0f}" for value in quarters) + " MiB")
    return "\n".join(lines)
