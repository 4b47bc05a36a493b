"""The screen pop in a real browser: hostile HTML runs nothing, loads nothing and covers nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from eventlab.mailroom.cxone.client import CXoneClient
from eventlab.sandbox.cxone import screen_pop
from eventlab.sandbox.cxone.app import create_fake_cxone
from eventlab.sandbox.serving import Serving
from tests.support.scripted_server import ScriptedServer
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Dialog, Page

pytestmark = pytest.mark.browser

#: Each line tries to load the URL; the last part of the path says which trick worked.
HOSTILE = """
<title>gone</title>
<script>document.title = 'ran'; window.ran = 1; fetch('{url}/script'); alert('ran')</script>
<script src="{url}/script-src"></script>
<img src="{url}/img"><img src=x onerror="new Image().src='{url}/onerror'; parent.ran = 1">
<img srcset="{url}/srcset 1x"><picture><source srcset="{url}/source"><img></picture>
<body onload="new Image().src='{url}/onload'" background="{url}/background">
<link rel=stylesheet href="{url}/link"><link rel=prefetch href="{url}/prefetch">
<link rel=icon href="{url}/icon">
<style>@import url({url}/import); body {{ background: url({url}/css) }}
  @font-face {{ font-family: f; src: url({url}/font) }} p {{ font-family: f }}
  .over {{ position: fixed; top: 0; left: 0; width: 100vw; height: 100vh; z-index: 2147483647;
    background: red }}
</style>
<div class=over
  style="position:fixed;inset:0;background:url({url}/style) red">Log in again, please</div>
<table background="{url}/table"><tr><td>cell</td></tr></table>
<svg onload="new Image().src='{url}/svg-onload'"><image href="{url}/svg-image" width=9 height=9 />
  <script>window.ran = 1</script>
  <use href="{url}/svg-use#a" /></svg>
<math><mtext><img src="{url}/math"></mtext></math>
<iframe src="{url}/iframe"></iframe>
<iframe srcdoc="<img src={url}/srcdoc><script>top.ran = 1</script>"></iframe>
<object data="{url}/object"></object><embed src="{url}/embed">
<video poster="{url}/poster"><source src="{url}/video"></video>
<audio src="{url}/audio" autoplay></audio>
<input type=image src="{url}/input">
<details open ontoggle="new Image().src='{url}/toggle'">more</details>
<form id=f action="{url}/form" method=post target=_top><button>A button</button></form>
<a href="{url}/ping" ping="{url}/ping">A link</a> <a href="javascript:top.ran = 1">A script</a>
<p onmouseover="window.ran = 1">A paragraph</p>
<noscript><img src="{url}/noscript"></noscript>
<base href="{url}/base/"><img src="relative">
<meta http-equiv=refresh content="4; url={url}/refresh">
"""
#: The tricks that work when the same HTML is shown unprotected; otherwise the test proves nothing.
WORKING_TRICKS = {
    *("script", "script-src", "img", "onerror", "srcset", "source", "link", "import", "css"),
    *("style", "table", "svg-image", "math", "iframe", "srcdoc", "object", "embed", "poster"),
    *("input", "toggle", "refresh"),
}
NOTHING = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    from tools import browser

    with browser.browser() as program:
        yield program


@pytest.fixture
def bait() -> Iterator[ScriptedServer]:
    """The server that the mail tries to reach."""
    with ScriptedServer(lambda _: NOTHING) as server:
        yield server


def asked_for(bait: ScriptedServer, folder: str) -> set[str]:
    """Return the last part of each path that a server was asked for in a folder."""
    paths = [request.split(b" ", 2)[1].decode() for request in bait.requests]
    return {path.rpartition("/")[2] for path in paths if path.startswith(f"/{folder}/")}


@dataclass
class Seen:
    """The requests that a page tried, including blocked ones, and signs of a script."""

    requests: list[str] = field(default_factory=list)
    signs: list[str] = field(default_factory=list)


def watch(context: BrowserContext) -> Seen:
    """Record every request of a browser and every sign of a script."""
    seen = Seen()

    def dismiss(dialog: Dialog) -> None:
        seen.signs.append(dialog.message)
        dialog.dismiss()

    context.on("request", lambda request: seen.requests.append(request.url))
    context.on("dialog", dismiss)
    context.on("page", lambda page: seen.signs.append(f"a window: {page.url}"))
    return seen


def ran(page: Page) -> list[object]:
    return [
        value
        for frame in page.frames
        if (value := frame.evaluate("() => window.ran ?? null")) is not None
    ]


def wait_for_the_unprotected_html(chromium: Browser, bait: ScriptedServer) -> None:
    """Show the HTML unprotected until every trick has worked.

    The protected page had at least this long to do the same.
    """
    markup = HOSTILE.format(url=f"{bait.url}/bare")
    body = (
        f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n{markup}".encode()
    )
    with ScriptedServer(lambda _: body) as server:
        context = chromium.new_context()
        try:
            page = context.new_page()
            page.on("dialog", lambda dialog: dialog.dismiss())
            page.goto(server.url, wait_until="commit")

            def all_worked() -> bool:
                page.wait_for_timeout(50)  # lets the browser process its events
                return asked_for(bait, "bare") >= WORKING_TRICKS

            assert wait_until(all_worked), WORKING_TRICKS - asked_for(bait, "bare")
        finally:
            context.close()


def show(
    chromium: Browser, bait: ScriptedServer, headers: bool, inspect: Callable[[Page, str], None]
) -> Seen:
    """Post a hostile mail, open its screen pop with or without its headers, and inspect it."""
    markup = HOSTILE.format(url=f"{bait.url}/pop")
    fake = create_fake_cxone(html_of=lambda _id: markup)
    with Serving(fake.app) as serving, CXoneClient(fake.settings(serving.url)) as cxone:
        cxone.post_work_item(
            work_item_id="gmail:1", payload=markup, sender='"<script>x()</script>"@example.com'
        )
        url = fake.work_items[0].screen_pop
        context = chromium.new_context(viewport={"width": 1000, "height": 1400})
        try:
            page = context.new_page()
            page.set_default_timeout(180_000)
            seen = watch(context)
            if headers:
                page.goto(url)
            else:
                body = screen_pop.screen_pop(fake.work_items[0], markup)
                page.route(
                    url,
                    lambda route: route.fulfill(body=body, content_type="text/html; charset=utf-8"),
                )
                page.goto(url)
            inspect(page, markup)
            wait_for_the_unprotected_html(chromium, bait)
            seen.signs += map(str, ran(page))
            assert (page.url, page.title()) == (url, "Work item gmail:1")
        finally:
            context.close()
    assert asked_for(bait, "pop") == set()
    return seen


def inspect_frame(page: Page, markup: str) -> None:
    [_, inner] = page.frames
    assert page.locator("pre").inner_text() == markup.removeprefix("\n"), (
        "the text is shown unchanged"
    )
    assert inner.get_by_text("A paragraph").is_visible()
    assert (
        inner.evaluate(
            "() => [...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames())"
        )
        == []
    )
    kinds = (
        "script,img,svg,math,iframe,object,embed,form,input,button,a,meta,base,link,style,video,"
        "audio"
    )
    assert inner.evaluate(f"() => document.querySelectorAll('{kinds}').length") == 0
    assert page.evaluate("() => document.elementFromPoint(500, 40).closest('h1') !== null"), (
        "nothing covers the page"
    )
    for words in ("A link", "A script", "A button", "A paragraph", "Log in again"):
        inner.get_by_text(words).click()
    assert len(page.frames) == 2


def try_everything(page: Page, _markup: str) -> None:
    [_, inner, *_] = page.frames
    inner.evaluate("() => document.querySelector('form').submit()")
    for words in ("A paragraph", "A script", "A link"):
        inner.get_by_text(words, exact=True).dispatch_event("click")
    assert page.evaluate("() => document.elementFromPoint(500, 40).closest('h1') !== null"), (
        "nothing covers the page"
    )


@pytest.mark.parametrize("headers", [True, False], ids=["served", "the page alone"])
def test_hostile_mail_is_harmless(headers: bool, chromium: Browser, bait: ScriptedServer) -> None:
    seen = show(chromium, bait, headers, inspect_frame)
    assert seen.signs == []
    assert ["/screen-pop/" in url for url in seen.requests] == [True], (
        "the browser had nothing to block"
    )


@pytest.mark.parametrize("headers", [True, False], ids=["served", "the page alone"])
def test_uncleaned_html_runs_nothing_and_loads_nothing(
    headers: bool, chromium: Browser, bait: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen_pop, "harmless", lambda markup: markup)
    assert show(chromium, bait, headers, try_everything).signs == []


def test_html_outside_its_frame_runs_nothing(
    chromium: Browser, bait: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen_pop, "_frame", lambda markup: f"<p>out</p>{markup}")

    def inspect(page: Page, _markup: str) -> None:
        assert page.get_by_text("A paragraph", exact=True).count() == 1

    assert show(chromium, bait, True, inspect).signs == []
