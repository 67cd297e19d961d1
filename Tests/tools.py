"""What the tests of the finished tools share: the tools themselves, a database, buckets.

scripts/test names the services in the environment (TEST_PG_URI, TEST_S3_…) and the folder of the
executables (BUILD_DIR). Nothing is skipped: without them, the tests fail.
"""

import contextlib
import json
import os
import pathlib
import re
import secrets
import signal
import ssl
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request

import boto3
import botocore.config
import psycopg

TESTS = pathlib.Path(__file__).parent
MODEL = TESTS / "Fixtures" / "tiny-clip.pt"
PICTURES = TESTS / "ClipCoreTests" / "Fixtures" / "image"
# Some of the pictures, with upstream's embeddings under the small model.
GOLDEN = {
    name: embedding for name, embedding in json.loads((TESTS / "EndToEnd" / "golden.json").read_text()).items()
    if not name.startswith("stored/")
}
SECRETS = set()


def variable(name):
    value = os.environ.get(name)
    assert value, f"{name} is not set; run the tests through scripts/test"
    return value


def tool(name):
    return pathlib.Path(variable("BUILD_DIR")) / name


@contextlib.contextmanager
def new_database():
    """The service URI of a database for one test alone."""
    server = variable("TEST_PG_URI")
    SECRETS.add(urllib.parse.urlsplit(server).password)
    name = "t_" + secrets.token_hex(8)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield urllib.parse.urlsplit(server)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def s3_settings(bucket):
    SECRETS.add(variable("TEST_S3_SECRET_KEY"))
    return {
        "S3_ENDPOINT": variable("TEST_S3_ENDPOINT"),
        "S3_ACCESS_KEY": variable("TEST_S3_ACCESS_KEY"),
        "S3_SECRET_KEY": variable("TEST_S3_SECRET_KEY"),
        "S3_REGION": variable("TEST_S3_REGION"),
        "S3_BUCKET_NAME": bucket,
    }


def s3_client():
    return boto3.client(
        "s3",
        endpoint_url=variable("TEST_S3_ENDPOINT"),
        aws_access_key_id=variable("TEST_S3_ACCESS_KEY"),
        aws_secret_access_key=variable("TEST_S3_SECRET_KEY"),
        region_name=variable("TEST_S3_REGION"),
        config=botocore.config.Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
        ),
    )


@contextlib.contextmanager
def new_bucket(objects):
    """The name of a bucket that holds the given objects."""
    client = s3_client()
    name = "b-" + secrets.token_hex(8)
    client.create_bucket(Bucket=name)
    for key, body in objects.items():
        client.put_object(Bucket=name, Key=key, Body=body)
    try:
        yield name
    finally:
        for key in objects:
            client.delete_object(Bucket=name, Key=key)
        client.delete_bucket(Bucket=name)


def private_authority(folder):
    """The file of a certificate authority that no system trusts, and a context for servers at 127.0.0.1 with its
    certificate."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem", "-out", folder / "ca.pem"],
        check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return folder / "ca.pem", context


class Workplace:
    """A folder with a .env file, in which the tools are run as a person runs them."""

    def __init__(self, folder, settings):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write(settings)

    def write(self, settings):
        lines = [f'{name}="{value}"\n' for name, value in settings.items()]
        (self.folder / ".env").write_text("".join(lines))

    @property
    def environment(self):
        """None of the variables that settings come from, and no home with a model."""
        names = {"PATH", "LD_LIBRARY_PATH", "LANG"}
        kept = {name: value for name, value in os.environ.items() if name in names}
        return kept | {"HOME": str(self.folder), "SWIFT_BACKTRACE": "enable=no"}

    def run(self, name, *arguments, code=0, env=None):
        """Runs a tool; the result has text in stdout and stderr. No secret is ever in either."""
        result = subprocess.run(
            [tool(name), *arguments],
            cwd=self.folder,
            env=self.environment | (env or {}),
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )
        for secret in SECRETS:
            assert secret not in result.stdout + result.stderr
        assert result.returncode == code, (name, arguments, result)
        return result

    @contextlib.contextmanager
    def web_app(self, *arguments):
        """A running web-app; gives its address. It must end by itself, with 0, when told to."""
        process = subprocess.Popen(
            [tool("web-app"), "--port", "0", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        log = []
        reader = threading.Thread(target=lambda: log.extend(process.stderr), daemon=True)
        reader.start()
        try:
            line = process.stdout.readline()
            match = re.search(r"http://\S+", line)
            assert match, (line, process.poll(), log)
            yield match.group().rstrip("/")
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(timeout=60)
            reader.join(timeout=10)
            process.stdout.close()
            for secret in SECRETS:
                assert secret not in "".join(log)
        assert code == 0, (code, log)


def search(address):
    """Status and page of a search on a web-app."""
    try:
        with urllib.request.urlopen(f"{address}/search?q=cat") as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
