"""The sandbox on the wire: an ASGI app, served by uvicorn's own HTTP protocol. The only file that needs the extra."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from importlib.resources import files
from time import perf_counter

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from .api import Answer, Api
from .calls import Call, CallLog, shortened
from .faults import Fault, FaultScript
from .page import page_facts
from .request import Question
from .routes import Route as ApiRoute
from .routes import route_of
from .state import State


class Endpoint:
    """The API as an ASGI app: each call takes its fault from the script, is answered after a while, and recorded."""

    def __init__(self, api: Api, script: FaultScript, log: CallLog, latency: float, keep_bodies: bool) -> None:
        self._api = api
        self._script = script
        self._log = log
        self._latency = latency
        self._keep_bodies = keep_bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self._log.under_way += 1
        try:
            under_way, started = self._log.under_way, perf_counter()
            question = await _question(request)
            route = route_of(question)
            fault = self._script.take(route.token_status)
            answer = self._answer(question, route, fault)
            await _pause(receive, self._latency + (fault.stall if fault else 0))
            self._record(question, route, answer, fault, perf_counter() - started, under_way)
        except ClientDisconnect:  # gone before the request was whole: there was no call
            return
        finally:
            self._log.under_way -= 1
        await _deliver(answer, fault, scope, receive, send)

    def _answer(self, question: Question, route: ApiRoute, fault: Fault | None) -> Answer:
        if fault is None:
            return self._api.answer(question)
        answer = self._api.answer(question, perform=fault.writes)
        return fault.instead_of(answer, self._api.error_style(route.platform))

    def _record(
        self, question: Question, route: ApiRoute, answer: Answer, fault: Fault | None, seconds: float, under_way: int
    ) -> None:
        call = Call(
            method=question.method,
            route=route.label,
            status=None if fault and fault.reset else answer.status,
            adds=answer.adds,
            removes=answer.removes,
            seconds=seconds,
            at=self._log.clock(),
            user_agent=question.headers.get("user-agent", ""),
            app=shortened(route.key) if route.key else "",
            under_way=under_way,
            fault=fault is not None,
            body=question.body if self._keep_bodies else None,
        )
        self._log.add(call)


async def _question(request: Request) -> Question:
    body = await request.body()
    # raw_path, as an encoded slash in a name must not become a segment of its own.
    path, query = request.scope["raw_path"].decode("latin-1"), request.scope["query_string"].decode("latin-1")
    return Question(request.method, path, query, dict(request.headers), body)


async def _pause(receive: Receive, seconds: float) -> None:
    """Wait, but no longer than the client does: a stopping server must not wait for its own sleeps."""
    if seconds:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await _hung_up(receive)


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _deliver(answer: Answer, fault: Fault | None, scope: Scope, receive: Receive, send: Send) -> None:
    if fault and fault.reset:
        _reset(scope["state"]["transport"])
        await _hung_up(receive)
    elif fault and fault.cut_body:
        announced = {**answer.headers, "Content-Length": str(max(len(answer.content), 1))}
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in announced.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        half = answer.content[: len(answer.content) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        scope["state"]["transport"].close()
        await _hung_up(receive)
    else:
        await Response(answer.content, answer.status, dict(answer.headers))(scope, receive, send)


def _reset(transport: asyncio.Transport) -> None:
    # A lingering time of zero makes the kernel send RST, which a client sees as «connection reset», not as an end.
    if not transport.is_closing():
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


def application(endpoint: Endpoint, state: State, log: CallLog) -> Starlette:
    html = files(__package__).joinpath("page.html").read_text("utf-8")

    async def page(request: Request) -> Response:
        return HTMLResponse(html)

    async def facts(request: Request) -> Response:
        return JSONResponse(page_facts(state, log), headers={"Cache-Control": "no-store"})

    # A mounted ASGI app sees every method; Starlette answers none of Batch's routes by itself.
    return Starlette(routes=[Route("/", page), Route("/sandbox/state", facts), Mount("/", endpoint)])


class Connection(H11Protocol):
    """uvicorn's connection, its transport put where an ASGI app finds it: `scope["state"]["transport"]`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}
        self.access_log = False  # the path holds the app key, so a logged path is a logged key


async def serve(app: Starlette, listener: socket.socket, ready: Future[Callable[[], object]]) -> None:
    """Serve until the callable given to *ready* is called, from any thread; then hang up on everybody at once.

    uvicorn's `Server` is left out: it stops by polling and waits for what is under way; this one has nothing to lose.
    """
    loop, leave = asyncio.get_running_loop(), asyncio.Event()
    config, state = Config(app, log_config=None, log_level=None, lifespan="off", ws="none"), ServerState()
    config.load()
    server = await loop.create_server(lambda: Connection(config, state, {}), sock=listener)
    ready.set_result(partial(loop.call_soon_threadsafe, leave.set))
    await leave.wait()
    server.close()
    await asyncio.sleep(0)  # a connection accepted just now gets its place among the others
    for connection in tuple(state.connections):
        connection.transport.abort()
    if state.tasks:
        await asyncio.wait(tuple(state.tasks), timeout=1)
