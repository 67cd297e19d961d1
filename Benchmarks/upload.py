"""Fills the S3 store with many objects: the pictures again and again under different keys.

    upload.py COUNT FOLDER      S3_ENDPOINT and the keys come from the environment
"""

import concurrent.futures
import os
import pathlib
import sys

import boto3
import botocore.config

count, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
store = boto3.client(
    "s3", endpoint_url=os.environ["S3_ENDPOINT"], region_name=os.environ["S3_REGION"],
    aws_access_key_id=os.environ["S3_ACCESS_KEY"],
    aws_secret_access_key=os.environ["S3_SECRET_KEY"],
    config=botocore.config.Config(max_pool_connections=8))
bucket = os.environ["S3_BUCKET_NAME"]
if bucket not in [found["Name"] for found in store.list_buckets()["Buckets"]]:
    store.create_bucket(Bucket=bucket)
paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg"))
if not paths:
    sys.exit(f"{folder} has no JPEG files")
wanted = {f"{i // 1000:03}/{i % 1000:03}.jpg": paths[i % len(paths)] for i in range(count)}
pages = store.get_paginator("list_objects_v2").paginate(Bucket=bucket)
there = {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    work = [
        pool.submit(store.put_object, Bucket=bucket, Key=key, Body=path.read_bytes())
        for key, path in wanted.items() if there.get(key) != path.stat().st_size
    ]
    work += [
        pool.submit(store.delete_object, Bucket=bucket, Key=key)
        for key in there.keys() - wanted.keys()
    ]
    for done, future in enumerate(concurrent.futures.as_completed(work), 1):
        future.result()
        if done % 1000 == 0:
            print(f"bench: {done} of {len(work)} objects changed", file=sys.stderr, flush=True)
