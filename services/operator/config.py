"""Settings of the operator's command line: the Book's address, and nothing else."""

from shared.runtime.settings import BaseServiceSettings


class OperatorSettings(BaseServiceSettings):
    """Connect as ``onebook_operator``: other roles may look, but not act."""
