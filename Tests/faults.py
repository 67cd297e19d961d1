"""What stands between the tools and an S3 store: a proxy that counts and misbehaves, and a store that
invents its listing. Both on loopback."""

import contextlib
import http.client
import http.server
import random
import socket
import socketserver
import threading
import urllib.parse


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """Clients that were killed leave broken connections; that is expected."""


@contextlib.contextmanager
def serving(handler):
    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class FaultProxy:
    """Passes requests on to a store as they are (signatures cover the Host header, which stays the
    proxy's), counts what it passes, and does harm to some answers with pictures.

    `faults` gives for each kind the share of the answers that it befalls: `cut` ends the transfer
    halfway; `refused` answers 503; `short` gives a shorter body with a Content-Length that fits it;
    `long` announces the right length and gives less. With `hold_after`, that many objects are passed on
    and all others wait for `gate`.
    """

    def __init__(self, upstream, faults=None, seed=1, hold_after=None):
        self.upstream = urllib.parse.urlsplit(upstream)
        self.faults = faults or {}
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.objects = {}
        self.listings = 0
        self.harmed = {}
        self.hold_after = hold_after
        self.gate = threading.Event()

    @contextlib.contextmanager
    def running(self):
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def do_GET(self):
                proxy.answer(self)

            do_HEAD = do_GET

            def log_message(self, *arguments):
                pass

        with serving(Handler) as (_, address):
            yield address

    def answer(self, request):
        path = urllib.parse.urlsplit(request.path)
        is_listing = "list-type=2" in path.query
        fault = None
        with self.lock:
            if is_listing:
                self.listings += 1
            else:
                self.objects[path.path] = self.objects.get(path.path, 0) + 1
                draw = self.random.random()
                for kind, share in self.faults.items():
                    if draw < share:
                        fault = kind
                        self.harmed[kind] = self.harmed.get(kind, 0) + 1
                        break
                    draw -= share
                is_held = self.hold_after is not None and len(self.objects) > self.hold_after
        if not is_listing and is_held:
            self.gate.wait(120)
        if fault == "refused":
            request.send_response(503)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        try:
            status, headers, body = self.fetch(request)
        except OSError:
            # The store is away.
            request.close_connection = True
            return
        sent = len(body)
        if fault and status == 200 and body:
            sent = len(body) // 2
            if fault == "short":
                body = body[:sent]
        request.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[:sent])
        if sent < len(body):
            request.wfile.flush()
            request.connection.shutdown(socket.SHUT_RDWR)
            request.close_connection = True

    def fetch(self, request):
        connection = http.client.HTTPConnection(
            self.upstream.hostname, self.upstream.port, timeout=60
        )
        try:
            connection.putrequest(
                request.command, request.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in request.headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()


@contextlib.contextmanager
def invented_store(count):
    """An S3 store whose bucket lists `count` keys, `key(0)` to `key(count - 1)`, each with the entity
    tag `etag(i)` and the size `SIZE`. Gives its address and a list of all other requests, of which
    there should be none."""
    others = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
            if query.get("list-type") != "2":
                others.append(self.path)
                self.send_error(404)
                return
            first = int(query.get("continuation-token", "0"))
            if "start-after" in query:
                first = int(query["start-after"][4:-4]) + 1
            last = min(first + int(query["max-keys"]), count)
            parts = [
                '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult>'
                f"<IsTruncated>{'true' if last < count else 'false'}</IsTruncated>"
                "<EncodingType>url</EncodingType>"
            ]
            if last < count:
                parts.append(f"<NextContinuationToken>{last}</NextContinuationToken>")
            parts += [
                f"<Contents><Key>{key(i)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                f"<ETag>&quot;{etag(i)}&quot;</ETag><Size>{SIZE}</Size></Contents>"
                for i in range(first, last)
            ]
            parts.append("</ListBucketResult>")
            body = "".join(parts).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with serving(Handler) as (_, address):
        yield address, others


SIZE = 123_456


def key(i):
    return f"all/{i:09d}.jpg"


def etag(i):
    return f"{i * 2654435761 % 2**32:032x}"
