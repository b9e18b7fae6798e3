"""The review page in a browser: from a file, without a network, with the keyboard alone; work is kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from test_review import corrections, export, ilt, make_dataset, page_data

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--no-first-run", "--autoplay-policy=no-user-gesture-required",
]  # fmt: skip

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: apt install chromium")

TEXTS = {
    "en": ("<script>document.title = 'bad'</script> two", "two six zero", "seven", "one one", "five"),
    "ar": ("\u0648\u0627\u062d\u062f", "\u062b\u0644\u0627\u062b\u0629", "\u0627\u062b\u0646\u0627\u0646"),
}


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser, tmp_path, monkeypatch):
    """The page of all labels, opened from its file in a fresh profile; it makes no request and no error."""
    monkeypatch.chdir(tmp_path)
    make_dataset(tmp_path, TEXTS)
    export("html", "page.html", strategy="improve", budget=8)
    context = browser.new_context(reduced_motion="reduce", accept_downloads=True)
    opened, requests, errors = context.new_page(), [], []
    opened.on("request", lambda request: requests.append(request.url))
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    opened.goto((tmp_path / "page.html").as_uri())
    opened.get_by_label("Your name").fill("ann")
    yield opened
    assert not errors
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    context.close()


def _card(page, row):
    return page.locator(".card").nth(row)


def _texts():
    return [row["text"] for row in page_data("page.html")["rows"]]


def _until(page, condition):
    """Wait until the sound is as it should be. The page's policy forbids Playwright's own way of waiting."""
    for _ in range(100):
        if page.evaluate(f"(sound => {condition})(document.querySelector('#sound'))"):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"not within 5 s: {condition}")


def _download(page):
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download answers").first.click()
    path = Path(waiting.value.suggested_filename)
    waiting.value.save_as(path)
    return path


def test_texts_are_shown_as_text(page):
    assert page.locator("textarea").evaluate_all("fields => fields.map(field => field.value)") == _texts()
    assert "bad" not in page.title()
    changed = page.locator(".change del").all_inner_texts()
    assert len(changed) == len(_texts()) and {text.strip() for text in changed} == {"zero"}


def test_names_and_changes_turn_no_line_around(browser, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_dataset(tmp_path, {"x\u202e\x1b": ("two \u202e\u200fowt", "one", "six")})
    export("html", "page.html", strategy="improve", budget=3)
    source = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not {"\u202e", "\u200f", "\x1b"} & set(source)
    assert "two \u202e\u200fowt" in _texts()  # what is answered is the text itself
    opened = browser.new_page()
    opened.goto((tmp_path / "page.html").as_uri())
    shown = [opened.locator(f".card .{part}").all_inner_texts() for part in ("id", "language", "spans")]
    assert all(r"x\u202e\u001b" in text for text in shown[0] + shown[1])
    assert any(r"two \u202e\u200fowt" in text for text in shown[2])
    assert not {"\u202e", "\u200f", "\x1b"} & {letter for part in shown for text in part for letter in text}
    opened.close()


def test_fields_run_as_their_script_does(page):
    directions = page.locator("textarea").evaluate_all("fields => fields.map(field => field.dir)")
    languages = [row["language"] for row in page_data("page.html")["rows"]]
    assert directions == ["rtl" if code == "ar" else "ltr" for code in languages]


def test_the_sound_plays_and_may_be_slower(page):
    _card(page, 0).locator("textarea").focus()
    page.keyboard.press("Control+Space")
    _until(page, "Math.abs(sound.duration - 0.4) < 0.05 && sound.currentTime > 0.1")
    page.get_by_label("0.75").check()
    _until(page, "sound.playbackRate === 0.75")
    _until(page, "sound.ended")
    assert page.locator(".playing").count() == 0


def test_an_hour_of_work_with_the_keyboard_comes_back(page):
    texts = _texts()
    _card(page, 0).locator("textarea").focus()
    page.keyboard.press("Enter")
    assert "current" in _card(page, 1).get_attribute("class")
    page.keyboard.press("Control+a")
    page.keyboard.type("a <b>new</b> text")
    page.keyboard.press("Enter")
    page.keyboard.press("Alt+u")
    page.keyboard.type(" and more")
    page.reload()
    assert page.get_by_label("Your name").input_value() == "ann"
    states = page.locator(".card .state").all_inner_texts()
    assert states[:4] == ["Accepted", "Corrected", "Unusable", ""]
    assert _card(page, 3).locator("textarea").input_value() == f"{texts[3]} and more"
    assert "3 of 8" in page.locator("#counts").inner_text()
    assert page.locator("#progress").get_attribute("aria-valuenow") == "3"

    path = _download(page)
    ids = [row["id"] for row in page_data("page.html")["rows"]]
    shown = ilt("import", path, "--yes")
    assert "5 not reviewed yet" in shown and "1 of those have a changed text" in shown
    rows = corrections()
    assert {key: row["verdict"] for key, row in rows.items()} == dict(
        zip(ids, ("accepted", "corrected", "unusable"), strict=False)
    )
    assert rows[ids[1]]["text"] == "a <b>new</b> text"
    assert {row["reviewer"] for row in rows.values()} == {"ann"}


def test_a_verdict_can_be_taken_back(page):
    field = _card(page, 0).locator("textarea")
    field.fill("other")
    field.press("Enter")
    page.keyboard.press("Alt+z")
    assert _card(page, 0).locator(".state").inner_text() == ""
    assert field.input_value() == "other"
    _card(page, 0).get_by_role("button", name="Unusable").click()
    _card(page, 0).get_by_role("button", name="Undo").click()
    _card(page, 0).get_by_role("button", name="Reset text").click()
    assert field.input_value() == _texts()[0]
    assert "0 of 8" in page.locator("#counts").inner_text()


def test_an_empty_text_is_not_accepted(page):
    field = _card(page, 0).locator("textarea")
    field.fill("   ")
    field.press("Enter")
    assert _card(page, 0).locator(".error").is_visible()
    assert "0 of 8" in page.locator("#counts").inner_text()


def test_enter_belongs_to_an_input_method_while_it_composes(page):
    _card(page, 0).locator("textarea").focus()
    page.evaluate(
        "document.activeElement.dispatchEvent(new KeyboardEvent('keydown',"
        "{key: 'Enter', code: 'Enter', isComposing: true, bubbles: true}))"
    )
    assert "0 of 8" in page.locator("#counts").inner_text()


def test_keys_outside_the_text(page):
    _card(page, 0).locator("textarea").focus()
    for key in ("Escape", "j", "Escape", "k", "Escape", "ArrowDown", "Escape", "u"):
        page.keyboard.press(key)
    states = page.locator(".card .state").all_inner_texts()
    assert [number for number, state in enumerate(states) if state] == [1]


def test_rows_can_be_filtered(page):
    _card(page, 0).locator("textarea").press("Enter")
    shown = page.locator(".card:visible")
    page.get_by_text("Done", exact=True).click()
    assert shown.count() == 1
    page.get_by_text("To do", exact=True).click()
    assert shown.count() == 7
    page.get_by_text("All", exact=True).click()
    page.get_by_label("Language").select_option("ar")
    assert shown.count() == 3
    page.get_by_label("Language").select_option("")
    page.get_by_label("Find in the texts").fill("SIX")
    assert shown.count() == 1
    page.get_by_label("Find in the texts").fill("nowhere")
    assert shown.count() == 0 and page.get_by_text("No row matches").is_visible()


def test_the_end_is_shown_and_a_name_is_asked_for(page):
    page.get_by_label("Your name").fill("")
    for row in range(8):
        _card(page, row).get_by_role("button", name="Accept").click()
    assert page.get_by_text("All rows are reviewed").is_visible()
    page.get_by_role("button", name="Download answers").first.click()
    assert page.evaluate("document.activeElement.id") == "reviewer"
    page.keyboard.type("\u0639\u0644\u064a")
    saved = json.loads(_download(page).read_text(encoding="utf-8"))
    assert saved["reviewer"] == "\u0639\u0644\u064a"
    assert {entry["verdict"] for entry in saved["answers"]} == {"accepted"}


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_cut_off(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
