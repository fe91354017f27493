"""${message}

Name the file NNNN_{expand|backfill|contract}_short_name.py and say the phase truthfully:

expand    adds only: new columns have defaults, nothing is renamed, dropped or narrowed. The previous release runs on it.
backfill  rewrites rows, in batches that can be run again, after copying them to <table>_backups.
contract  removes what no running release has used for 7 days, and raises the floor of supported code (B7).

It imports nothing of ours: a migration must mean the same for ever. Lifecycle functions are loaded from alembic/sql.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision: str = ${repr(up_revision)}
down_revision: str | None = ${repr(down_revision)}
branch_labels: str | Sequence[str] | None = ${repr(branch_labels)}
depends_on: str | Sequence[str] | None = ${repr(depends_on)}


def upgrade() -> None:
    """${message}"""
    ${upgrades if upgrades else "raise NotImplementedError"}


def downgrade() -> None:
    """Undo it; tested up, down, up with equal schema dumps."""
    ${downgrades if downgrades else "raise NotImplementedError"}
