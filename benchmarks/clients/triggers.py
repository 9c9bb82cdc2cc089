"""Many deferred waits in one event loop, as in a triggerer; or as many bare GETs of the same HTTP client."""

from __future__ import annotations

import asyncio
import resource
import time

import httpx

from airflow_provider_batch.triggers.custom_audience import CustomAudienceIndexingTrigger
from benchmarks.measure import Meter, forget_peak, job, memory, peak_memory, report


async def wait_for(token: str, poke_interval: float) -> str:
    """Run one trigger until its event, and return the status of the event."""
    now = time.time()
    trigger = CustomAudienceIndexingTrigger(
        batch_conn_id="batch_default",
        audience_name="vip",
        indexing_tokens=[token],
        poke_interval=poke_interval,
        start_time=now,
        end_time=now + 120,
    )
    async for event in trigger.run():
        return str(event.payload["status"])
    return "no event"


async def wait_for_all(tokens: list[str], poke_interval: float) -> list[str]:
    """Run one trigger per token, all at once."""
    return list(await asyncio.gather(*(wait_for(token, poke_interval) for token in tokens)))


async def get(url: str, count: int) -> None:
    """Make *count* GETs over one connection that is kept open."""
    async with httpx.AsyncClient() as client:
        await client.get(url)
        with Meter() as meter:
            for _ in range(count):
                (await client.get(url)).raise_for_status()
    report(meter)


def main() -> None:
    """Wait for the job's number of tokens in one event loop, or make its number of bare GETs."""
    todo = job()
    if todo.get("gets"):
        asyncio.run(get(f"{todo['url']}{todo['path']}?name=vip", todo["gets"]))
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # The first wait of a triggerer imports httpx and reads the trusted certificates.
    asyncio.run(wait_for_all(["the first"], todo["poke_interval"]))
    forget_peak()
    baseline = memory()
    with Meter() as meter:
        ends = asyncio.run(wait_for_all([f"token-{n}" for n in range(todo["waits"])], todo["poke_interval"]))
    report(meter, growth=peak_memory() - baseline, finished=ends.count("finished"))


if __name__ == "__main__":
    main()
