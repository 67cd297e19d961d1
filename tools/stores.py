#!/usr/bin/env python3
"""Try the tools on an S3 store, and print its row of the table in docs/stores.md.

    pip install boto3 psycopg[binary]
    BUILD_DIR=.build/release python tools/stores.py NAME ENDPOINT ACCESS_KEY SECRET_KEY REGION PG_URI

Makes a bucket (the keys must be allowed to, and to write to it), fills it by boto3, and removes it. PG_URI names an
empty database with pgvector, in which tables are made. The model is a small one of random weights. Stores that were
tried on one machine:

    OpenStack Swift   scripts/services/object-store start DIR prints its settings
    moto              pip install 'moto[server]'; moto_server -p 5000; any keys
    Ceph's radosgw    Debian's ceph-mon, ceph-mgr, ceph-osd and radosgw: one monitor, one OSD with
                      osd_objectstore = memstore, pools of size 1, then radosgw-admin user create
"""
import gzip
import json
import pathlib
import secrets
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

import boto3
import botocore.config
import botocore.exceptions

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "Tests"))
from tools import MODEL, PICTURES, Workplace, tool

KEYS = [
    "plain.jpg", "with space.jpg", "plus+and%percent.jpg", "double//slash.jpg", "ünïcödé/日本.jpg", "emoji 🐈‍⬛.jpg",
    "question?mark&amp;.jpg", "quote'\"<script>.jpg", "control\x01\x1b.jpg", "~tilde(1)*!.jpg", "a/../b.jpg",
    "new\nline.jpg",
]
OTHERS = 1_100  # more than a page of a listing
PICTURE = (PICTURES / "progressive.jpg").read_bytes()


def fill(client, bucket):
    """How many pictures the store took."""
    taken = 0
    for key in KEYS:
        try:
            client.put_object(Bucket=bucket, Key=key, Body=PICTURE)
            taken += 1
        except botocore.exceptions.ClientError as error:
            print(f"refuses {key!r}: {error}", file=sys.stderr)
    client.put_object(Bucket=bucket, Key="packed.jpg", Body=gzip.compress(PICTURE), ContentEncoding="gzip")
    for number in range(OTHERS):
        client.put_object(Bucket=bucket, Key=f"notes/{number:05}.txt", Body=b"x")
    return taken + 1


def empty(client, bucket):
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for found in page.get("Contents", []):
            client.delete_object(Bucket=bucket, Key=found["Key"])
    client.delete_bucket(Bucket=bucket)


def run(place, name, *arguments, env=None):
    result = subprocess.run(
        [tool(name), *arguments], cwd=place.folder, env=place.environment | (env or {}), capture_output=True, text=True,
        timeout=300)
    print(name, *arguments, env or "", f"ends with {result.returncode}", result.stderr.strip(), file=sys.stderr)
    return result


def works(link):
    try:
        with urllib.request.urlopen(link, timeout=30) as response:
            body = response.read()
            return (gzip.decompress(body) if response.headers["Content-Encoding"] == "gzip" else body) == PICTURE
    except urllib.error.HTTPError as error:
        print(link, error, file=sys.stderr)
        return False


def refusal(result):
    """The store's code in a tool's sentence."""
    words = result.stderr.replace("(", " ").replace(")", " ").split()
    codes = [word for word in words if word in ("SignatureDoesNotMatch", "InvalidAccessKeyId", "AccessDenied")]
    return "accepted" if result.returncode == 0 else codes[0] if codes else result.stderr.strip().rpartition(": ")[2]


def main(name, endpoint, access, secret, region, database):
    client = boto3.client(
        "s3", endpoint_url=endpoint, aws_access_key_id=access, aws_secret_access_key=secret, region_name=region,
        config=botocore.config.Config(
            signature_version="s3v4", s3={"addressing_style": "path"}, request_checksum_calculation="when_required"))
    bucket = "try-" + secrets.token_hex(4)
    client.create_bucket(Bucket=bucket)
    try:
        taken = fill(client, bucket)
        with tempfile.TemporaryDirectory() as folder:
            place = Workplace(folder, {
                "PG_SERVICE_URI": database, "PG_SCHEMA": bucket, "CLIP_MODEL": str(MODEL), "S3_ENDPOINT": endpoint,
                "S3_ACCESS_KEY": access, "S3_SECRET_KEY": secret, "S3_REGION": region, "S3_BUCKET_NAME": bucket})
            place.run("create-table")
            stored = json.loads(run(place, "process-images", "--json").stdout)
            found = run(place, "find-images", "cat", "-k", "50", "--json").stdout.splitlines()
            links = sum(works(json.loads(line)["url"]) for line in found)
            client.delete_object(Bucket=bucket, Key=KEYS[0])
            pruned = json.loads(run(place, "process-images", "--prune", "--json").stdout)
            counts = (stored["stored"], stored["failed"], pruned["pruned"], pruned["unchanged"])
            assert counts == (taken, 0, 1, taken - 1), (stored, pruned)
            columns = [
                f"{links} of {taken}" + (f"; refuses {len(KEYS) + 1 - taken} keys" if taken <= len(KEYS) else ""),
                *(refusal(run(place, "process-images", "--dry-run", env=wrong)) for wrong in [
                    {"S3_ACCESS_KEY": "wrong"}, {"S3_SECRET_KEY": "wrong"}, {"S3_REGION": "nowhere-1"},
                    {"S3_ACCESS_KEY": "", "S3_SECRET_KEY": "", "S3_UNSIGNED": "true"}])]
    finally:
        empty(client, bucket)
    print(f"| {name} | " + " | ".join(columns) + " |")


if __name__ == "__main__":
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    main(*sys.argv[1:])
