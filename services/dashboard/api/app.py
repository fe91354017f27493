"""The routes: one page, its data, nothing that changes anything."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from services.dashboard.api.overviews import BookUnreadable
from services.dashboard.api.schemas import Overview
from shared.observability.logs import get_logger

PAGE = Path(__file__).resolve().parent.parent / "page"
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
log = get_logger()


def create_app(newest: Callable[[], Awaitable[Overview]]) -> FastAPI:
    """Return the application; ``newest`` reads the Book."""
    app = FastAPI(title="Onebook", docs_url=None, redoc_url=None)

    @app.middleware("http")
    async def harden(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await go_on(request)
        response.headers.update(_HEADERS)
        return response

    @app.get("/api/overview")
    async def overview() -> Overview:
        """Return what trades now; 503 when the Book cannot be read, never an old answer."""
        return await newest()

    @app.exception_handler(BookUnreadable)
    async def unreadable(_request: Request, error: Exception) -> JSONResponse:
        log.warning("overview_failed", exc_info=error)
        body = {"error": "the Book cannot be read", "kind": str(error)}
        return JSONResponse(body, status_code=HTTPStatus.SERVICE_UNAVAILABLE)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/page.css", include_in_schema=False)
    async def style() -> FileResponse:
        return FileResponse(PAGE / "page.css")

    @app.get("/page.js", include_in_schema=False)
    async def script() -> FileResponse:
        return FileResponse(PAGE / "page.js")

    return app
