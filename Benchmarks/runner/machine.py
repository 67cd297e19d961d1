"""What is known of the machine, and whether it is idle."""

import os
import time


def cores():
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def processor():
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return "unknown processor"


# What keeps each library to AVX2. OpenVINO has no such switch, nor has ONNX Runtime: peers/onnx_runtime.py.
CAPS = {
    "OPENBLAS_CORETYPE": "Haswell", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
    "DNNL_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}


def caps():
    """The environment in which all peers keep to CLIP_MAX_ISA, as far as they can."""
    return CAPS if os.environ.get("CLIP_MAX_ISA", "").startswith("avx2") else {}


def instructions():
    """Of those that matter here, what the processor has, and the cap."""
    flags = set()
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith(("flags", "Features")):
                    flags = set(line.split(":", 1)[1].split())
                    break
    except OSError:
        pass
    known = ["avx2", "avx_vnni", "avx512f", "avx512_vnni", "asimd", "asimddp", "i8mm"]
    cap = os.environ.get("CLIP_MAX_ISA")
    return ", ".join(flag for flag in known if flag in flags) + (f"; limited to {cap}" if cap else "")


def busy_cores(seconds=2.0):
    """How many cores' worth of time others use now, measured over some seconds."""
    before = busy_seconds()
    time.sleep(seconds)
    return (busy_seconds() - before) / seconds


def busy_seconds():
    """Seconds that all processors together have been busy since the start."""
    with open("/proc/stat") as file:
        fields = [int(field) for field in file.readline().split()[1:9]]
    user, nice, system, _, _, irq, soft, steal = fields
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def process_seconds(pid):
    """Processor time of a process and its threads; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mebibytes(pid):
    """Memory that a process holds now; None when it is gone."""
    try:
        with open(f"/proc/{pid}/status") as file:
            for line in file:
                if line.startswith("VmRSS"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return None
