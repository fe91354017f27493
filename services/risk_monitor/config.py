"""Settings of the risk monitor: where the world is, and read access to accounts for the verifier."""

from collections.abc import Iterator

from pydantic import Field

from shared.venue.settings import AccountAccessSettings


class RiskMonitorSettings(AccountAccessSettings):
    """No signing key: what reads and cancels cannot sell (E17)."""

    instance: str = Field(
        default="risk_monitor", min_length=1, description="name of this process in the Book"
    )

    def secrets(self) -> Iterator[str]:
        """Yield every credential by itself, too: a log may hold one without the JSON around it."""
        yield from super().secrets()
        for access in self.account_access.values():
            for secret in (
                access.credentials.api_key,
                access.credentials.secret,
                access.credentials.passphrase,
            ):
                yield secret.get_secret_value()
