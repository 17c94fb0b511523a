"""Logs of the command line: to standard error, Beam's only where asked for."""

from __future__ import annotations

import logging
import sys


class _Stderr:
    """Standard error as it is at the moment: live progress takes its place for a while."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure_logging(*, verbose: bool) -> None:
    """Warnings to standard error; everything where asked for."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",
        stream=_Stderr(),
    )
    # Beam logs each error with its traceback before it raises it.
    logging.getLogger("apache_beam").setLevel(logging.NOTSET if verbose else logging.CRITICAL)
    logging.getLogger("roteiro").setLevel(logging.DEBUG if verbose else logging.NOTSET)
