"""Makes a README's links and pictures work where only its text is shown, as on the package index.

    python .ci/absolute_links.py README.md https://github.com/OWNER/NAME/blob/v0.3.0

The README in the repository keeps relative ones: they lead to the same version in every fork, branch and checkout.
"""

import re
import sys
from pathlib import Path

_RELATIVE = r"(?!https?://|#)([^)\s]+)\)"


def absolute(text: str, source: str) -> str:
    """The text with each relative target below the address of the repository's files."""
    text = re.sub(r"(!\[[^\]]*\]\()" + _RELATIVE, rf"\g<1>{source}/\2?raw=true)", text)
    return re.sub(r"(\]\()" + _RELATIVE, rf"\g<1>{source}/\2)", text)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(absolute(path.read_text(encoding="utf-8"), sys.argv[2]), encoding="utf-8")
