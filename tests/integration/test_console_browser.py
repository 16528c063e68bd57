"""The console in a real browser: strict policy, no scripts, phone, paper."""

from __future__ import annotations

import json
import re
import shutil
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import BrowserContext, Page, Playwright, sync_playwright

from compliance.console.routes import router
from tests.unit.compliance.console_fake import FakeQueries

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PAGES = ("/console", "/console/facilities/qj01", "/console/facilities/dl01?range=days7", "/console/facilities/nix")
LANGUAGES = ("zh", "en")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not there; apt-get install chromium"),
]


@pytest.fixture(scope="module")
def console() -> Iterator[str]:
    """Address of a console that reads a made-up province."""
    app, queries = FastAPI(), FakeQueries(extra=15)
    app.include_router(router(lambda _request: queries))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    started = threading.Event()
    original = server.startup

    async def startup(sockets: list[object] | None = None) -> None:
        await original(sockets)  # type: ignore[arg-type]  # uvicorn's own sockets, passed on
        started.set()

    server.startup = startup  # type: ignore[method-assign, assignment]  # tells when the port is open
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert started.wait(20)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(20)


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    with fresh(playwright, tmp_path_factory.mktemp("profile")) as context:
        yield context


@contextmanager
def fresh(playwright: Playwright, profile: Path, *, scripts: bool = True) -> Iterator[BrowserContext]:
    context = playwright.chromium.launch_persistent_context(
        profile, executable_path=CHROMIUM, args=FLAGS, headless=True, java_script_enabled=scripts
    )
    try:
        yield context
    finally:
        context.close()
        shutil.rmtree(profile, ignore_errors=True)


def opened(context: BrowserContext, address: str, width: int = 1280) -> tuple[Page, list[str], list[str]]:
    """A page, what its console said, and which hosts were asked."""
    page, said, hosts = context.new_page(), list[str](), list[str]()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: hosts.append(urlsplit(request.url).hostname or ""))
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(address, wait_until="load")
    return page, said, hosts


def localized(console: str, path: str, language: str) -> str:
    return f"{console}{path}{'&' if '?' in path else '?'}lang={language}"


def test_no_page_breaks_its_policy_or_asks_another_host(console: str, browser: BrowserContext) -> None:
    for path in PAGES:
        for language in LANGUAGES:
            page, said, hosts = opened(browser, localized(console, path, language))
            refused = [line for line in said if "404 (Not Found)" not in line]
            assert refused == [], path
            assert set(hosts) == {"127.0.0.1"}
            assert page.locator("h1").count() == 1
            page.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(console: str, browser: BrowserContext, width: int) -> None:
    for path in PAGES:
        for language in LANGUAGES:
            page, _, _ = opened(browser, localized(console, path, language), width)
            wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, (path, language, width)
            page.close()


def test_everything_is_readable_without_scripts(console: str, playwright: Playwright, tmp_path: Path) -> None:
    with fresh(playwright, tmp_path / "plain", scripts=False) as context:
        page, _, _ = opened(context, f"{console}/console?lang=zh")
        assert page.locator("table.facilities tbody tr").count() == 20
        assert page.locator("svg.tiles .tile").count() == 16
        page.locator("th.c-pue a").click()
        assert "sort=pue" in page.url
        page.locator("table.facilities tbody th a").first.click()
        assert page.locator(".wide svg.trend path.band").is_visible()
        assert page.locator("#headline .finding").first.is_visible()
        assert not page.locator(".hint").is_visible()


def test_pointing_at_the_chart_reads_values_and_dragging_zooms(console: str, browser: BrowserContext) -> None:
    page, said, _ = opened(browser, f"{console}/console/facilities/qj01?lang=en")
    page.locator("#trend").scroll_into_view_if_needed()
    box = page.locator(".wide svg.trend").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    assert re.search(r"15 min \d\.\d{3} – \d\.\d{3} · 30 days \d\.\d{3}", page.locator(".hover").inner_text())
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, middle, steps=4)
    with page.expect_navigation():
        page.mouse.up()
    assert re.search(r"from=\d+&to=\d+#trend$", page.url)
    assert said == []


def test_fragments_are_refreshed_in_place(console: str, browser: BrowserContext) -> None:
    page, said, _ = opened(browser, f"{console}/console?lang=zh")
    page.evaluate("() => { document.querySelector('#facilities tbody').replaceChildren(); }")
    assert page.locator("table.facilities tbody tr").count() == 0
    page.evaluate("() => refresh()")
    assert page.locator("table.facilities tbody tr").count() == 20
    assert said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_text_stands_out_from_its_background(console: str, browser: BrowserContext, language: str, scheme: str) -> None:
    """WCAG AA for every text node: 4.5, or 3 for large text."""
    for path in PAGES[:2]:
        page = browser.new_page()
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.goto(localized(console, path, language))
        weak = page.evaluate(CONTRAST)
        assert weak == [], (path, json.dumps(weak, ensure_ascii=False))
        page.close()


def test_keyboard_reaches_the_content_first(console: str, browser: BrowserContext) -> None:
    page, _, _ = opened(browser, f"{console}/console?lang=zh")
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "main"


@pytest.mark.parametrize("language", LANGUAGES)
def test_paper_shows_the_trend_as_lines(console: str, browser: BrowserContext, language: str) -> None:
    page, _, _ = opened(browser, f"{console}/console/facilities/qj01?lang={language}")
    page.emulate_media(media="print")
    assert page.locator(".wide svg.trend").is_visible()
    assert not page.locator(".narrow").is_visible()
    assert not page.locator(".ranges").is_visible()
    pdf = page.pdf(prefer_css_page_size=True)
    assert re.search(rb"/MediaBox ?\[ ?0 0 59[45][.\d]* 84[12][.\d]*", pdf)
    assert len(re.findall(rb"/Type ?/Page\b", pdf)) <= 4
    strokes = sum(part.count(b" l\n") for part in content_streams(pdf))
    assert strokes > 1_000


def content_streams(pdf: bytes) -> Iterator[bytes]:
    for found in re.finditer(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        try:
            yield zlib.decompress(found[1])
        except zlib.error:
            continue


CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [x, y, z] = [r, g, b].map((v) => linear(v / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const solid = (text) => { const c = parse(text); return c.length === 3 || c[3] > 0.99 ? c.slice(0, 3) : null; };
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      if (at instanceof SVGElement) {
        const box = at.parentElement?.closest(".tile") && at.parentElement.querySelector("rect");
        if (box) return solid(getComputedStyle(box).fill) || [255, 255, 255];
        continue;
      }
      const colour = solid(getComputedStyle(at).backgroundColor);
      if (colour) return colour;
    }
    return [255, 255, 255];
  };
  const weak = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.getClientRects().length) continue;
    if (node.closest("title, desc, symbol, .skip")) continue;
    const style = getComputedStyle(node);
    const colour = solid(node instanceof SVGElement ? style.fill : style.color);
    if (!colour) continue;
    const [a, b] = [light(colour), light(ground(node))].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < (large ? 3 : 4.5)) weak.push([walker.currentNode.data.trim(), node.outerHTML.slice(0, 80), ratio]);
  }
  return weak;
}"""
