"""The HTTP server: an ASGI app on uvicorn's HTTP protocol. Only this module needs the extra ``sandbox``."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from time import perf_counter

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from airflow_provider_batch.sandbox.api import Api, ApiResponse
from airflow_provider_batch.sandbox.calls import SHOWN, Call, CallLog, shortened
from airflow_provider_batch.sandbox.faults import Fault, FaultInjector
from airflow_provider_batch.sandbox.page import page_call, page_content, page_members, page_profiles
from airflow_provider_batch.sandbox.request import ApiRequest
from airflow_provider_batch.sandbox.routes import route_of
from airflow_provider_batch.sandbox.state import State


@dataclass(frozen=True)
class Endpoint:
    """The API as an ASGI app: each call takes a fault, waits *latency* seconds and is recorded before its response."""

    api: Api
    faults: FaultInjector
    log: CallLog
    latency: float
    keep_bodies: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.log.under_way += 1
        try:
            under_way, started = self.log.under_way, perf_counter()
            request = await _api_request(Request(scope, receive))
            route = route_of(request)
            given = self.faults.take(route.token_status)
            fault = given or Fault()  # changes nothing
            response = self.api.respond(request, perform=fault.writes, late=fault.late)
            response = fault.apply_to(response, self.api.error_format(route.platform))
            await _pause(receive, self.latency + fault.stall)
            call = Call(
                method=request.method,
                route=route.label,
                status=None if fault.reset else response.status,
                reason=response.reason,
                adds=response.adds,
                removes=response.removes,
                seconds=perf_counter() - started,
                at=self.log.clock(),
                user_agent=request.headers.get("user-agent", ""),
                app=shortened(route.key) if route.key else "",
                under_way=under_way,
                fault=given is not None,
                body=request.body if self.keep_bodies else None,
                size=len(request.body),
                beginning=request.body[:SHOWN],
                answer=b"" if fault.reset else response.content[:SHOWN],
            )
            self.log.add(call)
        except ClientDisconnect:  # a request that did not arrive whole is not a call
            return
        finally:
            self.log.under_way -= 1
        await _deliver(response, fault, scope, receive, send)


async def _api_request(request: Request) -> ApiRequest:
    body = await request.body()
    # raw_path keeps an encoded slash, so that a name with one stays a single segment.
    path, query = request.scope["raw_path"].decode("latin-1"), request.scope["query_string"].decode("latin-1")
    return ApiRequest(request.method, path, query, dict(request.headers), body)


async def _pause(receive: Receive, seconds: float) -> None:
    """Wait, but no longer than the client, so that a server can stop during a long pause."""
    if seconds:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await _disconnected(receive)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _deliver(response: ApiResponse, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    if fault.reset:
        _reset(scope["state"]["transport"])
        await _disconnected(receive)
    elif fault.cut_body:
        announced = {**response.headers, "Content-Length": str(max(len(response.content), 1))}
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in announced.items()]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        half = response.content[: len(response.content) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        scope["state"]["transport"].close()
        await _disconnected(receive)
    else:
        await Response(response.content, response.status, dict(response.headers))(scope, receive, send)


def _reset(transport: asyncio.Transport) -> None:
    # With a linger time of zero the kernel sends RST: the client sees a reset and not the end of the connection.
    if not transport.is_closing():
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


def application(endpoint: Endpoint, state: State, log: CallLog) -> Starlette:
    """Return the whole server: the page at ``/``, its content below ``/sandbox/``, and *endpoint* for all else."""
    html = files(__package__).joinpath("page.html").read_text("utf-8")

    async def page(request: Request) -> Response:
        return HTMLResponse(html)

    async def content(request: Request) -> Response:
        number = request.path_params.get("number")
        shown = page_content(state, log) if number is None else page_members(state, number)
        return JSONResponse(shown, headers={"Cache-Control": "no-store"})

    async def call(request: Request) -> Response:
        shown = page_call(log, request.path_params["number"])
        return JSONResponse(shown, headers={"Cache-Control": "no-store"})

    async def profiles(request: Request) -> Response:
        shown = page_profiles(state, request.path_params["number"])
        return JSONResponse(shown, headers={"Cache-Control": "no-store"})

    async def file(request: Request) -> Response:
        status, found = state.exports.fetch(request.path_params["secret"], dict(request.headers))
        return Response(found, status, media_type="application/json" if status == 200 else "application/xml")

    own = [
        Route("/", page),
        Route("/sandbox/state", content),
        Route("/sandbox/members/{number:int}", content),
        Route("/sandbox/calls/{number:int}", call),
        Route("/sandbox/profiles/{number:int}", profiles),
        # The files of an export are not served by the API: no key belongs there, and no fault applies.
        Route("/sandbox/files/{secret}", file),
    ]
    # A mounted app gets every method, so Starlette rejects no request of Batch's routes itself.
    # Another site can point its own name at this machine (DNS rebinding); its pages must not read what is here.
    own_names = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    return Starlette(routes=[*own, Mount("/", endpoint)], middleware=[own_names])


class Connection(H11Protocol):
    """uvicorn's connection; an ASGI app finds its transport at ``scope["state"]["transport"]``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Store *transport* for the app."""
        super().connection_made(transport)
        # asyncio does this only where the listener names its protocol; without it, later responses are 40 ms late.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app_state = {**self.app_state, "transport": transport}
        self.access_log = False  # the path holds the app key, so a logged path is a logged key


async def serve(app: Starlette, listener: socket.socket, ready: Future[Callable[[], object]]) -> None:
    """
    Serve until the callable given to *ready* is called, from any thread; then close every connection at once.

    uvicorn's `Server` is not used, because it polls for its end and waits for open calls.
    """
    loop, leave = asyncio.get_running_loop(), asyncio.Event()
    # Idle connections outlast the usual intervals between two polls, so that no client finds its own closed.
    config = Config(app, log_config=None, log_level=None, lifespan="off", ws="none", timeout_keep_alive=120)
    config.load()
    state = ServerState()
    server = await loop.create_server(lambda: Connection(config, state, {}), sock=listener)
    ready.set_result(partial(loop.call_soon_threadsafe, leave.set))
    await leave.wait()
    server.close()
    await asyncio.sleep(0)  # a connection that was just accepted joins the others
    for connection in tuple(state.connections):
        connection.transport.abort()
    if state.tasks:
        await asyncio.wait(tuple(state.tasks), timeout=1)
