"""A worker: a process with one thread that is handed groups of tasks, and ends with its parent.

Imports nothing heavy, because the number of threads has to be set before numpy is imported.
"""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait

from point2act.core.threads import use_one_thread


def work(connection: Connection, folder: str) -> None:
    """Report to be ready, then solve what comes until the connection closes.

    Each group is answered with None, or with a sentence where the store could not be written.

    Args:
        connection: Receives lists of tasks.
        folder: Folder of the store.
    """
    use_one_thread()
    # An interrupt at the terminal reaches every process: the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from pathlib import Path

    from point2act.fleet.solve import Scenes, attempt, prepare
    from point2act.fleet.store import Store

    store, scenes = Store(Path(folder)), Scenes()
    prepare()
    connection.send(None)
    while True:
        try:
            tasks = connection.recv()
        except EOFError:
            return
        connection.send(attempt(store, tasks, scenes))


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
