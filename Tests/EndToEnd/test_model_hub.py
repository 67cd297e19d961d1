"""Models by name: a small server that answers as the Hugging Face hub does, and huggingface_hub itself as
the witness for the cache's layout."""

import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import threading

import pytest
from huggingface_hub import hf_hub_download, snapshot_download

from tools import TESTS, Workplace, private_authority

MODEL = TESTS / "ClipCoreTests" / "Fixtures" / "layouts" / "gelu"
NAME = "someone/CLIP-small.v1"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_pytorch_model.bin"
FILES = {name: (MODEL / name).read_bytes() for name in (CONFIG, WEIGHTS)} | {"README.md": b"# A model\n"}
SHA256 = hashlib.sha256(FILES[WEIGHTS]).hexdigest()


def git_hash(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub:
    """The hub and its storage, on two ports. Weights redirect to the storage."""

    def __init__(self, context=None):
        self.context = context
        self.requests = []
        self.revisions = {"main": COMMIT, "v2/beta": COMMIT, COMMIT: COMMIT}
        self.gated = False
        self.token = None
        self.cut = None
        self.stored = FILES[WEIGHTS]
        self.files = FILES
        self.servers = [self.serve(self.hub), self.serve(self.storage)]
        self.url, self.storage_url = [
            f"http{'s' if context else ''}://127.0.0.1:{s.server_port}" for s in self.servers]

    def serve(self, answer):
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                hub.requests.append((self.command, self.path, dict(self.headers)))
                status, headers, body = answer(self.path, self.headers)
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)
                    if len(body) < int(headers.get("Content-Length", len(body))):
                        self.close_connection = True

            do_GET = do_HEAD = handle_one
            log_message = lambda *_: None

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if self.context:
            server.socket = self.context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def hub(self, path, headers):
        def error(status, code):
            return status, {"X-Error-Code": code, "X-Error-Message": code}, b""

        allowed = self.token is None or headers.get("Authorization") == f"Bearer {self.token}"
        if path.startswith(f"/api/models/{NAME}/revision/"):
            revision = path.rsplit("/", 1)[1].replace("%2F", "/")
            if revision not in self.revisions:
                return error(404, "RevisionNotFound")
            content = {"id": NAME, "sha": self.revisions[revision], "siblings": [{"rfilename": n} for n in self.files]}
            return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()
        if path.startswith(f"/api/models/{NAME}/tree/"):
            tree = [{"type": "file", "path": n, "size": len(c), "oid": git_hash(c)} for n, c in self.files.items()]
            return 200, {"Content-Type": "application/json"}, json.dumps(tree).encode()
        if not path.startswith(f"/{NAME}/resolve/"):
            return error(401, "RepoNotFound")
        revision, name = path.removeprefix(f"/{NAME}/resolve/").rsplit("/", 1)
        if revision.replace("%2F", "/") not in self.revisions:
            return error(404, "RevisionNotFound")
        if name not in self.files:
            return error(404, "EntryNotFound")
        if not allowed:
            return error(401, "GatedRepo")
        common = {"X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if name == WEIGHTS:
            return 302, common | {
                "Location": f"{self.storage_url}/{SHA256}?signature=abc", "ETag": '"of the redirect"',
                "X-Linked-Etag": f'"{SHA256}"', "X-Linked-Size": str(len(self.files[name])),
            }, b""
        return 200, common | {"ETag": f'"{git_hash(self.files[name])}"'}, self.files[name]

    def storage(self, path, headers):
        content, status, extra = self.stored, 200, {"ETag": '"storage"'}
        if "Range" in headers:
            start = int(headers["Range"].removeprefix("bytes=").split("-")[0])
            extra["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            content, status = content[start:], 206
        extra["Content-Length"] = str(len(content))
        if self.cut is not None:
            content, self.cut = content[: self.cut], None
        return status, extra, content

    def asked(self, kind, part):
        return [r for r in self.requests if r[0] == kind and part in r[1]]

    def close(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()


@pytest.fixture
def hub():
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture
def place(hub, tmp_path):
    return Workplace(tmp_path / "work", {"CLIP_MODEL": NAME, "HF_ENDPOINT": hub.url, "HF_HOME": tmp_path / "hf"})


def embedding(place, **settings):
    return json.loads(place.run("find-images", "--print-embedding", "a cat", env=settings).stdout)


def refusal(place, **settings):
    return place.run("find-images", "--print-embedding", "a cat", code=1, env=settings).stderr


def expected(place):
    return embedding(place, CLIP_MODEL=str(MODEL))


def test_downloads_what_huggingface_hub_finds(hub, place, tmp_path, monkeypatch):
    assert embedding(place) == expected(place)
    # README.md is not needed.
    assert not hub.asked("GET", "README")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in (CONFIG, WEIGHTS):
        path = hf_hub_download(NAME, name, cache_dir=tmp_path / "hf" / "hub", local_files_only=True)
        assert pathlib.Path(path).read_bytes() == FILES[name]
        assert os.path.islink(path) and not os.path.isabs(os.readlink(path))
    # The second time nothing is asked, whatever the network does.
    hub.requests.clear()
    assert embedding(place, HF_HUB_OFFLINE="1") == embedding(place) == expected(place)
    assert hub.requests == []


def test_finds_what_huggingface_hub_downloaded(hub, place, tmp_path):
    snapshot_download(NAME, cache_dir=tmp_path / "hf" / "hub", endpoint=hub.url)
    hub.requests.clear()
    assert embedding(place) == expected(place)
    assert hub.requests == []


def test_goes_on_with_what_huggingface_hub_lacks(hub, place, tmp_path):
    hf_hub_download(NAME, CONFIG, cache_dir=tmp_path / "hf" / "hub", endpoint=hub.url)
    hub.requests.clear()
    assert embedding(place) == expected(place)
    assert not hub.asked("GET", CONFIG)


def test_resumes(hub, place, tmp_path):
    blobs = tmp_path / "hf" / "hub" / f"models--{NAME.replace('/', '--')}" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{SHA256}.incomplete").write_bytes(FILES[WEIGHTS][:1000])
    hub.cut = 5000
    assert embedding(place) == expected(place)
    ranges = [r[2].get("Range") for r in hub.asked("GET", SHA256)]
    assert ranges == ["bytes=1000-", "bytes=6000-"]
    assert sorted(p.name for p in blobs.iterdir()) == sorted([git_hash(FILES[CONFIG]), SHA256])


@pytest.mark.parametrize("content", [b"x" * len(FILES[WEIGHTS]), FILES[WEIGHTS][:-1], FILES[WEIGHTS] + b"x"])
def test_wrong_content_is_refused(hub, place, tmp_path, content):
    hub.stored = content
    assert "size or SHA-256 differs" in (said := refusal(place)) or "more than" in said
    folder = tmp_path / "hf" / "hub" / f"models--{NAME.replace('/', '--')}"
    assert not (folder / "blobs" / SHA256).exists() and not (folder / "refs" / "main").exists()
    hub.stored = FILES[WEIGHTS]
    assert embedding(place) == expected(place)


def test_gated_models_and_tokens(hub, place, tmp_path):
    hub.token = "hf_secret"
    said = refusal(place)
    assert f"the model {NAME} is gated: accept its terms at {hub.url}/{NAME}, then set HF_TOKEN" in said
    said = refusal(place, HF_TOKEN="hf_wrong")
    assert "is gated" in said and "hf_wrong" not in said
    assert embedding(place, HF_TOKEN="hf_secret") == expected(place)
    # The storage is another host: it gets no token.
    storage = hub.asked("GET", SHA256)
    assert storage and all("Authorization" not in r[2] for r in storage)
    assert hub.asked("GET", CONFIG)[-1][2]["Authorization"] == "Bearer hf_secret"


def test_token_of_the_login(hub, place, tmp_path):
    hub.token = "hf_stored"
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text("hf_stored\n")
    assert embedding(place) == expected(place)


def test_revisions(hub, place, tmp_path):
    assert embedding(place, CLIP_MODEL=f"{NAME}@v2/beta") == expected(place)
    path = hf_hub_download(NAME, CONFIG, revision="v2/beta", cache_dir=tmp_path / "hf" / "hub", local_files_only=True)
    assert COMMIT in path
    hub.requests.clear()
    assert embedding(place, CLIP_MODEL=f"{NAME}@{COMMIT}") == expected(place)
    assert hub.requests == []
    assert f"the model {NAME} has no revision v9" in refusal(place, CLIP_MODEL=f"{NAME}@v9")


def test_sentences(hub, place, tmp_path):
    assert "which is neither a path here nor a model at" in refusal(place, CLIP_MODEL="no/such-model")
    assert "there is no model file at models/none.pt" in refusal(place, CLIP_MODEL="models/none.pt")
    assert "HF_HUB_OFFLINE forbids" in refusal(place, HF_HUB_OFFLINE="1")
    assert "HF_ENDPOINT must be" in refusal(place, HF_ENDPOINT="hub.example.org")
    assert "Nothing answers at http://127.0.0.1:9" in refusal(place, HF_ENDPOINT="http://127.0.0.1:9")


def test_nothing_is_downloaded_for_a_run_that_cannot_begin(hub, place, tmp_path):
    """A large download must not come before the news that a setting is missing or the database unreachable."""
    (tmp_path / "photos").mkdir()
    unreachable = {"PG_SERVICE_URI": "postgres://clip@127.0.0.1:9/clip?sslmode=disable"}
    for command in [("process-images", tmp_path / "photos"), ("find-images", "cat")]:
        assert "PG_SERVICE_URI is not set" in place.run(*command, code=1).stderr
        assert "127.0.0.1" in place.run(*command, code=1, env=unreachable).stderr
    assert hub.requests == []


def test_an_existing_path_is_a_path(hub, place):
    folder = place.folder / NAME
    folder.parent.mkdir()
    os.symlink(MODEL, folder)
    assert embedding(place) == expected(place)
    assert hub.requests == []


def test_another_vocabulary(hub, place):
    """It can have the size of CLIP's: only the tokenizer's files show it."""
    folder = MODEL.parent / "transformers-gelu"
    hub.files = {path.name: path.read_bytes() for path in folder.iterdir()} | {"merges.txt": b"#version: 0.2\na b\n"}
    assert "merges.txt: does not hold the vocabulary of OpenAI's CLIP" in refusal(place)


def test_hub_behind_a_proxy(hub, place):
    """A proxy gets the whole address, and the hub's name needs no resolving here."""
    proxy = hub.serve(lambda path, headers: hub.storage(path, headers) if hub.storage_url in path
                      else hub.hub(path.removeprefix("http://hub.invalid"), headers))
    with contextlib.closing(proxy.socket):
        hub.storage_url = "http://storage.invalid"
        assert embedding(place, HF_ENDPOINT="http://hub.invalid",
                         http_proxy=f"http://127.0.0.1:{proxy.server_port}") == expected(place)
        proxy.shutdown()


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl here")
@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"])
def test_private_certificate_authority(place, tmp_path, name):
    authority, context = private_authority(tmp_path)
    with contextlib.closing(Hub(context)) as hub:
        said = refusal(place, HF_ENDPOINT=hub.url)
        assert "not to be trusted" in said and hub.requests == []
        assert embedding(place, HF_ENDPOINT=hub.url, **{name: str(authority)}) == expected(place)
        assert hub.asked("GET", SHA256)
