"""The model card in Markdown: in every bundle, for people who open the archive, and for the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from training_scripts.models.card_content import Card, CardFacts, Code, Points, Table, card

if TYPE_CHECKING:
    from training_scripts.models.description import BundleDescription

# The name of a class folder must not break a table, or become a link or a tag.
_UNSAFE = str.maketrans({"\\": "\\\\", "|": "\\|", "[": "\\[", "\n": " ", "\r": " ", "<": "&lt;", "`": "'"})
# The identifiers of https://huggingface.co/docs/hub/repositories-licenses that people are likely to use; any other
# license is "other" there, with its name beside it.
_HUB_LICENSES = (
    "apache-2.0",
    "mit",
    "bsd-2-clause",
    "bsd-3-clause",
    "cc0-1.0",
    "cc-by-4.0",
    "cc-by-sa-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0",
    "cc-by-nc-nd-4.0",
    "cc-by-nd-4.0",
    "gpl-3.0",
    "lgpl-3.0",
    "agpl-3.0",
    "mpl-2.0",
    "openrail",
    "unlicense",
)


def markdown(description: BundleDescription, facts: CardFacts | None = None) -> str:
    """The card of a bundle in Markdown, with the metadata that the Hugging Face hub reads.

    Args:
        description: The content of model.json.
        facts: What the bundle does not know.
    """
    return written(card(description, facts))


def written(content: Card) -> str:
    """A card in Markdown."""
    parts = ["\n".join(_metadata(content)), f"# {_safe(content.title)}", _safe(content.summary)]
    for section in content.sections:
        parts.append(f"## {section.title}")
        parts += [_block(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _metadata(content: Card) -> list[str]:
    """The YAML lines of https://huggingface.co/docs/hub/model-cards; texts as JSON strings, which are YAML too."""
    lines = ["---", "library_name: dogbreed-sdk", "pipeline_tag: image-classification"]
    if content.facts.license:
        known = content.facts.license.strip().lower()
        lines += (
            [f"license: {known}"]
            if known in _HUB_LICENSES
            else ["license: other", f"license_name: {_text(content.facts.license)}"]
        )
    if content.weights.base_model:
        lines.append(f"base_model: {_text(content.weights.base_model)}")
    lines += ["tags:", "- dogbreed-sdk", f"- {_text(content.description.backbone)}"]
    if content.evaluation:
        lines += _results(content)
    return [*lines, "---"]


def _results(content: Card) -> list[str]:
    """The model-index: what the hub shows as evaluation results."""
    evaluation = content.evaluation
    assert evaluation is not None
    data = content.facts.evaluated_on if content.facts.evaluation else content.facts.data_source
    return [
        "metrics:",
        "- accuracy",
        "- f1",
        "model-index:",
        f"- name: {_text(content.title)}",
        "  results:",
        "  - task:",
        "      type: image-classification",
        "    dataset:",
        f"      name: {_text(data or f'data set {content.description.fingerprint[:16]}')}",
        "      type: imagefolder",
        f"      split: {_text(evaluation.split)}",
        "    metrics:",
        "    - type: accuracy",
        f"      value: {evaluation.accuracy:.6f}",
        "    - type: f1",
        "      name: macro F1",
        f"      value: {evaluation.macro_f1:.6f}",
    ]


def _block(block: str | Table | Points | Code) -> str:
    if isinstance(block, Table):
        return _table(block.head, block.rows, block.numeric)
    if isinstance(block, Points):
        return "\n".join(f"- {_safe(item)}" for item in block.items)
    if isinstance(block, Code):
        return f"```{block.language}\n{block.text}\n```"
    return _safe(block)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int]) -> str:
    rule = ["---:" if index in numeric else "---" for index in range(len(head))]
    return "\n".join("| " + " | ".join(map(_safe, cells)) + " |" for cells in (head, rule, *rows))


def _text(value: str) -> str:
    """A text of YAML, on one line."""
    return json.dumps(value)


def _safe(text: str) -> str:
    # A folder's name may not be valid Unicode, and then it could not be written to the file.
    return text.translate(_UNSAFE).encode("utf-8", "backslashreplace").decode()
