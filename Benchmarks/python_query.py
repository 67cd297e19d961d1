"""One query as a Python script does it: PyTorch, clip, psycopg and boto3, from start to links.

It follows the original demo's script that find-images replaces, and searches by the operator that the
tools use. Settings come from the environment.
"""

import os
import sys

import boto3
import psycopg
import torch
from openai_clip import clip

model, _ = clip.load(os.environ["CLIP_MODEL"], device="cpu")
with torch.no_grad():
    features = model.encode_text(clip.tokenize([sys.argv[1]]))
    features /= features.norm(dim=-1, keepdim=True)
vector = "[" + ", ".join(str(value) for value in features.numpy()[0].tolist()) + "]"
with psycopg.connect(os.environ["PG_SERVICE_URI"]) as connection:
    rows = connection.execute(
        "SELECT filename FROM pictures ORDER BY embedding <=> %s LIMIT 4", (vector,)).fetchall()
store = boto3.client(
    "s3", endpoint_url=os.environ["S3_ENDPOINT"], region_name=os.environ["S3_REGION"],
    aws_access_key_id=os.environ["S3_ACCESS_KEY"],
    aws_secret_access_key=os.environ["S3_SECRET_KEY"])
for (key,) in rows:
    url = store.generate_presigned_url(
        "get_object", Params={"Bucket": os.environ["S3_BUCKET_NAME"], "Key": key}, ExpiresIn=3600)
    print(key, url)
