"""Settings of the reconciler: where the world is, and read access to accounts."""

from collections.abc import Iterator

from pydantic import Field

from shared.venue.settings import AccountAccessSettings


class ReconcilerSettings(AccountAccessSettings):
    """No signing key: what compares cannot act (E17)."""

    instance: str = Field(default="reconciler", min_length=1, description="name of this process in the Book")

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
