"""Starts a command that sees its job's folder as /opt/ml: `python -I -S launcher.py VIEW COMMAND...`.

VIEW is the JSON text of `container_view.ContainerView`. On Linux, the command gets its own mount namespace, in
which folders and files are bound to other paths. Where the system allows no such namespace, the paths in the command
and its environment are replaced. The command replaces this process, so it keeps its process id, group and signals.

This file runs alone: it imports the standard library only, to start in a few milliseconds.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
import stat
import sys
from pathlib import Path
from typing import Any

# unshare(2) and mount(2).
_NEW_MOUNTS, _NEW_HOST_NAME, _NEW_USERS = 0x00020000, 0x04000000, 0x10000000
_BIND, _RECURSIVE, _SLAVE = 1 << 12, 1 << 14, 1 << 19
_SOURCE_BYTES = 1 << 20
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127  # the exit statuses of a shell


def main(arguments: list[str]) -> int:
    """Start the command; returns only if that is impossible."""
    command, environment = entered(json.loads(arguments[0]), arguments[1:], dict(os.environ))
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - no shell is meant
    except OSError as error:
        print(f"{command[0]} can't be started: {error.strerror}", file=sys.stderr)
        return _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE


def entered(view: dict[str, Any], command: list[str], environment: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Enter a view where the system allows it; returns the command and the environment to use then."""
    problem = _problem(view) if view["namespace"] else "it is switched off"
    if problem is None:
        folder = Path.cwd()
        _enter(view)
        os.chdir(folder)  # the folder as the namespace shows it
        return command, environment
    if _matters(view, [*command, *environment.values()]):
        print(view["notice"].format(problem=problem), file=sys.stderr, flush=True)
    real = _without_blanks(view["container"])
    # They name the master, which torchrun would otherwise try to reach for ten minutes.
    names = {f'"{name}"': f'"{address}"' for name, address in view["addresses"].items()}
    _rewrite(Path(view["drivers"]), {view["path"]: real, **names})
    return _translated({view["path"]: real, **view["addresses"]}, command, environment)


def _problem(view: dict[str, Any]) -> str | None:
    """Why no namespace can be created; None if one can. A child tries: half a namespace is worse than none."""
    if sys.platform != "linux":
        return "only Linux has mount namespaces"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _enter(view)
            status = 0
        except OSError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        reason = pipe.read().decode("utf-8", "replace")
    _, status = os.waitpid(child, 0)
    return None if status == 0 else reason or f"the attempt ended with status {status}"


def _enter(view: dict[str, Any]) -> None:
    """Enter a namespace and bind its paths.

    Raises:
        OSError: The system does not allow it.
    """
    wanted = _NEW_MOUNTS | (_NEW_HOST_NAME if view["host_name"] else 0)
    user, group = os.getuid(), os.getgid()
    try:
        _call("unshare", wanted)
    except PermissionError:
        # Ordinary users may do this in a user namespace, where they keep their numbers. The rights end at exec.
        _call("unshare", _NEW_USERS | wanted)
        Path("/proc/self/setgroups").write_text("deny", "ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", "ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", "ascii")
    # Disks that are mounted while the command runs appear in the namespace, and nothing of it appears outside.
    _mount(None, "/", None, _RECURSIVE | _SLAVE)
    for source, target in view["binds"]:
        if not os.path.lexists(target):
            _make_room(Path(target), is_folder=Path(source).is_dir())
        _mount(source, target, None, _BIND | _RECURSIVE)
    if view["host_name"]:
        name = str(view["host_name"]).encode()
        _call("sethostname", name, len(name))


def _make_room(target: Path, *, is_folder: bool) -> None:
    """Create something to bind to, such as /opt/ml, in this namespace only: its parent is replaced by a copy in memory.

    Args:
        target: The folder or file.
        is_folder: Whether it is to be a folder.
    """
    parent = target.parent
    descriptors = {path.name: os.open(path, os.O_PATH | os.O_NOFOLLOW) for path in parent.iterdir()}
    _mount("dogbreed", str(parent), "tmpfs", 0, b"mode=0755")
    for name, descriptor in descriptors.items():
        path, mode = parent / name, os.fstat(descriptor).st_mode
        if stat.S_ISLNK(mode):
            path.symlink_to(os.readlink("", dir_fd=descriptor))
        else:
            path.mkdir() if stat.S_ISDIR(mode) else path.touch()
            _mount(f"/proc/self/fd/{descriptor}", str(path), None, _BIND | _RECURSIVE)
        os.close(descriptor)
    target.mkdir() if is_folder else target.touch()


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: bytes | None = None) -> None:
    words = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    _call("mount", *words, ctypes.c_ulong(flags), options)


def _call(name: str, *arguments: Any) -> None:
    """Call a function of the C library.

    Raises:
        OSError: It failed.
    """
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        # The system's text for it, "No space left on device", would be taken for a full disk.
        why = "no more namespaces are allowed" if number == errno.ENOSPC else os.strerror(number)
        raise OSError(number, f"{name}: {why}")


def _matters(view: dict[str, Any], texts: list[str]) -> bool:
    """Whether the job misses the namespace: it has several hosts, or spells out a path that is not there."""
    path = view["path"]
    if view["addresses"] or any(path in text for text in texts):
        return True
    files = (Path(folder, name) for place in view["sources"] for folder, _, names in os.walk(place) for name in names)
    return any(path.encode() in _beginning(file) for file in files)


def _beginning(file: Path) -> bytes:
    """The beginning of a source file; nothing of other files, which may block or be huge."""
    if file.suffix not in (".py", ".sh") or not file.is_file():
        return b""
    with file.open("rb") as opened:
        return opened.read(_SOURCE_BYTES)


def _without_blanks(path: str) -> str:
    """A path that shell scripts may leave unquoted, as they may /opt/ml: a link to the folder if its own is none."""
    if re.fullmatch(r"[\w./@%+=:,-]+", path, re.ASCII):
        return path
    import hashlib  # noqa: PLC0415 - rarely needed, as the next
    import tempfile  # noqa: PLC0415

    # One link per folder: the next start with the folder uses it again.
    link = Path(tempfile.gettempdir(), f"dogbreed-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}")
    try:
        link.symlink_to(path)
    except FileExistsError:
        if link.lstat().st_uid != os.getuid() or str(link.readlink()) != path:
            return path  # somebody else's
    return str(link)


def _translated(
    translations: dict[str, str], command: list[str], environment: dict[str, str]
) -> tuple[list[str], dict[str, str]]:
    """A command and an environment in which paths are replaced."""

    def translate(text: str) -> str:
        for path, replacement in translations.items():
            text = re.sub(rf"(?<![\w./-]){re.escape(path)}(?![\w.-])", lambda _: replacement, text)  # noqa: B023 - used at once
        return text

    return [translate(word) for word in command], {name: translate(value) for name, value in environment.items()}


def _rewrite(folder: Path, translations: dict[str, str]) -> None:
    """Replace texts in all files of a folder; a link is left alone, since it leads to a folder of the user's."""
    for parent, _, names in [] if folder.is_symlink() else os.walk(folder):
        for name in names:
            file = Path(parent, name)
            content = file.read_bytes()
            changed = content
            for text, replacement in translations.items():
                changed = changed.replace(text.encode(), os.fsencode(replacement))
            if changed != content:
                file.write_bytes(changed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
