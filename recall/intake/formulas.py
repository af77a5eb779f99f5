"""How is a value kept from becoming a formula in a spreadsheet, and got back unchanged?"""

from __future__ import annotations

import re

# Full-width signs too: spreadsheets fold them.
_FORMULA = r"(\s*[=+\-@＝＋－＠]|[\t\r])"
_DANGEROUS = re.compile(f"'*{_FORMULA}")
_MARKED = re.compile(f"'+{_FORMULA}")


def neutral(cell: str) -> str:
    """A cell as it may stand in a file that a spreadsheet opens."""
    return f"'{cell}" if _DANGEROUS.match(cell) else cell


def plain(cell: str) -> str:
    """The value behind a cell written by `neutral`."""
    return cell[1:] if _MARKED.match(cell) else cell
