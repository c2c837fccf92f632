"""Prints the records of loggers without a handler, as they are printed in AWS's containers: INFO:__main__:message.

Python's handler of last resort prints such records too, but only warnings, and without level and name. Changing it
changes nothing for a script that configures logging: a handler of the script's own prints its records once.
"""

from __future__ import annotations

import logging


def install() -> None:
    """Have the handler of last resort print every record that a logger's level lets through."""
    if logging.lastResort is not None:
        logging.lastResort.setLevel(logging.NOTSET)
        logging.lastResort.setFormatter(logging.Formatter(logging.BASIC_FORMAT))
