"""The running web-app against what the network brings: hostile bytes, a crowd, a database that goes away.

WEB_APP_URL is the address of a running web-app, as for the browser tests. SCHEMATHESIS_CASES sets how
many requests Schemathesis makes up for each operation (40; the long run of scripts/bench-web has more).
"""

import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import quote, urlsplit

import pytest
from Browser.sample_site import PICTURES, filled_workplace

BASE = os.environ.get("WEB_APP_URL", "").rstrip("/")
if not BASE:
    pytest.skip("WEB_APP_URL is not set", allow_module_level=True)
ROOT = pathlib.Path(__file__).parents[2]


def get(target, base=BASE, headers=None, data=None, method=None):
    """Status, fields and body, whatever the status."""
    request = urllib.request.Request(base + target, data, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def raw(sent, base=BASE, timeout=120):
    """What comes back for bytes, until the server closes."""
    host, port = urlsplit(base).hostname, urlsplit(base).port
    with socket.create_connection((host, port), timeout=timeout) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(65536):
            received += part
    return received


def lives(base=BASE):
    return get("/health", base)[0] == 200


# Hostile bytes


@pytest.mark.parametrize("sent", [
    b"GET /search?q=\xff\xfe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET /search?q=a%00b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET /search?q=a\x00b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"b" * 200_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: b\r\n" % i for i in range(5_000)) + b"\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
    b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    b"POST /search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    b"Content-Length: 10\r\nConnection: close\r\n\r\n--x\r\nabcde",
    b"\r\n" * 10_000,
    b"",
])
def test_hostile_bytes(sent):
    try:
        received = raw(sent)
    except (ConnectionResetError, BrokenPipeError):
        received = b""
    assert not received or re.match(rb"HTTP/1\.1 4\d\d ", received), received[:200]
    assert lives()


@pytest.mark.parametrize("path", [
    "..%2F..%2Fetc%2Fpasswd", "%2E%2E%2F%2E%2E%2Fetc%2Fpasswd", "..%5C..%5Cetc%5Cpasswd",
    "%252e%252e%252fetc%252fpasswd", "%c0%ae%c0%ae%2fetc%2fpasswd", "../../etc/passwd",
    "%2Fetc%2Fpasswd", "..%2Fwork%2F.env", "....%2F%2F....%2F%2Fetc", "%ef%bc%8e%ef%bc%8e%2fetc",
    f"x%2F..%2F{PICTURES[0].name}", f".%2F{PICTURES[0].name}", f"%2F%2F{PICTURES[0].name}",
])
@pytest.mark.parametrize("prefix", ["/pictures/", "/thumbnails/", "/api/pictures/"])
def test_no_path_leads_out(prefix, path):
    received = raw(f"GET {prefix}{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert received.startswith(b"HTTP/1.1 404 "), received[:100]
    assert b"root:" not in received and b"PG_SERVICE_URI=" not in received


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>"])
def test_scripts_are_escaped(text):
    for target in ["/search?q=", "/search?image_key=", "/search?view=", "/search?q=cat&less="]:
        status, _, body = get(target + quote(text))
        assert status in (200, 404) and text.encode() not in body


def test_large_bodies_are_refused_unread():
    """More than the limit, announced and not: the server says no without taking it all in."""
    host = urlsplit(BASE)
    for fields in [{"Content-Length": str(10**12)}, {"Transfer-Encoding": "chunked"}]:
        connection = http.client.HTTPConnection(host.hostname, host.port, timeout=120)
        connection.putrequest("POST", "/api/search")
        for name, value in (fields | {"Content-Type": "image/jpeg"}).items():
            connection.putheader(name, value)
        connection.endheaders()
        if "Transfer-Encoding" in fields:
            part = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for _ in range(24):
                    connection.send(part)
        assert connection.getresponse().status == 413
        connection.close()
    assert lives()


def test_slow_clients_do_not_keep_others_out():
    """Two hundred that send a byte now and then; everybody else is still served."""
    host = (urlsplit(BASE).hostname, urlsplit(BASE).port)
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(host)) for _ in range(200)]
        for connection in slow:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nA: ")
        for _ in range(3):
            for connection in slow:
                connection.sendall(b"b")
            assert get("/search?q=cat")[0] == 200


# The interface for programs


def test_schemathesis(tmp_path):
    """Requests made up from the description: no 500, nothing that is not described."""
    result = subprocess.run(
        [
            pathlib.Path(sys.executable).parent / "schemathesis", "run", BASE + "/openapi.json",
            "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,"
            "response_headers_conformance,response_schema_conformance,unsupported_method",
            "--phases", "examples,coverage,fuzzing", "--mode", "all", "--seed", "7",
            "--max-examples", os.environ.get("SCHEMATHESIS_CASES", "40"), "--workers", "2",
        ],
        capture_output=True, text=True, timeout=3_000, cwd=tmp_path,
        env=os.environ | {
            "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
            "PYTHONPATH": str(pathlib.Path(__file__).parent),
        },
    )
    assert result.returncode == 0, result.stdout[-8_000:] + result.stderr[-2_000:]


def test_pictures_and_words_for_programs():
    key = PICTURES[5].name
    status, _, body = get(f"/api/search?image_key={key}&limit=3")
    found = json.loads(body)
    assert status == 200 and found["results"][0]["key"] == key and found["has_more"]
    status, _, body = get(
        "/api/search?limit=3", data=PICTURES[5].read_bytes(), headers={"Content-Type": "image/jpeg"})
    own = json.loads(body)
    assert status == 200
    assert [hit["key"] for hit in own["results"]] == [hit["key"] for hit in found["results"]]
    for mine, theirs in zip(own["results"], found["results"]):
        assert abs(mine["score"] - theirs["score"]) < 1e-3
    # curl's form is a form.
    sent = subprocess.run(
        ["curl", "--silent", "--form", f"picture=@{PICTURES[5]}", "--form", "limit=3", BASE + "/api/search"],
        capture_output=True, timeout=120, check=True)
    assert json.loads(sent.stdout) == own
    status, _, body = get(f"/api/pictures/{key}")
    picture = json.loads(body)
    assert picture["size"] == PICTURES[5].stat().st_size
    assert get(picture["url"])[2] == PICTURES[5].read_bytes()
    assert json.loads(get(picture["similar"])[2])["results"][0]["key"] == key
    assert get("/api/pictures/no-such.jpg")[0] == 404


def test_a_crowd_is_served_or_told_to_wait():
    """More at once than there is room for: every answer is 200 or a 503 that says when to come again,
    and the searches that were made are right."""
    expected = json.loads(get("/api/search?q=cat")[2])

    def ask(index):
        status, fields, body = get("/api/search?q=cat" if index % 2 else f"/api/search?q=cat+{index}")
        assert status in (200, 503), body
        if status == 503:
            assert int(fields["Retry-After"]) > 0
        elif index % 2:
            assert json.loads(body) == expected
        return status

    with concurrent.futures.ThreadPoolExecutor(400) as crowd:
        answers = list(crowd.map(ask, range(1_200)))
    assert answers.count(200) > 0
    assert lives() and get("/ready")[0] == 200


# A database that goes away


def test_the_database_goes_and_comes_back(tmp_path):
    service = [ROOT / "scripts/services/postgres"]
    # As in scripts/test: the server may run as another user.
    folder = tmp_path / "postgres"
    tmp_path.chmod(0o755)

    def start():
        told = subprocess.run(
            service + ["start", folder, "--no-fsync"], capture_output=True, text=True, check=True)
        return re.search(r"^PG_SERVICE_URI=(.*)$", told.stdout, re.MULTILINE).group(1)

    def stop():
        subprocess.run(service + ["stop", folder], check=True, capture_output=True)

    with contextlib.ExitStack() as stack:
        database = start()
        stack.callback(stop)
        place = filled_workplace(stack, database)
        base = stack.enter_context(place.web_app())
        for _ in range(8):
            assert get("/search?q=cat", base)[0] == 200
        stop()
        for target in ["/search?q=cat", "/search?q=new+words", "/api/search?q=cat", "/ready"]:
            status, fields, body = get(target, base)
            assert status == 503 and int(fields["Retry-After"]) > 0
            assert b"No pictures" not in body and b'"results":' not in body
        assert b"The search is not available right now" in get("/search?q=cat", base)[2]
        assert lives(base)
        # Back under the same address.
        assert start() == database
        back = time.monotonic()
        while get("/ready", base)[0] != 200:
            assert time.monotonic() - back < 60
            time.sleep(0.05)
        recovery = time.monotonic() - back
        for _ in range(8):
            status, _, body = get("/search?q=cat", base)
            assert status == 200 and b'class="grid"' in body
        print(f"answered again {recovery:.2f} s after PostgreSQL's return")


# What an operator chooses


def test_passwords_names_and_rates():
    with contextlib.ExitStack() as stack:
        place = filled_workplace(stack)
        place.write(place.settings | {"WEB_AUTH": "basic:ann:sesame-9"})
        arguments = ["--allowed-host", "pictures.example", "--rate-limit", "60", "--log-format", "json",
                     "--log-requests", "--trusted-proxy", "127.0.0.1"]
        base = stack.enter_context(place.web_app(*arguments))
        status, fields, body = get("/", base)
        assert status == 401 and fields["WWW-Authenticate"].startswith("Basic ") and b"sesame" not in body
        good = {"Authorization": "Basic YW5uOnNlc2FtZS05"}
        assert get("/search?q=cat", base, good)[0] == 200
        assert get("/", base, good | {"Host": "pictures.example"})[0] == 200
        assert get("/", base, good | {"Host": "evil.example"})[0] == 421
        visitor = good | {"X-Forwarded-For": "192.0.2.1"}
        answers = [get("/search?q=cat", base, visitor)[0] for _ in range(12)]
        assert answers[0] == 200 and set(answers) <= {200, 429}
        assert get("/health", base)[0] == 200
        metrics = get("/metrics", base, good)[2].decode()
        assert re.search(r'clip_search_requests_total\{method="GET",route="/search",status="200"\} \d+', metrics)
        # What runs, as --version says it.
        printed = place.run("web-app", "--version").stdout
        labels = dict(re.findall(r'(\w+)="([^"]*)"', re.search(r"clip_search_build_info\{(.*)\} 1", metrics)[1]))
        assert printed.startswith(f"clip-search {labels['version']} ({labels['commit']})\n")
        assert printed.endswith(f"instructions: {labels['instructions']}\n")
        assert re.sub(r" \([^)]*\)", "", printed).splitlines()[1] == f"formats: {labels['formats']}"
