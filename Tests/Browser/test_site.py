"""The search's web pages in a real browser.

WEB_APP_URL is the address of a running web-app over a table with pictures. Without it the whole
module is skipped; with it nothing is. CHROMIUM names the browser (/usr/bin/chromium when that
exists, else the one that playwright brings). SCREENSHOTS names a folder for screenshots.
"""

import os
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from Browser.sample_site import PICTURES
from playwright.sync_api import expect

BASE = os.environ.get("WEB_APP_URL", "").rstrip("/")
if not BASE:
    pytest.skip("WEB_APP_URL is not set", allow_module_level=True)

LAPTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}
expect.set_options(timeout=30_000)  # a loaded machine is slow, not wrong
WIDE = {"width": 2560, "height": 1440}


class Visit:
    """A page, with what it loaded and complained about."""

    def __init__(self, browser, viewport=LAPTOP, base=BASE, **options):
        self.base = base
        self.context = browser.new_context(viewport=viewport, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.complaints = []
        self.requests = []
        self.page.on("console", self.on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def on_console(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def open(self, path="/"):
        return self.page.goto(self.base + path)

    def type_text(self, text):
        """Types where the page put the focus by itself, which it does a moment after it has loaded."""
        expect(self.page.get_by_role("searchbox")).to_be_focused()
        self.page.keyboard.type(text)

    def search(self, text):
        box = self.page.get_by_role("searchbox")
        box.fill(text)
        box.press("Enter")

    def expect_results(self, text):
        """Waits until the results of a text are shown and all their pictures are decoded."""
        expect(self.page.locator(".found h1 q")).to_have_text(text)
        pictures = self.page.locator(".grid img")
        assert pictures.count() > 0
        for index in range(pictures.count()):
            picture = pictures.nth(index)
            picture.scroll_into_view_if_needed()
            handle = picture.element_handle()
            self.page.wait_for_function("image => image.complete", arg=handle)
            assert handle.evaluate("image => image.naturalWidth") > 0, picture.get_attribute("src")
        self.page.evaluate("scrollTo(0, 0)")
        return pictures

    def expect_no_sideways_scrolling(self):
        width = self.page.evaluate("document.documentElement.scrollWidth")
        assert width <= self.page.viewport_size["width"]

    def expect_no_complaints(self):
        assert self.complaints == []
        sources = self.page.locator(".grid img").evaluate_all("all => all.map(i => i.src)")
        allowed = {origin(self.base)} | {origin(source) for source in sources}
        elsewhere = [url for url in self.requests if not url.startswith("data:")]
        assert [url for url in elsewhere if origin(url) not in allowed] == []

    def screenshot(self, name):
        folder = os.environ.get("SCREENSHOTS")
        if folder:
            # Past the transitions.
            self.page.wait_for_timeout(400)
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"{name}.png")


def origin(url):
    parts = urlsplit(url)
    return (parts.scheme, parts.netloc)


@pytest.fixture
def visit(browser):
    visits = []

    def make(**options):
        visits.append(Visit(browser, **options))
        return visits[-1]

    yield make
    for visit in visits:
        visit.context.close()


def test_first_page(visit):
    visit = visit()
    visit.open()
    expect(visit.page).to_have_title("Picture Search")
    expect(visit.page.get_by_role("searchbox", name="Describe a picture")).to_be_focused()
    visit.page.wait_for_load_state("networkidle")
    visit.expect_no_complaints()
    visit.screenshot("home-laptop-light")


def test_typing_and_enter(visit):
    visit = visit()
    visit.open()
    with visit.page.expect_response("**/search?q=man%20jumping") as asked:
        visit.type_text("man jumping")
        visit.page.keyboard.press("Enter")
    assert asked.value.status == 200
    expect(visit.page.get_by_role("status")).to_contain_text("man jumping")
    visit.expect_results("man jumping")
    assert parse_qs(urlsplit(visit.page.url).query)["q"] == ["man jumping"]
    expect(visit.page).to_have_title("man jumping - Picture Search")
    visit.expect_no_complaints()
    visit.screenshot("results-laptop-light")


def test_pictures_have_texts(visit):
    visit = visit()
    visit.open("/search?q=man+jumping")
    pictures = visit.page.locator(".grid img")
    assert pictures.count() >= 24
    for picture in pictures.all():
        assert picture.get_attribute("alt")


def test_an_example(visit):
    visit = visit()
    visit.open()
    visit.page.get_by_role("link", name="outer space").click()
    visit.expect_results("outer space")
    expect(visit.page.get_by_role("searchbox")).to_have_value("outer space")
    visit.expect_no_complaints()


def test_deep_link(visit):
    visit = visit()
    response = visit.open("/search?q=outer+space")
    assert response.status == 200
    visit.expect_results("outer space")
    expect(visit.page.get_by_role("searchbox")).to_have_value("outer space")
    visit.expect_no_complaints()


def test_back_and_forward(visit):
    visit = visit()
    page = visit.page
    visit.open()
    visit.search("cat")
    visit.expect_results("cat")
    # More than the first may have arrived.
    first = page.locator(".grid .key").all_text_contents()[:24]
    assert len(first) == 24
    visit.search("outer space")
    visit.expect_results("outer space")
    page.go_back()
    visit.expect_results("cat")
    assert page.locator(".grid .key").all_text_contents()[:24] == first
    expect(page.get_by_role("searchbox")).to_have_value("cat")
    page.go_back()
    expect(page.get_by_role("heading", name="Find pictures by what they show")).to_be_visible()
    expect(page.locator(".grid")).to_have_count(0)
    expect(page).to_have_title("Picture Search")
    page.go_forward()
    visit.expect_results("cat")
    # From a deep link, where the server made the results.
    page.reload()
    visit.expect_results("cat")
    page.go_forward()
    visit.expect_results("outer space")
    page.go_back()
    visit.expect_results("cat")
    visit.expect_no_complaints()


def test_a_newer_search_wins(visit):
    visit = visit()
    visit.open()
    visit.search("cat")
    visit.search("dog")
    visit.search("outer space")
    visit.expect_results("outer space")
    visit.page.wait_for_load_state("networkidle")
    visit.expect_results("outer space")
    assert not visit.page.locator("html").get_attribute("data-busy")
    visit.expect_no_complaints()


def test_keyboard_only(visit):
    visit = visit()
    page = visit.page
    visit.open()
    visit.type_text("cat")
    page.keyboard.press("Enter")
    visit.expect_results("cat")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator(".upload summary")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Search", exact=True)).to_be_focused()
    for name in [".filters summary", "#add", "[value=more]", "[value=less]"]:
        page.keyboard.press("Tab")
        expect(page.locator(name)).to_be_focused()
    page.keyboard.press("Tab")
    first = page.locator(".grid a").first
    expect(first).to_be_focused()
    # What a mouse sees when it points at a picture, the keyboard sees, too.
    expect(page.locator(".grid .label").first).to_have_css("opacity", "1")
    style = first.evaluate("link => getComputedStyle(link).outlineStyle")
    width = first.evaluate("link => parseFloat(getComputedStyle(link).outlineWidth)")
    assert style != "none" and width >= 2
    visit.screenshot("focus-laptop-light")
    page.keyboard.press("Enter")
    expect(page.locator(".stage img")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".film [aria-current]")).to_have_attribute("href", re.compile("at=2$"))
    page.keyboard.press("Escape")
    visit.expect_results("cat")
    # Searching with a picture needs no mouse either.
    page.locator(".upload summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Find pictures that look like yours")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".upload summary")).to_be_focused()


def test_skip_link(visit):
    visit = visit()
    visit.open("/search?q=cat")
    visit.page.keyboard.press("Tab")
    link = visit.page.get_by_role("link", name="Skip to the results")
    expect(link).to_be_focused()
    expect(link).to_be_in_viewport()
    visit.page.keyboard.press("Enter")
    expect(visit.page.locator("#results")).to_be_focused()
    visit.page.keyboard.press("Tab")
    expect(visit.page.locator(".filters summary")).to_be_focused()


def test_without_javascript(visit):
    visit = visit(java_script_enabled=False, viewport=PHONE)
    visit.open()
    visit.search("cat")
    visit.page.wait_for_url("**/search?q=cat")
    visit.expect_results("cat")
    visit.page.go_back()
    visit.page.get_by_role("link", name="man jumping").click()
    visit.expect_results("man jumping")
    visit.expect_no_sideways_scrolling()
    visit.expect_no_complaints()
    visit.screenshot("results-phone-light-no-javascript")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/search?q=cat", "/search", "/no-such-page"])
def test_contrast(visit, scheme, path):
    """WCAG 2.2, 1.4.3: text has a contrast of 4.5 to what is behind it."""
    visit = visit(color_scheme=scheme, reduced_motion="reduce")
    visit.open(path)
    found = visit.page.evaluate(CONTRASTS)
    assert len(found) > 3
    assert [entry for entry in found if entry["contrast"] < 4.5] == []
    background = visit.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    brightness = sum(int(part) for part in re.findall(r"\d+", background)[:3]) / 3
    assert brightness < 60 if scheme == "dark" else brightness > 200


# Each visible piece of text with the contrast of its colour and the nearest background's
# (relative luminance and contrast ratio as WCAG 2.2 defines them).
CONTRASTS = """() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => {
    const [r, g, b] = parts(color).map((value) => {
      const v = value / 255;
      return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      const alpha = parts(color)[3];
      if (alpha === undefined || alpha === 1) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    if (!text || !element.checkVisibility({ checkOpacity: true }) || element.closest(".unseen, template")) continue;
    const a = luminance(getComputedStyle(element).color), b = luminance(behind(element));
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push({ text, contrast });
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name, viewport", [("phone", PHONE), ("laptop", LAPTOP), ("wide", WIDE)])
def test_sizes(visit, name, viewport, scheme):
    visit = visit(viewport=viewport, color_scheme=scheme)
    visit.open()
    visit.expect_no_sideways_scrolling()
    visit.screenshot(f"home-{name}-{scheme}")
    visit.search("man jumping")
    visit.expect_results("man jumping")
    visit.expect_no_sideways_scrolling()
    visit.screenshot(f"results-{name}-{scheme}")
    for path, page in [("/search", "hint"), ("/no-such-page", "missing")]:
        visit.open(path)
        visit.expect_no_sideways_scrolling()
        visit.screenshot(f"{page}-{name}-{scheme}")


def test_large_text_fits(visit):
    """WCAG 2.2, 1.4.10: at 320 px, which is 1280 px at 400 %, nothing scrolls sideways."""
    visit = visit(viewport={"width": 320, "height": 256})
    visit.open()
    visit.expect_no_sideways_scrolling()
    visit.search("m" * 200)
    visit.expect_results("m" * 200)
    visit.expect_no_sideways_scrolling()


@pytest.mark.parametrize("text", [
    '"><img src=x onerror="window.hurt=1">',
    "\"\u0301 onfocus=window.hurt=1 autofocus x=\"\u0308",
    "<script>window.hurt=1</script>",
    "</title><script>window.hurt=1</script>",
    "{{query}}{{{content}}}",
    "100% & more #1 a+b",
    "\u202egpj.exe",
])
def test_hostile_texts(visit, text):
    visit = visit()
    visit.open()
    visit.search(text)
    visit.expect_results(text)
    assert parse_qs(urlsplit(visit.page.url).query)["q"] == [text]
    visit.page.reload()
    visit.expect_results(text)
    expect(visit.page.get_by_role("searchbox")).to_have_value(text)
    visit.page.wait_for_load_state("networkidle")
    assert visit.page.evaluate("window.hurt") is None
    visit.expect_no_complaints()


def test_nothing_to_search_for(visit):
    visit = visit()
    visit.open()
    visit.search("   ")
    expect(visit.page.get_by_role("heading", name="What are you looking for?")).to_be_visible()
    visit.page.locator("main").get_by_role("link", name="cat").click()
    visit.expect_results("cat")
    visit.expect_no_complaints()


def test_a_text_that_is_too_long(visit):
    visit = visit()
    assert visit.open("/search?q=" + "long+" * 300).status == 400
    refusal = visit.page.get_by_role("heading", name="This text cannot be searched for")
    expect(refusal).to_be_visible()
    visit.search("cat")
    visit.expect_results("cat")


def test_a_server_that_is_gone(visit):
    visit = visit()
    visit.open()
    visit.search("cat")
    visit.expect_results("cat")
    visit.context.set_offline(True)
    visit.search("dog")
    excuse = visit.page.get_by_role("heading", name="The site did not answer")
    expect(excuse).to_be_visible()
    assert visit.page.locator(".grid").count() == 0
    visit.screenshot("unreachable-laptop-light")
    visit.context.set_offline(False)
    visit.page.get_by_role("button", name="Search", exact=True).click()
    visit.expect_results("dog")


def test_a_picture_large(visit):
    visit = visit()
    page = visit.page
    visit.open("/search?q=cat")
    visit.expect_results("cat")
    second = page.locator(".grid li").nth(1)
    key = second.locator(".key").text_content()
    second.locator("a.frame").click()
    expect(page.get_by_role("heading", name=key)).to_be_visible()
    page.get_by_text("Details").click()
    expect(page.locator(".about dl")).to_contain_text("kB")
    expect(page.locator(".about dl")).to_contain_text(re.compile(r"Similarity\s*0\.\d{3}"))
    visit.screenshot("picture-laptop-light")
    address = page.url
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    name = download.value.suggested_filename
    assert name == key
    assert Path(download.value.path()).read_bytes() == (PICTURES[0].parent / key).read_bytes()
    page.get_by_role("link", name="The next picture").click()
    expect(page.locator(".film [aria-current]")).to_have_attribute("href", re.compile("at=3$"))
    # However many were looked at, the list is one step back.
    page.go_back()
    visit.expect_results("cat")
    # The address alone shows the same.
    page.goto(address)
    expect(page.get_by_role("heading", name=key)).to_be_visible()
    page.get_by_role("link", name="All pictures").click()
    visit.expect_results("cat")
    visit.expect_no_complaints()


def test_more_like_this(visit):
    visit = visit()
    page = visit.page
    visit.open("/search?q=cat")
    visit.expect_results("cat")
    first = page.locator(".grid li").first
    key = first.locator(".key").text_content()
    expect(first.locator(".label")).to_have_css("opacity", "0")
    first.hover()
    expect(first.locator(".label")).to_have_css("opacity", "1")
    visit.screenshot("hover-laptop-light")
    first.get_by_role("link", name="More like this").click()
    expect(page.locator(".found h1")).to_contain_text(f"Like {key}")
    # What is most like a picture is itself.
    expect(page.locator(".grid .key").first).to_have_text(key)
    assert parse_qs(urlsplit(page.url).query) == {"image_key": [key]}
    visit.screenshot("like-laptop-light")
    page.go_back()
    visit.expect_results("cat")
    visit.expect_no_complaints()


@pytest.mark.parametrize("javascript", [True, False])
def test_a_picture_of_ones_own(visit, javascript):
    visit = visit(java_script_enabled=javascript)
    page = visit.page
    visit.open()
    page.locator(".upload summary").click()
    visit.screenshot(f"upload-laptop-light{'' if javascript else '-no-javascript'}")
    chooser = page.get_by_label("Find pictures that look like yours")
    chooser.set_input_files(PICTURES[7])
    if not javascript:
        page.get_by_role("button", name="Search with this picture").click()
    expect(page.locator(".found h1")).to_contain_text("Like your picture")
    expect(page.locator(".grid .key").first).to_have_text(PICTURES[7].name)
    address = page.url
    assert "/search/" in address
    # The address shows the same to everyone, and further words belong to it.
    page.goto(address)
    expect(page.locator(".grid .key").first).to_have_text(PICTURES[7].name)
    page.locator("#add").fill("night")
    page.get_by_role("button", name="Add").click()
    expect(page.locator(".chips a")).to_contain_text("night")
    assert page.url.startswith(address + "?more=night")
    visit.screenshot(f"own-picture-laptop-light{'' if javascript else '-no-javascript'}")
    visit.expect_no_complaints()


def test_dropping_and_pasting(visit):
    visit = visit()
    page = visit.page
    visit.open()
    give = """([event, field, bytes]) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(bytes)], "mine.jpg", { type: "image/jpeg" }));
      const options = { bubbles: true, cancelable: true, [field]: data };
      const Kind = field === "clipboardData" ? ClipboardEvent : DragEvent;
      document.body.dispatchEvent(new Kind(event, options));
    }"""
    page.evaluate(give, ["drop", "dataTransfer", list(PICTURES[3].read_bytes())])
    expect(page.locator(".grid .key").first).to_have_text(PICTURES[3].name)
    page.evaluate(give, ["paste", "clipboardData", list(PICTURES[4].read_bytes())])
    expect(page.locator(".grid .key").first).to_have_text(PICTURES[4].name)
    visit.expect_no_complaints()


def test_what_is_no_picture(visit, tmp_path):
    visit = visit()
    (tmp_path / "a.jpg").write_bytes(b"hello")
    visit.open()
    visit.page.locator(".upload summary").click()
    visit.page.get_by_label("Find pictures that look like yours").set_input_files(tmp_path / "a.jpg")
    expect(visit.page.get_by_role("alert")).to_contain_text("This is not a picture")


def test_further_words(visit):
    visit = visit()
    page = visit.page
    visit.open("/search?q=cat")
    visit.expect_results("cat")
    page.locator("#add").fill("snow")
    page.keyboard.press("Enter")
    expect(page.locator(".chips a")).to_have_count(1)
    page.locator("#add").fill("tree")
    page.get_by_role("button", name="Leave out").click()
    expect(page.locator(".chips a")).to_have_count(2)
    assert parse_qs(urlsplit(page.url).query) == {"q": ["cat"], "more": ["snow"], "less": ["tree"]}
    visit.screenshot("refined-laptop-light")
    page.locator(".chips a").first.click()
    expect(page.locator(".chips a")).to_have_count(1)
    page.go_back()
    expect(page.locator(".chips a")).to_have_count(2)
    visit.expect_no_complaints()


def test_focus_stays_sensible(visit):
    """After each change it is on the results, or where the visitor was: never lost to the page."""
    visit = visit()
    page = visit.page
    visit.open("/search?q=cat")
    results = page.locator("#results")
    page.locator("#add").fill("snow")
    page.keyboard.press("Enter")
    expect(page.locator(".chips a")).to_have_count(1)
    expect(results).to_be_focused()
    page.locator(".filters summary").press("Enter")
    page.get_by_label("Least width").fill("10")
    page.keyboard.press("Enter")
    expect(page.locator(".chips a")).to_have_count(2)
    expect(results).to_be_focused()
    page.locator(".chips a").first.press("Enter")
    expect(page.locator(".chips a")).to_have_count(1)
    expect(results).to_be_focused()
    frame = page.locator("a.frame").nth(2)
    frame.press("Enter")
    expect(page.locator(".stage img")).to_be_visible()
    expect(results).to_be_focused()
    page.keyboard.press("Escape")
    expect(frame).to_be_focused()


def test_more_pictures_come_when_scrolling(visit):
    visit = visit()
    page = visit.page
    visit.open("/search?q=cat")
    items = page.locator(".grid li")
    expect(page.locator(".found h1 q")).to_have_text("cat")
    while items.count() < len(PICTURES):
        count = items.count()
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        expect(items).not_to_have_count(count)
    keys = page.locator(".grid .key").all_text_contents()
    assert sorted(keys) == sorted(picture.name for picture in PICTURES)
    expect(page.locator("a.more")).to_have_count(0)
    # The address shows them all, and coming back from a picture leads to where one was.
    assert parse_qs(urlsplit(page.url).query) == {"q": ["cat"], "limit": [str(len(PICTURES))]}
    last = page.locator(".grid a.frame").last
    last.click()
    expect(page.locator(".stage img")).to_be_visible()
    page.go_back()
    expect(items).to_have_count(len(PICTURES))
    expect(page.locator(".grid a.frame").last).to_be_in_viewport()
    page.reload()
    expect(items).to_have_count(len(PICTURES))
    visit.expect_no_complaints()


def test_more_pictures_without_javascript(visit):
    visit = visit(java_script_enabled=False)
    visit.open("/search?q=cat")
    visit.page.get_by_role("link", name="More pictures").click()
    expect(visit.page.locator(".grid li")).to_have_count(48)
    visit.page.locator(".grid a.frame").nth(30).click()
    expect(visit.page.locator(".stage img")).to_be_visible()
    visit.page.get_by_role("link", name="All pictures").click()
    expect(visit.page.locator(".grid li")).to_have_count(48)
    expect(visit.page.locator("#n31")).to_be_in_viewport()


# Cumulative layout shift (W3C Layout Instability).
SHIFT = """() => new Promise((resolve) => {
  let sum = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) sum += entry.value;
  }).observe({ type: "layout-shift", buffered: true });
  setTimeout(() => resolve(sum), 300);
})"""


@pytest.mark.parametrize("viewport", [PHONE, LAPTOP, WIDE], ids=["phone", "laptop", "wide"])
def test_nothing_jumps(visit, viewport):
    """Not while pictures arrive, nor while more are added to the list."""
    visit = visit(viewport=viewport)
    page = visit.page
    visit.open("/search?q=cat")
    page.wait_for_load_state("networkidle")
    assert page.evaluate(SHIFT) == 0
    page.mouse.move(100, 300)
    items = page.locator(".grid li")
    while items.count() < len(PICTURES):
        page.mouse.wheel(0, viewport["height"] * 0.7)
        page.wait_for_timeout(50)
    page.wait_for_load_state("networkidle")
    expect(page.locator(".held")).to_have_count(0)
    assert page.evaluate(SHIFT) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, LAPTOP], ids=["phone", "laptop"])
def test_axe_finds_nothing_serious(visit, scheme, viewport):
    """axe-core's rules for WCAG 2.2 A and AA, and its best practices."""
    visit = visit(color_scheme=scheme, viewport=viewport, reduced_motion="reduce")
    for path in [
        "/", "/search?q=cat", "/search?q=cat&more=snow&less=tree", "/search", "/no-such-page",
        f"/search?q=cat&view={PICTURES[0].name}&at=1", f"/search?image_key={PICTURES[0].name}",
        "/search?q=cat&min_score=1",
    ]:
        visit.open(path)
        if path == "/":
            visit.page.locator(".upload summary").click()
        found = Axe().run(visit.page).response["violations"]
        serious = [rule for rule in found if rule["impact"] in ("serious", "critical")]
        told = [(path, rule["id"], [node["html"] for node in rule["nodes"]]) for rule in serious]
        assert told == []


# Draws pictures, each as a grid of average colours.
COLOURS = """async (sources) => Promise.all(sources.map(async (source) => {
  const image = new Image();
  image.src = source;
  await image.decode();
  // The means of 8 by 8 parts, computed here: a canvas that shrinks so far leaves most pixels out.
  const canvas = document.createElement("canvas");
  const [width, height] = [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const sums = new Float64Array(8 * 8 * 3), counts = new Float64Array(8 * 8);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const part = Math.floor(y * 8 / height) * 8 + Math.floor(x * 8 / width);
      counts[part]++;
      for (let i = 0; i < 3; i++) sums[part * 3 + i] += data[(y * width + x) * 4 + i];
    }
  return { width, height, colours: [...sums].map((sum, i) => sum / counts[Math.floor(i / 3)]) };
}))"""

# A large photograph-like JPEG, as the browser encodes it.
LARGE = """async () => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [1600, 1000];
  const context = canvas.getContext("2d");
  for (let i = 0; i < 4000; i++) {
    context.fillStyle = `hsl(${i * 37 % 360} 70% ${20 + i * 13 % 60}%)`;
    context.fillRect(i * 211 % 1600, i * 97 % 1000, 60, 40);
  }
  context.fillStyle = "red";
  context.fillRect(0, 0, 800, 500);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.95));
  return [...new Uint8Array(await blob.arrayBuffer())];
}"""


@pytest.mark.skipif("WEB_APP_STORE" not in os.environ, reason="the web-app's store is not ours")
def test_small_copies_look_like_the_originals(visit):
    """Turned as EXIF says, which the browser's own decoder knows; never embedded for the search."""
    visit = visit()
    visit.open()
    jpeg = bytes(visit.page.evaluate(LARGE))
    assert len(jpeg) > 100_000
    store = Path(os.environ["WEB_APP_STORE"])
    for orientation in range(1, 9):
        tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + bytes([0, orientation, 0, 0]) + b"\0" * 4
        exif = b"Exif\0\0" + tiff
        segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
        name = f"large-{orientation}.jpg"
        (store / name).write_bytes(jpeg[:2] + segment + jpeg[2:])
        original, small = visit.page.evaluate(COLOURS, [f"/pictures/{name}", f"/thumbnails/{name}"])
        shape = (480, 768) if orientation >= 5 else (768, 480)
        assert (small["width"], small["height"]) == shape
        assert original["width"] > original["height"] if orientation < 5 else original["width"] < original["height"]
        worst = max(abs(a - b) for a, b in zip(original["colours"], small["colours"]))
        assert worst < 4, orientation
    assert len(visit.page.request.get(f"{BASE}/thumbnails/large-1.jpg").body()) < len(jpeg) / 2


def test_health(visit):
    visit = visit()
    response = visit.open("/health")
    assert response.status == 200
    assert response.json() == {"status": "ok"}
