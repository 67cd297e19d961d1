"""scripts/demo as a newcomer runs it: started, started again, stopped, cleaned away."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Demo:
    def __init__(self, folder):
        self.folder = folder
        # The caller's settings must not reach the tools: the demo writes its own.
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("PG_", "S3_", "CLIP_"))}
        # On a loaded machine the shell's copy becomes the page some time after it was started.
        commands = folder.with_name(folder.name + ".bin")
        commands.mkdir()
        (commands / "nohup").write_text('#!/bin/sh\nsleep 1\nexec /usr/bin/nohup "$@"\n')
        (commands / "nohup").chmod(0o755)
        self.commands = commands
        self.environment = kept | {
            "DEMO_DIR": str(folder), "DEMO_PORT": "0", "PATH": f"{commands}:{os.environ['PATH']}",
        }

    def run(self, *arguments, code=0, **variables):
        # Files, because the page keeps inherited pipes open.
        with tempfile.TemporaryFile() as out:
            done = subprocess.run([ROOT / "scripts/demo", *arguments], env=self.environment | variables, cwd="/",
                                  stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=1_200)
            out.seek(0)
            said = out.read().decode()
        assert done.returncode == code, said
        return said

    def start(self, *arguments, **variables):
        """Its output, and the page's address, which is the last line."""
        said = self.run(*arguments, **variables)
        address = said.splitlines()[-1]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address), said
        return said, address


@pytest.fixture
def demo():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="clip-search-demo."))
    folder.chmod(0o755)  # the database server may run as another user
    demo = Demo(folder)
    yield demo
    demo.run("--clean")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(demo.commands)


def get(address):
    with urllib.request.urlopen(address, timeout=60) as answer:
        return answer.status, answer.headers.get_content_type(), answer.read()


def found(said):
    """The keys that find-images printed."""
    return re.findall(r"scene-\d{3}\.(?:jpg|png)", said[said.index('$ find-images'):said.index("8. The same")])


def test_start_again_stop_and_clean(demo):
    said, address = demo.start()
    # Each step's command, in the user's order, and the answer.
    commands = ["scripts/setup --demo", "swift build -c release", "scripts/services/postgres start",
                "create-table", "process-images", "find-images man\\ jumping", "web-app"]
    places = [said.index("$ " + command) for command in commands]
    assert places == sorted(places)
    assert "stored 300" in said
    keys = list(dict.fromkeys(found(said)))
    assert len(keys) == 4
    status, kind, page = get(address)
    assert (status, kind) == (200, "text/html")
    page = get(address + "search?q=man+jumping")[2].decode()
    for key in keys:
        assert key in page
    picture = re.search(r'<img[^>]* src="/?([^"]+)"', page)[1]
    assert get(address + picture)[1] in ("image/jpeg", "image/png")
    secret = re.search(r"://[^:]+:([^@]+)@", (demo.folder / ".env").read_text())
    assert secret is None or secret[1] not in said

    # Started again: the data are there, and the earlier page makes room for the new one.
    again, second = demo.start()
    assert "stored 0, unchanged 300" in again
    assert list(dict.fromkeys(found(again))) == keys
    assert get(second)[0] == 200

    assert "stopped" in demo.run("--stop")
    with pytest.raises(urllib.error.URLError):
        get(second)
    assert not list((demo.folder / "postgres").rglob("postmaster.pid"))

    # Stopped and started: the data are still there.
    third, address = demo.start()
    assert "stored 0, unchanged 300" in third
    assert list(dict.fromkeys(found(third))) == keys

    demo.run("--clean")
    assert not demo.folder.exists()
    with pytest.raises(urllib.error.URLError):
        get(address)


def test_own_folder(demo, tmp_path):
    """One's own pictures, one of them damaged, with the model that CLIP_MODEL names; the caller's other
    settings do not count."""
    folder = tmp_path / "My pictures"
    folder.mkdir()
    for number, path in enumerate(sorted((ROOT / "samples/pictures").iterdir())[:8]):
        shutil.copy(path, folder / f"{number}{path.suffix}")
    (folder / "damaged.jpg").write_bytes(b"\xff\xd8\xff")
    model = ROOT / "samples/model/sample-clip.pt"
    said, address = demo.start(str(folder), CLIP_MODEL=str(model), PG_SERVICE_URI="postgres://nowhere.invalid/d")
    assert "stored 8" in said and "damaged.jpg" in said and "downloads" not in said
    assert f"file://{urllib.parse.quote(str(folder))}/" in said
    assert get(address + "pictures/0" + sorted(folder.iterdir())[0].suffix)[0] == 200
    assert "stopped" in demo.run("--stop")
    with pytest.raises(urllib.error.URLError):
        get(address)
    assert "there is no folder" in demo.run(str(folder / "none"), code=1)


def test_wrong_use_explains(demo):
    assert "scripts/demo --stop" in demo.run("--unknown", code=64)
