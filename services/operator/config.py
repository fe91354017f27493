"""Settings of the operator's command line: the Book's address, and for some commands the venue's, never a key (E17)."""

from pydantic import Field, SecretStr

from shared.runtime.settings import BaseServiceSettings
from shared.venue.settings import AccountAccessSettings


class OperatorSettings(BaseServiceSettings):
    """Connect as ``onebook_operator``: other roles may look, but not act."""


class OperatorVenueSettings(AccountAccessSettings):
    """What reads the venue, too: ACCOUNT_CREDENTIALS and, away from the real venue, its addresses."""

    preflight_waived: str = Field(
        default="", description="the same variable as execution's, so that both find the same"
    )


class DirectSettings(AccountAccessSettings):
    """What works without the Book: DATABASE_URL need not be set, and is not used."""

    database_url: SecretStr = SecretStr("postgresql://nobody@127.0.0.1:5432/none")
