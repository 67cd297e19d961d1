"""The table, as plain text and as Markdown, from the results' file."""

import dataclasses
import math

from . import statistics
from .statistics import Spread


@dataclasses.dataclass(frozen=True)
class Measure:
    key: str
    title: str
    unit: str
    larger_is_better: bool


MEASURES = [
    Measure("tensors", "Encoder alone, from ready tensors", "pictures/s", True),
    Measure("files", "JPEG file to embedding", "pictures/s", True),
    Measure("preprocessing", "Decoding and preprocessing, on one core", "pictures/s", True),
    Measure("text", 'A text, warm: "man jumping"', "ms", False),
    Measure("long text", "A text of 40 tokens, warm", "ms", False),
    Measure("cold wall", "Cold query, whole process: time", "s", False),
    Measure("cold memory", "Cold query, whole process: peak memory", "MiB", False),
]


def digits(value):
    """Three significant digits, without an exponent."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    return f"{rounded:.{max(0, 2 - math.floor(math.log10(abs(rounded))))}f}"


def table(results, measure):
    """Header and rows of one measure; None when nothing was measured."""
    samples = results["samples"]
    peers = [
        peer for peer in results["peers"]
        if statistics.by_round(samples, measure.key, peer)
    ]
    if not peers:
        return None
    ours = [peer for peer in peers if results["peers"][peer].get("ours")]
    header = [measure.title, f"median, {measure.unit}", "least", "most"]
    header += [f"× {results['peers'][peer]['name']}" for peer in ours]
    rows = []
    for peer in peers:
        spread = Spread.of(statistics.by_round(samples, measure.key, peer).values())
        row = [label(results, peer), digits(spread.middle), digits(spread.low), digits(spread.high)]
        for base in ours:
            ratio = Spread.of(
                statistics.ratios(samples, measure.key, base, peer, measure.larger_is_better))
            row.append("–" if base == peer or ratio is None else spread_text(ratio))
        rows.append(row)
    return header, rows


def spread_text(spread):
    return f"{digits(spread.middle)} ({digits(spread.low)} to {digits(spread.high)})"


def label(results, peer):
    described = results["peers"][peer]
    mark = " *" if described.get("remark") else ""
    return described["name"] + mark


def plain(header, rows):
    """Columns aligned: the first to the left, figures to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(row):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        return "  ".join(cells).rstrip()

    return [line(header), "  ".join("-" * width for width in widths), *map(line, rows)]


def markdown(header, rows):
    def line(cells):
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(header), "|---|" + "---:|" * (len(header) - 1), *map(line, rows)]


def settings_lines(results):
    """One line a peer: version, how its work is spread, what it computes."""
    for key, peer in results["peers"].items():
        parts = []
        if peer.get("version"):
            parts.append(peer["version"])
        if configuration := peer.get("configuration"):
            parts.append(f"{configuration['lanes']} × batches of {configuration['batch']}")
        if operations := peer.get("operations"):
            values = statistics.by_round(results["samples"], "tensors", key).values()
            if rate := Spread.of(values):
                parts.append(
                    f"{operations / 1e9:.2f} G operations a picture, "
                    f"{digits(rate.middle * operations / 1e9)} G/s")
        for source, title in (("tensors", "tensors"), ("files", "files"), ("texts", "texts")):
            if source in peer.get("cosine", {}):
                parts.append(f"worst cosine to ours, {title}: {peer['cosine'][source]:.6f}")
        if peer.get("remark"):
            parts.append("* " + peer["remark"])
        if peer.get("missing"):
            parts.append("not measured: " + peer["missing"])
        yield f"{peer['name']}: {'; '.join(parts) or 'as it is'}"


def render(results, as_markdown=False):
    """The whole report."""
    lines = []
    machine = results["machine"]
    lines.append(
        f"{machine['processor']}, {machine['cores']} cores; {results['model']}; "
        + (f"{results['photos']} photos; " if results["photos"] else "")
        + f"{results['rounds']} rounds in turn, order rotated; load before: {machine['load']}")
    if results["samples"]:
        lines.append(
            "Median, least and most of the rounds. × NAME: how many times as fast NAME is (with memory: "
            "how many times as small), median and range of the rounds' ratios.")
    lines.append("")
    for measure in MEASURES:
        if (found := table(results, measure)) is None:
            continue
        header, rows = found
        lines += markdown(header, rows) if as_markdown else plain(header, rows)
        lines.append("")
    for line in settings_lines(results):
        lines.append(f"- {line}")
    for note in results.get("notes", []):
        lines.append(f"- {note}")
    return "\n".join(lines)
