"""Every command of the README is run, or is known to be run by another test."""

import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import urllib.parse
import urllib.request

import psycopg
import pytest
from tools import GOLDEN, MODEL, PICTURES, new_bucket, s3_settings, tool

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
# Run as they are by CI itself (scripts/test) and by test_demo.py.
ELSEWHERE = ["scripts/demo", "scripts/demo ~/Pictures", "scripts/setup", "swift build -c release"]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands():
    lines = [line.split("  #")[0].strip() for block in blocks("shell") for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("export PATH")]


@pytest.fixture
def place(workplace, tmp_path):
    """A filled table over a folder that has what the README's commands name."""
    folder = tmp_path / "pictures"
    for key, name in zip(["beach.jpg", "2024/cat.jpg", "2024/dog.jpg", "holiday.jpg"], sorted(GOLDEN)):
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PICTURES / name, folder / key)
    shutil.copy(folder / "holiday.jpg", workplace.folder / "holiday.jpg")
    (workplace.folder / "queries.txt").write_text("a cat\na dog\n")
    workplace.write(workplace.settings | {"S3_ENDPOINT": f"file://{tmp_path}", "S3_BUCKET_NAME": "pictures"})
    workplace.run("create-table")
    workplace.run("process-images")
    return workplace


def test_commands(place):
    run = 0
    for command in commands():
        if command in ELSEWHERE:
            continue
        words = shlex.split(command)
        if words[0] == "web-app":
            # Another port, so that tests may run side by side.
            with place.web_app(*words[1:]):
                pass
        elif words[0] == "curl":
            with place.web_app() as address:
                command = command.replace("http://127.0.0.1:8000", address)
                answer = subprocess.run(shlex.split(command) + ["-sf"], capture_output=True, text=True, check=True)
                assert len(json.loads(answer.stdout)["results"]) == 4
        else:
            assert words[0] in ("create-table", "process-images", "find-images"), f"not tested: {command}"
            done = subprocess.run(
                ["bash", "-c", command], cwd=place.folder, timeout=300, capture_output=True, text=True,
                env=place.environment | {"PATH": f"{tool(words[0]).parent}:{place.environment['PATH']}"})
            assert done.returncode == 0, (command, done)
        run += 1
    assert run >= 14


@pytest.mark.parametrize("store", ["a folder", "S3"])
def test_settings_from_the_example(store, workplace, tmp_path):
    """.env_example with what the README's table names filled in is enough for all four tools."""
    example = (ROOT / ".env_example").read_text()
    filled = dict(workplace.settings)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in sorted(GOLDEN)[:3]:
        shutil.copy(PICTURES / name, folder)
    with contextlib.ExitStack() as stack:
        if store == "S3":
            bucket = stack.enter_context(new_bucket({path.name: path.read_bytes() for path in folder.iterdir()}))
            filled |= s3_settings(bucket)
        for name, value in filled.items():
            example, count = re.subn(rf"^#?{name}=.*$", f"{name}={value}", example, count=1, flags=re.MULTILINE)
            assert count == 1, name
        (workplace.folder / ".env").write_text(example)
        workplace.run("create-table")
        workplace.run("process-images", *([folder] if store == "a folder" else []))
        assert len(workplace.run("find-images", "--keys", "cat").stdout.splitlines()) == 3
        assert "unchanged 3" in workplace.run("process-images").stdout
        with workplace.web_app() as address:
            found = json.load(urllib.request.urlopen(f"{address}/api/search?q=cat"))["results"]
            assert urllib.request.urlopen(urllib.parse.urljoin(address, found[0]["url"])).read()[:2] == b"\xff\xd8"


def test_sql(place):
    [query] = blocks("sql")
    with psycopg.connect(place.database) as connection:
        found = connection.execute(query).fetchall()
        assert found[0] == ("beach.jpg",) and len(found) == 4
        vector = place.run("find-images", "--print-embedding", "a beach").stdout.strip()
        assert connection.execute(
            "SELECT count(*) FROM pictures WHERE embedding <=> %s::vector < 2", (vector,)).fetchone() == (4,)


def test_swift_example(place):
    """Examples/ prints upstream's cosines."""
    name, embedding = next(iter(sorted(GOLDEN.items())))
    done = subprocess.run(
        [tool("RankPictures"), MODEL, "a cat", PICTURES / name], capture_output=True, text=True, check=True)
    score = float(done.stdout.split()[0])
    vector = json.loads(place.run("find-images", "--print-embedding", "a cat").stdout)
    assert abs(score - sum(a * b for a, b in zip(vector, embedding, strict=True))) < 1e-4


# What ClipCore depends on.
C_TARGETS = ["CCodecs", "CImages", "CKernels", "COpenBLAS", "CSentencePiece", "CVocabulary", "CZlib"]


@pytest.mark.parametrize("document", ["README.md", "Sources/ClipCore/ClipCore.docc/GettingStarted.md"])
def test_swift_snippets_compile(document, tmp_path):
    """As they are, against the library that was built."""
    text = (ROOT / document).read_text()
    [snippet] = [code for code in re.findall(r"^```swift\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if "import" in code]
    (tmp_path / "main.swift").write_text(snippet)
    built = tool("RankPictures").parent
    maps = [next(iter([*built.glob(f"{name}.build/module.modulemap"), *ROOT.glob(f"Sources/{name}/**/module.modulemap")]))
            for name in C_TARGETS]
    # Ubuntu and Debian keep OpenBLAS's headers in a folder of the processor's.
    blas = subprocess.run(["pkg-config", "--cflags-only-I", "openblas"], capture_output=True, text=True, check=True).stdout
    headers = [*blas.split(), *(f"-I{path}" for path in ROOT.glob("Sources/C*/include"))]
    done = subprocess.run(
        ["swiftc", "-typecheck", "-swift-version", "6", "-I", built / "Modules", tmp_path / "main.swift",
         *(word for path in maps for word in ("-Xcc", f"-fmodule-map-file={path}")),
         *(word for flag in headers for word in ("-Xcc", flag))],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_clipcore_stands_alone():
    """A program that depends on ClipCore alone, as Examples/ does, has no code of another package, nor libpq or curl."""
    program = tool("RankPictures")
    symbols = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
    assert "$s8ClipCore" in symbols
    for module in ["ArgumentParser", "Hummingbird", "ImageSearch", "Logging", "NIOCore", "NIOPosix", "PGClient", "S3Client"]:
        assert f"$s{len(module)}{module}" not in symbols
    needed = subprocess.run(["readelf", "-d", program], capture_output=True, text=True, check=True).stdout
    assert "libopenblas" in needed and not re.search(r"lib(pq|curl|ssl|crypto|expat)\.", needed)
    # And by the manifest, whatever is left out at link time.
    manifest = json.loads(subprocess.run(
        ["swift", "package", "dump-package"], cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    targets = {target["name"]: target for target in manifest["targets"]}
    wanted, seen = ["ClipCore"], set()
    while wanted:
        name = wanted.pop()
        seen.add(name)
        for dependency in targets[name]["dependencies"]:
            assert set(dependency) == {"byName"}, dependency  # not a product of a package
            wanted.append(dependency["byName"][0])
    assert seen == {"ClipCore", *C_TARGETS}


# Functions that change something of the whole process: each says so, then does it.
SETTERS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#define SETTER(name) \\
    long name(long a, long b, long c) { \\
        long (*next)(long, long, long) = dlsym(RTLD_NEXT, #name); \\
        fprintf(stderr, "set: " #name "\\n"); \\
        return next ? next(a, b, c) : 0; \\
    }
SETTER(openblas_set_num_threads) SETTER(openblas_set_num_threads_local) SETTER(setenv) SETTER(unsetenv) SETTER(putenv)
SETTER(setlocale) SETTER(umask) SETTER(chdir) SETTER(setrlimit) SETTER(signal) SETTER(sigaction) SETTER(fesetround)
SETTER(TIFFSetErrorHandler) SETTER(TIFFSetWarningHandler)
"""


def test_clipcore_changes_nothing_of_the_process(tmp_path):
    """Loading a model and embedding pictures and a text, in a program that uses ClipCore alone; the tools do set some."""
    (tmp_path / "setters.c").write_text(SETTERS)
    library = tmp_path / "setters.so"
    subprocess.run(["clang", "-w", "-shared", "-fPIC", "-o", library, tmp_path / "setters.c", "-ldl"], check=True)

    def said(*command):
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"LD_PRELOAD": str(library)})
        return done.returncode, {line for line in done.stderr.splitlines() if line.startswith("set: ")}

    pictures = [PICTURES / name for name in sorted(GOLDEN)[:3]]
    pictures += [path for path in sorted((PICTURES / "metadata").glob("camera.*"))]
    # What Swift and the loaded libraries set by themselves, before the program does anything.
    code, at_start = said(tool("RankPictures"))
    assert code == 64 and len(at_start) <= 1
    assert said(tool("RankPictures"), MODEL, "a cat", *pictures) == (0, at_start)
    assert "set: openblas_set_num_threads" in said(tool("find-images"), "cat")[1]


def test_links_lead_somewhere():
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    for document in documents:
        for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
            if not re.match(r"https?:|mailto:", target):
                path, _, anchor = urllib.parse.unquote(target).partition("#")
                file = (document.parent / path) if path else document
                assert file.exists(), f"{document.name}: {target}"
                if anchor:
                    headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
                    anchors = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
                    assert anchor in anchors, f"{document.name}: {target}"


def test_architecture_names_files_that_exist():
    sources = {path.name for path in (ROOT / "Sources").rglob("*.swift")}
    named = set(re.findall(r"`([\w+]+\.swift)`", (ROOT / "docs/architecture.md").read_text()))
    assert len(named) > 40 and named <= sources, named - sources
    targets = {path.name for path in (ROOT / "Sources").iterdir() if not path.name.startswith("C") or path.name in
               ("ClipCore", "CommandLineSupport", "CreateTable")}
    described = (ROOT / "docs/architecture.md").read_text().split("ClipCore, PGClient and S3Client never")[0]
    assert [name for name in targets if f"`{name}`" not in described] == []


def test_length():
    """An introduction; everything else is in docs. What has no letter or digit is a table's line or a sign."""
    assert len([word for word in README.split() if re.search(r"\w", word)]) <= 960
