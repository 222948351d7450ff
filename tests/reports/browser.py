"""A headless Chromium for tests, and the packages from npm that are looked at in it.

What is not installed skips a test, or fails it where nothing may be skipped.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.engine_fixture import missing, program

MODULES = Path(__file__).parents[2] / ".ci" / "node_modules"
# as root there is no sandbox of Chromium's; nothing of it may speak to the network by itself
ARGUMENTS = """--no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking --disable-component-update
--disable-sync --no-first-run --disable-default-apps""".split()


@contextmanager
def chromium() -> Iterator[Browser]:
    path = program("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, file: Path, **how: object) -> Iterator[Page]:
    """A page on the file. Every word in its console, every error and every request beyond the file fails the test."""
    context = browser.new_context(**{"viewport": {"width": 1400, "height": 1000}, **how})  # type: ignore[arg-type]
    said: list[str] = []
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.on("console", lambda message: said.append(f"console {message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on(
        "request",
        lambda request: (
            said.append(f"request: {request.url}")
            if request.url != file.as_uri() and not request.url.startswith("data:")
            else None
        ),
    )
    page.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    try:
        page.goto(file.as_uri())
        yield page
        if said:
            raise AssertionError("; ".join(said))
    finally:
        context.close()


def module(path: str) -> Path:
    """A file of a package that .ci/package.json pins."""
    found = MODULES / path
    if not found.is_file():
        missing(f".ci/node_modules/{path} (npm --prefix .ci ci)")
    return found
