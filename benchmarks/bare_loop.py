"""The floor: the same calls from a bare asyncio loop with httpx over aiohttp; no queue, no checks, no records.

Reads the number of calls and the base URL; prints CPU seconds of the calls, start-up left out.
"""

import asyncio
import json
import sys
import time

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from benchmarks.messages import prompts


async def measure(calls: int, base_url: str, in_flight: int) -> float:
    """CPU seconds for `calls` calls, at most `in_flight` at once."""
    places = asyncio.Semaphore(in_flight)
    transport = AiohttpTransport(client=lambda: aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight)))
    async with httpx.AsyncClient(transport=transport, timeout=60) as client:

        async def call(system: str, user: str, schema: dict[str, object]) -> None:
            async with places:
                body = {
                    "model": "gpt-6-luna",
                    "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
                    "response_format": {
                        "type": "json_schema",
                        "json_schema": {"name": "memories", "strict": True, "schema": schema},
                    },
                }
                response = await client.post(
                    f"{base_url}/chat/completions", json=body, headers={"authorization": "Bearer sk-bench"}
                )
                json.loads(response.raise_for_status().json()["choices"][0]["message"]["content"])

        asked = [(system, user, dict(schema)) for system, user, schema in prompts(calls)]
        started = time.process_time()
        await asyncio.gather(*(call(*one) for one in asked))
        return time.process_time() - started


if __name__ == "__main__":
    print(asyncio.run(measure(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
