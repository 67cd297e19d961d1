"""How web-app starts: what it says about its settings, and what it refuses to start with."""

import contextlib
import os
import re
import resource
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest
from axe_playwright_python.sync_playwright import Axe
from Browser.sample_site import PICTURES, SAMPLES, filled_workplace
from playwright.sync_api import expect
from tools import Workplace, new_database, tool


def status(address, path="/"):
    try:
        with urllib.request.urlopen(address + path, timeout=60) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


class Site:
    """A running web-app, with the lines of its log so far."""

    def __init__(self, process, address, log):
        self.process, self.address, self.log = process, address, log

    def get(self, path="/"):
        return status(self.address, path)


@contextlib.contextmanager
def started(place, *arguments, command=None, env=None, limit=None):
    """Runs web-app until its address is printed; its log then has all that is said at start."""
    process = subprocess.Popen(
        command or [tool("web-app"), "--port", "0", *arguments], cwd=place.folder,
        env=place.environment | (env or {}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit)))
    log = []
    reader = threading.Thread(target=lambda: log.extend(process.stderr), daemon=True)
    reader.start()
    try:
        line = process.stdout.readline()
        match = re.search(r"https?://\S+", line)
        assert match, (line, process.wait(30), log)
        yield Site(process, match.group().rstrip("/"), log)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log
        reader.join(10)
        process.stdout.close()


def refused(place, *arguments, limit=None):
    """What web-app says when it does not start."""
    result = subprocess.run(
        [tool("web-app"), "--port", "0", *arguments], cwd=place.folder, env=place.environment,
        capture_output=True, text=True, timeout=60,
        preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit)))
    assert result.returncode == 1, result
    assert result.stdout == ""
    return result.stderr


@pytest.fixture
def place(tmp_path):
    """Settings whose database does not answer."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return Workplace(tmp_path / "work", {
            "PG_SERVICE_URI": f"postgres://u:secret-7@127.0.0.1:{closed.getsockname()[1]}/pictures",
            "CLIP_MODEL": SAMPLES / "model" / "sample-clip.pt",
            "S3_ENDPOINT": f"file://{SAMPLES}",
            "S3_BUCKET_NAME": "pictures",
        })


@pytest.fixture(scope="module")
def filled():
    with contextlib.ExitStack() as stack:
        yield filled_workplace(stack)


# One line each


def warnings(site, text):
    """The lines of the log with a text, once there are any."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if found := [line for line in site.log if text in line]:
            return found
        time.sleep(0.02)
    return []


def test_unreachable_database_is_one_line(place):
    with started(place) as site:
        lines = warnings(site, "searches will fail")
        assert len(lines) == 1 and "127.0.0.1" in lines[0], site.log
        assert "secret-7" not in "".join(site.log)
        assert site.get("/search?q=cat") == 503


def test_missing_table_is_one_line(place):
    with new_database() as database:
        with started(place, env={"PG_SERVICE_URI": database}) as site:
            lines = warnings(site, "searches will fail")
            assert len(lines) == 1 and "create-table" in lines[0], site.log


@pytest.mark.parametrize("width, scheme", [(320, "light"), (1440, "dark")])
def test_pages_without_a_table_and_without_pictures(visit, place, width, scheme):
    with new_database() as database:
        env = {"PG_SERVICE_URI": database}
        with started(place, env=env) as site:
            visit = visit(base=site.address, viewport={"width": width, "height": 800}, color_scheme=scheme,
                          reduced_motion="reduce")
            for state, heading in [("no-table", "The search is not available right now"), ("empty", "No pictures yet")]:
                if state == "empty":
                    place.run("create-table", env=env)
                for path in ["/", "/search?q=cat"]:
                    visit.open(path)
                    visit.expect_no_sideways_scrolling()
                    assert Axe().run(visit.page).response["violations"] == []
                expect(visit.page.get_by_role("heading", name=heading)).to_be_visible()
                visit.screenshot(f"{state}-{width}-{scheme}")


def test_open_page_without_password_is_one_line(place):
    with started(place, "--host", "0.0.0.0") as site:
        lines = warnings(site, "open to everyone")
        assert len(lines) == 1 and "WEB_AUTH" in lines[0], site.log
    for arguments, env in [(["--host", "0.0.0.0"], {"WEB_AUTH": "basic:ann:sesame-9"}), ([], {})]:
        with started(place, *arguments, env=env) as site:
            assert warnings(site, "searches will fail")
            assert not any("open to everyone" in line for line in site.log)


def test_filled_table_needs_no_line(filled):
    with started(filled) as site:
        assert site.get("/search?q=cat") == 200
        assert site.log == []


# Descriptors


def test_closed_stderr_gets_no_other_file(place):
    """The number of a closed stderr is not given to a socket, which would then get the log."""
    with started(place, command=["bash", "-c", 'exec "$0" --port 0 2>&-', tool("web-app")]) as site:
        assert site.get("/search?q=cat") == 503  # logged
        assert os.readlink(f"/proc/{site.process.pid}/fd/2") == "/dev/null"


def test_too_few_open_files_are_refused(place):
    said = refused(place, limit=(255, 255))
    assert said.count("\n") == 1 and "255 files" in said and "ulimit -n" in said
    with started(place, limit=(64, 256)) as site:  # raised to the hard limit
        assert site.get("/health") == 200


def test_idle_connections_leave_files_for_pictures(filled):
    picture = f"/pictures/{PICTURES[0].name}"
    with started(filled, limit=(256, 256)) as site, contextlib.ExitStack() as stack:
        host, port = site.address.removeprefix("http://").split(":")
        idle = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(60)]
        for _ in range(20):
            assert site.get(picture) == 200
        # Many more than may be open: they wait in the kernel, and nothing crashes.
        idle += [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(200)]
        for connection in idle:
            connection.close()
        assert site.get(picture) == 200


def test_no_open_files_left_is_503(filled):
    """A picture that cannot be opened for want of descriptors is there all the same."""
    picture = f"/pictures/{PICTURES[0].name}"
    with started(filled) as site:
        connection = urllib.request.urlparse(site.address)
        with socket.create_connection((connection.hostname, connection.port), timeout=60) as client:
            def ask():
                client.sendall(f"HEAD {picture} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                head = b""
                while b"\r\n\r\n" not in head:
                    head += client.recv(65536)
                return int(head.split()[1])

            assert ask() == 200
            before = resource.prlimit(site.process.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(site.process.pid, resource.RLIMIT_NOFILE, (3, before[1]))
            assert ask() == 503
            resource.prlimit(site.process.pid, resource.RLIMIT_NOFILE, before)
            assert ask() == 200
        assert any("Too many open files" in line for line in site.log), site.log


# TLS


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Certificates and keys by name, made by OpenSSL."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    for name in ["ca", "site", "other"]:
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem",
                "-subj", f"/CN={name}", "-days", "30", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    openssl("req", "-new", "-key", "site.key", "-subj", "/CN=site", "-out", "site.csr")
    issue = ["x509", "-req", "-in", "site.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
    openssl(*issue, "-days", "30", "-out", "leaf.pem")
    openssl(*issue, "-days", "-1", "-out", "expired.pem")
    leaf, ca = (folder / "leaf.pem").read_text(), (folder / "ca.pem").read_text()
    (folder / "chain.pem").write_text(leaf + ca)
    (folder / "reversed.pem").write_text(ca + leaf)
    (folder / "broken.pem").write_text("no certificate\n")
    return folder


def tls(files, certificate, key):
    return ["--tls-certificate", str(files / certificate), "--tls-key", str(files / key)]


def test_https_is_answered(place, files):
    context = ssl.create_default_context(cafile=files / "site.pem")
    for certificate in ["site.pem", "chain.pem"]:
        with started(place, *tls(files, certificate, "site.key")) as site:
            assert site.address.startswith("https://")
            if certificate == "site.pem":
                with urllib.request.urlopen(site.address + "/health", context=context, timeout=60) as answer:
                    assert answer.status == 200
            assert not any("certificate" in line for line in site.log)


@pytest.mark.parametrize("certificate, key, said", [
    ("site.pem", "other.key", "the TLS key {key} does not belong to the certificate {certificate}"),
    ("reversed.pem", "site.key", "the TLS certificate {certificate} has its chain in the wrong order: "
     "the certificate of the key {key} must come first"),
    ("missing.pem", "site.key", "the TLS certificate {certificate} cannot be read: No such file or directory"),
    ("site.pem", ".", "the TLS key {key} cannot be read: Is a directory"),
    ("broken.pem", "site.key", "the TLS certificate {certificate} cannot be used: it must be a PEM file"),
    ("site.pem", "broken.pem", "the TLS key {key} cannot be used: it must be a PEM file without a password"),
])
def test_unusable_certificates_are_one_sentence(place, files, certificate, key, said):
    expected = said.format(certificate=files / certificate, key=files / key)
    assert refused(place, *tls(files, certificate, key)) == f"web-app: {expected}\n"


def test_expired_certificate_is_one_line(place, files):
    with started(place, *tls(files, "expired.pem", "site.key")) as site:
        lines = [line for line in site.log if "expired on" in line]
        assert len(lines) == 1 and str(files / "expired.pem") in lines[0], site.log
