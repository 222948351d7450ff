"""One Chromium and one tab of it for all tests of a file: starting either takes longer than most of the tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.reports.browser import Tab, chromium, module, tab


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def shared(browser: Browser) -> Iterator[Tab]:
    with tab(browser) as one:
        yield one


@pytest.fixture(scope="module")
def judged(browser: Browser) -> Iterator[Tab]:
    """A tab that axe can be loaded into, which the page's own policy forbids."""
    with tab(browser, bypass_csp=True) as one:
        yield one


@pytest.fixture(scope="session")
def axe() -> str:
    return module("axe-core/axe.min.js").read_text("utf-8")


@pytest.fixture
def page(shared: Tab, file: Path) -> Iterator[Any]:
    """The page that the test's module shows by default."""
    with shared.shows(file) as one:
        yield one
