"""``eventlab ui`` in a real browser: the slider, both color schemes, and hostile data as text.

Pictures of the pages go to pytest's temporary folder ``pictures0``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from eventlab import NEW, Event, EventStore, Projector, Subscription
from eventlab.accounts import Account, AccountView
from eventlab.observe.lag import view_states, views_of
from eventlab.observe.ui.app import PAGES, create_ui
from eventlab.observe.ui.history import LagHistory
from eventlab.observe.ui.source import Mailroom, Source
from tests.support.accounts_api import in_a_thread
from tests.support.store import append_deposits

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror='window.ran=1'><script>window.ran=1</script>\x00\u202e\u05d0\"'&"
SCHEMES = ("light", "dark")
#: The contrast of each text with what is behind it, as WCAG 2 defines it; the lowest one first.
CONTRASTS = """() => {
  const parse = color => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const color = parse(getComputedStyle(e).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.getClientRects().length) continue;
    const a = light(parse(getComputedStyle(e).color));
    const b = light(behind(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push([ratio, e.tagName + ' ' + e.textContent.trim().slice(0, 40)]);
  }
  return found.sort((x, y) => x[0] - y[0]);
}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    from tools import browser

    with browser.browser() as program:
        yield program


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture
def url(store: EventStore, mongo: Any) -> Iterator[str]:
    """The address of the page, with events, a view that lags, parked events and a held mail."""
    append_deposits(store, "a", 60)
    with Projector(store, mongo, AccountView(store.category)) as projector:
        projector.catch_up()
    store.append(HOSTILE, [Event(HOSTILE, {HOSTILE: HOSTILE})], expected=NEW)
    letters = Subscription(store, "letters", consumer="one", max_failures=1)
    for event in letters.receive(5)[:2]:
        letters.fail(event, HOSTILE)
    mails = [{"_id": HOSTILE, "domain": HOSTILE, "reason": HOSTILE}]
    room = Mailroom(store.category, lambda: {"held": 1, "submitted": 7}, lambda _: mails)
    source = Source(store.redis, mongo, [store.category], {store.category: Account}, [room])

    def states() -> Any:
        return [(store.category, state) for state in view_states(views_of(store, mongo))]

    history = LagHistory(states)
    for count in (1, 5, 2):
        append_deposits(store, "b", count)
        history.sample()
    with in_a_thread(create_ui(source, history)) as address:
        yield address


@pytest.fixture(params=SCHEMES)
def page(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(
        color_scheme=request.param, viewport={"width": 1200, "height": 800}
    )
    try:
        opened = context.new_page()
        opened.set_default_timeout(180_000)
        yield opened
    finally:
        context.close()


def test_every_page_is_readable_and_runs_nothing_hostile(
    page: Page, url: str, store: EventStore, pictures: Path, request: pytest.FixtureRequest
) -> None:
    problems: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda one: asked.append(one.url))
    query = urlencode({"category": store.category, "id": HOSTILE, "name": "letters"})
    scheme = page.evaluate("() => matchMedia('(prefers-color-scheme: dark)').matches")
    for path in PAGES:
        page.goto(f"{url}{path}?{query}")
        name = path.strip("/") or "categories"
        page.screenshot(path=pictures / f"ui-{name}-{'dark' if scheme else 'light'}.png")
        ratio, what = page.evaluate(CONTRASTS)[0]
        assert ratio >= 4.5, f"{path}: {what} has a contrast of {ratio:.1f}"
        assert page.evaluate("() => window.ran ?? null") is None
        assert page.evaluate("() => document.images.length") == 0
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), path
    # Chromium asks for a favicon, which the policy of the page does not allow.
    assert [problem for problem in problems if "favicon" not in problem] == []
    assert {one for one in asked if not one.startswith(url)} == set()


def test_slider_shows_the_state_at_each_version(page: Page, url: str, store: EventStore) -> None:
    page.goto(f"{url}/aggregate?{urlencode({'category': store.category, 'id': 'a'})}")
    slider = page.locator("#version")
    assert not page.get_by_role("button", name="Show").is_visible()
    for version in (60, 3, 57):
        slider.fill(str(version))
        funds = version * (version + 1) // 2
        page.locator("#state + pre", has_text=f'"funds": {funds}').wait_for()
        assert page.locator("tr.chosen td").first.inner_text() == str(version)
        page.wait_for_url(re.compile(f"version={version}$"))
    slider.press("ArrowLeft")
    page.locator("#at", has_text="Version 56 of 60").wait_for()
    page.reload()
    assert page.locator("#version").input_value() == "56"


def test_slider_works_for_an_id_that_no_form_can_hold(
    page: Page, url: str, store: EventStore
) -> None:
    store.append(HOSTILE, [Event("deposit", {"amount": 4})], expected=1)
    page.goto(f"{url}/aggregate?{urlencode({'category': store.category, 'id': HOSTILE})}")
    page.locator("#version").fill("1")
    page.locator("#at", has_text="Version 1 of 2").wait_for()


def test_page_works_without_scripts(chromium: Browser, url: str, store: EventStore) -> None:
    context = chromium.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(f"{url}/category?{urlencode({'category': store.category})}")
        page.get_by_label("Open an aggregate").fill("a")
        page.get_by_role("button", name="Open").click()
        page.get_by_role("button", name="Show").click()
        assert '"funds": 1830' in page.locator("#state + pre").inner_text()
    finally:
        context.close()
