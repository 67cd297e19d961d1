"""find-images and create-table's index, as a person uses them; numpy and psycopg say what is right."""

import base64
import http.server
import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request

import psycopg
import pytest
from tools import GOLDEN, PICTURES, TESTS, tool

TEXTS = {row["text"]: row["embedding"] for row in json.loads((TESTS / "Fixtures" / "tiny-clip.json").read_text())}

PHOTO = PICTURES / "size-640x427.jpg"


def unit(vector):
    length = sum(x * x for x in vector) ** 0.5
    return [x / length for x in vector]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def combined(*terms):
    """The documented mathematics: a weighted sum of unit vectors, made a unit vector."""
    return unit([sum(w * v[i] for w, v in terms) for i in range(512)])


@pytest.fixture
def album(workplace, tmp_path):
    """A filled table over a directory; gives the workplace and upstream's embeddings by key."""
    folder = tmp_path / "store" / "album"
    folder.mkdir(parents=True)
    keys = {}
    for number, name in enumerate(sorted(GOLDEN)):
        key = f"{'even' if number % 2 == 0 else 'odd'}-{name}"
        (folder / key).write_bytes((PICTURES / name).read_bytes())
        keys[key] = GOLDEN[name]
    workplace.settings |= {"S3_ENDPOINT": f"file://{tmp_path}/store", "S3_BUCKET_NAME": "album"}
    workplace.write(workplace.settings)
    workplace.run("create-table")
    workplace.run("process-images")
    workplace.album = folder
    workplace.keys = keys
    return workplace


def add_photo(place):
    """One more picture, larger than the others; gives its key."""
    (place.album / "photo.jpg").write_bytes(PHOTO.read_bytes())
    place.run("process-images")
    return "photo.jpg"


def hits(place, *arguments, **options):
    found = place.run("find-images", "--json", *arguments, **options).stdout.splitlines()
    return [json.loads(line) for line in found]


def expect(found, query, keys):
    """The hits are those that upstream's embeddings give."""
    scores = {key: dot(query, vector) for key, vector in keys.items()}
    assert [hit["score"] for hit in found] == sorted((hit["score"] for hit in found), reverse=True)
    for hit in found:
        assert abs(hit["score"] - scores[hit["key"]]) < 1e-4, hit
    least = sorted(scores.values(), reverse=True)[len(found) - 1]
    assert all(scores[hit["key"]] >= least - 1e-4 for hit in found)


def test_terms_weights_and_signs(album):
    (a, b), keys = list(TEXTS)[1:3], list(album.keys)
    whole = ["-k", "50"]
    everything = hits(album, a, *whole)
    assert len(everything) == len(keys)
    expect(everything, TEXTS[a], album.keys)
    expect(hits(album, a, "--plus", b, *whole), combined((1, TEXTS[a]), (1, TEXTS[b])), album.keys)
    expect(
        hits(album, a, "--weight", "0.5", "--minus", b, "--weight", "2", "--image", keys[0], *whole),
        combined((0.5, TEXTS[a]), (-2, TEXTS[b]), (1, album.keys[keys[0]])),
        album.keys,
    )
    away = hits(album, "--minus-image", keys[0], *whole)
    assert away[-1]["key"] == keys[0] and abs(away[-1]["score"] + 1) < 1e-6
    again = album.run("find-images", a, "--minus", a, code=1)
    assert "cancel each other out" in again.stderr
    # The same vector, without a search.
    printed = json.loads(album.run("find-images", a, "--plus", b, "--print-embedding").stdout)
    assert dot(printed, combined((1, TEXTS[a]), (1, TEXTS[b]))) > 0.99999


def test_pictures_from_files_keys_and_addresses(album):
    key = add_photo(album)

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = {
                "/picture": PHOTO.read_bytes(), "/text": b"no picture",
                "/large": None,
            }.get(self.path)
            if self.path == "/missing":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body) if body else 1 << 40))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        for picture in [str(PHOTO), key, f"{address}/picture"]:
            first = hits(album, "--image", picture, "-k", "1")[0]
            assert first["key"] == key and abs(first["score"] - 1) < 1e-5, picture
        for picture, words in {
            f"{address}/missing": "404", f"{address}/text": "not a picture", f"{address}/large": "byte",
            "file:///etc/passwd": "must begin with https", "no such key": "no picture with the key",
            str(album.folder): "is not a picture file", "/dev/zero": "is not a picture file",
            str(PICTURES / "make_images.py"): "not a picture",
        }.items():
            result = album.run("find-images", "--image", picture, code=1)
            assert words in result.stderr and len(result.stderr.splitlines()) == 1, result
    finally:
        server.shutdown()
        server.server_close()


def test_a_picture_from_an_address_is_fetched_once_and_leaves_no_file(album, tmp_path):
    """Once for all lines of stdin; Ctrl-C on the way leaves no temporary file."""
    fetched, hanging = [], threading.Event()

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            fetched.append(self.path)
            body = PHOTO.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.path == "/picture":
                self.wfile.write(body)
            else:
                self.wfile.write(body[:1000])
                self.wfile.flush()
                hanging.wait(60)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        (a, b, c) = list(TEXTS)[1:4]
        result = ask(album, f"{a}\n{b}\n{c}\n", "-", "--image", f"{address}/picture", "--json", "-k", "1")
        assert result.returncode == 0 and len(result.stdout.splitlines()) == 3
        assert fetched == ["/picture"]
        process = subprocess.Popen(
            [tool("find-images"), "--image", f"{address}/slow"], cwd=album.folder,
            env=album.environment | {"TMPDIR": str(temporary)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while len(fetched) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) != 0
        assert list(temporary.iterdir()) == []
    finally:
        hanging.set()
        server.shutdown()
        server.server_close()


def test_stored_pictures_need_no_model(album):
    key = next(iter(album.keys))
    found = hits(album, "--image", key, "-k", "1", env={"CLIP_MODEL": "/nonexistent.pt"})
    assert found[0]["key"] == key
    assert "/nonexistent.pt" in album.run("find-images", "cat", code=1, env={"CLIP_MODEL": "/nonexistent.pt"}).stderr


def test_pages_prefixes_scores_and_links(album):
    everything = hits(album, "cat", "-k", "50")
    pages = hits(album, "cat", "-k", "5") + hits(album, "cat", "-k", "5", "--offset", "5")
    assert [(h["rank"], h["key"]) for h in pages] == [(h["rank"], h["key"]) for h in everything[:10]]
    assert [h["key"] for h in hits(album, "cat", "-k", "50", "--exact")] == [h["key"] for h in everything]
    odd = hits(album, "cat", "-k", "50", "--prefix", "odd-")
    assert [h["key"] for h in odd] == [h["key"] for h in everything if h["key"].startswith("odd-")]
    least = everything[3]["score"]
    assert len(hits(album, "cat", "-k", "50", f"--min-score={least - 1e-9}")) == 4
    assert "url" not in hits(album, "cat", "--no-url")[0]
    plain = album.run("find-images", "cat", "--no-url").stdout.splitlines()
    assert len(plain) == 4 and all(re.fullmatch(r"\d: .* \(-?\d\.\d{4}\)", line) for line in plain)

    # Nothing found has a reason each time.
    for arguments, words in {
        ("--min-score", "0.999"): "no picture has a score of 0.999 or more",
        ("--prefix", "never"): 'no picture matches the filters',
        ("--offset", "1000"): "no more pictures",
    }.items():
        result = album.run("find-images", "cat", *arguments)
        assert result.stdout == "" and words in result.stderr
    with psycopg.connect(album.database, autocommit=True) as connection:
        connection.execute("DELETE FROM pictures")
        assert "no pictures yet" in album.run("find-images", "cat").stderr
        connection.execute("DROP TABLE pictures")
        assert "has no table pictures" in album.run("find-images", "cat", code=1).stderr
    away = "postgres://u:p@127.0.0.1:1/d"
    assert "cannot connect" in album.run("find-images", "cat", code=1, env={"PG_SERVICE_URI": away}).stderr


def test_every_filter(album):
    """Each takes the rows that PostgreSQL takes by the same condition, in the order of the whole list."""
    with psycopg.connect(album.database, autocommit=True) as connection:
        connection.execute("""
            UPDATE pictures SET taken_at = timestamp '2024-05-01' + number * interval '7 hours',
                camera = (ARRAY['Canon EOS R5', 'NIKON D90', NULL])[number % 3 + 1],
                width = 300 + 20 * number % 90, height = 300 + 30 * number % 70
            FROM (SELECT filename AS key, row_number() OVER (ORDER BY filename) AS number FROM pictures) AS numbered
            WHERE key = filename""")
        everything = [hit["key"] for hit in hits(album, "cat", "-k", "50")]
        for arguments, condition in {
            ("--prefix", "odd-"): "filename LIKE 'odd-%'",
            ("--after", "2024-05-03T09:00"): "taken_at >= '2024-05-03 09:00'",
            ("--before", "2024-05-03"): "taken_at < '2024-05-03'",
            ("--camera", "nikon"): "camera ILIKE '%nikon%'",
            ("--shape", "landscape"): "width > 1.05 * height",
            ("--shape", "portrait"): "height > 1.05 * width",
            ("--shape", "square"): "greatest(width, height) <= 1.05 * least(width, height)",
            ("--min-width", "350"): "width >= 350",
            ("--min-height", "340"): "height >= 340",
        }.items():
            taken = {key for key, in connection.execute(f"SELECT filename FROM pictures WHERE {condition}")}
            assert 0 < len(taken) < len(everything), arguments
            found = [hit["key"] for hit in hits(album, "cat", "-k", "50", *arguments)]
            assert found == [key for key in everything if key in taken], arguments


def test_the_documented_statements(album):
    """docs/sql.md's SQL runs as it is, with the vector that --print-embedding gives in the place of $1."""
    album.run("create-table", "--index", "hnsw")
    vector = album.run("find-images", "cat", "--print-embedding").stdout.strip()
    everything = [hit["key"] for hit in hits(album, "cat", "-k", "50")]
    text = (TESTS.parent / "docs" / "sql.md").read_text()
    answers = []
    with psycopg.connect(album.database, autocommit=True) as connection:
        connection.execute("CREATE TABLE products (id integer PRIMARY KEY, name text, in_stock boolean)")
        connection.execute("INSERT INTO products VALUES (1, 'shoes', true), (2, 'hats', false)")
        for block in re.findall(r"```sql\n(.*?)```", text, re.S):
            for statement in re.sub(r" *--.*", "", block).split(";"):
                statement = statement.strip().replace("$1", f"'{vector}'")
                if statement.startswith("ORDER BY"):
                    statement = f"SELECT filename FROM pictures {statement}"
                if not statement or "..." in statement:
                    continue
                cursor = connection.execute(statement)
                if statement.startswith("SELECT"):
                    answers.append(cursor.fetchall())
                if statement.startswith("CREATE TABLE product_pictures"):
                    connection.execute("INSERT INTO product_pictures SELECT 1 + (row_number() OVER ())::integer % 2, "
                                       "filename FROM pictures ORDER BY filename")
        stocked = {key for key, in connection.execute("SELECT filename FROM product_pictures WHERE product = 1")}
    joined, ordered, dated = answers
    assert [key for _, key, _ in joined] == [key for key in everything if key in stocked][:20] and len(joined) > 3
    assert {name for name, _, _ in joined} == {"shoes"}
    assert [key for key, in ordered][:3] == everything[:3]
    assert dated == []


def test_keys_for_pipes(album):
    everything = [hit["key"] for hit in hits(album, "cat", "-k", "50")]
    odd = album.album / "line\nbreak.jpg"
    odd.write_bytes((PICTURES / "grey.jpg").read_bytes())
    album.run("process-images")
    separated = album.run("find-images", "cat", "-k", "50", "--keys", "-0").stdout
    assert separated.endswith("\0")
    keys = separated.split("\0")[:-1]
    assert [key for key in keys if key != odd.name] == everything and odd.name in keys
    lines = album.run("find-images", "cat", "--keys").stdout
    assert lines == "".join(f"{key}\n" for key in keys[:4])


def test_duplicates(album):
    """Groups are those that comparing every pair with psycopg gives; the best copy comes first."""
    for number in range(3):
        (album.album / f"copy-{number}.jpg").write_bytes((PICTURES / "grey.jpg").read_bytes())
    # Two keys, although they look the same.
    for name in ["e\u0301.jpg", "\u00e9.jpg"]:
        (album.album / name).write_bytes((PICTURES / "grey.jpg").read_bytes())
    add_photo(album)
    (album.album / "photo-again.jpg").write_bytes(PHOTO.read_bytes())
    album.run("process-images")
    with psycopg.connect(album.database, autocommit=True) as connection:
        connection.execute("UPDATE pictures SET width = 10000 WHERE filename = 'copy-1.jpg'")
        connection.execute("UPDATE pictures SET taken_at = '2001-01-01' WHERE filename = 'photo.jpg'")
        pairs = connection.execute(
            "SELECT a.filename, b.filename FROM pictures AS a, pictures AS b WHERE a.filename < b.filename"
            " AND 1 - (a.embedding <=> b.embedding) >= 0.9999"
        ).fetchall()
    groups = {}
    for a, b in pairs:
        joined = groups.get(a, {a}) | groups.get(b, {b})
        groups.update(dict.fromkeys(joined, joined))
    wanted = {frozenset(group) for group in groups.values()}
    assert any("copy-1.jpg" in group for group in wanted) and any("photo.jpg" in group for group in wanted)
    for _ in range(2):
        result = album.run("find-images", "--duplicates", "--min-score", "0.9999", "--json")
        found = [[copy["key"] for copy in json.loads(line)["copies"]] for line in result.stdout.splitlines()]
        assert {frozenset(keys) for keys in found} == wanted and len(found) == len(wanted)
        assert [keys[0] for keys in found if "copy-1.jpg" in keys] == ["copy-1.jpg"]
        assert [keys for keys in found if "photo.jpg" in keys] == [["photo.jpg", "photo-again.jpg"]]
        album.run("create-table", "--index", "hnsw")
    shown = album.run("find-images", "--duplicates", "--min-score", "0.9999").stdout
    assert "photo.jpg (640 × 427)\nphoto-again.jpg (640 × 427)\n\n" in shown


@pytest.mark.parametrize("arguments", [
    ["--duplicates", "cat"], ["--duplicates", "--prefix", "a"],
    [], ["--prefix", "a"], ["cat", "-0"], ["cat", "--keys", "--json"], ["cat", "--after", "yesterday"],
    ["cat", "--shape", "round"], ["cat", "--min-width", "0"],
    ["cat", "--after", "2024", "--before", "2023"],
])
def test_usage_without_a_query(workplace, arguments):
    """Without anything to search for, the usage is printed instead of a search made up."""
    result = workplace.run("find-images", *arguments, code=64)
    assert "Usage: find-images" in result.stderr and result.stdout == ""


def ask(place, text, *arguments):
    """Runs find-images with something on stdin."""
    return subprocess.run(
        [tool("find-images"), *arguments], cwd=place.folder, env=place.environment, input=text,
        capture_output=True, text=True, timeout=300,
    )


def test_queries_from_stdin(album):
    (a, b) = list(TEXTS)[1:3]
    result = ask(album, f"{a}\n\n{b}\r\n", "-", "--json", "-k", "2", "--no-url")
    assert result.returncode == 0, result
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(hit["query"].strip(), hit["rank"]) for hit in found] == [(a, 1), (a, 2), (b, 1), (b, 2)]
    expect(found[:2], TEXTS[a], album.keys)
    expect(found[2:], TEXTS[b], album.keys)
    # Every line comes with the other terms; one that cannot be answered costs only itself.
    result = ask(album, f"{a}\n{b}\n", "-", "--minus", a, "--json", "-k", "3")
    assert result.returncode == 1 and "cancel each other out" in result.stderr
    expect([json.loads(line) for line in result.stdout.splitlines()],
           combined((1, TEXTS[b]), (-1, TEXTS[a])), album.keys)


def test_blank_lines_from_stdin(album):
    """Blank lines are skipped. A space with a combining mark is not blank, although every character of
    the line begins with white space; the line printed before the results is the one that was read."""
    marked = " \u0301 \u0308"
    result = ask(album, f"\n   \t\n{marked}\n\u3000\u00a0\n\n", "-", "--json", "-k", "1", "--no-url")
    assert result.returncode == 0, result
    assert [json.loads(line)["query"] for line in result.stdout.splitlines()] == [marked]
    assert ask(album, "\n \n", "-", "--json").stdout == ""


def on_terminal(place, arguments, **variables):
    """What a terminal receives."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [tool("find-images"), *arguments], cwd=place.folder, env=place.environment | variables,
        stdin=subprocess.DEVNULL, stdout=follower, stderr=subprocess.PIPE, start_new_session=True,
    )
    os.close(follower)
    received = b""
    while True:
        try:
            part = os.read(leader, 1 << 16)
        except OSError:
            break
        if not part:
            break
        received += part
    os.close(leader)
    errors = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=60) == 0, errors
    return received


def test_thumbnails_only_where_they_can_be_seen(album):
    key = add_photo(album)
    arguments = ["--image", key, "-k", "1"]
    kitty = on_terminal(album, arguments, TERM="xterm-kitty")
    assert kitty.count(b"\x1b_G") > 1 and b"s=240,v=160" in kitty
    iterm = on_terminal(album, arguments, TERM="xterm-256color", TERM_PROGRAM="iTerm.app")
    jpeg = base64.b64decode(re.search(rb"1337;File=[^:]*:([^\x07]*)\x07", iterm).group(1))
    assert jpeg.startswith(b"\xff\xd8\xff")
    assert b"\x1b" not in on_terminal(album, arguments, TERM="dumb")
    assert b"\x1b_G" not in on_terminal(album, [*arguments, "--no-thumbnails"], TERM="xterm-kitty")
    assert "\x1b" not in album.run("find-images", *arguments, env={"TERM": "xterm-kitty"}).stdout


def test_keys_are_links_on_a_terminal(album):
    """Hyperlinks as "Hyperlinks in terminal emulators" (OSC 8) describes them, and no long URL beside them."""
    key = add_photo(album)
    arguments = ["--image", key, "-k", "2", "--no-thumbnails"]
    hit = json.loads(album.run("find-images", *arguments, "--json").stdout.splitlines()[0])
    shown = on_terminal(album, arguments, TERM="xterm-256color").decode()
    first, second = shown.splitlines()
    links = re.findall(r"\x1b]8;;(.*?)\x1b\\", first)
    assert links == [hit["url"], ""]
    assert re.sub(r"\x1b].*?\x1b\\", "", first) == f"1: {key} (1.0000)"
    assert second.startswith("2: ")
    plain = on_terminal(album, [*arguments, "--no-url"], TERM="xterm-256color").decode()
    assert plain.splitlines()[0] == f"1: {key} (1.0000)"
    assert f"   URL: {hit['url']}" in on_terminal(album, arguments, TERM="dumb").decode()


def test_index_status_and_recall(album):
    status = json.loads(album.run("create-table", "--status", "--json").stdout)
    assert status["pictures"] == len(album.keys) and status["indexes"] == [] and status["failures"] == 0
    assert status["out_of_line_bytes"] == 0 and abs(status["mean_norm"] - 1) < 1e-5
    assert "has no index to measure" in album.run("create-table", "--recall", "5", code=1).stderr
    assert "No index was built" in album.run("create-table", "--index", "auto").stdout
    built = album.run("create-table", "--index", "hnsw", "--memory", "64MB", "--index-workers", "0")
    assert "The index pictures_embedding_hnsw was built." in built.stdout
    assert "was there already" in album.run("create-table", "--index", "hnsw").stdout.splitlines()[-1]
    shown = album.run("create-table", "--status").stdout
    assert re.search(r"^index +pictures_embedding_hnsw: hnsw of halfvec\(512\), cosine, .*, valid$", shown, re.M)
    with psycopg.connect(album.database) as connection:
        version = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()[0]
    assert f"vector {version}" in shown
    recall = json.loads(album.run("create-table", "--recall", "7", "--json").stdout)
    assert recall["recall"] == 1 and recall["queries"] == 7
    assert recall["indexed"]["median"] <= recall["indexed"]["p99"]
    assert "was dropped" in album.run("create-table", "--index", "none").stdout


@pytest.mark.parametrize("arguments", [
    ["find-images", "--weight", "2"], ["find-images", "a", "--weight", "-1"],
    ["find-images", "--min-score", "2"], ["find-images", "--expires", "0"],
    ["find-images", "--offset", "-1"], ["create-table", "--memory", "1"],
    ["create-table", "--memory", "1GB"], ["create-table", "--index", "btree"],
    ["create-table", "--partitions", "0"], ["create-table", "--status", "--index", "hnsw"],
    ["create-table", "--json"], ["create-table", "--recall", "0"],
])
def test_wrong_usage(arguments, workplace):
    result = workplace.run(*arguments, code=64)
    assert result.stdout == "" and "Usage:" in result.stderr


class Servers:
    """A primary and two streaming replicas of the tests' own."""

    script = TESTS.parent / "scripts" / "services" / "postgres"

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.chmod(0o755)
        self.uris = {}

    def start(self, name, *options):
        result = subprocess.run(
            [self.script, "start", self.folder / name, "--no-fsync", *options],
            check=True, capture_output=True, text=True,
        )
        self.uris[name] = re.search("PG_SERVICE_URI=(.*)", result.stdout).group(1)

    def stop(self, name):
        subprocess.run([self.script, "stop", self.folder / name], check=True, capture_output=True)

    def __enter__(self):
        self.start("primary")
        for name in ["one", "two"]:
            self.start(name, "--replica-of", self.folder / "primary")
        return self

    def __exit__(self, *_):
        for name in ["one", "two", "primary"]:
            self.stop(name)

    def hosts(self, *names):
        """One URI with several hosts."""
        parts = [urllib.parse.urlsplit(self.uris[name]) for name in names]
        places = ",".join(f"{part.hostname}:{part.port}" for part in parts)
        first = parts[0]
        return f"postgres://{first.username}:{first.password}@{places}{first.path}?sslmode=disable&connect_timeout=5"


def test_searches_go_to_replicas_and_outlive_each_server(album):
    with tempfile.TemporaryDirectory(prefix="clip-search-") as folder, Servers(folder) as servers:
        primary = servers.uris["primary"]
        album.write(album.settings | {"PG_SERVICE_URI": primary})
        album.run("create-table")
        album.run("process-images")
        with psycopg.connect(primary) as connection:
            position = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()[0]
        for name in ["one", "two"]:
            with psycopg.connect(servers.uris[name], autocommit=True) as connection:
                for _ in range(600):
                    if connection.execute(
                        "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn, pg_sleep(0.1)", (position,)
                    ).fetchone()[0]:
                        break
                else:
                    raise AssertionError(f"the replica {name} does not follow")
        album.write(album.settings | {
            "PG_SERVICE_URI": primary, "PG_READ_URI": servers.hosts("one", "two")})
        truth = hits(album, "cat", "-k", "5")
        # Searches ask a replica: the primary may be gone.
        servers.stop("primary")
        assert hits(album, "cat", "-k", "5") == truth
        servers.start("primary")

        with album.web_app() as address:
            stopping = threading.Event()
            answers, failures = [], []

            def search():
                while not stopping.is_set():
                    try:
                        with urllib.request.urlopen(f"{address}/search?q=cat", timeout=60) as response:
                            answers.append(response.status)
                    except Exception as error:
                        failures.append(repr(error))

            threads = [threading.Thread(target=search) for _ in range(4)]
            for thread in threads:
                thread.start()

            def more(count=40):
                wanted = len(answers) + count
                for _ in range(6_000):
                    if len(answers) >= wanted or failures:
                        return
                    stopping.wait(0.01)

            try:
                # One of them at a time; at last no replica, and the primary answers.
                more()
                servers.stop("one")
                more()
                servers.start("one")
                servers.stop("two")
                more()
                servers.stop("one")
                more()
            finally:
                stopping.set()
                for thread in threads:
                    thread.join()
            assert failures == [] and len(answers) >= 160
