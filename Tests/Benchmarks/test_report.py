"""The benchmark's arithmetic and its table, on samples made by hand."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "Benchmarks"))
from runner import ingest, report, statistics

SPEEDS = [("ours", [20, 10, 30]), ("theirs", [10, 10, 10]), ("slow", [0.5, None, 0.25])]


def results():
    samples = [
        {"round": number, "measure": "tensors", "peer": peer, "value": value}
        for peer, values in SPEEDS
        for number, value in enumerate(values, 1)
        if value is not None
    ]
    samples += [
        {"round": 1, "measure": "cold wall", "peer": "find-images", "value": 0.1},
        {"round": 1, "measure": "cold wall", "peer": "python script", "value": 8},
    ]
    return {
        "machine": {"processor": "Processor", "cores": 2, "load": "average 0.1"},
        "model": "model.pt", "photos": 64, "rounds": 3, "samples": samples,
        "peers": {
            "ours": {"name": "Ours", "ours": True, "configuration": {"lanes": 2, "batch": 16}},
            "theirs": {
                "name": "Theirs", "version": "1.0", "cosine": {"tensors": 0.9},
                "remark": "computes something else"},
            "slow": {"name": "Slow", "operations": 8e9},
            "absent": {"name": "Absent", "missing": "it does not start"},
            "find-images": {"name": "find-images", "ours": True},
            "python script": {"name": "Python script"},
        },
    }


def test_ratios_compare_within_a_round():
    samples = results()["samples"]
    assert statistics.ratios(samples, "tensors", "ours", "theirs", True) == [2, 1, 3]
    # A round that one of the two did not finish says nothing.
    assert statistics.ratios(samples, "tensors", "ours", "slow", True) == [40, 120]


def test_ratio_of_times_is_how_many_times_as_fast():
    samples = results()["samples"]
    found = statistics.ratios(samples, "cold wall", "find-images", "python script", False)
    assert found == [80]


def test_spread():
    spread = statistics.Spread.of([5, 1, 3, 100])
    assert (spread.low, spread.middle, spread.high) == (1, 4, 100)
    assert statistics.Spread.of([]) is None


def test_three_significant_digits():
    given = [0, 0.001234, 0.09999, 0.9994, 0.9996, 1.234, 9.994, 9.996, 12.34, 99.96, 1234.5]
    expected = [
        "0", "0.00123", "0.100", "0.999", "1.00", "1.23", "9.99", "10.0", "12.3", "100", "1230"
    ]
    assert [report.digits(value) for value in given] == expected


def test_plain_table_has_aligned_columns():
    header, rows = report.table(results(), report.MEASURES[0])
    lines = report.plain(header, rows)
    assert len({len(line) for line in lines}) == 1
    assert rows == [
        ["Ours", "20.0", "10.0", "30.0", "–"],
        ["Theirs *", "10.0", "10.0", "10.0", "2.00 (1.00 to 3.00)"],
        ["Slow", "0.375", "0.250", "0.500", "80.0 (40.0 to 120)"],
    ]


def test_markdown_table():
    header, rows = report.table(results(), report.MEASURES[5])
    assert report.markdown(header, rows) == [
        "| Cold query, whole process: time | median, s | least | most | × find-images |",
        "|---|---:|---:|---:|---:|",
        "| find-images | 0.100 | 0.100 | 0.100 | – |",
        "| Python script | 8.00 | 8.00 | 8.00 | 80.0 (80.0 to 80.0) |",
    ]


def test_what_was_not_measured_has_no_table_but_a_line():
    assert report.table(results(), report.MEASURES[1]) is None
    lines = report.render(results()).splitlines()
    assert "- Absent: not measured: it does not start" in lines
    assert "- Theirs: 1.0; worst cosine to ours, tensors: 0.900000; * computes something else" in lines
    assert "- Ours: 2 × batches of 16" in lines
    assert "- Slow: 8.00 G operations a picture, 3.00 G/s" in lines


def test_sparkline():
    assert ingest.sparkline([]) == ""
    assert ingest.sparkline([0, 1, 2, 4, 8]) == "▁▂▃▅█"
    # More values than columns: each column shows the largest of its share.
    assert ingest.sparkline([8, 0, 0, 4], width=2) == "█▅"


def test_ingest_report():
    text = ingest.render({
        "objects": 100, "seconds": 10, "precision": "int8", "status": 0, "summary": "100 pictures",
        "cores": 2, "busy": 19.0, "encoder": [{"tensors": 10, "files": 8}, {"tensors": 12, "files": 8}],
        "samples": [[1, 1.5, 100], [5, 8, 200], [10, 16, 200]],
    })
    assert "10.0 s, 10.0 pictures/s (exit code 0)" in text
    assert "10.0 and 12.0 pictures/s; process-images reaches 91 % of their mean" in text
    assert "1.90 of 2 busy, 1.60 of it process-images" in text
    assert "▅██" in text
