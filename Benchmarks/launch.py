"""Runs a command and prints its wall time, peak memory and exit code as a line of JSON.

    python3 -S -E launch.py OUTPUT COMMAND...

A process's peak memory counts what it held before it became the command, so it must be started by
something small: this, without the site module.
"""

import os
import sys
import time

output = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
start = time.perf_counter()
child = os.fork()
if child == 0:
    os.dup2(output, 1)
    os.execv(sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - start
print(
    f'{{"seconds": {seconds:.6f}, "mebibytes": {usage.ru_maxrss / 1024:.1f}, '
    f'"processor": {usage.ru_utime + usage.ru_stime:.6f}, '
    f'"status": {os.waitstatus_to_exitcode(status)}}}')
