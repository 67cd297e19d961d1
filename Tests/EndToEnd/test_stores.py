"""Credentials as AWS's tools find them, and stores with habits of their own.

One server plays the store, the container's agent, the instance's metadata service and the token service. What
the tools send there is compared with what boto3 sends, under the same environment.
"""

import contextlib
import datetime
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.parse

import psycopg
import pytest
from tools import PICTURES, private_authority

LISTING = (
    '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>'
    "<IsTruncated>false</IsTruncated><Contents><Key>notes.txt</Key><Size>1</Size>"
    "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents></ListBucketResult>"
)
BOTO = """
import boto3, botocore.config, botocore.exceptions
client = boto3.client("s3", endpoint_url="{base}", region_name="us-east-1",
    config=botocore.config.Config(s3={{"addressing_style": "path"}}, retries={{"max_attempts": 0}}))
try:
    client.list_objects_v2(Bucket="b")
except botocore.exceptions.NoCredentialsError:
    pass
"""
ENDS = "2099-01-01T00:00:00Z"


def temporary(server, name):
    """Keys that a service gives. Where they are `numbered`, the first ones are good for five minutes more."""
    end = ENDS
    if server.numbered:
        server.given += 1
        name += str(server.given)
        if server.given == 1:
            soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5)
            end = soon.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "Code": "Success", "AccessKeyId": f"ASIA{name}", "SecretAccessKey": f"secret-{name}", "Token": f"token-{name}",
        "Expiration": end,
    }


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body, content_type="application/json"):
        body = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        if self.path == "/latest/api/token" and "x-aws-ec2-metadata-token-ttl-seconds" in self.headers:
            # botocore reads the lifetime from here.
            body = b"imds-token"
            self.send_response(200)
            self.send_header("x-aws-ec2-metadata-token-ttl-seconds", "21600")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            self.answer(400, "")

    def do_POST(self):
        fields = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if fields["Action"] != ["AssumeRoleWithWebIdentity"] or fields["WebIdentityToken"] != ["eyJ.web+identity"]:
            return self.answer(403, "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>")
        name = fields["RoleArn"][0].rpartition("/")[2]
        found = temporary(self.server, name)
        self.answer(
            200,
            '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{found['AccessKeyId']}</AccessKeyId>"
            f"<SecretAccessKey>{found['SecretAccessKey']}</SecretAccessKey><SessionToken>{found['Token']}</SessionToken>"
            f"<Expiration>{found['Expiration']}</Expiration></Credentials><AssumedRoleUser><Arn>a</Arn><AssumedRoleId>i</AssumedRoleId>"
            "</AssumedRoleUser></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>", "text/xml")

    def do_GET(self):
        path = self.path.split("?")[0]
        roles = "/latest/meta-data/iam/security-credentials/"
        if path.startswith(roles):
            if self.headers["x-aws-ec2-metadata-token"] != "imds-token":
                return self.answer(401, "")
            return self.answer(200, "the role" if path == roles else json.dumps(temporary(self.server, "INSTANCE")))
        if path == "/container":
            if self.headers["Authorization"] != "container token":
                return self.answer(403, "{}")
            return self.answer(200, json.dumps(temporary(self.server, "CONTAINER")))
        signature = self.headers["Authorization"] or ""
        key = re.search(r"Credential=([^/]+)/", signature)
        self.server.seen.append({
            "key": key and key.group(1), "token": self.headers["x-amz-security-token"],
            "payer": self.headers["x-amz-request-payer"],
        })
        self.answer(200, LISTING, "application/xml")

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(context=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.numbered, server.given = [], False, 0
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def place(workplace):
    workplace.run("create-table")
    with serving() as server:
        server.base = f"http://127.0.0.1:{server.server_port}"
        workplace.settings |= {"S3_ENDPOINT": server.base, "S3_BUCKET_NAME": "b"}
        workplace.write(workplace.settings)
        workplace.server = server
        yield workplace


KEYS = {"AWS_ACCESS_KEY_ID": "AKIAENVIRONMENT", "AWS_SECRET_ACCESS_KEY": "from the environment".replace(" ", "-")}
SHARED = """\
# A comment.
[default]
aws_access_key_id = AKIADEFAULT
aws_secret_access_key=default/secret+key=
; Another one.
[work]
AWS_ACCESS_KEY_ID = AKIAWORK
aws_secret_access_key = s
aws_session_token = work-token
"""
CONFIG = """\
[default]
region = eu-west-3
aws_access_key_id = AKIACONFIGDEFAULT
aws_secret_access_key = s

[profile nested]
s3 =
    addressing_style = path
    aws_access_key_id = AKIANOT
aws_access_key_id = AKIANESTED
aws_secret_access_key = s

[profile "two words"]
aws_access_key_id = AKIATWOWORDS
aws_secret_access_key = s

[profile web]
role_arn = arn:aws:iam::123456789012:role/PROFILE
web_identity_token_file = {home}/token
"""
CONTAINER = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{base}/container"}
TOKEN = CONTAINER | {"AWS_CONTAINER_AUTHORIZATION_TOKEN": "container token"}
INSTANCE = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "{base}"}
WEB = {
    "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/WEB", "AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token",
    "AWS_ENDPOINT_URL_STS": "{base}",
}


@pytest.mark.parametrize(
    ("variables", "files", "key"),
    [
        (KEYS, True, "AKIAENVIRONMENT"),
        (KEYS | {"AWS_SESSION_TOKEN": "environment-token"}, False, "AKIAENVIRONMENT"),
        (KEYS | {"AWS_PROFILE": "work"}, True, "AKIAENVIRONMENT"),
        ({}, True, "AKIADEFAULT"),
        ({"AWS_PROFILE": "work"}, True, "AKIAWORK"),
        ({"AWS_PROFILE": "nested"}, True, "AKIANESTED"),
        ({"AWS_PROFILE": "two words"}, True, "AKIATWOWORDS"),
        ({"AWS_SHARED_CREDENTIALS_FILE": "{home}/none"}, True, "AKIACONFIGDEFAULT"),
        ({"AWS_PROFILE": "web", "AWS_ENDPOINT_URL_STS": "{base}"}, True, "ASIAPROFILE"),
        (WEB, False, "ASIAWEB"), (WEB, True, "ASIAWEB"), (WEB | TOKEN, False, "ASIAWEB"),
        (TOKEN, False, "ASIACONTAINER"), (TOKEN, True, "AKIADEFAULT"), (TOKEN | INSTANCE, False, "ASIACONTAINER"),
        (CONTAINER | {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "{home}/agent"}, False, "ASIACONTAINER"),
        (INSTANCE, False, "ASIAINSTANCE"),
        (INSTANCE | {"AWS_EC2_METADATA_DISABLED": "true"}, False, None),
    ])
def test_credentials_as_boto3_finds_them(place, variables, files, key):
    home, base = str(place.folder), place.server.base
    (place.folder / "token").write_text("eyJ.web+identity")
    (place.folder / "agent").write_text("container token")
    if files:
        (place.folder / ".aws").mkdir()
        (place.folder / ".aws" / "credentials").write_text(SHARED)
        (place.folder / ".aws" / "config").write_text(CONFIG.format(home=home))
    variables = {name: value.format(home=home, base=base) for name, value in variables.items()}
    # No test asks a real metadata service.
    if "AWS_EC2_METADATA_SERVICE_ENDPOINT" not in variables:
        variables["AWS_EC2_METADATA_DISABLED"] = "true"
    subprocess.run(
        [sys.executable, "-c", BOTO.format(base=base)], env=place.environment | variables, cwd=place.folder, check=True,
        timeout=60)
    theirs = place.server.seen[:]
    assert [request["key"] for request in theirs] == ([key] if key else [])
    place.server.seen.clear()
    result = place.run("process-images", "--dry-run", env=variables, code=0 if key else 1)
    assert place.server.seen == theirs
    assert "secret" not in result.stdout + result.stderr and "token-" not in result.stdout + result.stderr
    if key is None:
        assert "S3_ACCESS_KEY and S3_SECRET_KEY are not set" in result.stderr
    # The settings of this program come first.
    own = {"S3_ACCESS_KEY": "own", "S3_SECRET_KEY": "own"}
    place.server.seen.clear()
    place.run("process-images", "--dry-run", env=variables | own)
    assert [request["key"] for request in place.server.seen] == ["own"]


@pytest.mark.parametrize("variables", [WEB, TOKEN, INSTANCE], ids=["web", "container", "instance"])
def test_keys_that_end_soon_are_renewed(place, variables):
    """Within ten minutes of their end, as botocore does it, and so at any time of a long run."""
    server = place.server
    (place.folder / "token").write_text("eyJ.web+identity")
    variables = {name: value.format(home=place.folder, base=server.base) for name, value in variables.items()}
    server.numbered = True
    place.run("process-images", "--dry-run", env=variables)
    ours, server.seen, server.given = server.seen, [], 0
    assert [request["key"][-1] for request in ours] == ["2"]
    # botocore may sign one request before it looks at the end, and makes an instance's keys last longer.
    if "AWS_EC2_METADATA_SERVICE_ENDPOINT" not in variables:
        subprocess.run(
            [sys.executable, "-c", BOTO.format(base=server.base) + "client.list_objects_v2(Bucket='b')"],
            env=place.environment | variables, cwd=place.folder, check=True, timeout=60)
        assert server.seen[-1] == ours[-1]


@pytest.mark.parametrize(
    ("variables", "config", "words"),
    [
        ({"AWS_ACCESS_KEY_ID": "AKIAHALF"}, "", "must both be set"),
        ({"AWS_PROFILE": "nobody"}, "", 'the profile "nobody"'),
        ({"AWS_PROFILE": "p"}, "[profile p]\nsso_session = x\n", "sso_session, which is not supported"),
        ({"AWS_PROFILE": "p"}, "[profile p]\nrole_arn = x\nsource_profile = y\n", "role_arn, which is not supported"),
        ({"AWS_PROFILE": "p"}, "[profile p]\ncredential_process = x\n", "credential_process, which is not supported"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://198.51.100.1/x"}, "", "must be https"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{base}/container"}, "", "HTTP status 403"),
        (WEB | {"AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/.env"}, "", "(AccessDenied)"),
        ({"S3_UNSIGNED": "yes"}, "", "S3_UNSIGNED must be true or false"),
        ({"AWS_CA_BUNDLE": "{home}/none.pem"}, "", "AWS_CA_BUNDLE names the file"),
    ])
def test_what_cannot_be_used_is_named(place, variables, config, words):
    (place.folder / ".aws").mkdir()
    (place.folder / ".aws" / "config").write_text(config)
    variables = {
        name: value.format(home=place.folder, base=place.server.base) for name, value in variables.items()
    } | {"AWS_EC2_METADATA_DISABLED": "true"}
    result = place.run("process-images", env=variables, code=1)
    assert words in result.stderr and len(result.stderr.splitlines()) == 1
    assert place.server.seen == []


def test_unsigned_and_requester_pays(place):
    place.run("process-images", "--dry-run", env={"S3_UNSIGNED": "true"})
    place.run("process-images", "--dry-run", env=KEYS | {"S3_REQUESTER_PAYS": "true"})
    assert place.server.seen == [
        {"key": None, "token": None, "payer": None},
        {"key": "AKIAENVIRONMENT", "token": None, "payer": "requester"},
    ]


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl here")
def test_private_certificate_authority(place, tmp_path):
    """For the store, for the token service behind the keys, and for a picture to search with."""
    authority, context = private_authority(tmp_path)
    (place.folder / "token").write_text("eyJ.web+identity")
    with serving(context) as server:
        base = f"https://127.0.0.1:{server.server_port}"
        web = {name: value.format(home=place.folder, base=base) for name, value in WEB.items()}
        plain = {"S3_ENDPOINT": place.server.base}
        for name in [None, "AWS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"]:
            trust = {name: str(authority)} if name else {}
            for env in [KEYS | {"S3_ENDPOINT": base}, web | plain, web | {"S3_ENDPOINT": base}]:
                result = place.run("process-images", "--dry-run", env=env | trust, code=0 if name else 1)
                assert name or "not to be trusted" in result.stderr and len(result.stderr.splitlines()) == 1
            result = place.run("find-images", "--print-embedding", "--image", f"{base}/a.jpg", env=trust, code=1)
            # The server has no pictures.
            assert ("not to be trusted" in result.stderr) == (name is None)
        assert [request["key"] for request in place.server.seen] == ["ASIAWEB"] * 3
        ours = server.seen[:]
        assert [request["key"] for request in ours] == ["AKIAENVIRONMENT", "ASIAWEB", None] * 3
        server.seen.clear()
        # boto3 knows the first of the three.
        for env in [KEYS, web]:
            subprocess.run(
                [sys.executable, "-c", BOTO.format(base=base)], cwd=place.folder, check=True, timeout=60,
                env=place.environment | env | {"AWS_CA_BUNDLE": str(authority), "AWS_EC2_METADATA_DISABLED": "true"})
        assert server.seen == ours[:2]


def test_directory_with_links_and_odd_names(workplace, tmp_path):
    """What cannot have a key, or leads out, is counted and named; links inside are followed."""
    album = tmp_path / "store" / "album"
    (album / "a").mkdir(parents=True)
    picture = (PICTURES / "progressive.jpg").read_bytes()
    (album / "a" / "1.jpg").write_bytes(picture)
    (tmp_path / "outside.jpg").write_bytes(picture)
    (album / "linked").symlink_to("a")
    (album / "a" / "up").symlink_to("..")
    (album / "out.jpg").symlink_to(tmp_path / "outside.jpg")
    with open(os.fsencode(album) + b"/caf\xe9.jpg", "wb") as file:
        file.write(picture)
    workplace.write(
        workplace.settings | {"S3_ENDPOINT": (tmp_path / "store").as_uri(), "S3_BUCKET_NAME": "album"})
    workplace.run("create-table")
    result = workplace.run("process-images", "--json", code=2)
    summary = json.loads(result.stdout)
    # Twice the link to the folder that it lies in: it is met by either path.
    assert (summary["stored"], summary["failed"]) == (2, 4)
    for words in ["out.jpg: it is a link out", "its name is not UTF-8", "a/up: it is a link to a folder that it lies in"]:
        assert words in result.stderr
    with psycopg.connect(workplace.database) as connection:
        keys = connection.execute("SELECT filename FROM pictures ORDER BY 1").fetchall()
    assert keys == [("a/1.jpg",), ("linked/1.jpg",)]
