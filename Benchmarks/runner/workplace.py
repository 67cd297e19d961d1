"""Where the benchmark keeps its things, and how they get there. All of it is below .build/bench."""

import contextlib
import hashlib
import json
import os
import pathlib
import subprocess
import sys

BENCHMARKS = pathlib.Path(__file__).resolve().parent.parent
ROOT = BENCHMARKS.parent
WORK = ROOT / ".build" / "bench"
PYTHON = WORK / "venv" / "bin" / "python"


def note(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def run(command, **options):
    """Runs a command and returns what it prints; what it says on stderr is shown."""
    return subprocess.run(
        [str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True, **options
    ).stdout


def install():
    """The peers, in a virtual environment."""
    requirements = BENCHMARKS / "requirements.txt"
    stamp = WORK / "venv" / "requirements.installed"
    if stamp.exists() and stamp.read_text() == requirements.read_text():
        return
    note("installing the peers into .build/bench/venv (some 2 GB)")
    WORK.mkdir(parents=True, exist_ok=True)
    run([sys.executable, "-m", "venv", WORK / "venv"])
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # The build for processors is a tenth of the one for graphics cards; a mirror without it still
    # has the other.
    try:
        run([*pip, "torch==2.13.0", "--index-url", "https://download.pytorch.org/whl/cpu"],
            stderr=subprocess.DEVNULL)
    except subprocess.CalledProcessError:
        run([*pip, "torch==2.13.0"])
    # torchvision asks for one torch and no other; only its Pillow transforms are used. clip-cpp and
    # faster-clip need nothing else for what is asked of them.
    run([*pip, "--no-deps", "torchvision==0.29.2", "clip-anytorch==2.6.0", "clip-cpp==0.5.0",
         "faster-clip==0.4.0"])
    run([*pip, "-r", requirements])
    stamp.write_text(requirements.read_text())


def build():
    """The tools, and our side of the benchmark."""
    note("building (swift build -c release)")
    swift = ["swift", "build", "-c", "release"]
    for product in ("create-table", "process-images", "find-images"):
        _build([*swift, "--product", product])
    _build([*swift, "--package-path", BENCHMARKS, "--scratch-path", WORK / "swift"])


def _build(command):
    """Shows what the compiler says only when it fails."""
    done = subprocess.run(
        [str(part) for part in command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True)
    if done.returncode:
        sys.exit(done.stdout + "bench: the build failed")


def tools():
    return ROOT / ".build" / "release"


def exports(task, *arguments, environment=None):
    """Runs exports.py with the peers' Python."""
    variables = os.environ | {"PYTHONPATH": str(ROOT / "tools")} | (environment or {})
    return run(
        [PYTHON, "-W", "ignore", BENCHMARKS / "exports.py", task, *arguments], env=variables).split()


class Model:
    """A checkpoint and what was made of it for the peers."""

    def __init__(self, options):
        if options.random:
            note(f"random weights for {options.random}")
            path = exports("random", options.random, WORK / "models")[0]
            self.title = f"{options.random}, random weights"
        else:
            path = options.model
            self.title = pathlib.Path(path).name
        self.path = pathlib.Path(path).resolve()
        stat = self.path.stat()
        identity = f"{self.path}:{stat.st_size}:{stat.st_mtime_ns}"
        self.folder = WORK / "models" / hashlib.sha256(identity.encode()).hexdigest()[:16]
        side, dimension = exports("model", self.path, self.folder)
        self.side, self.dimension = int(side), int(dimension)


class Photos:
    """Picture files, and their tensors as upstream preprocesses them."""

    def __init__(self, folder, count, model):
        paths = sorted(
            path for path in pathlib.Path(folder).iterdir()
            if path.suffix.lower() in (".jpg", ".jpeg"))
        if len(paths) < count:
            raise SystemExit(f"bench: {folder} has {len(paths)} JPEG files, {count} are needed")
        # Spread over the folder, so that a smaller number is as mixed as a larger one.
        self.paths = [str(paths[i * len(paths) // count].resolve()) for i in range(count)]
        names = "\n".join(self.paths)
        key = hashlib.sha256(f"{model.side}\n{names}".encode()).hexdigest()[:16]
        self.tensors = WORK / "tensors" / f"{key}.f32"
        self.tensors.parent.mkdir(parents=True, exist_ok=True)
        if not self.tensors.exists():
            exports("tensors", model.side, self.tensors, *self.paths)


@contextlib.contextmanager
def postgres(name="postgres"):
    """A private PostgreSQL; gives its URI."""
    script, folder = ROOT / "scripts/services/postgres", WORK / name
    settings = run([script, "start", folder, "--no-fsync"])
    try:
        yield values(settings)["PG_SERVICE_URI"]
    finally:
        subprocess.run([script, "stop", folder], check=False)


@contextlib.contextmanager
def object_store():
    """A private S3 store; gives its settings by their names in .env."""
    script, folder = ROOT / "scripts/services/object-store", WORK / "object-store"
    settings = run([script, "start", folder])
    try:
        yield values(settings)
    finally:
        subprocess.run([script, "stop", folder], check=False)


def values(lines):
    return dict(line.split("=", 1) for line in lines.splitlines() if "=" in line)


class Results:
    """The results' file, rewritten after each sample, so that an interrupted run still has figures."""

    def __init__(self, path, data):
        self.path = path
        self.data = data
        path.parent.mkdir(parents=True, exist_ok=True)
        self.save()

    def add(self, round_number, measure, peer, value):
        self.data["samples"].append(
            {"round": round_number, "measure": measure, "peer": peer, "value": value})
        self.save()

    def save(self):
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.data, indent=1, ensure_ascii=False))
        part.rename(self.path)
