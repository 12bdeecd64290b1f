"""`report.html` in a real browser: what it asks for, what a reader can do with it, what comes out of the printer."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from fissura.report.page import rank_worst, write_report
from fissura.report.records import SurveyFrame
from report.page_browser import chromium, load
from support.sample_survey import make_survey

HOSTILE = '</script><script>document.title="hit"</script><img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    result = make_survey(tmp_path_factory.mktemp("run"))
    write_report(result)
    return result


@pytest.fixture
def loaded(browser, survey):
    loaded = load(browser, survey.folder / "report.html")
    yield loaded
    assert [r for r in loaded.requests if not r.startswith("data:")] == [(survey.folder / "report.html").as_uri()]
    assert loaded.complaints == []
    loaded.page.close()


def view_box(page):
    return [float(v) for v in page.get_attribute("#map-svg", "viewBox").split()]


def screen_point(page, crack):
    """Where the middle of a crack's first segment is on the screen."""
    return page.evaluate(
        """id => {
            const svg = document.getElementById('map-svg');
            for (const path of svg.querySelectorAll('.crack')) {
                const k = path.dataset.ids.split(',').indexOf(id);
                if (k < 0) continue;
                const numbers = path.getAttribute('d').split('M')[k + 1].match(/-?\\d+/g).map(Number);
                const p = new DOMPoint(numbers[0] + numbers[2] / 2, numbers[1] + numbers[3] / 2)
                    .matrixTransform(svg.getScreenCTM());
                return [p.x, p.y];
            }
        }""",
        str(crack),
    )


def test_every_crack_is_in_one_path_of_its_look(loaded, survey):
    groups = loaded.page.eval_on_selector_all(".crack", "all => all.map(e => [e.dataset.ids, e.getAttribute('class')])")
    ids = [name for names, _ in groups for name in names.split(",")]
    assert sorted(map(int, ids)) == [c.fields["id"] for c in survey.cracks]
    styles = [style for _, style in groups]
    assert len(set(styles)) == len(styles)
    for level in ("low", "medium", "high"):
        assert any(f"s-{level}" in style for style in styles)
    by = {c.fields["id"]: c.fields for c in survey.cracks}
    for names, style in groups:
        for name in names.split(","):
            assert f"s-{by[int(name)]['severity']} k-{by[int(name)]['class']}" in style


def test_wheel_buttons_keys_and_dragging_move_the_map(loaded):
    page = loaded.page
    page.locator("#map-box").scroll_into_view_if_needed()
    page.wait_for_timeout(300)  # a page that was just scrolled keeps the wheel
    whole, box = view_box(page), page.locator("#map-svg").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(60)
    near = view_box(page)
    assert near[2] < 0.7 * whole[2] and near[2] / near[3] == pytest.approx(whole[2] / whole[3], rel=0.01)
    assert near[0] + near[2] / 2 == pytest.approx(whole[2] / 2, rel=0.02)  # what was under the pointer stays there
    page.mouse.down()
    page.mouse.move(middle[0] + 110, middle[1], steps=4)
    page.mouse.up()
    page.wait_for_timeout(60)
    assert view_box(page)[0] == pytest.approx(near[0] - 110 * near[2] / box["width"], rel=0.02)
    assert page.is_hidden("#map-details")  # dragging selects nothing
    page.focus("#map-svg")
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(60)
    assert view_box(page)[2] < near[2]
    page.click("[data-zoom=all]")
    page.wait_for_timeout(60)
    assert view_box(page) == whole


def test_the_scale_bar_tells_the_truth(loaded):
    page = loaded.page
    for _ in range(3):
        text, bar = page.inner_text("#map-bar span").replace("\xa0", " "), page.locator("#map-bar i").bounding_box()
        number, unit = text.split(" ")
        metres = float(number) * {"m": 1, "cm": 0.01, "mm": 0.001, "km": 1000}[unit]
        per_metre = page.evaluate("document.getElementById('map-svg').getScreenCTM().a") * 1000  # a unit is 1 mm
        assert bar["width"] == pytest.approx(metres * per_metre, abs=1.5)
        page.click("[data-zoom=in]")
        page.click("[data-zoom=in]")
        page.wait_for_timeout(60)


def test_a_row_shows_its_crack_on_the_map(loaded, survey):
    page, whole = loaded.page, view_box(loaded.page)
    page.click("#crack-7 td:nth-child(3)")
    page.wait_for_timeout(80)
    assert view_box(page)[2] < 0.5 * whole[2]
    x, y = screen_point(page, 7)
    box = page.locator("#map-svg").bounding_box()
    assert box["x"] < x < box["x"] + box["width"] and box["y"] < y < box["y"] + box["height"] and 0 < y < 900
    assert "on" in page.get_attribute("#crack-7", "class") and page.get_attribute("#map-selected", "d")
    text = page.inner_text("#map-details").replace("\xa0", " ").replace("\u2009", " ")
    fields = survey.cracks[6].fields
    assert "Branch 7" in text and f"{fields['length_m']:.2f} m" in text and "flight/DJI_0002.JPG" in text
    assert f"{round(100 * fields['confidence'])} %" in text and "Chainage" in text
    page.click("#map-details .close")
    assert page.is_hidden("#map-details") and not page.get_attribute("#map-selected", "d")


def test_a_crack_under_the_pointer_is_told_and_a_click_selects_it(loaded):
    page = loaded.page
    page.click("#crack-9 .show")
    page.wait_for_timeout(80)
    page.click("#map-details .close")
    x, y = screen_point(page, 9)
    page.mouse.move(x + 2, y + 1)
    assert page.inner_text("#map-tip").startswith("Branch 9 · longitudinal · ") and " ± " in page.inner_text("#map-tip")
    page.mouse.click(x, y)
    assert page.inner_text("#map-details h3") == "Branch 9, longitudinal"
    row, picture = page.locator("#map-details .goto a").nth(0), page.locator("#map-details .goto a").nth(1)
    assert row.get_attribute("href") == "#crack-9" and picture.get_attribute("href") == "#worst-9"
    page.mouse.move(5, 5)
    assert page.is_hidden("#map-tip")


def test_colours_follow_the_switch_and_layers_their_boxes(loaded):
    page = loaded.page
    colour = "getComputedStyle(document.querySelector('#crack-lines .crack')).stroke"
    seen = {page.evaluate(colour)}
    for mode in ("width", "class"):
        page.click(f"[data-mode={mode}]")
        seen.add(page.evaluate(colour))
        assert page.is_visible(f".for-{mode}") and page.is_hidden(".for-severity")
    assert len(seen) == 3
    page.uncheck("[data-layer=footprints]")
    assert page.is_hidden(".l-footprints") and page.is_visible(".l-ground")


def test_filters_and_sorting(loaded, survey):
    page = loaded.page
    rows = "[...document.querySelectorAll('#crack-table tbody tr')]"
    shown = rows + ".filter(r => !r.hidden).map(r => Number(r.dataset.id))"
    page.select_option("[name=class]", "diagonal")
    page.fill("[name=width]", "5")
    want = [c for c in survey.cracks if c.fields["class"] == "diagonal" and c.fields["width_mean_mm"] >= 5]
    assert sorted(page.evaluate(shown)) == sorted(c.fields["id"] for c in want) and 0 < len(want) < 10
    assert page.inner_text("#crack-count") == f"{len(want)} of 40 rows"
    page.select_option("[name=class]", "")
    page.fill("[name=width]", "")
    page.click("#crack-table th:has-text('Length')")
    longest = sorted(survey.cracks, key=lambda c: -c.fields["length_m"])
    assert page.evaluate(shown) == [c.fields["id"] for c in longest]
    page.click("#crack-table th:has-text('Length')")
    assert page.evaluate(shown) == [c.fields["id"] for c in longest[::-1]]
    assert page.get_attribute("#crack-table th:has-text('Length')", "aria-sort") == "ascending"


def test_copied_tables_are_tab_separated_with_plain_numbers(browser, survey):
    loaded = load(browser, survey.folder / "report.html", permissions=["clipboard-read", "clipboard-write"])
    page = loaded.page
    page.evaluate("navigator.clipboard.writeText = text => { window.copied = text; return Promise.resolve(); }")
    page.click("#crack-table .copy", force=True)
    lines = page.evaluate("window.copied").split("\n")
    assert len(lines) == 41 and {line.count("\t") for line in lines} == {lines[0].count("\t")}
    first = rank_worst(survey.cracks)[0].fields
    assert lines[1].split("\t")[:5] == [
        str(first["id"]), str(first["crack_id"]), first["class"], first["severity"], str(first["length_m"]),
    ]  # fmt: skip
    page.close()


def test_a_section_row_shows_its_stretch(loaded):
    page, whole = loaded.page, view_box(loaded.page)
    page.click("#section-2 th")
    page.wait_for_timeout(80)
    x, _, w, _ = view_box(page)
    assert w < whole[2] and "on" in page.get_attribute(".section[data-section='2']", "class")
    assert x + w / 2 == pytest.approx(whole[2] / 2, rel=0.06)  # the second of three


def test_printed_it_is_pages_of_text_with_the_map(browser, tmp_path):
    pdfium = pytest.importorskip("pypdfium2")
    loaded = load(browser, write_report(make_survey(tmp_path, cracks=150)))
    loaded.page.click("#crack-7 .show")  # zoomed in on the screen, whole on paper
    loaded.page.pdf(path=str(tmp_path / "r.pdf"), prefer_css_page_size=True)
    document = pdfium.PdfDocument(tmp_path / "r.pdf")
    assert 4 <= len(document) <= 12
    assert document[0].get_size() == pytest.approx((595, 842), abs=1.5)
    texts = [page.get_textpage().get_text_range().replace("\xa0", " ") for page in document]
    assert "This survey is not complete." in texts[0] and "20 m" in texts[0] and "30 m" in texts[0]
    everything = "\n".join(texts)
    assert "The 20 worst cracks" in everything and "Method, limits and settings" in everything
    assert "The first 100 rows are printed; all are in cracks.csv." in everything
    assert "Colour by" not in everything and "Copy" not in everything and "Show on map" not in everything
    assert sum("Confidence" in text and "Widest, mm" in text for text in texts) >= 2  # heads repeat on each page
    pixels = document[0].render(scale=1).to_numpy().reshape(842, -1, 3)[300:600].astype(int)
    assert ((pixels.max(2) - pixels.min(2)) > 120).sum() > 200  # cracks in colour
    document.close()
    loaded.page.close()


def test_without_scripts_the_map_and_the_tables_are_there(browser, survey):
    loaded = load(browser, survey.folder / "report.html", java_script_enabled=False)
    page = loaded.page
    assert page.locator(".crack").count() > 5 and page.is_visible(".static")
    assert page.is_visible("#crack-table") and page.is_hidden("#crack-filters") and page.is_hidden(".zoom")
    page.close()


def test_a_phone_needs_no_sideways_scrolling(browser, survey):
    loaded = load(browser, survey.folder / "report.html", width=420)
    assert loaded.page.evaluate("document.documentElement.scrollWidth") == 420
    loaded.page.close()


def test_two_fingers_zoom_and_one_pans(browser, survey):
    context = browser.new_context(viewport={"width": 420, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto((survey.folder / "report.html").as_uri())
    page.evaluate("document.getElementById('map-svg').scrollIntoView({block: 'center'})")
    page.wait_for_timeout(100)
    session, box = context.new_cdp_session(page), page.locator("#map-svg").bounding_box()
    y = box["y"] + box["height"] / 2

    def touch(kind, *points):
        fingers = [{"x": px, "y": py, "id": k} for k, (px, py) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    whole = view_box(page)
    touch("touchStart", (180, y))
    touch("touchStart", (180, y), (240, y))
    for step in range(1, 9):
        touch("touchMove", (180 - 10 * step, y), (240 + 10 * step, y))
    touch("touchEnd")
    page.wait_for_timeout(80)
    near = view_box(page)
    assert near[2] < 0.5 * whole[2]
    touch("touchStart", (200, y))
    for step in range(1, 6):
        touch("touchMove", (200 + 10 * step, y))
    touch("touchEnd")
    page.wait_for_timeout(80)
    assert view_box(page)[0] < near[0] and view_box(page)[2] == near[2]
    context.close()


def test_hostile_names_are_shown_and_not_run(browser, tmp_path):
    result = make_survey(tmp_path, cracks=8)
    result.title = HOSTILE
    result.frames[4] = SurveyFrame(HOSTILE, HOSTILE, status="failed", error=HOSTILE)
    hostile = dict.fromkeys(("notes", "class", "source_frame", "severity"), HOSTILE)
    fields = {**result.cracks[2].fields, **hostile}
    result.cracks[2] = replace(result.cracks[2], fields=fields)
    path = write_report(result)
    loaded = load(browser, path)
    page = loaded.page
    page.click("#crack-3 .show")
    assert HOSTILE in page.inner_text("#map-details") and page.inner_text("h1") == HOSTILE
    assert page.title() == f"Crack survey: {HOSTILE}"
    assert page.locator("script").count() == 2 and page.locator("img:not([src^='data:'])").count() == 0
    # The policy holds even for what would get in.
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hit = 1\">')")
    page.wait_for_timeout(50)
    assert page.evaluate("window.hit") is None
    page.close()


@pytest.mark.parametrize("kind", ["unplaced", "empty"])
def test_pages_without_a_map_complain_of_nothing(browser, tmp_path, kind):
    result = make_survey(tmp_path, cracks=4, placed=False)
    if kind == "empty":
        result.cracks, result.areas, result.frames, result.widths = [], [], [], []
    loaded = load(browser, write_report(result))
    assert loaded.complaints == [] and loaded.page.is_visible("#map .lead")
    loaded.page.close()


def test_five_thousand_cracks_stay_fluid(browser, tmp_path):
    result = make_survey(tmp_path, cracks=5000)
    path = write_report(result)
    assert path.stat().st_size < 15e6
    start = time.perf_counter()
    loaded = load(browser, path)
    page = loaded.page
    assert time.perf_counter() - start < 15
    assert page.locator(".crack").count() < 250
    page.locator("#map-box").scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    box = page.locator("#map-svg").bounding_box()
    page.mouse.move(box["x"] + 400, box["y"] + 160)
    start = time.perf_counter()
    for _ in range(12):
        page.mouse.wheel(0, -60)
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert time.perf_counter() - start < 12
    start = time.perf_counter()
    page.mouse.move(box["x"] + 420, box["y"] + 165)
    page.evaluate("report.show('4999')")
    assert page.inner_text("#map-details h3").startswith("Branch 4999") and time.perf_counter() - start < 4
    assert loaded.complaints == []
    page.close()
