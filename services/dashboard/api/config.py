"""Settings of the dashboard: the Book's address, and where the page is served."""

from pathlib import Path

from pydantic import Field

from shared.runtime.settings import BaseServiceSettings


class DashboardSettings(BaseServiceSettings):
    """Connect as ``onebook_dashboard``: it reads, and beats."""

    dashboard_host: str = "127.0.0.1"
    dashboard_port: int = Field(default=8080, ge=0, le=65535, description="port of the page; 0: any free one")
    dashboard_port_file: Path | None = None
    instance: str = Field(default="dashboard", min_length=1, description="name of this process in the Book")
