"""A cold query: the whole process from start to printed links, against a local database.

The model file is in the page cache; the process is new.
"""

import json
import os
import subprocess
import sys

from . import workplace

ROWS = 1_000
OURS, THEIRS = "find-images", "python script"
TEXT = "man jumping"
PEERS = {
    OURS: {"name": "find-images", "ours": True},
    THEIRS: {"name": "Python script", "version": "PyTorch, clip-anytorch, psycopg, boto3"},
}


class Cold:
    def __init__(self, model, uri):
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(workplace.WORK), "PG_SERVICE_URI": uri,
            "CLIP_MODEL": str(model.path), "S3_ENDPOINT": "https://s3.gra.example.org",
            "S3_BUCKET_NAME": "photos", "S3_ACCESS_KEY": "access", "S3_SECRET_KEY": "secret",
            "S3_REGION": "gra",
        }
        self._run(
            [workplace.tools() / "create-table", "--dimension", str(model.dimension)])
        workplace.exports("rows", str(ROWS), str(model.dimension), environment=self.environment)

    def _run(self, command):
        subprocess.run(
            [str(part) for part in command], env=self.environment, cwd=workplace.WORK, check=True,
            stdout=subprocess.DEVNULL)

    def measure(self, peer):
        """Seconds, MiB, and the keys that were found."""
        if peer == OURS:
            command = [workplace.tools() / "find-images", "--json", TEXT]
        else:
            command = [workplace.PYTHON, "-W", "ignore", workplace.BENCHMARKS / "python_query.py", TEXT]
        output = workplace.WORK / "cold.out"
        environment = self.environment | {"PYTHONPATH": str(workplace.ROOT / "tools")}
        measured = subprocess.run(
            [sys.executable, "-S", "-E", workplace.BENCHMARKS / "launch.py", output, *command],
            env=environment, cwd=workplace.WORK, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(measured.stdout)
        if found["status"] != 0:
            raise RuntimeError(f"{peer} ended with {found['status']}")
        lines = output.read_text().splitlines()
        keys = [json.loads(line)["key"] if peer == OURS else line.split()[0] for line in lines]
        return found["seconds"], found["mebibytes"], keys

    def check(self):
        """One unmeasured run each, which must find the same; it also fills the page cache."""
        ours, theirs = self.measure(OURS)[2], self.measure(THEIRS)[2]
        if ours != theirs or not ours:
            PEERS[THEIRS]["remark"] = f"finds others: {' '.join(theirs)}, not {' '.join(ours)}"
