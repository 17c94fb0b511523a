"""Places: where a batch's files and documents go, made ready before anything is begun."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from domain.request import Problem, RequestError
from launcher import bootstrap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from launcher.settings import Settings
    from services.ports import StatusStore


@contextmanager
def opened_statuses(settings: Settings, *, output: bool = True) -> Iterator[StatusStore]:
    """The status store, where it and the output can be written.

    Folders that are missing are made; where anything is in the way, until the
    first use of the store included, those made here are taken back.

    Args:
        settings: name them.
        output: whether files are to be written too.

    Raises:
        RequestError: where a folder cannot be written.
        ServiceError: where a store cannot be used.
    """
    with ExitStack() as undo:
        if output:
            _check_output(settings, undo)
        if settings.database:
            _make_folder("status", settings.database.parent, undo)
        statuses = bootstrap.statuses(settings)
        with closing(statuses):
            yield statuses
            undo.pop_all()


def check_output(settings: Settings) -> None:
    """Whether files can be written where the output goes; a folder that is missing is made.

    Raises:
        RequestError: where a folder cannot be written.
        ServiceError: where a bucket cannot.
    """
    with ExitStack() as undo:
        _check_output(settings, undo)
        undo.pop_all()


def _check_output(settings: Settings, undo: ExitStack) -> None:
    if "://" in settings.output:
        bootstrap.artifacts(settings.output).check()
    else:
        _make_folder("output", Path(settings.output), undo)


def _make_folder(setting: str, folder: Path, undo: ExitStack) -> None:
    """Make a folder that can be written, and take it back where something else fails."""
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            undo.callback(_remove_empty, path)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = f"{folder} cannot be written: {error.strerror}; --{setting} names another place"
        raise RequestError([Problem(setting, reason)]) from None


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
