"""Reads over HTTP: one pooled client for each base address; a read may be repeated, and fails with a typed error.

Writes go through ``writes``: they are never repeated.
"""

import asyncio
import json
import re
import ssl
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from shared.runtime.clock import Clock
from shared.venue.credentials import Credentials
from shared.venue.refusals import ReadFailed

ATTEMPTS = 3
FIRST_WAIT_S = 0.1
RETRY_AFTER_MAX_S = 5.0
"""A venue that asks for more is not waited for: the caller hears of it and decides."""
_TIMEOUT = httpx.Timeout(connect=1.0, read=3.0, write=2.0, pool=1.0)
_LIMITS = httpx.Limits(max_connections=8, max_keepalive_connections=4, keepalive_expiry=15.0)
_TOTAL_S = 10.0
_REPEATABLE = frozenset(
    {
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_LIMITING = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_SECONDS = re.compile(r"\d+(\.\d+)?")
Params = Mapping[str, str | int]


@cache
def tls_context() -> ssl.SSLContext:
    """Return the process's one TLS context: making it reads all certificates."""
    return httpx.create_ssl_context()


class HttpReads:
    """Reads JSON below one base address, with credentials where the caller has some."""

    def __init__(
        self, base_url: str, clock: Clock, *, credentials: Credentials | None = None, patient: bool = True
    ) -> None:
        """``patient`` reads wait out a venue that limits them; others leave that to a caller who asks again anyway."""
        self._clock = clock
        self._credentials = credentials
        self._patient = patient
        self._client = httpx.AsyncClient(
            base_url=base_url,
            timeout=_TIMEOUT,
            limits=_LIMITS,
            headers={"User-Agent": "onebook"},
            verify=tls_context(),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def get(
        self, path: str, params: Params | None = None, *, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Return the parsed answer, numbers as Decimal.

        Raises:
            ReadFailed: no readable 200 within three tries and ten seconds; ``status`` is the last one seen.
        """
        retrying = AsyncRetrying(
            stop=stop_after_attempt(ATTEMPTS),
            retry=retry_if_exception(_is_repeatable if self._patient else _is_repeatable_at_once),
            wait=_wait_s,
            reraise=True,
        )
        try:
            async with asyncio.timeout(_TOTAL_S):
                return await retrying(self._get_once, path, params, headers)
        except TimeoutError:
            raise ReadFailed(path, f"no answer within {_TOTAL_S:g} s") from None

    async def find(self, path: str, params: Params | None = None) -> Any | None:
        """Return the parsed answer, None on a 404: the venue does not know it, at least not yet.

        Raises:
            ReadFailed: as ``get``, but for the 404.
        """
        try:
            return await self.get(path, params)
        except ReadFailed as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def _get_once(self, path: str, params: Params | None, headers: Mapping[str, str] | None) -> Any:
        sent = dict(headers or {})
        if self._credentials is not None:
            sent |= self._credentials.headers("GET", path, "", self._clock.now())
        try:
            answer = await self._client.get(path, params=dict(params or {}), headers=sent)
        except httpx.HTTPError as error:
            raise ReadFailed(path, f"{type(error).__name__}") from error
        if answer.status_code != HTTPStatus.OK:
            raise ReadFailed(
                path,
                f"status {answer.status_code}: {answer.text[:200]}",
                status=answer.status_code,
                retry_after_s=retry_after_s(answer.headers.get("retry-after"), self._clock.now()),
            )
        try:
            return json.loads(answer.content, parse_float=Decimal)
        except (ValueError, ArithmeticError, RecursionError) as error:
            raise ReadFailed(path, "the answer is not JSON", status=answer.status_code) from error


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Return the seconds a Retry-After header asks for, given as seconds or as a date; None when it asks nothing."""
    if not value:
        return None
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        return max((parsedate_to_datetime(value) - now).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def _is_repeatable(error: BaseException) -> bool:
    if not isinstance(error, ReadFailed):
        return False
    if error.retry_after_s is not None and error.retry_after_s > RETRY_AFTER_MAX_S:
        return False
    return error.status is None or error.status in _REPEATABLE


def _is_repeatable_at_once(error: BaseException) -> bool:
    limited = isinstance(error, ReadFailed) and error.status in _LIMITING
    return _is_repeatable(error) and not limited


def _wait_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked_s = error.retry_after_s if isinstance(error, ReadFailed) else None
    doubling_s = FIRST_WAIT_S * 2.0 ** (state.attempt_number - 1)
    return doubling_s if asked_s is None else max(asked_s, doubling_s)
