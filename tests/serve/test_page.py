"""The page in a real browser, whose microphone is a file: ask aloud, hear, interrupt, show, write.

It needs Chromium (``apt-get install chromium``) and Playwright's Python package, which needs no browser of its own.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.serve.running import address_of, running

from muomni.serve.server import Server
from muomni.serve.settings import Settings

SAMPLES = Path(__file__).parents[2] / "checkpoints" / "demo" / "samples"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LONG = "What can you do?"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running(Settings(port=0, threads=1)) as started:
        yield started


@contextmanager
def browser_with(microphone: Path) -> Iterator[Browser]:
    """Chromium that hears a file, once."""
    assert CHROMIUM, "the page is tested in Chromium: apt-get install chromium"
    arguments = [
        "--no-sandbox",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}%noloop",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


def write_microphone(path: Path, *parts: str | float) -> Path:
    """A recording of samples, and of seconds of silence."""
    pieces = []
    for part in parts:
        if isinstance(part, str):
            samples, rate = soundfile.read(SAMPLES / part, dtype="float32")
            assert rate == 16_000
            pieces.append(samples)
        else:
            pieces.append(np.zeros(int(part * 16_000), np.float32))
    soundfile.write(path, np.concatenate(pieces), 16_000, subtype="PCM_16")
    return path


@contextmanager
def page_of(server: Server, browser: Browser, host: str = "127.0.0.1", **context: Any) -> Iterator[Page]:
    """The page, open and connected; it must not write an error to its console."""
    problems: list[str] = []
    opened = browser.new_context(**context)
    page = opened.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    foreign: list[str] = []
    own = (f"http://{address_of(server)}/", f"ws://{address_of(server)}/", "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(own) else foreign.append(request.url))
    page.goto(f"http://{address_of(server)}/")
    expect(page.locator("#status-text")).to_have_text("Ready")
    yield page
    opened.close()
    assert (problems, foreign) == ([], [])


def until(page: Page, condition: str, seconds: float = 15) -> None:
    """Wait; Playwright's own way needs ``eval``, which the page does not allow."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(20)


def played(page: Page) -> int:
    return int(page.evaluate("muomni.playedSamples"))


def test_ask_aloud_hear_the_reply_and_interrupt_it(server: Server, tmp_path: Path) -> None:
    """The first question is answered; the second is asked into a long reply, which falls silent."""
    microphone = write_microphone(tmp_path / "microphone.wav", 1.0, "days.wav", 9.0, "days.wav", 20.0)
    with browser_with(microphone) as browser, page_of(server, browser) as page:
        page.click("#mic")
        expect(page.locator("#mic")).to_have_attribute("aria-pressed", "true")
        expect(page.locator("li.person > p").first).to_have_text(
            "what day comes after monday", timeout=15_000
        )
        expect(page.locator("li.model > p").first).to_have_text("Tuesday comes after Monday.")
        expect(page.locator(".timeline")).to_have_count(1, timeout=10_000)  # it was played to its end
        whole = played(page)
        assert whole > 24_000 and page.evaluate("muomni.underruns") == 0
        first = page.evaluate("muomni.timelines[0]")
        assert 300 < first["decided"] < first["text"] < first["sound"] < first["end"]

        until(page, "muomni.frames > 590", 20)  # shortly before the second question
        page.fill("#text", LONG)
        page.press("#text", "Enter")
        reply = page.locator("li.model").nth(1)
        expect(reply.locator(".note")).to_have_text("interrupted", timeout=15_000)
        heard = reply.locator("p").first.evaluate("node => node.firstChild.textContent")
        unheard = reply.locator(".unheard").inner_text()
        assert unheard and reply.locator("p").first.inner_text() == heard + unheard
        expect(page.locator("li.model").nth(2).locator("p").first).to_have_text(
            "Tuesday comes after Monday.", timeout=10_000
        )
        expect(page.locator(".timeline")).to_have_count(3, timeout=10_000)
        spoken = played(page) - 2 * whole
        assert 0 < spoken < 2.1 * 24_000  # of the reply that was interrupted, which lasts so long


def test_push_to_talk_with_the_space_bar(server: Server, tmp_path: Path) -> None:
    microphone = write_microphone(tmp_path / "microphone.wav", 0.3, "days.wav", 20.0)
    with browser_with(microphone) as browser, page_of(server, browser) as page:
        page.click("#open-settings")
        page.check("input[value=push]")
        page.click("text=Done")
        page.focus("#mic")
        page.keyboard.down("Space")
        expect(page.locator("#status-text")).to_have_text("I hear you")
        until(page, "muomni.sentSamples > 24000 * 3", 10)
        page.keyboard.up("Space")
        expect(page.locator("li.model > p").first).to_have_text("Tuesday comes after Monday.")


def test_show_a_picture_and_a_film_write_and_stop(server: Server, tmp_path: Path) -> None:
    microphone = write_microphone(tmp_path / "microphone.wav", 5.0)
    phone = {"viewport": {"width": 390, "height": 800}, "color_scheme": "dark", "has_touch": True}
    with browser_with(microphone) as browser, page_of(server, browser, **phone) as page:
        page.set_input_files("#file", SAMPLES / "shapes.png")
        expect(page.locator("#attachments img")).to_have_count(1)
        page.fill("#text", "What do you see?")
        page.press("#text", "Enter")
        expect(page.locator("li.model > p").first).to_contain_text("big red circle")
        until(page, "muomni.playedSamples > 0")
        page.keyboard.press("Escape")
        until(page, "muomni.state === 'ready'")
        stopped = played(page)
        page.wait_for_timeout(300)
        assert played(page) == stopped  # silence is silence
        expect(page.locator("li.model .unheard")).to_have_count(1)

        page.set_input_files("#file", SAMPLES / "film.gif")
        page.fill("#text", "What happens?")
        page.press("#text", "Enter")
        expect(page.locator("li.model > p").nth(1)).not_to_be_empty()
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390  # nothing sticks out on a phone


def test_without_https_it_says_the_way_out_and_writing_works(server: Server, tmp_path: Path) -> None:
    microphone = write_microphone(tmp_path / "microphone.wav", 1.0)
    with browser_with(microphone) as browser, page_of(server, browser) as page:
        page.add_init_script("Object.defineProperty(window, 'isSecureContext', {value: false})")
        page.reload()
        expect(page.locator("#notice")).to_contain_text("--tls-self-signed")
        expect(page.locator("#hint")).to_contain_text("only over https")
        page.fill("#text", "Hello!")
        page.press("#text", "Enter")
        expect(page.locator("li.model > p").first).not_to_be_empty()


def test_a_server_with_a_key_asks_for_it(tmp_path: Path) -> None:
    microphone = write_microphone(tmp_path / "microphone.wav", 1.0)
    with (
        running(Settings(port=0, threads=1, api_keys=("secret",))) as guarded,
        browser_with(microphone) as browser,
    ):
        page = browser.new_page()
        page.goto(f"http://{address_of(guarded)}/")
        expect(page.locator("#settings")).to_be_visible()
        page.fill("input[name=key]", "secret")
        page.click("text=Done")
        expect(page.locator("#status-text")).to_have_text("Ready")


def test_everything_has_a_name_for_a_screen_reader(server: Server, tmp_path: Path) -> None:
    microphone = write_microphone(tmp_path / "microphone.wav", 1.0)
    with browser_with(microphone) as browser, page_of(server, browser) as page:
        page.set_input_files("#file", SAMPLES / "shapes.png")
        expect(page.locator("#attachments img")).to_have_count(1)
        nameless = page.evaluate(
            """[...document.querySelectorAll("button, input:not([hidden]), textarea, img, dialog, [role=img]")]
            .filter(node => !(node.ariaLabel || node.alt !== undefined && node.hasAttribute("alt") || node.innerText
              || node.labels?.length || node.getAttribute("aria-labelledby")))
            .map(node => node.outerHTML)"""
        )
        assert nameless == []
        order = []
        page.focus("#new")
        for _ in range(9):
            order.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
            page.keyboard.press("Tab")
        assert {"new", "open-settings", "attach", "camera", "text"} <= set(order)
