"""Ways to find pictures, in a real browser over the album: words while they are typed, copies, pictures in the
search box, the start page; and what a page of results weighs."""

import base64
import contextlib
import gzip
import itertools
import json
import math
import re
import urllib.request
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from Browser.sample_site import PICTURES, SAMPLES, large_tiff
from playwright.sync_api import expect
from tools import Workplace, new_bucket, new_database, s3_settings

# Results while typing


def test_results_while_typing(visit):
    visit = visit()
    page = visit.page
    visit.open("/")
    length = page.evaluate("history.length")
    with page.expect_request("**/search?q=outer%20space") as asked:
        visit.type_text("outer space")
    assert asked.value.headers["x-fragment"] == "typing"
    visit.expect_results("outer space")
    expect(page.get_by_role("searchbox")).to_be_focused()
    with page.expect_request("**/search?q=outer%20space%20cat"):
        page.keyboard.type(" cat")
    visit.expect_results("outer space cat")
    page.keyboard.press("Enter")
    # One entry for the query, however often it changed.
    assert page.evaluate("history.length") == length + 1
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("tree")
    visit.expect_results("tree")
    assert page.evaluate("history.length") == length + 2
    page.go_back()
    visit.expect_results("outer space cat")
    page.go_back()
    expect(page.locator(".strip")).to_be_visible()
    assert urlsplit(page.url).path == "/"
    visit.expect_no_complaints()


def test_a_superseded_search_is_cancelled(visit):
    visit = visit()
    page = visit.page
    visit.open("/search?q=cat")
    cancelled = []
    page.on("requestfailed", lambda request: cancelled.append(request.url))
    held = []
    page.route("**/search?q=tre", lambda route: held.append(route))
    page.get_by_role("searchbox").focus()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("tre")
    while not held:
        page.wait_for_timeout(20)
    page.keyboard.type("e")
    visit.expect_results("tree")
    assert [parse_qs(urlsplit(url).query)["q"] for url in cancelled] == [["tre"]]


def test_the_operators_choices(visit, album):
    """Name, examples, and no results while typing; `.env` is read at start."""
    choices = {"WEB_NAME": "Family album", "WEB_EXAMPLES": "beach; snow & ice ;", "WEB_LIVE_SEARCH": "off"}
    album.write(album.settings | choices)
    try:
        with album.web_app() as address:
            visit = visit(base=address)
            page = visit.page
            visit.open("/")
            expect(page).to_have_title("Family album")
            assert page.locator(".examples a").all_text_contents() == ["beach", "snow & ice"]
            visit.type_text("tree")
            page.wait_for_timeout(1_000)
            expect(page.locator(".found")).to_have_count(0)
            page.keyboard.press("Enter")
            visit.expect_results("tree")
            expect(page).to_have_title("tree - Family album")
    finally:
        album.write(album.settings)


# Copies


def cosines(database):
    """The cosine of two keys, from the stored vectors."""
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT filename, embedding::text FROM pictures").fetchall()
    vectors = {key: json.loads(text) for key, text in rows}
    lengths = {key: math.hypot(*vector) for key, vector in vectors.items()}
    return lambda a, b: sum(x * y for x, y in zip(vectors[a], vectors[b])) / lengths[a] / lengths[b]


def test_copies_are_stacked(visit, album):
    visit = visit()
    page = visit.page
    get = lambda path: page.request.get(album.address + path).json()
    flat = [hit["key"] for hit in get("/api/search?q=tree&limit=240")["results"]]
    cosine = cosines(album.settings["PG_SERVICE_URI"])
    # docs/operations.md's rule.
    distances = sorted(1 - cosine(a, b) for a, b in itertools.combinations(flat[:64], 2))
    others = [distance for distance in distances if distance > 0.04]
    least = 0.96
    if others[len(others) // 2] < 0.12:
        low, median = distances[len(distances) // 10], distances[len(distances) // 2]
        least = max(0.96, 1 - max(low**2 / (3 * median), 0.0005))
    # Each picture goes to the first one before it that it is a copy of.
    stacks = {}
    for key in flat:
        first = next((first for first in stacks if cosine(first, key) >= least), None)
        stacks.setdefault(first or key, []).append(key)
    assert sorted(map(len, stacks.values()))[-3:] >= [2, 3, 5]
    answer = get("/api/search?q=tree&limit=240&stacked=true")
    told = [[hit["key"], *(copy["key"] for copy in hit["copies"])] for hit in answer["results"]]
    assert told == list(stacks.values())
    assert not answer["has_more"]
    # Parts of it, each after the pictures of the one before.
    parts, offset = [], 0
    while True:
        part = get(f"/api/search?q=tree&limit=10&stacked=true&offset={offset}")
        assert len(part["results"]) == 10 or not part["has_more"]
        for hit in part["results"]:
            parts += [hit["key"], *(copy["key"] for copy in hit["copies"])]
        offset = len(parts)
        if not part["has_more"]:
            break
    assert sorted(parts) == sorted(flat)

    visit.open("/search?q=tree&limit=240")
    expect(page.locator(".grid li")).to_have_count(len(stacks))
    badges = page.locator(".stack")
    copied = {first: keys for first, keys in stacks.items() if len(keys) > 1}
    assert badges.count() == len(copied)
    for first, keys in copied.items():
        item = page.locator(".grid li").filter(has=page.locator(f'[title="{first}"]'))
        expect(item.locator(".stack")).to_have_text(f"{len(keys)} copies of {first}")
    # A stack opens to its copies, and Back leads to the list.
    address = page.url
    first, keys = max(copied.items(), key=lambda item: len(item[1]))
    page.locator(".grid li").filter(has=page.locator(f'[title="{first}"]')).locator(".stack").click()
    expect(page.locator(".chips")).to_contain_text("Only copies")
    assert sorted(page.locator(".grid .key").all_text_contents()) == sorted(keys)
    expect(page.locator(".stack")).to_have_count(0)
    page.locator(".chips a").click()
    expect(page.locator(".chips")).to_have_count(0)
    page.go_back()
    page.go_back()
    expect(page.locator(".grid li")).to_have_count(len(stacks))
    assert page.url == address
    visit.expect_no_complaints()


def test_copies_without_javascript(visit):
    visit = visit(java_script_enabled=False)
    visit.open("/search?q=tree&limit=240")
    count = int(re.match(r"\d+", visit.page.locator(".stack").first.text_content())[0])
    visit.page.locator(".stack").first.click()
    expect(visit.page.locator(".grid li")).to_have_count(count)


# Pictures in the search box


def test_a_picture_in_the_box(visit):
    visit = visit()
    page = visit.page
    key = PICTURES[5].name
    visit.open(f"/search?image_key={key}&shape=landscape")
    box = page.get_by_role("searchbox")
    chip = page.locator(".given")
    expect(chip).to_contain_text(key)
    expect(box).to_have_value("")
    assert chip.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    # Words go beside it, and filters stay.
    box.fill("snow")
    box.press("Enter")
    expect(page.locator(".found h1")).to_contain_text(f"Like {key} + snow")
    assert parse_qs(urlsplit(page.url).query) == {"q": ["snow"], "image_key": [key], "shape": ["landscape"]}
    expect(chip).to_have_count(1)
    expect(box).to_have_value("snow")
    # Without the picture, the words are searched for.
    chip.get_by_role("link").click()
    expect(chip).to_have_count(0)
    visit.expect_results("snow")
    page.go_back()
    expect(chip).to_have_count(1)
    # Backspace in an empty box takes the picture out, too.
    box.fill("")
    box.press("Backspace")
    expect(chip).to_have_count(0)
    visit.expect_no_complaints()


def test_a_visitors_picture_in_the_box(visit):
    visit = visit()
    page = visit.page
    visit.open("/search?q=tree")
    page.locator(".upload summary").click()
    page.get_by_label("Find pictures that look like yours").set_input_files(PICTURES[7])
    chip = page.locator(".given")
    expect(chip).to_contain_text("Your picture")
    # As small as the box shows it, made by the browser: the site does not keep it.
    expect(chip.locator("canvas")).to_be_visible()
    path = urlsplit(page.url).path
    page.get_by_role("searchbox").fill("snow")
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator(".found h1")).to_contain_text("Like your picture + snow")
    assert urlsplit(page.url).path == path and len(path) > 600
    page.reload()
    expect(chip).to_contain_text("Your picture")
    chip.get_by_role("link").click()
    visit.expect_results("snow")
    visit.expect_no_complaints()


def test_a_picture_in_the_box_without_javascript(visit):
    visit = visit(java_script_enabled=False, viewport={"width": 320, "height": 700})
    visit.open(f"/search?image_key={PICTURES[5].name}")
    visit.expect_no_sideways_scrolling()
    visit.search("snow")
    expect(visit.page.locator(".found h1")).to_contain_text("+ snow")
    expect(visit.page.locator(".given")).to_have_count(1)


# The start page


@pytest.mark.parametrize("script", [True, False])
def test_the_start_page_shows_the_collection(visit, script):
    visit = visit(java_script_enabled=script)
    page = visit.page
    visit.open("/")
    links = page.locator(".strip a")
    assert links.count() == 18
    expect(page.get_by_role("searchbox")).to_be_focused()
    visit.expect_no_sideways_scrolling()
    key = links.nth(2).locator("img").get_attribute("alt").removeprefix("More like ")
    links.nth(2).click()
    expect(page.locator(".given")).to_contain_text(key)
    # A copy may be as near.
    expect(page.locator(".grid .key").first).to_have_text(re.compile(key.partition(".")[0].partition("-copy")[0]))
    page.go_back()
    expect(page.locator(".strip a")).to_have_count(18)


# What a page weighs

ENLARGED = """async (source) => {
  const image = new Image();
  image.src = source;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [2400, Math.round(2400 * image.naturalHeight / image.naturalWidth)];
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.95));
  const text = await new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.readAsDataURL(blob);
  });
  return text;
}"""


@pytest.fixture
def bucket_place(visit, album, tmp_path):
    """A workplace over a bucket of an S3 store with 24 large pictures and a TIFF."""
    page = visit().page
    page.goto(album.address)
    objects = {}
    for picture in sorted((SAMPLES / "pictures").glob("*.jpg"))[:24]:
        text = page.evaluate(ENLARGED, f"/pictures/{picture.name}")
        objects[f"2024/{picture.name}"] = base64.b64decode(text.partition(",")[2])
    with contextlib.ExitStack() as stack:
        bucket = stack.enter_context(new_bucket(objects | {"large.tif": large_tiff()}))
        settings = s3_settings(bucket) | {
            "PG_SERVICE_URI": stack.enter_context(new_database()),
            "CLIP_MODEL": SAMPLES / "model" / "sample-clip.pt",
        }
        place = Workplace(tmp_path / "work", settings)
        place.objects = objects
        place.run("create-table")
        place.run("process-images")
        yield place


def test_bytes_of_24_results(visit, bucket_place):
    assert sum(map(len, bucket_place.objects.values())) > 4_000_000
    with bucket_place.web_app() as address:
        visit = visit(base=address, viewport={"width": 1440, "height": 900})
        page = visit.page
        session = visit.context.new_cdp_session(page)
        session.send("Network.enable")
        received = []
        session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
        visit.open("/search?q=tree&prefix=2024/")
        pictures = page.locator(".grid img")
        assert pictures.count() == 24
        for picture in pictures.all():
            picture.scroll_into_view_if_needed()
            page.wait_for_function("image => image.complete && image.naturalWidth", arg=picture.element_handle())
        page.wait_for_load_state("networkidle")
        assert len(received) >= 27
        assert sum(received) < 500_000
        # Formats that browsers do not show come as the site's copy, from a bucket, too.
        visit.open("/search?image_key=large.tif&view=large.tif")
        stage = page.locator(".stage img")
        size = stage.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])")
        assert size == [2048, 1365]
        assert page.request.get(f"{address}/large/no-such.tif").status == 404


@pytest.mark.parametrize("path", ["/", "/search?q=tree", "/api/search?q=tree", "/assets/site.js", "/openapi.json"])
def test_texts_are_compressed(album, path):
    """Read by Python's zlib."""
    def get(coding):
        request = urllib.request.Request(album.address + path, headers={"Accept-Encoding": coding})
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.headers, response.read()

    # The start page's pictures are others each minute.
    for _ in range(3):
        plain_headers, plain = get("identity")
        headers, compressed = get("br, gzip;q=0.8")
        if gzip.decompress(compressed) == plain:
            break
    assert gzip.decompress(compressed) == plain
    assert headers["Content-Encoding"] == "gzip" and "Content-Encoding" not in plain_headers
    assert "Accept-Encoding" in headers["Vary"] and "Accept-Encoding" in plain_headers["Vary"]
    assert len(compressed) == int(headers["Content-Length"]) < len(plain) / 1.5
    assert "Content-Encoding" not in get("gzip;q=0, *;q=0")[0]


def test_pictures_are_not_compressed_again(album):
    request = urllib.request.Request(
        f"{album.address}/thumbnails/{PICTURES[0].name}", headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=60) as response:
        assert "Content-Encoding" not in response.headers
