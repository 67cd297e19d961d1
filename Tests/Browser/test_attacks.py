"""Slow clients over real sockets: other clients are served, and memory stays bounded.

`pytest -s Tests/Browser/test_attacks.py` prints the figures of docs/operations.md.
"""

import concurrent.futures
import contextlib
import os
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from urllib.parse import quote, urlsplit

import pytest
from Browser.sample_site import PICTURES, SAMPLES, filled_workplace
from tools import Workplace, new_bucket, s3_settings


def ask(address, data=None, headers=None):
    """Status and seconds."""
    begin = time.monotonic()
    request = urllib.request.Request(address, data, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            response.read()
            status = response.status
    except urllib.error.HTTPError as error:
        status = error.code
    return status, time.monotonic() - begin


class Others:
    """Clients that behave, asking one after the other while an attack goes on."""

    def __init__(self, address, data=None, headers=None):
        self.answers = []
        self.is_over = threading.Event()

        def run():
            while not self.is_over.is_set():
                self.answers.append(ask(address, data, headers))
                time.sleep(0.05)

        self.thread = threading.Thread(target=run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()

    def told(self):
        times = sorted(seconds for _, seconds in self.answers)
        return f"{len(times)} requests, median {times[len(times) // 2]:.3f} s, longest {times[-1]:.3f} s"


def memory(process):
    """Resident MB of a process."""
    with open(f"/proc/{process}/status") as status:
        return int(re.search(r"VmRSS:\s*(\d+)", status.read()).group(1)) / 1024


def process_of(address):
    """The process that listens on an address's port."""
    port = urlsplit(address).port
    with open("/proc/net/tcp") as lines:
        inode = next(line.split()[9] for line in lines
                     if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A")
    for process in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            for entry in os.scandir(f"/proc/{process}/fd"):
                if os.readlink(entry.path) == f"socket:[{inode}]":
                    return process
    raise AssertionError(f"nothing listens on {port}")


def connected(stack, address, receive=4096):
    """A connection with a small receive buffer, as slow readers have."""
    client = stack.enter_context(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    client.settimeout(60)
    client.connect((urlsplit(address).hostname, urlsplit(address).port))
    return client


@pytest.fixture(scope="module")
def site():
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(filled_workplace(stack).web_app())


def test_uploads_of_a_byte_every_two_seconds(site):
    """Nine of them, as many as there are places; they end, and no other client waits for them."""
    picture = PICTURES[0].read_bytes()
    with contextlib.ExitStack() as stack:
        before = memory(process_of(site))
        slow = [connected(stack, site) for _ in range(9)]
        for client in slow:
            client.sendall(b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
                           b"Content-Length: 1000000\r\n\r\n")
        with Others(f"{site}/api/search", picture, {"Content-Type": "image/jpeg"}) as others:
            ended = 0
            for _ in range(10):
                for client in slow:
                    try:
                        client.sendall(b"x")
                    except OSError:
                        ended += 1
                time.sleep(2)
        assert {status for status, _ in others.answers} == {200}
        assert all(client.recv(1) == b"" for client in slow if client.fileno() >= 0) or ended
        print(f"\nnine slow uploads: {others.told()}; memory {before:.0f} to {memory(process_of(site)):.0f} MB")


def test_clients_that_never_read_pictures():
    """Eight of them with --proxy-images, each asking for a picture of 8 MB."""
    small, large = PICTURES[0].read_bytes(), PICTURES[0].read_bytes() + bytes(8_000_000)
    with contextlib.ExitStack() as stack:
        bucket = stack.enter_context(new_bucket({"small.jpg": small, "large.jpg": large}))
        folder = filled_workplace(stack)
        place = Workplace(folder.folder / "bucket", s3_settings(bucket) | {
            "PG_SERVICE_URI": folder.settings["PG_SERVICE_URI"], "CLIP_MODEL": SAMPLES / "model" / "sample-clip.pt"})
        site = stack.enter_context(place.web_app("--proxy-images", "--trusted-proxy", "127.0.0.1"))
        before = memory(process_of(site))
        slow = [connected(stack, site) for _ in range(8)]
        for client in slow:
            client.sendall(b"GET /pictures/large.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(1)
        during = memory(process_of(site))
        # Of another address: one address alone may have six pictures on their way.
        with Others(f"{site}/pictures/small.jpg", headers={"X-Forwarded-For": "192.0.2.1"}) as others:
            time.sleep(5)
        assert {status for status, _ in others.answers} == {200}
        assert during - before < 100
        # Those who leave make room for others of their address.
        for client in slow:
            client.close()
        assert ask(f"{site}/pictures/small.jpg")[0] == 200
        print(f"\neight clients that never read: {others.told()}; memory {before:.0f} to {during:.0f} MB")


def test_pages_that_nobody_reads(site):
    """160 large pages of 14 kB requests: what waits for slow clients is bounded over all of them."""
    target = "/search?q=" + quote("\U0001F408" * 990) + "&limit=240"
    with contextlib.ExitStack() as stack:
        before = memory(process_of(site))
        request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        slow = [connected(stack, site) for _ in range(160)]
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            list(pool.map(lambda client: client.sendall(request), slow))
        with Others(f"{site}/search?q=cat") as others:
            time.sleep(8)
        during = memory(process_of(site))
        heads = [client.recv(12) for client in slow]
        # Answered, refused, or closed because they did not read.
        assert set(heads) <= {b"HTTP/1.1 200", b"HTTP/1.1 503", b""}
        # 32 MiB may wait for one address. How many pages follow one another depends on how much of each the
        # kernel takes; memory is what is bounded.
        assert heads.count(b"HTTP/1.1 200") > 0 and heads.count(b"HTTP/1.1 503") > 0
        counts = f"{heads.count(b'HTTP/1.1 200')} begun, {heads.count(b'HTTP/1.1 503')} refused"
        assert {status for status, _ in others.answers} == {200}
        assert during - before < 250
        print(f"\n160 unread pages: {counts}; {others.told()}; memory {before:.0f} to {during:.0f} MB")
