"""A picture search as one writes it in Python: FastAPI, OpenAI's CLIP on PyTorch, psycopg.

The yardstick of scripts/bench-web. It has the shape of the demo that the tools mirror: for each search it
embeds the text, opens a connection, asks for the nearest four, signs four links and renders a fragment.

    MODEL=…/ViT-B-32.pt PG_SERVICE_URI=… uvicorn --app-dir tools/bench-web reference_app:app
"""

import os
import pathlib
import sys
from typing import Annotated

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import boto3
import jinja2
import psycopg
import torch
from fastapi import FastAPI, Form
from fastapi.responses import HTMLResponse
from openai_clip import clip

model, _ = clip.load(os.environ["MODEL"], device="cpu")
store = boto3.client(
    "s3", endpoint_url="https://s3.example.org", region_name="us-east-1",
    aws_access_key_id="key", aws_secret_access_key="secret")
fragment = jinja2.Environment(autoescape=True).from_string(
    "{% for picture in pictures %}<figure><img src='{{ picture.url }}' alt='{{ picture.key }}'>"
    "<figcaption>{{ picture.key }}</figcaption></figure>{% endfor %}")
app = FastAPI()


def embedding(text):
    with torch.no_grad():
        features = model.encode_text(clip.tokenize([text], truncate=True))
        return (features / features.norm(dim=-1, keepdim=True))[0].tolist()


@app.post("/search_form", response_class=HTMLResponse)
async def search_form(search_text: Annotated[str, Form()]):
    vector = str(embedding(search_text))
    with psycopg.connect(os.environ["PG_SERVICE_URI"]) as connection:
        rows = connection.execute(
            "SELECT filename FROM pictures ORDER BY embedding <-> %s LIMIT 4", (vector,)).fetchall()
    keys = [row[0] for row in rows]
    links = [
        store.generate_presigned_url("get_object", {"Bucket": "pictures", "Key": key}, 3600) for key in keys]
    return fragment.render(pictures=[{"key": key, "url": url} for key, url in zip(keys, links)])
