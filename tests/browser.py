"""A browser, and what it finds wrong with a page."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

PHONE, DESK = 390, 1400
GRAVE = {"serious", "critical"}
DRAWN = "() => [...document.querySelectorAll('.picture')].every(one => one.querySelector('svg.main-svg'))"
WIDER = """() => {
    const isInside = (one) => one.closest('.scroll, svg') !== null;
    const named = (one) => one.tagName + '.' + one.className + ' ' + one.textContent.trim().slice(0, 40);
    const wide = [...document.body.querySelectorAll('*')].filter(
        (one) => !isInside(one) && one.getBoundingClientRect().right > innerWidth + 0.5);
    const cut = [...document.querySelectorAll('.picture svg text')].filter((one) => {
        const text = one.getBoundingClientRect(), picture = one.closest('.picture').getBoundingClientRect();
        return text.width && (text.left < picture.left - 1 || text.right > picture.right + 1);
    });
    const isWide = document.documentElement.scrollWidth > innerWidth;
    return [...(isWide ? ['the page'] : []), ...wide.map(named), ...cut.map(named)];
}"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start the Chromium that is there already."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium is installed")
    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=program)
        yield chromium
        chromium.close()


@pytest.fixture
def faults(browser: Browser, tmp_path: Path) -> Callable[[str], list[str]]:
    """Open a page as a file, on a phone and on a desk; say all that is wrong with it."""

    def found(text: str) -> list[str]:
        file = tmp_path / "page.html"
        file.write_text(text, encoding="utf-8")
        wrong: list[str] = []
        page = browser.new_page(viewport={"width": PHONE, "height": 844})
        page.on("console", lambda told: wrong.append(f"console: {told.text}") if told.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("request", lambda asked: wrong.extend(_beyond(asked.url, file)))
        page.goto(file.as_uri())
        for width in (PHONE, DESK):
            wrong += [f"at {width}: {told}" for told in _seen(page, width)]
        told = Axe().run(page).response["violations"]
        page.close()
        return [*wrong, *[f"{fault['id']}: {fault['help']}" for fault in told if fault["impact"] in GRAVE]]

    return found


def _beyond(url: str, file: Path) -> list[str]:
    return [] if url == file.as_uri() or url.startswith(("data:", "blob:")) else [f"asks for {url}"]


def _seen(page: Page, width: int) -> list[str]:
    """Say what is wrong at one width, with the tables shut and open."""
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(250)  # the pictures follow the width
    undrawn = [] if page.evaluate(DRAWN) else ["a picture is not drawn"]
    wide = page.evaluate(WIDER)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    wider = [f"{name} reaches beyond the page" for name in dict.fromkeys([*wide, *page.evaluate(WIDER)])]
    return [*undrawn, *wider]
