"""process-images --replace-model: another model, and everything else on the table as it was."""

import json
import subprocess

import psycopg
import pytest
from test_ingest import (
    FULL, SAMPLE_MODEL, album, album_settings, count_rows, finish, pictures, put, rows, slow_pictures, start, summary,
    wait_until,
)
from tools import TESTS, Workplace, new_database, search, tool

__all__ = ["album"]

# Embeddings of 32 dimensions instead of 512.
SHORT_MODEL = TESTS / "ClipCoreTests" / "Fixtures" / "layouts" / "gelu"
NEXT_COLUMNS = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'pictures'::regclass AND attname ~ '_next$'"


def of(model):
    return {"CLIP_MODEL": str(model)}


def embedded_by(model, album, tmp_path):
    """What the model makes of the bucket in a table of its own."""
    with new_database() as uri:
        place = Workplace(
            tmp_path / "other", album_settings(album) | of(model) | {"PG_SERVICE_URI": uri})
        place.run("create-table", "--dimension", "32" if model == SHORT_MODEL else "512")
        place.run("process-images")
        return rows(uri)


def check_same(stored, wanted):
    assert stored.keys() == wanted.keys()
    for name, embedding in wanted.items():
        assert stored[name] == pytest.approx(embedding, rel=0, abs=1e-5), name


def start_replacing(place, model):
    """A run of a single thread; returns when some pictures are embedded."""
    process = subprocess.Popen(
        [tool("process-images"), "--json", "--replace-model", "--workers", "1", "--batch-size", "1"],
        cwd=place.folder, env=place.environment | of(model), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    with psycopg.connect(place.settings["PG_SERVICE_URI"], autocommit=True) as connection:
        wait_until(
            lambda: connection.execute(NEXT_COLUMNS).fetchone()[0]
            and connection.execute("SELECT count(embedding_next) FROM pictures").fetchone()[0]
        )
    return process


def test_replacing_the_model(workplace, album, tmp_path):
    """Searches are answered from the former embeddings until all new ones are there; killed halfway,
    the next run goes on; a web-app with the former model says so instead of talking nonsense."""
    few, slow = pictures(100), slow_pictures(60)
    count = len(few) + len(slow)
    put(album, few | slow)
    workplace.run("process-images")
    with psycopg.connect(workplace.database, autocommit=True) as connection:
        connection.execute(
            "CREATE INDEX by_angle ON pictures USING hnsw (embedding vector_cosine_ops) WITH (m = 8)")
        connection.execute(
            "CREATE INDEX pictures_embedding_hnsw ON pictures"
            " USING hnsw ((embedding::halfvec(512)) halfvec_cosine_ops)")
        before = rows(workplace.database)
        new = of(SAMPLE_MODEL)
        refused = workplace.run("process-images", code=1, env=new).stderr
        assert "tiny-clip.pt" in refused and "--replace-model" in refused
        refused = workplace.run("find-images", "cat", code=1, env=new).stderr
        assert "tiny-clip.pt" in refused

        # Killed halfway: the former embeddings are still what is searched.
        process = start_replacing(workplace, SAMPLE_MODEL)
        process.kill()
        process.communicate()
        assert rows(workplace.database) == before
        workplace.run("find-images", "cat")
        status = summary(workplace.run("create-table", "--status", "--json"))
        assert status["replacement"]["model"]["name"] == "sample-clip.pt"
        assert 0 < status["replacement"]["pictures"] < count
        assert "sample-clip.pt: " in workplace.run("create-table", "--status").stdout
        other = workplace.run("process-images", "--replace-model", code=1, env=of(SHORT_MODEL)).stderr
        assert "being replaced by sample-clip.pt" in other and "--cancel-replacement" in other

        with workplace.web_app() as address:
            assert search(address)[0] == 200
            done = summary(workplace.run("process-images", "--replace-model", "--json", env=new))
            assert done["replaced_model"] and 0 < done["stored"] < count and done["unchanged"] > 0
            status, page = search(address)
            assert status != 200 and "sample-clip.pt" in page
        check_same(rows(workplace.database), embedded_by(SAMPLE_MODEL, album, tmp_path))
        workplace.run("find-images", "cat", env=new)
        assert "sample-clip.pt" in workplace.run("find-images", "cat", code=1).stderr
        # Nothing is left over, and the indexes came along.
        assert connection.execute(NEXT_COLUMNS).fetchone()[0] == 0
        indexes = connection.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'pictures' ORDER BY 1"
        ).fetchall()
        assert [name for name, _ in indexes] == ["by_angle", "pictures_embedding_hnsw", "pictures_pkey"]
        assert indexes[0][1].endswith("USING hnsw (embedding vector_cosine_ops) WITH (m='8')")
        assert "((embedding)::halfvec(512)) halfvec_cosine_ops" in indexes[1][1]
        again = summary(workplace.run("process-images", "--replace-model", "--json", env=new))
        assert again["unchanged"] == count and not again["replaced_model"]
        # What the demo runs.
        vector = str([1] + 511 * [0])
        connection.execute(
            "INSERT INTO pictures (filename, embedding) VALUES ('demo.jpg', %s)", [vector])
        nearest = connection.execute(
            "SELECT * FROM pictures ORDER BY embedding <-> %s LIMIT 2", [vector]).fetchall()
        assert "demo.jpg" in [row[0] for row in nearest]


# Everything that people add to a table, and how the catalog tells it.
ADDITIONS = """
    ALTER TABLE pictures ADD caption text, ADD rating integer NOT NULL DEFAULT 3,
        ADD shout text GENERATED ALWAYS AS (upper(caption)) STORED;
    UPDATE pictures SET caption = 'caption of ' || filename;
    CREATE INDEX by_caption ON pictures (caption);
    ALTER TABLE pictures ADD CONSTRAINT rated CHECK (rating BETWEEN 1 AND 5);
    ALTER TABLE pictures ENABLE ROW LEVEL SECURITY;
    CREATE POLICY mine ON pictures USING (true);
    CREATE TABLE changes (filename text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO changes VALUES (new.filename); RETURN new; END';
    CREATE TRIGGER changed AFTER UPDATE ON pictures FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TABLE tags (filename text REFERENCES pictures ON DELETE CASCADE, tag text);
    INSERT INTO tags SELECT filename, 'a tag' FROM pictures;
    CREATE PUBLICATION outside FOR TABLE pictures;
    CREATE VIEW captions AS SELECT filename, caption FROM pictures;
    GRANT SELECT ON pictures TO {role};
    GRANT SELECT (embedding), UPDATE (caption) ON pictures TO {role} WITH GRANT OPTION;
    GRANT REFERENCES (stored_at) ON pictures TO PUBLIC;
    COMMENT ON TABLE pictures IS 'mine';
    COMMENT ON COLUMN pictures.embedding IS 'what it looks like';
    COMMENT ON COLUMN pictures.caption IS 'what it says';
    ALTER TABLE pictures SET (fillfactor = 90), REPLICA IDENTITY FULL;
    ALTER TABLE pictures ALTER COLUMN size SET STATISTICS 17, ALTER COLUMN etag SET STORAGE MAIN,
        ALTER COLUMN etag SET (n_distinct = -1), ALTER COLUMN embedding SET DEFAULT NULL;
"""
CATALOG = """
    SELECT 'class', concat_ws(' ', relname, relrowsecurity, relreplident, reloptions, relacl,
            obj_description(oid, 'pg_class'))
        FROM pg_class WHERE oid = 'pictures'::regclass
    UNION ALL SELECT 'column', concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull,
            attstorage, attstattarget, attoptions, attacl, pg_get_expr(adbin, adrelid),
            col_description(attrelid, attnum))
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attrelid = 'pictures'::regclass AND attnum > 0 AND NOT attisdropped
    UNION ALL SELECT 'policy', polname FROM pg_policy
    UNION ALL SELECT 'trigger', pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'constraint', pg_get_constraintdef(oid) FROM pg_constraint
        WHERE 'pictures'::regclass IN (conrelid, confrelid)
    UNION ALL SELECT 'publication', pubname || tablename FROM pg_publication_tables
    UNION ALL SELECT 'view', pg_get_viewdef('captions')
    UNION ALL SELECT 'index', indexdef FROM pg_indexes WHERE tablename = 'pictures'
    ORDER BY 1, 2
"""


def test_replacing_the_model_loses_nothing(workplace, album):
    """The columns, rights, policies, triggers and so on that people added are the same afterwards."""
    put(album, pictures(12))
    workplace.run("process-images")
    workplace.run("create-table", "--index", "hnsw")
    role = "r_" + workplace.database.rsplit("/", 1)[1].split("?")[0]
    with psycopg.connect(workplace.database, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}")
        connection.execute(ADDITIONS.replace("{role}", role))
        additions = connection.execute(CATALOG).fetchall()
        done = summary(workplace.run("process-images", "--replace-model", "--json", env=of(SAMPLE_MODEL)))
        assert done["replaced_model"] and done["stored"] == 12 and done["complete"]
        assert connection.execute(CATALOG).fetchall() == additions
        assert connection.execute(
            """
            SELECT count(*) FROM pictures JOIN tags USING (filename) JOIN captions USING (filename)
            WHERE pictures.caption = 'caption of ' || filename AND shout = upper(pictures.caption)
                AND embedding IS NOT NULL
            """
        ).fetchone()[0] == 12
        assert connection.execute("SELECT count(DISTINCT filename) FROM changes").fetchone()[0] == 12
        connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_what_hinders_a_replacement(workplace, album):
    """What depends on the columns that go is named before the first picture is embedded."""
    put(album, pictures(12))
    workplace.run("process-images")
    hindrances = {
        "view vectors": "CREATE VIEW vectors AS SELECT filename, embedding FROM pictures",
        "materialized view sizes": "CREATE MATERIALIZED VIEW sizes AS SELECT size FROM pictures",
        "index by_age": "CREATE INDEX by_age ON pictures (stored_at)",
        "constraint embedded on table pictures":
            "ALTER TABLE pictures ADD CONSTRAINT embedded CHECK (embedding IS NOT NULL)",
        "NOT NULL of column embedding": "ALTER TABLE pictures ALTER COLUMN embedding SET NOT NULL",
        "default value for column norm of table pictures":
            "ALTER TABLE pictures ADD norm float8 GENERATED ALWAYS AS (vector_norm(embedding)) STORED",
        "policy large on table pictures": "CREATE POLICY large ON pictures USING (size > 10)",
        "trigger seen on table pictures":
            "CREATE TRIGGER seen BEFORE UPDATE OF embedding ON pictures FOR EACH ROW"
            " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "column model_next": "ALTER TABLE pictures ADD model_next text",
    }
    with psycopg.connect(workplace.database, autocommit=True) as connection:
        for statement in hindrances.values():
            connection.execute(statement)
        refused = workplace.run("process-images", "--replace-model", code=1, env=of(SAMPLE_MODEL)).stderr
        for name in hindrances:
            assert name in refused, refused
        assert len(refused.strip().splitlines()) == 1
        assert connection.execute(NEXT_COLUMNS).fetchone()[0] == 1
        assert summary(workplace.run("process-images", "--json"))["unchanged"] == 12


@pytest.mark.parametrize("partitions", [None, "3"])
def test_another_dimension(workplace, album, tmp_path, partitions):
    put(album, pictures(30))
    with psycopg.connect(workplace.database, autocommit=True) as connection:
        if partitions:
            connection.execute("DROP TABLE pictures")
            workplace.run("create-table", "--partitions", partitions)
        workplace.run("process-images")
        workplace.run("create-table", "--index", "hnsw")
        indexes = "SELECT relname FROM pg_class WHERE relkind IN ('i', 'I') AND relname ~ 'pictures' ORDER BY 1"
        names = connection.execute(indexes).fetchall()
        new = of(SHORT_MODEL)
        assert summary(workplace.run("process-images", "--replace-model", "--json", env=new))["replaced_model"]
        assert connection.execute(indexes).fetchall() == names
        status = summary(workplace.run("create-table", "--status", "--json"))
        assert (status["dimension"], status["pictures"]) == (32, 30)
        assert [index["type"] for index in status["indexes"]] == ["halfvec(32)"]
        assert all(index["valid"] for index in status["indexes"])
        assert status["indexes"][0]["name"] == "pictures_embedding_hnsw"
        check_same(rows(workplace.database), embedded_by(SHORT_MODEL, album, tmp_path))
        assert len(workplace.run("find-images", "cat", "--no-url", env=new).stdout.splitlines()) == 4


def test_an_index_that_takes_long(workplace, album):
    """It is built once, however long it takes: an open transaction keeps it waiting, at full size for longer
    than any other statement may take."""
    seconds = 130 if FULL else 3
    put(album, pictures(12))
    workplace.run("process-images")
    workplace.run("create-table", "--index", "hnsw")
    builders = set()
    with psycopg.connect(workplace.database) as reader, \
            psycopg.connect(workplace.database, autocommit=True) as watcher:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1")

        def has_waited():
            builds = watcher.execute(
                """
                SELECT pid, extract(epoch FROM now() - query_start) FROM pg_stat_activity
                WHERE query ~ '^CREATE INDEX CONCURRENTLY' AND datname = current_database()
                """).fetchall()
            builders.update(pid for pid, _ in builds)
            assert process.poll() is None
            return any(age > seconds for _, age in builds)

        process = start(workplace, "--replace-model", env=of(SAMPLE_MODEL))
        wait_until(has_waited, seconds=120 + seconds)
        reader.rollback()
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 0 and json.loads(output)["replaced_model"], errors
    assert len(builders) == 1 and "again" not in errors, errors
    status = summary(workplace.run("create-table", "--status", "--json", env=of(SAMPLE_MODEL)))
    assert [index["valid"] for index in status["indexes"]] == [True]


def test_pictures_that_come_meanwhile(workplace, album, tmp_path):
    """The former model's process-images and the demo store while another model is on its way. Their
    pictures have the new model's embeddings before it takes over."""
    put(album, pictures(10) | slow_pictures(30))
    workplace.run("process-images")
    process = start_replacing(workplace, SAMPLE_MODEL)
    late = {f"a later folder/{name}": body for name, body in pictures(6).items()}
    put(album, late)
    assert summary(workplace.run("process-images", "--json"))["stored"] == 6
    with psycopg.connect(workplace.database, autocommit=True) as connection:
        demo = {"a demo/1.jpg": pictures(1).popitem()[1]}
        put(album, demo)
        connection.execute(
            "INSERT INTO pictures (filename, embedding) SELECT 'a demo/1.jpg', embedding FROM pictures LIMIT 1")
    assert process.poll() is None
    done = finish(process)
    assert done["replaced_model"] and done["stored"] == 47 and done["unchanged"] == 0
    check_same(rows(workplace.database), embedded_by(SAMPLE_MODEL, album, tmp_path))


def test_rows_that_the_new_model_has_no_picture_for(workplace, album):
    """Rows of pictures that are gone or damaged stay, with what people stored in them, but without an
    embedding: the former model's cannot be compared with the new one's."""
    put(album, pictures(12))
    workplace.run("process-images")
    gone, damaged = sorted(pictures(12))[:2]
    (album / gone).unlink()
    (album / damaged).write_bytes(b"\xff\xd8\xff damaged")
    with psycopg.connect(workplace.database, autocommit=True) as connection:
        connection.execute("ALTER TABLE pictures ADD caption text DEFAULT 'mine'")
        done = summary(workplace.run(
            "process-images", "--replace-model", "--json", code=2, env=of(SAMPLE_MODEL)))
        assert done["replaced_model"] and (done["stored"], done["failed"]) == (10, 1)
        assert connection.execute(
            "SELECT filename, model, caption FROM pictures WHERE embedding IS NULL ORDER BY 1"
        ).fetchall() == [(gone, None, "mine"), (damaged, None, "mine")]
        assert "2 rows without embedding" in workplace.run("create-table", "--status").stdout
        found = workplace.run("find-images", "cat", "--no-url", "-k", "50", env=of(SAMPLE_MODEL))
        assert len(found.stdout.splitlines()) == 10
        # The gone picture's row goes when that is asked for; the other picture comes back when it is good.
        (album / damaged).write_bytes(pictures(12)[damaged])
        done = summary(workplace.run("process-images", "--prune", "--json", env=of(SAMPLE_MODEL)))
        assert (done["stored"], done["pruned"]) == (1, 1)
        assert count_rows(connection) == 11


def test_giving_a_replacement_up(workplace, album):
    put(album, pictures(10) | slow_pictures(40))
    workplace.run("process-images")
    before = rows(workplace.database)
    assert "No model is being replaced" in workplace.run("create-table", "--cancel-replacement").stdout
    process = start_replacing(workplace, SHORT_MODEL)
    assert "gelu were dropped" in workplace.run("create-table", "--cancel-replacement").stdout
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1 and "--status" in errors
    with psycopg.connect(workplace.database, autocommit=True) as connection:
        assert connection.execute(NEXT_COLUMNS).fetchone()[0] == 0
    assert rows(workplace.database) == before
    assert "replacement" not in summary(workplace.run("create-table", "--status", "--json"))
    assert summary(workplace.run("process-images", "--json"))["unchanged"] == 50
    new = of(SAMPLE_MODEL)
    assert summary(workplace.run("process-images", "--replace-model", "--json", env=new))["replaced_model"]
