"""scripts/bench; its head says how it is used."""

import argparse
import json
import os
import pathlib
import signal
import sys
import time

from . import cold, ingest, machine, report, rounds, workers, workplace
from .workplace import note

# Cores' worth of other work, beyond which figures are noise.
IDLE = 0.3


def arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Compares the tools with every runtime a user would pick.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--prepare", action="store_true", help="install, build and export only")
    what.add_argument("--cold", action="store_true", help="the cold query alone")
    what.add_argument("--ingest", action="store_true", help="process-images from an S3 store to rows")
    what.add_argument(
        "--workers", action="store_true", help="two process-images of one thread beside one")
    what.add_argument("--report", type=pathlib.Path, metavar="FILE", help="print an earlier run")
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--model", type=pathlib.Path, help="a checkpoint in OpenAI's format")
    weights.add_argument(
        "--random", choices=["ViT-B/32", "ViT-B/16", "ViT-L/14"],
        help="seeded random weights of full size (default: ViT-B/32)")
    parser.add_argument(
        "--photos", type=pathlib.Path, default=workplace.ROOT / "samples" / "pictures",
        help="a folder of JPEG files (default: samples/pictures)")
    parser.add_argument("--count", type=int, default=64, help="photos of it (default: 64)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=3, help="about so long is each measurement (default: 3)")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 1 second with 16 photos")
    parser.add_argument(
        "--peers", metavar="NAME,…", help="only these: " + ", ".join(rounds.commands()))
    parser.add_argument(
        "--objects", type=int, default=10_000, help="objects of --ingest (default: 10000; with --prepare, 0: no store)")
    parser.add_argument(
        "--precision", choices=["fp32", "int8", "int7"], default="int8", help="of --ingest and --workers (default: int8)")
    parser.add_argument(
        "--no-build", action="store_true", help="use what the last run or swift build has built")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.count = 2, 1, min(options.count, 16)
    if not options.model and not options.random:
        options.random = "ViT-B/32"
    if options.model and not options.model.is_file():
        parser.error(f"there is no file {options.model}")
    if options.rounds < 1 or options.count < 1 or options.objects < 0 or options.seconds <= 0:
        parser.error("--rounds, --count, --objects and --seconds must be positive")
    unknown = set((options.peers or "").split(",")) - {"", *rounds.commands()}
    if unknown:
        parser.error(f"there is no peer {', '.join(sorted(unknown))}")
    return options


def main():
    options = arguments()
    if options.report:
        print_report(json.loads(options.report.read_text()), options.markdown)
        return
    workplace.install()
    if not options.no_build:
        workplace.build()
    model = workplace.Model(options)
    photos = None if options.cold or options.workers else workplace.Photos(options.photos, options.count, model)
    if options.prepare:
        with workplace.postgres() as uri:
            cold.Cold(model, uri).check()
        if options.objects:
            with ingest.services(options):
                pass
        note("prepared")
        return

    busy = machine.busy_cores()
    load = f"average {os.getloadavg()[0]:.1f}, {busy:.2f} of {machine.cores()} cores busy"
    note(f"load before starting: {load}")
    if busy > IDLE:
        note("WARNING: this machine is not idle; only ratios within a round mean anything")
    name = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    path = workplace.WORK / "results" / f"{name}.json"
    results = workplace.Results(path, {
        "machine": {
            "processor": f"{machine.processor()} ({machine.instructions()})", "cores": machine.cores(),
            "load": load},
        "model": model.title, "photos": 0 if photos is None else len(photos.paths),
        "rounds": options.rounds, "peers": {}, "samples": [], "notes": [],
    })
    note(f"results as they come: {path}")
    if options.ingest:
        ingest.run(results, model, photos, options)
    elif options.workers:
        workers.run(results, model, options)
    else:
        compare(results, model, photos, options)
    print_report(results.data, options.markdown)


def compare(results, model, photos, options):
    wanted = set(options.peers.split(",")) if options.peers else None
    with workplace.postgres() as uri:
        query = None
        if wanted is None or options.cold:
            query = cold.Cold(model, uri)
            query.check()
        if options.cold:
            results.data["peers"] |= cold.PEERS
            for number in range(1, options.rounds + 1):
                rounds.measure_cold(results, query, number)
            return
        turns = rounds.Rounds(
            results,
            {
                "model": str(model.path), "work": str(model.folder), "cores": machine.cores(),
                "photos": photos.paths, "tensors": str(photos.tensors), "resolution": model.side,
            }, options.seconds, wanted)
        try:
            turns.check()
            if query:
                results.data["peers"] |= cold.PEERS
            turns.run(options.rounds, query)
        finally:
            turns.stop()


def print_report(data, as_markdown):
    print(report.render(data, as_markdown))
    if "ingest" in data:
        print(ingest.render(data["ingest"]))
    if "workers" in data:
        print(workers.render(data["workers"]))


# Ended from outside, it still stops what it has started.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
try:
    main()
except KeyboardInterrupt:
    sys.exit(130)
