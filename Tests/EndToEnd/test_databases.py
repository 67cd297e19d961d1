"""The tools in databases that other people run: other schemas, rights, poolers, read-only servers."""

import contextlib
import json
import secrets
import tempfile
import urllib.parse

import psycopg
import pytest
from test_find_images import Servers
from test_ingest import SAMPLE_MODEL, album, album_settings, pictures, put, summary
from test_poolers import pool
from tools import PICTURES, Workplace, search, variable

__all__ = ["album"]

# Each names the side tables, the table, or both.
EVERY_TOOL = [
    ["create-table"], ["create-table", "--status"], ["create-table", "--index", "hnsw"],
    ["create-table", "--recall", "2"], ["create-table", "--cancel-replacement"], ["process-images"],
    ["process-images", "--dry-run"], ["process-images", "--refresh"], ["process-images", "--prune"],
    ["find-images", "cat"], ["find-images", "--image", "a.jpg"], ["find-images", "--duplicates"],
]


def refused(place, *command, env=None):
    """The one sentence with which a tool refuses; it shows no SQL and nothing is retried."""
    result = place.run(*command, code=1, env=env)
    lines = result.stderr.strip().splitlines()
    # create-table --index creates the table before it builds the index.
    assert len(lines) == 1 and (result.stdout == "" or "--index" in command), result
    assert "SQLSTATE" not in lines[0] and "statement:" not in lines[0], lines[0]
    return lines[0]


@contextlib.contextmanager
def weak_role(uri, *rights):
    """A role without rights of its own beside the ones given; gives its service URI."""
    role, password = "r_" + secrets.token_hex(6), "pw" + secrets.token_hex(6)
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
        for right in rights:
            connection.execute(f"GRANT {right} TO {role}")
        try:
            parts = urllib.parse.urlsplit(uri)
            host = parts.netloc.rpartition("@")[2]
            yield role, parts._replace(netloc=f"{role}:{password}@{host}").geturl()
        finally:
            connection.execute(f"DROP OWNED BY {role}")
            connection.execute(f"DROP ROLE {role}")


def collection(folder, uri, schema, count, more=()):
    """A workplace with a bucket of its own, whose table is in a schema."""
    store = folder / f"store {schema}"
    (store / "album").mkdir(parents=True)
    put(store / "album", pictures(count))
    place = Workplace(folder / f"work {schema}", {})
    place.settings = {
        "PG_SERVICE_URI": uri, "PG_SCHEMA": schema, "S3_ENDPOINT": f"file://{urllib.parse.quote(str(store))}",
        "S3_BUCKET_NAME": "album", **dict(more)}
    place.write(place.settings)
    place.database = uri
    return place


def tables(uri):
    with psycopg.connect(uri) as connection:
        found = connection.execute(
            """
            SELECT nspname, relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE relkind = 'r' AND nspname !~ '^pg_|^information_schema$' ORDER BY 1, 2
            """).fetchall()
    return {schema: [table for place, table in found if place == schema] for schema, _ in found}


def test_collections_of_one_database(workplace, tmp_path):
    """Two collections beside an application's own table pictures, which stays as it is."""
    uri, model = workplace.database, workplace.settings["CLIP_MODEL"]
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("CREATE TABLE pictures (id serial PRIMARY KEY, title text, picture bytea)")
        connection.execute("INSERT INTO pictures (title) VALUES ('one'), ('two')")
    places = {
        schema: collection(tmp_path, uri, schema, count, {"CLIP_MODEL": model})
        for schema, count in [("album", 12), ("My Photo's", 20)]}
    for schema, place in places.items():
        assert "was created" in place.run("create-table").stdout
        place.run("process-images")
        place.run("process-images", "--refresh")
        place.run("create-table", "--index", "hnsw")
        assert "valid" in place.run("create-table", "--status").stdout
        place.run("create-table", "--recall", "2")
    for (schema, place), count in zip(places.items(), [12, 20], strict=True):
        status = summary(place.run("create-table", "--status", "--json"))
        assert (status["pictures"], status["schema"]) == (count, schema)
        lines = place.run("find-images", "cat", "--json", "--no-url", "-k", "50").stdout.splitlines()
        assert len(lines) == count
        place.run("find-images", "--duplicates")
        with place.web_app() as address:
            assert search(address)[0] == 200
    # What changes one collection leaves the other alone.
    photos, own = places["My Photo's"], places["album"]
    next((tmp_path / "store album" / "album").rglob("*.jpg")).unlink()
    assert summary(own.run("process-images", "--json", "--prune"))["pruned"] == 1
    new = {"CLIP_MODEL": str(SAMPLE_MODEL)}
    assert summary(own.run("process-images", "--replace-model", "--json", env=new))["replaced_model"]
    own.run("find-images", "cat", env=new)
    photos.run("find-images", "cat")
    assert summary(photos.run("process-images", "--json"))["unchanged"] == 20
    own.run("create-table", "--index", "none", env=new)
    assert summary(photos.run("create-table", "--status", "--json"))["indexes"][0]["valid"]
    # The folder that the collection records is found without any S3 setting.
    bare = Workplace(tmp_path / "bare", {"PG_SERVICE_URI": uri, "PG_SCHEMA": "album"} | new)
    assert bare.run("find-images", "cat", "--json", "-k", "1").stdout
    found = tables(uri)
    assert found["public"] == ["pictures"] and found["album"] == found["My Photo's"]
    assert len(found["album"]) == 7
    with psycopg.connect(uri) as connection:
        assert connection.execute("SELECT id, title, picture FROM pictures ORDER BY id").fetchall() == [
            (1, "one", None), (2, "two", None)]


@pytest.mark.parametrize("definition", [
    "TABLE pictures (id int, picture bytea)", "TABLE pictures (filename text PRIMARY KEY, embedding real[])",
    "TABLE pictures (filename uuid PRIMARY KEY, embedding vector(64))",
    "TABLE pictures (filename text, title text, embedding text)",
    # The right columns, but nothing that rows can be stored in or that has a key.
    "VIEW pictures AS SELECT 'a'::text AS filename, NULL::vector(512) AS embedding",
    "MATERIALIZED VIEW pictures AS SELECT 'a'::text AS filename, NULL::vector(512) AS embedding",
    "FOREIGN DATA WRAPPER nothing; CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing; "
    "CREATE FOREIGN TABLE pictures (filename text, embedding vector(512)) SERVER elsewhere",
])
def test_another_table_of_that_name(workplace, album, definition):
    with psycopg.connect(workplace.database, autocommit=True) as connection:
        connection.execute(f"DROP TABLE pictures; CREATE {definition}")
    for command in EVERY_TOOL:
        if "--cancel-replacement" in command:
            continue  # nothing to cancel
        sentence = refused(workplace, *command)
        assert "pictures" in sentence and "PG_SCHEMA" in sentence, (command, sentence)
    with workplace.web_app() as address:
        code, page = search(address)
        assert code >= 500 and "SQLSTATE" not in page


def test_schemas_that_cannot_be_used(workplace, tmp_path):
    uri = workplace.database
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA ext; CREATE EXTENSION vector SCHEMA ext; CREATE SCHEMA ours")
    # Nothing is ever created beside an extension's own objects.
    place = collection(tmp_path, uri, "ext", 3, {"CLIP_MODEL": workplace.settings["CLIP_MODEL"]})
    assert "ext" in (sentence := refused(place, "create-table")) and "PG_SCHEMA" in sentence
    option = uri + ("&" if "?" in uri else "?") + "options=-csearch_path%3Dext,public"
    workplace.write(workplace.settings | {"PG_SERVICE_URI": option})
    assert "PG_SCHEMA" in refused(workplace, "create-table")
    for schema in ["pg_catalog", "pg_mine", "information_schema", "x" * 64]:
        assert "PG_SCHEMA" in refused(place, "create-table", env={"PG_SCHEMA": schema})
    assert tables(uri) == {}
    # A schema that is not there is one that create-table has not made.
    for command in EVERY_TOOL[1:]:
        if "hnsw" in command or "--cancel-replacement" in command:
            continue
        sentence = refused(place, *command, env={"PG_SCHEMA": "missing"})
        assert "missing" in sentence and "create-table" in sentence, (command, sentence)

    with weak_role(uri) as (role, weak):
        def says(*command, schema="ours"):
            return refused(place, *command, env={"PG_SERVICE_URI": weak, "PG_SCHEMA": schema})

        # pgvector off the search path works; without the right to use its schema, that right is named.
        assert f"GRANT USAGE ON SCHEMA ext TO {role}" in says("create-table")
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute(f"GRANT USAGE ON SCHEMA ext TO {role}")
            assert f"GRANT USAGE ON SCHEMA ours TO {role}" in says("create-table")
            connection.execute(f"GRANT USAGE ON SCHEMA ours TO {role}")
            assert f"GRANT CREATE ON SCHEMA ours TO {role}" in says("create-table")
            assert f"CREATE SCHEMA theirs AUTHORIZATION {role}" in says("create-table", schema="theirs")
            connection.execute(f"CREATE SCHEMA theirs AUTHORIZATION {role}")
        env = {"PG_SERVICE_URI": weak, "PG_SCHEMA": "theirs"}
        place.run("create-table", env=env)
        place.run("process-images", env=env)
        assert len(place.run("find-images", "cat", "--no-url", "--json", env=env).stdout.splitlines()) == 3
    assert "theirs" not in tables(uri)


def test_roles_that_may_do_less(workplace, album):
    put(album, pictures(5))
    workplace.run("process-images")
    with weak_role(workplace.database) as (role, weak):
        env = {"PG_SERVICE_URI": weak}
        for command in [["find-images", "cat"], ["process-images", "--dry-run"]]:
            sentence = refused(workplace, *command, env=env)
            assert "GRANT SELECT ON public.pictures" in sentence and sentence.endswith(f"TO {role}")
        with psycopg.connect(workplace.database, autocommit=True) as connection:
            connection.execute(f"GRANT SELECT ON pictures TO {role}")
            workplace.run("find-images", "cat", env=env)
            sentence = refused(workplace, "process-images", "--dry-run", env=env)
            assert "GRANT SELECT ON" in sentence and "public.picture_refusals" in sentence
            assert f"GRANT SELECT, INSERT, UPDATE ON public.pictures TO {role}" in refused(
                workplace, "process-images", env=env)
            connection.execute(
                f"GRANT SELECT ON picture_refusals, picture_claims, picture_previews, picture_collection TO {role}")
            dry = workplace.run("process-images", "--dry-run", "--prune", env=env)
            assert "unchanged 5" in dry.stdout


def read_only(uri, is_on):
    name = urllib.parse.urlsplit(uri).path[1:]
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {is_on}")


WRITES = [
    ["create-table", "--index", "hnsw"], ["create-table", "--cancel-replacement"], ["process-images"],
    ["process-images", "--prune"], ["process-images", "--refresh"],
]


def reads(place):
    """What only reads works where nothing can be written."""
    assert summary(place.run("create-table", "--status", "--json"))["pictures"] == 5
    place.run("create-table")  # has nothing to do
    assert "unchanged 5" in place.run("process-images", "--dry-run", "--prune").stdout
    assert len(place.run("find-images", "cat", "--no-url", "--json").stdout.splitlines()) == 4
    place.run("find-images", "--duplicates")
    with place.web_app() as address:
        assert search(address)[0] == 200


def test_read_only_database(workplace, album):
    """As managed services leave a database whose disk is full."""
    put(album, pictures(5))
    read_only(workplace.database, "on")
    workplace.run("create-table")
    read_only(workplace.database, "off")
    workplace.run("process-images")
    read_only(workplace.database, "on")
    for command in WRITES:
        assert "default_transaction_read_only" in refused(workplace, *command), command
    new = {"CLIP_MODEL": str(SAMPLE_MODEL)}
    assert "default_transaction_read_only" in refused(workplace, "process-images", "--replace-model", env=new)
    reads(workplace)
    with psycopg.connect(workplace.database, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("DROP TABLE pictures")
    assert "default_transaction_read_only" in refused(workplace, "create-table")


def test_transactions_that_end_too_soon(workplace, album):
    """With an idle_in_transaction_session_timeout of a millisecond (25P03) no picture can be stored."""
    put(album, pictures(5))
    workplace.run("process-images")
    name = urllib.parse.urlsplit(workplace.database).path[1:]
    with psycopg.connect(workplace.database, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET idle_in_transaction_session_timeout = '1ms'")
    for command in [["create-table"], *WRITES]:
        sentence = refused(workplace, *command)
        assert "1 ms" in sentence and "idle_in_transaction_session_timeout" in sentence, sentence
    # A search is one round trip.
    assert len(workplace.run("find-images", "cat", "--keys").stdout.splitlines()) == 4
    workplace.run("create-table", "--status")
    assert "unchanged 5" in workplace.run("process-images", "--dry-run", "--prune").stdout
    with workplace.web_app() as address:
        assert search(address)[0] == 200


def test_replica(workplace, album):
    put(album, pictures(5))
    with tempfile.TemporaryDirectory(prefix="clip-search-") as folder:
        servers = Servers(folder)
        servers.start("primary")
        try:
            primary = workplace.settings | album_settings(album) | {"PG_SERVICE_URI": servers.uris["primary"]}
            workplace.write(primary)
            workplace.run("create-table")
            workplace.run("process-images")
            servers.start("one", "--replica-of", servers.folder / "primary")
            workplace.write(primary | {"PG_SERVICE_URI": servers.uris["one"]})
            for command in WRITES:
                assert "replica" in refused(workplace, *command), command
            reads(workplace)
            # Of several hosts, the one that can be written to is found by libpq.
            both = servers.hosts("one", "primary") + "&target_session_attrs=read-write"
            workplace.write(primary | {"PG_SERVICE_URI": both})
            assert summary(workplace.run("process-images", "--json"))["unchanged"] == 5
        finally:
            for name in ["one", "primary"]:
                servers.stop(name)


def test_pool_of_one_connection(workplace, album):
    """Every tool manages with one connection, also where it keeps it for as long as it runs."""
    put(album, pictures(30))
    models = [workplace.settings["CLIP_MODEL"], str(SAMPLE_MODEL)]
    for mode, (model, other) in {"session": models, "transaction": models[::-1]}.items():
        with pool(mode, 1) as lead:
            place = Workplace(workplace.folder.with_name(mode), workplace.settings | album_settings(album) | {
                "PG_SERVICE_URI": lead(workplace.database), "CLIP_MODEL": model})
            place.run("create-table")
            done = summary(place.run("process-images", "--json", "--prune"))
            assert done["complete"] and done["stored"] + done["unchanged"] == 30
            assert len(place.run("find-images", "cat", "--json", "--no-url", "-k", "5").stdout.splitlines()) == 5
            place.run("find-images", "--duplicates")
            place.run("create-table", "--status")
            place.run("process-images", "--dry-run", "--prune")
            # The page asks for several things at once, on a connection each.
            with place.web_app() as address:
                code, page = search(address)
                assert code == 200 or mode == "session" and "connection pool in session mode" in page
            done = summary(place.run("process-images", "--replace-model", "--json", env={"CLIP_MODEL": other}))
            assert done["replaced_model"]


@pytest.mark.parametrize("encoding, failed", [("LATIN1", ["日本.jpg"]), ("SQL_ASCII", []), ("EUC_JP", [])])
def test_encodings_and_styles(workplace, tmp_path, encoding, failed):
    """Databases in other encodings, with settings that change how values are written, found through a
    service file. A key that an encoding has no room for fails by itself."""
    name = "t_" + secrets.token_hex(8)
    server = urllib.parse.urlsplit(variable("TEST_PG_URI"))
    place = collection(tmp_path, "service=pictures", "album", 3, {"CLIP_MODEL": workplace.settings["CLIP_MODEL"]})
    store = tmp_path / "store album" / "album"
    dated = (PICTURES / "metadata" / "camera.jpg").read_bytes()
    put(store, {"é.jpg": dated, "日本.jpg": dated})
    service = tmp_path / "services"
    service.write_text(
        f"[pictures]\nhost={server.hostname}\nport={server.port}\nuser={server.username}\n"
        f"password={server.password}\ndbname={name}\nsslmode=disable\n")
    env = {"PGSERVICEFILE": str(service)}
    with psycopg.connect(server.geturl(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
        try:
            for setting in [
                "DateStyle = 'SQL, DMY'", "IntervalStyle = sql_standard", "TimeZone = 'Asia/Kolkata'",
                "bytea_output = escape", "extra_float_digits = -10", "standard_conforming_strings = off",
                "backslash_quote = off", "client_encoding = SQL_ASCII",
            ]:
                connection.execute(f"ALTER DATABASE {name} SET {setting}")
            place.run("create-table", env=env)
            done = place.run("process-images", "--json", code=2 if failed else 0, env=env)
            assert summary(done)["failed"] == len(failed) and all(key in done.stderr for key in failed)
            assert summary(place.run("process-images", "--json", code=2 if failed else 0, env=env))["unchanged"] == 5 - len(failed)
            found = [
                json.loads(line) for line in place.run(
                    "find-images", "cat", "--json", "--no-url", "-k", "9", "--after", "2000", env=env).stdout.splitlines()]
            assert {hit["key"] for hit in found} == {"é.jpg", "日本.jpg"} - set(failed)
            assert {hit["taken_at"] for hit in found} == {"2024-02-29T23:59:07"}
            place.run("create-table", "--status", env=env)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
