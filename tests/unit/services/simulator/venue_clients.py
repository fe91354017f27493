"""HTTP clients of the fake venue's surfaces over the small world, time standing still."""

import json
from typing import Any

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from services.simulator.config import SimulatorSettings
from services.simulator.serving import Simulator, build
from services.simulator.signatures import request_signature
from services.simulator.venue_auth import ApiKey
from tests.unit.services.simulator.venue_world import OWNER, WALLET, SmallWorld, StillClock

Client = TestClient[web.Request, web.Application]


class VenueServer(TestServer):
    """A test server whose handlers go on when their client hangs up, as in the simulator's own process."""

    async def _make_runner(self, **options: Any) -> web.AppRunner:
        return await super()._make_runner(**options | {"handler_cancellation": False})


class Clients:
    """One client a surface; private calls are signed for OWNER."""

    def __init__(self, world: SmallWorld | None = None, **settings: Any) -> None:
        self.clock = StillClock()
        chosen = SimulatorSettings(**{"taker_hold_ms": 0, "data_lag_s": 1, **settings})
        self.simulator: Simulator = build(chosen, world or SmallWorld(), self.clock)
        self.exchange = self.simulator.venue.exchange
        self.faults = self.simulator.venue.faults
        self.exchange.listing.look(self.clock.now_ms)
        self.key = self.login(OWNER)
        self._clients: dict[str, Client] = {}

    def login(self, address: str) -> ApiKey:
        keys = self.simulator.venue.keys
        made = keys.make(address, 0)
        keys._by_key[made.key] = keys._by_login[address, 0] = made
        return made

    async def client(self, surface: str) -> Client:
        if surface not in self._clients:
            server = VenueServer(self.simulator.apps[surface])
            self._clients[surface] = TestClient(server)
            await self._clients[surface].start_server()
        return self._clients[surface]

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    def pass_ms(self, milliseconds: int) -> None:
        end_ms = self.clock.now_ms + milliseconds
        while self.clock.now_ms < end_ms:
            self.clock.now_ms = min(self.clock.now_ms + 100, end_ms)
            self.exchange.timetable.run_until(self.clock.now_ms)

    async def get(self, surface: str, path: str, **query: str) -> Any:
        """Return (status, JSON) of a public read."""
        response = await (await self.client(surface)).get(path, params=query)
        return response.status, await response.json()

    async def post(self, surface: str, path: str, body: object) -> Any:
        response = await (await self.client(surface)).post(path, json=body)
        return response.status, await response.json()

    async def call(self, method: str, path: str, body: object = None, **query: str) -> Any:
        """Return (status, JSON) of a private call to the CLOB."""
        response = await self.raw(method, path, body, **query)
        return response.status, await response.json()

    async def raw(self, method: str, path: str, body: object = None, **query: str) -> ClientResponse:
        data = json.dumps(body, separators=(",", ":")).encode() if body is not None else b""
        client = await self.client("clob")
        return await client.request(
            method, path, data=data or None, params=query, headers=self.headers(method, path, data)
        )

    def headers(self, method: str, path: str, data: bytes) -> dict[str, str]:
        timestamp = str(self.clock.now_ms // 1000)
        return {
            "POLY_ADDRESS": self.key.address,
            "POLY_API_KEY": self.key.key,
            "POLY_PASSPHRASE": self.key.passphrase,
            "POLY_TIMESTAMP": timestamp,
            "POLY_SIGNATURE": request_signature(self.key.secret, timestamp, method, path, data),
            "Content-Type": "application/json",
        }

    async def fund(self, usdc: str = "100", **account: object) -> Any:
        return await self.post("control", "/_sim/accounts", {"address": OWNER, "usdc": usdc, **account})

    async def truth(self) -> Any:
        return (await self.get("control", "/_sim/truth"))[1]

    async def wallet(self) -> Any:
        return (await self.truth())["wallets"][WALLET]
