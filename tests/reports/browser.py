"""A headless Chromium for tests, and the packages from npm that are looked at in it.

What is not installed skips a test, or fails it where nothing may be skipped.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Request, ViewportSize, sync_playwright

from tests.engine_fixture import missing, program

MODULES = Path(__file__).parents[2] / ".ci" / "node_modules"
# as root there is no sandbox of Chromium's; nothing of it may speak to the network by itself
ARGUMENTS = """--no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking --disable-component-update
--disable-sync --no-first-run --disable-default-apps""".split()
SIZE: ViewportSize = {"width": 1400, "height": 1000}
PHONE: ViewportSize = {"width": 320, "height": 800}
MEDIA = {"media": "null", "color_scheme": "light", "forced_colors": "none", "reduced_motion": "no-preference"}


@contextmanager
def chromium() -> Iterator[Browser]:
    path = program("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page that shows one file after the other: most of a page's time is the start of its process."""

    def __init__(self, page: Page) -> None:
        self._page, self._uri = page, ""
        self._said: list[str] = []
        said = self._said
        page.set_default_timeout(15_000)
        page.on("console", lambda message: said.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("request", self._asked)
        page.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def _asked(self, request: Request) -> None:
        if request.url != self._uri and not request.url.startswith("data:"):
            self._said.append(f"request: {request.url}")

    @contextmanager
    def shows(self, file: Path, viewport: ViewportSize = SIZE, **media: Any) -> Iterator[Page]:
        """The page on the file, as if it were new; `media` as for emulate_media. Every word in its console, every error and
        every request beyond the file fails the test."""
        if self._uri:
            self._uri = "about:blank"
            self._page.goto(self._uri)
        self._page.emulate_media(**{**MEDIA, **media})
        self._page.set_viewport_size(viewport)
        self._said.clear()
        self._uri = file.as_uri()
        self._page.goto(self._uri)
        yield self._page
        if self._said:
            raise AssertionError("; ".join(self._said))


@contextmanager
def tab(browser: Browser, **how: object) -> Iterator[Tab]:
    context = browser.new_context(**{"viewport": SIZE, **how})  # type: ignore[arg-type]
    try:
        yield Tab(context.new_page())
    finally:
        context.close()


@contextmanager
def opened(browser: Browser, file: Path, **how: object) -> Iterator[Page]:
    """A page on the file that shows no other."""
    with tab(browser, **how) as one, one.shows(file) as page:
        yield page


def violations(page: Page) -> Any:
    """What axe finds wrong with the page as it stands; axe must have been loaded into it."""
    return page.evaluate(
        """axe.run({ resultTypes: ["violations"] }).then((result) =>
          result.violations.map((one) => [one.id, one.nodes.map((node) => node.html)]))"""
    )


def module(path: str) -> Path:
    """A file of a package that .ci/package.json pins."""
    found = MODULES / path
    if not found.is_file():
        missing(f".ci/node_modules/{path} (npm --prefix .ci ci)")
    return found
