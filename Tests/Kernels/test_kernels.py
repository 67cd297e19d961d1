"""The kernels on this processor, and under QEMU on processors that it is not."""

import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
KERNELS = ROOT / "Sources" / "CKernels"


def build(folder, *compiler):
    """The checking program, statically linked: QEMU needs no libraries of the other processor."""
    program = folder / "check"
    sources = [*sorted(KERNELS.glob("*.c")), pathlib.Path(__file__).parent / "check.c"]
    subprocess.run(
        [*compiler, "-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-I",
         KERNELS / "include", "-o", program, *sources, "-lm"], check=True)
    return program


def check(*command):
    """Runs the program and gives the instruction sets that it has checked."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout
    return {line.split()[0] for line in done.stdout.splitlines()}


def needs(*programs):
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"needs {program} (Debian: qemu-user, gcc-aarch64-linux-gnu)")


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    needs("clang")
    return build(tmp_path_factory.mktemp("native"), "clang")


@pytest.fixture(scope="module")
def arm64(tmp_path_factory):
    needs("qemu-aarch64", "aarch64-linux-gnu-gcc")
    return build(tmp_path_factory.mktemp("arm64"), "aarch64-linux-gnu-gcc")


def test_this_processor(native):
    assert check(native) & {"sse", "neon"}


@pytest.mark.parametrize("model, sets", [("Nehalem", {"sse"}), ("max", {"sse", "avx2"})])
def test_lesser_x86(native, model, sets):
    needs("qemu-x86_64")
    assert check("qemu-x86_64", "-cpu", model, native) == sets


@pytest.mark.parametrize(
    "model, sets",
    [("cortex-a57", {"neon"}), ("cortex-a76", {"neon", "neon-dot"}),
     ("max", {"neon", "neon-dot", "neon-i8mm"})])
def test_arm64(arm64, model, sets):
    assert check("qemu-aarch64", "-cpu", model, arm64) == sets
