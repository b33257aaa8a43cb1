"""Dagster's web server, which answers nobody's page but its own.

Whatever runs in a browser on this machine can send requests to loopback. Dagster's server accepts
them all, and a request may start a run. The guard around its ASGI app lets through a request only
if its Host is an allowed name, and, where it can change something, only if the page that sent it is
Dagster's own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import dagster_webserver.cli as webserver
from dagster._cli.dev import dev_command
from dagster._core.workspace.context import IWorkspaceProcessContext
from dagster_shared.ipc import open_ipc_subprocess
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.datastructures import Headers, QueryParams
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from cbi_assets.pipeline.event_log import keep_event_log_open
from cbi_assets.pipeline.serving import DAEMON, HOSTS_VARIABLE, LOOPBACK, WEB_SERVER

_READING = ("GET", "HEAD", "OPTIONS")


class SameOriginMiddleware:
    """Refuse requests of other pages, and GraphQL operations that a mere link or form can send.

    An Origin must name the host and port of the Host header. A WebSocket is treated as a request
    that can change something, since its GraphQL operations can. GraphQL is read from a JSON body
    alone: from an address or a form, a browser sends it to any server without asking that server.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403, 405 or 415."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_http = scope["type"] == "http"
        reads = is_http and scope["method"] in _READING
        if not reads and not _is_same_origin(headers):
            answer = PlainTextResponse("Refused: the request comes from another page.", 403)
            await (answer if is_http else WebSocketClose(1008))(scope, receive, send)
        elif is_http and scope["path"].rstrip("/").endswith("/graphql"):
            await (_refuse_graphql(scope, headers) or self._app)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_same_origin(headers: Headers) -> bool:
    """Return whether the page that sent a request is this server's, or no page sent it.

    Browsers add Origin to each request that is not a plain GET, and Sec-Fetch-Site to all; other
    programs add neither.
    """
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    return urlsplit(origin).netloc == headers.get("host")


def _refuse_graphql(scope: Scope, headers: Headers) -> ASGIApp | None:
    if scope["method"] in _READING:
        if "query" not in QueryParams(scope["query_string"]):
            return None
        return PlainTextResponse("Refused: send GraphQL by POST.", 405, {"Allow": "POST"})
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return None
    return PlainTextResponse("Refused: send GraphQL as application/json.", 415)


def guard(app: ASGIApp, hosts: Sequence[str]) -> ASGIApp:
    """Return an ASGI app that passes on what comes from its own pages and under an allowed name.

    Parameters
    ----------
    app : ASGIApp
        Dagster's.
    hosts : sequence of str
        Allowed names of the Host header, without ports: another name is the trick of a page whose
        own name was made to lead to this address (DNS rebinding).
    """
    return TrustedHostMiddleware(SameOriginMiddleware(app), list(hosts), www_redirect=False)


def serve_guarded() -> None:
    """Run Dagster's web server with the guard around its app; arguments are its command's."""
    hosts = os.environ.get(HOSTS_VARIABLE, ",".join(LOOPBACK)).split(",")

    def create_guarded(
        context: IWorkspaceProcessContext[Any], *args: Any, **options: Any
    ) -> ASGIApp:
        keep_event_log_open(context.instance)
        return guard(create_app_from_workspace_process_context(context, *args, **options), hosts)

    with patch("dagster_webserver.cli.create_app_from_workspace_process_context", create_guarded):
        webserver.cli(auto_envvar_prefix="DAGSTER_WEBSERVER")


def develop() -> None:
    """Run `dagster dev` with our own web server and daemon; arguments are its own."""
    own = {"dagster_webserver": WEB_SERVER, "dagster._daemon": DAEMON}

    def start_own(parts: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        return open_ipc_subprocess([own.get(part, part) for part in parts], **options)

    with patch("dagster._cli.dev.open_ipc_subprocess", start_own):
        dev_command(auto_envvar_prefix="DAGSTER")


if __name__ == "__main__":
    if sys.argv[1:2] == ["dev"]:
        del sys.argv[1]
        develop()
    else:
        serve_guarded()
