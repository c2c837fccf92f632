"""Installs the start-up hooks of a foreign script; costs nothing for modules that the script does not import."""

from __future__ import annotations

import os

from . import import_hooks

_HOOK_CONFIGURATION = "SMDEBUG_CONFIG_FILE_PATH"


def install() -> None:
    """Have the hooks installed when the script imports the modules that they are for."""
    import_hooks.after("logging", _log_handler)
    import_hooks.instead("smdebug", _stand_in)
    import_hooks.after("torch.distributed", _process_groups)
    if os.path.isfile(os.environ.get(_HOOK_CONFIGURATION, "")):
        import_hooks.after("torch", _registration)


def _log_handler() -> None:
    from . import log_handler

    log_handler.install()


def _process_groups() -> None:
    from . import process_groups

    process_groups.install()


def _registration() -> None:
    from . import registration

    registration.install()


def _stand_in(installed: bool) -> str | None:
    from . import stand_in

    return stand_in.folder(installed)
