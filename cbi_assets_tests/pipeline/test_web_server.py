"""The guard around Dagster's web server: which requests of a browser it refuses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from cbi_assets.pipeline.web_server import guard

HERE = {"host": "127.0.0.1:3000"}
MINE = {"origin": "http://127.0.0.1:3000"}
JSON = {"content-type": "application/json; charset=utf-8"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
REACHED = 200
"""The status of a request that reached Dagster's app."""


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every request, as Dagster's app does."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        await send({"type": "http.response.start", "status": REACHED, "headers": []})


def status(method: str, path: str, *headers: dict[str, str]) -> Any:
    """Return a request's status through the guard, or the code that closed a WebSocket."""
    sent: list[Message] = []
    path, _, query = path.partition("?")
    merged: dict[str, str] = {}
    for some in (HERE, *headers):
        merged |= some
    scope: Scope = {
        "type": "websocket" if method == "WS" else "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in merged.items()],
    }

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(guard(answer, ["127.0.0.1", "localhost"])(scope, receive, send))
    first = sent[0]
    return {"websocket.accept": REACHED}.get(first["type"], first.get("status", first.get("code")))


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/graphql", JSON | MINE),
        ("/graphql", JSON | {"origin": "http://localhost:3000", "host": "localhost:3000"}),
        ("/graphql", JSON),  # a program, which sends no Origin
        ("/report_asset_check/a", MINE | {"sec-fetch-site": "same-origin"}),
    ],
)
def test_guard_passes_posts_of_its_own_pages_and_of_programs(
    path: str, headers: dict[str, str]
) -> None:
    assert status("POST", path, headers) == REACHED


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",  # a sandboxed frame, or a file
        "http://127.0.0.1:8888",  # another server on this machine
        "http://127.0.0.1:3000.evil.example",
        "http://127.0.0.1",
    ],
)
@pytest.mark.parametrize("path", ["/graphql", "/report_asset_materialization/market_data/x"])
def test_guard_refuses_posts_of_other_pages(path: str, origin: str) -> None:
    assert status("POST", path, JSON, {"origin": origin}) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_guard_refuses_posts_that_the_browser_calls_foreign(site: str) -> None:
    assert status("POST", "/graphql", JSON, {"sec-fetch-site": site}) == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:3000", "127.0.0.1.evil.example"])
def test_guard_refuses_names_that_it_was_not_given(host: str) -> None:
    """DNS rebinding: the page's own name leads here, so that its Origin equals the Host."""
    headers = {"host": host, "origin": f"http://{host}"}
    assert status("POST", "/graphql", JSON, headers) == 400
    assert status("GET", "/", {"host": host}) == 400
    assert status("WS", "/graphql", headers) != REACHED


@pytest.mark.parametrize("path", ["/graphql", "/graphql/"])
def test_guard_refuses_graphql_in_an_address_or_a_form(path: str) -> None:
    """Dagster runs a mutation that arrives by GET, or by POST in the address."""
    query = f"{path}?query=mutation%7BshutdownRepositoryLocation%7D"
    assert status("GET", query, MINE) == 405
    assert status("HEAD", query) == 405
    for headers in (FORM, {"content-type": "text/plain"}, {"content-type": "application/jsonp"}):
        assert status("POST", query, headers) == 415
    assert status("POST", query) == 415


@pytest.mark.parametrize("path", ["/", "/assets", "/graphql", "/logs/a"])
def test_guard_passes_links_from_elsewhere(path: str) -> None:
    headers = {"sec-fetch-site": "cross-site", "origin": "https://mail.example"}
    assert status("GET", path, headers) == REACHED


def test_guard_opens_websockets_to_its_own_pages_alone() -> None:
    """A page of any site may open one to any server, and send it operations."""
    assert status("WS", "/graphql", MINE) == REACHED
    assert status("WS", "/graphql") == REACHED
    assert status("WS", "/graphql", {"origin": "https://evil.example"}) == 1008
    assert status("WS", "/graphql", {"origin": "null"}) == 1008
