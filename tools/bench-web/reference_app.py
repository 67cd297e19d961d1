"""A picture search as one writes it in Python: FastAPI, OpenAI's CLIP on PyTorch, psycopg.

The yardstick of scripts/bench-web. It has the shape of the demo that the tools mirror: for each search it
embeds the text, opens a connection, asks for the nearest four, signs four links and renders a fragment.

    MODEL=…/ViT-B-32.pt PG_SERVICE_URI=… uvicorn --app-dir tools/bench-web reference_app:app
"""

import os
from typing import Annotated

import torch

# torchvision's wheel may be built for another torch; only its Pillow transforms are needed here.
_register = torch.library.register_fake


def _lenient(op, f=None, /, **options):
    if isinstance(op, str) and op.startswith("torchvision::"):
        return (lambda g: g) if f is None else f
    return _register(op, **options) if f is None else _register(op, f, **options)


torch.library.register_fake = _lenient

import boto3
import clip
import jinja2
import psycopg
from fastapi import FastAPI, Form
from fastapi.responses import HTMLResponse

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
