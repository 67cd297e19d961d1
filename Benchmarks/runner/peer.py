"""A peer: a process that answers requests, a JSON object a line (Benchmarks/README.md)."""

import json
import os
import subprocess

from . import machine, workplace


class PeerError(Exception):
    pass


class Peer:
    def __init__(self, key, command, ours=False, log=None):
        self.key = key
        self.ours = ours
        self._log = log
        environment = os.environ | machine.caps() | {
            "PYTHONPATH": f"{workplace.ROOT}/tools:{workplace.BENCHMARKS}/peers",
            "PYTHONWARNINGS": "ignore",
        }
        self._process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=log, text=True, env=environment)

    def ask(self, task, **arguments):
        try:
            self._process.stdin.write(json.dumps({"do": task} | arguments) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            raise PeerError(
                f"its process ended with {self._process.wait()} (see {self._log.name})")
        answer = json.loads(line)
        if answer.get("error"):
            raise PeerError(answer["error"])
        return answer

    def stop(self):
        try:
            self._process.stdin.close()
        except OSError:
            pass
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
