"""The page in real Chromium against the running system: what a person sees, from the file to the playing result."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect, sync_playwright

from tests.acceptance.system import PASSWORD, USER, EmbeddedSystem, ServerSystem
from tests.clips import make_clip

READY_MS = 120_000
QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium as it is installed here."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", *QUIET])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh browser profile whose page may throw nothing and break no rule of its policy."""
    with browser.new_context(viewport={"width": 1100, "height": 900}) as context:
        page = context.new_page()
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda said: troubles.append(said.text) if "Content Security Policy" in said.text else None)
        yield page
        assert troubles == []


@pytest.fixture(scope="module")
def dark_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds, noisy and dark, with sound, under a name that would be markup."""
    path = tmp_path_factory.mktemp("page") / "dusk <b onclick=alert(1)>.mp4"
    return make_clip(path, frames=60, width=320, height=180, audio=["aac"], noise_sigma=6, gain=0.4, gop=15)


def open_page(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.locator("#live")).to_have_text("Live", timeout=30_000)


def test_a_dropped_video_is_followed_to_its_playing_result(
    page: Page, embedded_system: EmbeddedSystem, dark_clip: Path
) -> None:
    open_page(page, embedded_system.url)
    expect(page.locator("#nothing")).to_be_visible()
    page.set_input_files("#file", dark_clip)
    card = page.locator(".job")
    expect(card.locator(".job-name")).to_have_text(dark_clip.name)
    expect(card.locator("progress")).to_be_visible()
    expect(card).to_have_attribute("data-state", "ready", timeout=READY_MS)

    video = card.locator("video")
    expect(video).to_be_visible()
    video.evaluate("video => { video.muted = true; return video.play(); }")
    page.wait_for_function("() => document.querySelector('video').currentTime > 0.2")
    video.evaluate("video => { video.pause(); video.currentTime = 1.5; }")
    page.wait_for_function(
        "() => { const v = document.querySelector('video'); return !v.seeking && v.currentTime > 1.4; }"
    )
    assert video.evaluate("video => [video.videoWidth, video.videoHeight]") == [320, 180]

    for words in ("Before", "After"):
        still = card.get_by_alt_text(f"A still {words.lower()}")
        still.scroll_into_view_if_needed()
        expect(still).to_have_js_property("complete", True)
        assert still.evaluate("image => image.naturalWidth") == 320
    expect(card.locator(".reasons li")).to_have_count(7)
    expect(card.locator(".facts")).to_contain_text("60 → 60")
    card.get_by_text("Metadata", exact=True).click()
    expect(card.locator("table")).to_contain_text("320 × 180")
    expect(card.locator("table")).to_contain_text("of black to white")
    card.get_by_text("What happened").click()
    expect(card.locator(".log li").first).to_contain_text("Accepted")
    with page.expect_download() as download:
        card.get_by_role("link", name="Download", exact=True).click()
    assert download.value.suggested_filename.endswith("-enhanced.mp4")
    assert download.value.path().stat().st_size > 1000

    page.reload()
    expect(page.locator(".job .badge")).to_have_text("Ready")


def test_a_file_that_is_no_video_is_refused_with_a_sentence(
    page: Page, embedded_system: EmbeddedSystem, tmp_path: Path
) -> None:
    (tmp_path / "letter.mp4").write_text("Dear video,\n" * 100)
    (tmp_path / "nothing.mp4").touch()
    open_page(page, embedded_system.url)
    page.set_input_files("#file", [tmp_path / "letter.mp4", tmp_path / "nothing.mp4"])
    letter = page.locator(".job").filter(has_text="letter.mp4")
    expect(letter.locator(".failure")).to_contain_text("This is no video file that can be read here")
    nothing = page.locator(".job").filter(has_text="nothing.mp4")
    expect(nothing.locator(".failure")).to_contain_text("The file is empty")
    expect(page.locator("#announcer")).to_contain_text("nothing.mp4")


def test_a_lost_connection_is_made_again_and_misses_nothing(
    page: Page, embedded_system: EmbeddedSystem, dark_clip: Path
) -> None:
    routes: list[WebSocketRoute] = []

    def connect(route: WebSocketRoute) -> None:
        routes.append(route)
        route.connect_to_server()

    page.route_web_socket("**/ws/*", connect)
    open_page(page, embedded_system.url)
    page.set_input_files("#file", dark_clip)
    card = page.locator(".job")
    expect(card.locator("[data-action=toggle]")).to_be_visible(timeout=30_000)
    routes[0].close(code=3001, reason="lost")
    expect(page.locator("#live")).not_to_have_text("Live")
    expect(card).to_have_attribute("data-state", "ready", timeout=READY_MS)
    assert len(routes) == 2
    expect(page.locator("#live")).to_have_text("Live")


def test_the_whole_way_goes_by_keyboard_and_a_job_can_be_cancelled(
    page: Page, embedded_system: EmbeddedSystem, long_clip: Path
) -> None:
    # Chromium hands choosers over only once somebody listens, which takes a moment; so listen from the start.
    page.on("filechooser", lambda chooser: None)
    open_page(page, embedded_system.url)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#preset-words")).to_contain_text("lighter hand")
    chooser.value.set_files(long_clip)
    card = page.locator(".job")
    cancel = card.get_by_role("button", name="Cancel")
    expect(card).to_have_attribute("data-state", "enhancing", timeout=READY_MS)
    expect(card.locator(".job-facts")).to_contain_text("gentle")
    cancel.focus()
    page.keyboard.press("Enter")
    expect(card).to_have_attribute("data-state", "cancelled")
    expect(cancel).to_be_hidden()


def test_options_are_asked_for_and_a_value_out_of_range_is_not_sent(
    page: Page, embedded_system: EmbeddedSystem, dark_clip: Path
) -> None:
    open_page(page, embedded_system.url)
    expect(page.get_by_label("Denoise", exact=True)).to_be_hidden()
    page.get_by_text("More options").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Denoise", exact=True).fill("3")
    page.get_by_label("Greatest height").fill("144")
    page.get_by_label("Deinterlace", exact=True).select_option("No")
    page.get_by_text("More options").click()
    page.set_input_files("#file", dark_clip)
    expect(page.locator(".job")).to_have_count(0)
    expect(page.get_by_label("Denoise", exact=True)).to_be_focused()
    page.get_by_label("Denoise", exact=True).fill("0.5")
    page.set_input_files("#file", dark_clip)
    card = page.locator(".job")
    expect(card.locator(".job-facts")).to_contain_text("denoise 0.5 · deinterlace false · max height 144")
    expect(card).to_have_attribute("data-state", "ready", timeout=READY_MS)
    expect(card.locator(".facts")).to_contain_text("256 × 144")
    expect(card.locator(".reasons")).to_contain_text("Denoise 0.5: asked for")
    card.get_by_text("Storyboard").click()
    board = card.get_by_alt_text("Moments of the video")
    expect(board).to_have_js_property("complete", True)
    assert board.evaluate("image => image.naturalHeight") == 72
    page.get_by_role("radio", name="Metadata").check(force=True)
    expect(page.get_by_label("Greatest height")).to_be_disabled()


def test_a_job_waits_goes_on_and_is_taken_up_again(
    page: Page, embedded_system: EmbeddedSystem, long_clip: Path
) -> None:
    open_page(page, embedded_system.url)
    page.set_input_files("#file", long_clip)
    card = page.locator(".job")
    expect(card).to_have_attribute("data-state", "enhancing", timeout=READY_MS)
    buttons = {name: card.get_by_role("button", name=name) for name in ("Pause", "Resume", "Try again", "Cancel")}
    buttons["Pause"].focus()
    page.keyboard.press("Enter")
    expect(card.locator(".badge")).to_have_text("Paused")
    expect(buttons["Pause"]).to_be_hidden()
    assert page.evaluate("document.activeElement.dataset.action") == "resume"
    page.reload()
    expect(card.locator(".badge")).to_have_text("Paused")
    buttons["Resume"].click()
    expect(card.locator(".badge")).to_have_text("Enhancing")
    expect(buttons["Resume"]).to_be_hidden()
    buttons["Cancel"].click()
    expect(card).to_have_attribute("data-state", "cancelled")
    buttons["Try again"].click()
    expect(card).to_have_attribute("data-state", "enhancing", timeout=READY_MS)
    expect(buttons["Try again"]).to_be_hidden()
    buttons["Cancel"].click()
    expect(card).to_have_attribute("data-state", "cancelled")


def test_the_page_fits_a_small_screen_in_the_dark(browser: Browser, embedded_system: EmbeddedSystem) -> None:
    with browser.new_context(viewport={"width": 320, "height": 640}, color_scheme="dark") as context:
        page = context.new_page()
        open_page(page, embedded_system.url)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        channels = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
        assert max(channels) < 64


def test_the_one_time_link_signs_in_to_the_admin_once(browser: Browser, embedded_system: EmbeddedSystem) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(embedded_system.sign_in_url)
        expect(page).to_have_title("Site administration: videoproc")
        page.get_by_role("link", name="Jobs", exact=True).first.click()
        expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    with browser.new_context() as context:
        page = context.new_page()
        answer = page.goto(embedded_system.sign_in_url)
        assert answer is not None
        assert answer.status == 410


def test_in_server_mode_the_page_wants_a_sign_in(page: Page, server_system: ServerSystem, dark_clip: Path) -> None:
    page.goto(server_system.url)
    page.get_by_label("Name").fill(USER)
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("do not belong together")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#live")).to_have_text("Live", timeout=30_000)
    page.set_input_files("#file", dark_clip)
    expect(page.locator(".job")).to_have_attribute("data-state", "ready", timeout=READY_MS)
    expect(page.locator("video")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Password")).to_be_visible()


def test_another_client_of_the_same_user_sees_none_of_it(page: Page, embedded_system: EmbeddedSystem) -> None:
    page.add_init_script(f"localStorage.setItem('videoproc.client_id', 'other-{uuid4().hex}')")
    open_page(page, embedded_system.url)
    expect(page.locator("#nothing")).to_be_visible()
    expect(page.locator(".job")).to_have_count(0)
