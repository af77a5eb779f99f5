"""How do other people's files become our rows, with nothing lost and nothing silent?"""

from recall.intake.consents import import_consents
from recall.intake.events import import_events
from recall.intake.history import import_history
from recall.intake.loading import ImportReport
from recall.intake.mapping import FileMapping, read_mapping
from recall.intake.suppressions import import_suppressions
from recall.intake.users import import_users

__all__ = [
    "FileMapping",
    "ImportReport",
    "import_consents",
    "import_events",
    "import_history",
    "import_suppressions",
    "import_users",
    "read_mapping",
]
