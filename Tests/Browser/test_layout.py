"""The page's layout and the way through it, in a real browser over all sample pictures (ten shapes)."""

import contextlib
import http.server
import re
import threading
import time
import urllib.request

import pytest
from Browser.sample_site import SAMPLES
from Browser.test_site import SHIFT, Axe
from playwright.sync_api import expect

# Pictures of the list that are whole in the window, and rows whose pictures differ in height.
WHOLE = """() => {
  const boxes = [...document.querySelectorAll(".grid li:not(.held)")].map((item) => item.getBoundingClientRect());
  const rows = Map.groupBy(boxes, (box) => Math.round(box.top));
  const uneven = [...rows.values()].filter((row) =>
    Math.max(...row.map((box) => box.height)) - Math.min(...row.map((box) => box.height)) > 0.5);
  const whole = boxes.filter((box) => box.top >= 0 && box.bottom <= innerHeight && box.right <= innerWidth);
  return [whole.length, uneven.length];
}"""

# What a picture's frame cuts off it, as a part of its longer side.
CROPPED = """() => Math.max(...[...document.querySelectorAll(".grid img")]
  .filter((image) => image.complete && image.naturalWidth)
  .map((image) => {
    const frame = image.clientWidth / image.clientHeight, own = image.naturalWidth / image.naturalHeight;
    return 1 - Math.min(frame / own, own / frame);
  }))"""

TARGETS = """() => [...document.querySelectorAll("a, button, input, select, summary")]
  .map((element) => [element.outerHTML.slice(0, 80), element.getBoundingClientRect()])
  .filter(([, box]) => box.width > 2 && (box.width < 43.9 || box.height < 43.9)).map(([html]) => html)"""


@pytest.mark.parametrize("width, height, least", [(1440, 900, 16), (390, 844, 9)])
def test_whole_pictures_in_the_first_window(visit, width, height, least):
    visit = visit(viewport={"width": width, "height": height})
    visit.open("/search?q=tree")
    visit.page.wait_for_load_state("networkidle")
    whole, uneven = visit.page.evaluate(WHOLE)
    assert whole >= least
    assert uneven == 0
    assert visit.page.evaluate(CROPPED) < 0.01
    assert visit.page.evaluate(SHIFT) == 0
    visit.screenshot(f"album-{width}")


def test_one_line_above_the_grid(visit):
    """What was searched for, the size of the collection, filters as chips, and more words."""
    visit = visit(viewport={"width": 1440, "height": 900})
    bar = visit.page.locator(".bar")
    # Of a filter's pictures, only those that are shown are counted.
    for more, count, chips in [("&less=house", r"1\d\d pictures, nearest first", 1),
                               ("&less=house&shape=landscape", "Nearest first", 2)]:
        visit.open(f"/search?q=tree{more}")
        expect(bar.locator(".count")).to_have_text(re.compile(count))
        expect(bar.locator(".chips a")).to_have_count(chips)
        expect(bar.get_by_placeholder("Add or leave out words")).to_be_visible()
        assert bar.bounding_box()["height"] < 50


@contextlib.contextmanager
def in_pieces(base):
    """The same site, whose pages arrive little by little."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            with urllib.request.urlopen(base + self.path) as answer:
                kind, body = answer.headers["Content-Type"], answer.read()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            for start in range(0, len(body), 1_000):
                self.wfile.write(body[start:start + 1_000])
                self.wfile.flush()
                if kind.startswith("text/html"):
                    time.sleep(0.04)

        log_message = lambda *_: None

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("width, height", [(1440, 900), (390, 844)])
def test_nothing_jumps_while_the_page_arrives(visit, album, width, height):
    """A busy browser, or a slow network, shows a page before all of it is there."""
    with in_pieces(album.address) as base:
        visit = visit(base=base, viewport={"width": width, "height": height})
        visit.open("/search?q=tree&more=snow&less=house")
        visit.page.wait_for_load_state("networkidle")
        assert visit.page.locator(".grid img").count() >= 8
        assert visit.page.evaluate(SHIFT) == 0


@pytest.mark.parametrize("width", [320, 390, 1024, 1440, 2560])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_width(visit, width, scheme):
    visit = visit(viewport={"width": width, "height": 800}, color_scheme=scheme)
    for name, path in [("home", "/"), ("list", "/search?q=tree&more=snow&less=house&shape=landscape"),
                       ("none", "/search?q=tree&min_width=9999")]:
        visit.open(path)
        visit.expect_no_sideways_scrolling()
        visit.screenshot(f"{name}-{width}-{scheme}")
    visit.open("/search?q=tree")
    visit.page.locator(".filters summary").click()
    visit.expect_no_sideways_scrolling()
    visit.screenshot(f"filters-{width}-{scheme}")
    visit.page.locator(".filters summary").click()
    visit.page.locator("a.frame").nth(1).click()
    expect(visit.page.locator(".stage img")).to_be_visible()
    visit.expect_no_sideways_scrolling()
    visit.screenshot(f"large-{width}-{scheme}")


def test_touch_targets(visit):
    """44 CSS pixels, as WCAG 2.2, 2.5.5 has it."""
    visit = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    key = sorted((SAMPLES / "pictures").glob("*.jpg"))[0].name
    for path in ["/", "/search?q=tree&more=snow&shape=landscape", "/search?q=tree&min_width=9999",
                 f"/search?image_key={key}"]:
        visit.open(path)
        assert visit.page.evaluate(TARGETS) == []
    visit.open("/search?q=tree")
    visit.page.locator("a.frame").nth(1).click()
    expect(visit.page.locator(".stage img")).to_be_visible()
    assert visit.page.evaluate(TARGETS) == []


@pytest.mark.parametrize("shape", ["landscape", "portrait"])
def test_a_picture_fills_its_stage_on_a_phone(visit, shape):
    """Words and buttons come right below the picture, and in the first window."""
    visit = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = visit.page
    visit.open(f"/search?q=tree&shape={shape}")
    page.locator("a.frame").first.click()
    image = page.locator(".stage img")
    ratio = image.evaluate("image => image.decode().then(() => image.naturalWidth / image.naturalHeight)")
    stage = page.locator(".stage").bounding_box()
    assert stage["width"] == 390
    assert stage["height"] == pytest.approx(min(max(390 / ratio, 192), 0.72 * 844), abs=1)
    heading = page.locator(".about h1").bounding_box()
    assert heading["y"] - stage["y"] - stage["height"] < 30
    expect(page.get_by_role("link", name="More like this")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("way", ["Escape", "close", "back"])
def test_the_thirtieth_of_96(visit, way):
    visit = visit(viewport={"width": 1440, "height": 900})
    page = visit.page
    visit.open("/")
    visit.search("tree")
    items = page.locator(".grid li")
    expect(page.locator(".found h1 q")).to_have_text("tree")
    assert items.count() >= 24
    while items.count() < 96:
        count = items.count()
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        expect(items).not_to_have_count(count)
    page.wait_for_load_state("networkidle")
    frame = page.locator(".grid li").nth(29).locator("a.frame")
    places = [re.search(r"at=\d+$", link)[0] for link in page.locator("a.frame").evaluate_all("all => all.map((a) => a.href)")]
    frame.scroll_into_view_if_needed()
    page.evaluate("scrollBy(0, 40)")
    y, address, shown = page.evaluate("scrollY"), page.url, items.count()
    assert y > 100
    frame.click()
    expect(page.locator(".stage img")).to_be_visible()
    # Arrow keys change the picture and leave one entry.
    length = page.evaluate("history.length")
    for key, number in [("ArrowRight", 30), ("ArrowRight", 31), ("ArrowLeft", 30)]:
        page.keyboard.press(key)
        expect(page.locator(".film [aria-current]")).to_have_attribute("href", re.compile(f"{places[number]}$"))
    assert page.evaluate("history.length") == length
    if way == "back":
        page.go_back()
    elif way == "close":
        page.get_by_role("link", name="All pictures").click()
    else:
        page.keyboard.press("Escape")
    expect(items).to_have_count(shown)
    assert page.url == address
    assert abs(page.evaluate("scrollY") - y) < 2
    visit.expect_no_complaints()


def test_filters(visit):
    visit = visit(viewport={"width": 1440, "height": 900})
    page = visit.page
    visit.open("/search?q=tree")
    page.locator(".filters summary").click()
    page.get_by_label("Shape").select_option("landscape")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator(".chips a")).to_contain_text("Landscape")
    assert page.url.endswith("/search?q=tree&shape=landscape")
    shapes = "all => all.map((image) => image.width > image.height)"
    assert all(page.locator(".grid img").evaluate_all(shapes))
    count = page.locator(".grid li").count()
    assert count > 0
    # The address alone shows the same; Back and the chip lead out of it.
    page.reload()
    expect(page.locator(".chips a")).to_contain_text("Landscape")
    page.go_back()
    expect(page.locator(".chips")).to_have_count(0)
    page.go_forward()
    page.locator(".chips a").click()
    expect(page.locator(".chips")).to_have_count(0)
    assert page.url.endswith("/search?q=tree")
    visit.expect_no_complaints()


def test_filters_without_javascript(visit):
    visit = visit(java_script_enabled=False)
    visit.open("/search?q=tree&less=snow")
    visit.page.locator(".filters summary").click()
    visit.page.get_by_label("Least height").fill("450")
    visit.page.get_by_role("button", name="Apply").click()
    expect(visit.page.locator(".chips a")).to_have_count(2)
    heights = visit.page.locator(".grid img").evaluate_all("all => all.map((image) => Number(image.getAttribute('height')))")
    assert heights and min(heights) >= 450


def test_slash_leads_to_the_search_box(visit):
    visit = visit()
    visit.open("/search?q=tree")
    visit.page.locator("a.frame").first.focus()
    visit.page.keyboard.press("/")
    box = visit.page.get_by_role("searchbox")
    expect(box).to_be_focused()
    visit.page.keyboard.type("cat/dog")
    expect(box).to_have_value("cat/dog")


def test_failed_upload_keeps_the_results(visit, tmp_path):
    visit = visit()
    (tmp_path / "a.jpg").write_bytes(b"hello")
    visit.open("/search?q=tree")
    visit.page.locator(".upload summary").click()
    visit.page.get_by_label("Find pictures that look like yours").set_input_files(tmp_path / "a.jpg")
    expect(visit.page.get_by_role("alert")).to_contain_text("This is not a picture")
    expect(visit.page.locator(".grid li")).not_to_have_count(0)
    assert "/search?q=tree" in visit.page.url


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(visit, width, scheme):
    visit = visit(viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce")
    key = sorted((SAMPLES / "pictures").glob("*.jpg"))[0].name
    for path in ["/", "/search?q=tree&more=snow&shape=landscape", "/search", "/no-such-page",
                 f"/search?q=tree&view={key}&at=1", f"/search?image_key={key}", "/search?q=tree&min_width=9999"]:
        visit.open(path)
        for summary in visit.page.locator("summary").all():
            summary.click()
            found = Axe().run(visit.page).response["violations"]
            summary.click()
            assert [(path, rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == []
