"""What one Celery child owns for all its jobs: connections, a slot, a warm trainer, folders.

Made after the fork, so that no connection is shared with the parent.
"""

from core.queues import INGEST_CLASS
from core.settings import Settings
from db.blobs import SqlBlobStore
from db.session import Database
from regraft.contract.ids import new_id
from worker.drain import DrainFlag
from worker.places import Places
from worker.slot_keeper import SlotKeeper
from worker.trainer_process import WarmTrainer


class Station:
    """One place where one job runs at a time; `open` it in the child, `close` it at its end."""

    def __init__(self, settings: Settings, drain: DrainFlag) -> None:
        self.settings = settings
        self.drain = drain
        self.slot_id = new_id("slot")
        self.database = Database(settings.url)
        self.blobs = SqlBlobStore(self.database)
        self.places = Places(settings.home)
        self.trainer = WarmTrainer(settings)
        self._keeper = SlotKeeper(self.database, self.slot_id, settings, self.places)

    def open(self) -> None:
        """Announce the slot, clean up after dead processes, and warm the trainer."""
        self._keeper.start()
        self.places.sweep()
        if self.settings.device_class != INGEST_CLASS:
            self.trainer.warm()

    def close(self) -> None:
        """Give everything back."""
        self.trainer.discard()
        self._keeper.close()
        self.database.dispose()
