"""Two process-images of one thread each beside one, on the same pictures: how well work is shared."""

import json
import os
import subprocess
import time

from . import machine, workplace
from .report import digits
from .workplace import note


def run(results, model, options):
    folder = options.photos.resolve()
    with workplace.postgres("postgres-workers") as uri:
        settings = {
            "PG_SERVICE_URI": uri, "S3_ENDPOINT": "file://" + str(folder.parent).replace(" ", "%20"),
            "S3_BUCKET_NAME": folder.name, "CLIP_MODEL": str(model.path),
            "CLIP_PRECISION": options.precision, "PATH": os.environ["PATH"],
            "HOME": str(workplace.WORK)}
        workplace.run(
            [workplace.tools() / "create-table", "--dimension", model.dimension], env=settings,
            cwd=workplace.WORK)
        data = {"precision": options.precision, "cores": machine.cores(), "rounds": []}
        results.data["workers"] = data
        for number in range(options.rounds):
            # In turn, and each first as often as the other.
            order = (1, 2) if number % 2 == 0 else (2, 1)
            data["rounds"].append({count: share(settings, uri, model, count) for count in order})
            results.save()


def share(settings, uri, model, count):
    """Seconds until `count` processes have embedded everything into an empty table."""
    workplace.exports("rows", "0", str(model.dimension), environment={"PG_SERVICE_URI": uri})
    note(f"{count} process-images of one thread")
    start = time.monotonic()
    processes = [
        subprocess.Popen(
            [workplace.tools() / "process-images", "--workers", "1", "--quiet", "--json"],
            env=settings | {"OPENBLAS_NUM_THREADS": "1"}, cwd=workplace.WORK, stdout=subprocess.PIPE,
            text=True)
        for _ in range(count)
    ]
    summaries = [json.loads(process.communicate()[0]) for process in processes]
    seconds = time.monotonic() - start
    return {"seconds": seconds, "encoded": [summary["encoded"] for summary in summaries]}


def render(data):
    lines = [f"process-images with --workers 1, {data['precision']}: one process, and two that share"]
    ratios = []
    for one, two in ((r.get("1", r.get(1)), r.get("2", r.get(2))) for r in data["rounds"]):
        ratios.append(one["seconds"] / two["seconds"])
        lines.append(
            f"  {sum(one['encoded'])} pictures: one {one['seconds']:.1f} s, two {two['seconds']:.1f} s "
            f"({' + '.join(map(str, two['encoded']))}), {digits(ratios[-1])} × shorter")
    if ratios:
        ratios.sort()
        lines.append(
            f"  ratio: {ratios[0]:.2f} to {ratios[-1]:.2f}, median {ratios[len(ratios) // 2]:.2f}")
    return "\n".join(lines)
