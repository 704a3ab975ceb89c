"""The methods of both clients about facts: tags, owner, note, protection, expiry.

Facts are in a file of this machine (`Settings.facts_path`). These methods send nothing that changes the account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lcnb.config import Settings
from lcnb.facts.facts_file import FactsFile

if TYPE_CHECKING:
    import pandas as pd


class FactsMethods:
    """What a client knows about its machines that the API cannot hold."""

    settings: Settings

    @property
    def _facts_file(self) -> FactsFile:
        return FactsFile(self.settings.facts_path)

    def facts(self) -> pd.DataFrame:
        """Return the facts file of this account as a frame, one row per machine; nothing is sent.

        Columns: identifier, label, tags (`legacy; project=shop`), owner, note, protected_by (`str`), protected
        (`boolean`), protected_at and expires (`datetime64[us, UTC]`). Machines that the account no longer has are
        listed too. Raises InputError with the line of each cell that cannot be read.

        >>> import lcnb
        >>> lcnb.connect(sandbox=True).facts().columns[:4].tolist()
        ['identifier', 'label', 'tags', 'owner']
        """
        from lcnb.frames.facts_frame import facts_frame

        return facts_frame(self._facts_file.read().values(), self.settings.account)
