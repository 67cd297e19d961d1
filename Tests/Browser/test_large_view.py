"""A picture large: formats, zoom, swipe, film strip, copied link."""

import re

import pytest
from playwright.sync_api import expect

LAPTOP = {"width": 1280, "height": 800}


@pytest.fixture
def large(visit):
    """The second result, opened from the list."""
    def make(**options):
        opened = visit(**options)
        opened.open("/search?q=tree")
        opened.list = opened.page.locator("a.frame").evaluate_all("all => all.map((a) => a.getAttribute('href'))")
        opened.page.locator("a.frame").nth(1).click()
        expect(opened.page.locator(".stage img")).to_be_visible()
        opened.page.wait_for_function("document.querySelector('.stage img').naturalWidth")
        return opened

    return make


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize("key, longest", [
    ("large.tif", 2048), ("photo.heic", None), ("photo.jxl", None), ("rgb.jp2", None), ("photo.avif", None),
    ("wrong-name.jpg", 2048),
])
def test_formats_that_browsers_do_not_show(visit, key, longest, script):
    if key == "wrong-name.jpg" and not script:
        pytest.skip("only the script notices that a picture is of another format than its name says")
    visit = visit(java_script_enabled=script)
    visit.open(f"/search?image_key={key}&view={key}&at=1")
    image = visit.page.locator(".stage img")
    visit.page.wait_for_load_state("networkidle")
    size = image.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])")
    assert max(size) == longest or longest is None and max(size) > 16
    expect(visit.page.get_by_role("link", name="Download")).to_have_attribute("href", f"/pictures/{key}?download")


def test_zoom(large):
    visit = large(viewport=LAPTOP)
    page = visit.page
    stage, image = page.locator(".stage"), page.locator(".stage img")
    natural = image.evaluate("image => [image.naturalWidth, image.naturalHeight]")
    box = image.bounding_box()
    fit = min(box["width"] / natural[0], box["height"] / natural[1])
    # A point a third across and two thirds down the picture.
    x = box["width"] / 2 + natural[0] * fit * (1 / 3 - 1 / 2)
    y = box["height"] / 2 + natural[1] * fit * (2 / 3 - 1 / 2)
    image.click(position={"x": x, "y": y})
    expect(stage).to_have_class(re.compile("zoomed"))
    large_box = image.bounding_box()
    assert large_box["width"] == pytest.approx(natural[0] * max(2 * fit, 1), abs=2)
    assert large_box["width"] / large_box["height"] == pytest.approx(natural[0] / natural[1], rel=0.01)
    # The point is in the middle, as far as the picture reaches.
    middle = stage.evaluate("""(stage) => {
      const image = stage.querySelector("img").getBoundingClientRect(), box = stage.getBoundingClientRect();
      return [(box.left + box.width / 2 - image.left) / image.width, (box.top + box.height / 2 - image.top) / image.height,
        stage.scrollWidth > stage.clientWidth, stage.scrollHeight > stage.clientHeight];
    }""")
    assert middle[2] or middle[3]
    if middle[3]:
        assert middle[1] > 0.5
    image.click()
    expect(stage).not_to_have_class(re.compile("zoomed"))
    assert image.bounding_box() == box
    # Escape leaves the zoom first, then the picture.
    image.click()
    page.keyboard.press("Escape")
    expect(stage).not_to_have_class(re.compile("zoomed"))
    page.keyboard.press("Escape")
    expect(page.locator(".grid")).to_be_visible()
    visit.expect_no_complaints()


def test_swipe(large):
    visit = large(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = visit.page
    current = page.locator(".film [aria-current]")
    expect(current).to_have_attribute("href", visit.list[1])
    length = page.evaluate("history.length")
    session = visit.context.new_cdp_session(page)
    box = page.locator(".stage").bounding_box()

    def swipe(across, down=0):
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        session.send("Input.dispatchTouchEvent", {
            "type": "touchMove", "touchPoints": [{"x": x + across, "y": y + down}]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    swipe(-150)
    expect(current).to_have_attribute("href", visit.list[2])
    swipe(150)
    expect(current).to_have_attribute("href", visit.list[1])
    # Too short, or rather a scroll.
    swipe(-40)
    swipe(-70, -200)
    page.wait_for_timeout(300)
    expect(current).to_have_attribute("href", visit.list[1])
    assert page.evaluate("history.length") == length
    page.go_back()
    expect(page.locator(".grid")).to_be_visible()


def test_film_strip(large):
    visit = large(viewport=LAPTOP)
    page = visit.page
    film = page.locator(".film a")
    # The first, this one, and four after it; of copies, the one in the list.
    assert film.evaluate_all("all => all.map((a) => a.getAttribute('href'))") == visit.list[:6]
    key = film.nth(4).locator("img").get_attribute("alt")
    film.nth(4).click()
    expect(page.get_by_role("heading", name=key)).to_be_visible()
    expect(page.locator(".film [aria-current]")).to_have_attribute("href", visit.list[4])
    visit.expect_no_complaints()


def test_copied_link(large, visit):
    first = large(viewport=LAPTOP, permissions=["clipboard-read", "clipboard-write"])
    page = first.page
    key = page.locator(".about h1").text_content()
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Link copied")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("Link copied")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == page.url
    # For somebody else, too.
    other = visit()
    other.page.goto(link)
    expect(other.page.get_by_role("heading", name=key)).to_be_visible()
    expect(other.page.locator(".film [aria-current]")).to_be_visible()
