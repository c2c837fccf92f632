"""Python runs this when a foreign script of a local job starts; see the package's description.

It imports only what Python has already loaded, as every process of a job pays for it.
"""

import os
import sys


def _next_sitecustomize() -> None:
    """Run the sitecustomize that this one hides, if there is one."""
    from importlib.machinery import PathFinder

    own = os.path.dirname(os.path.abspath(__file__))
    spec = PathFinder.find_spec("sitecustomize", [path for path in sys.path if os.path.abspath(path) != own])
    if spec is not None and spec.loader is not None:
        from importlib.util import module_from_spec

        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


try:
    import _dogbreed_start_up  # type: ignore[import-not-found]

    _dogbreed_start_up.install()
except Exception as error:
    print(f"warning: local SageMaker's start-up hook is off: {type(error).__name__}: {error}", file=sys.stderr)
_next_sitecustomize()
