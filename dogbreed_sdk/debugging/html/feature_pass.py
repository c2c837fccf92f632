"""The report's section on the feature pass: what it cost, decoding against the network, and its operators."""

from __future__ import annotations

from dogbreed_sdk._util.formatting import percent, seconds
from dogbreed_sdk.debugging.feature_pass import FeaturePassCost
from dogbreed_sdk.debugging.html.steps import operator_advice, operator_table
from dogbreed_sdk.pages.bars import bar
from dogbreed_sdk.pages.markup import Child, Markup, element, table
from dogbreed_sdk.pages.sections import empty, section

TITLE = "Feature pass"


def feature_pass_section(cost: FeaturePassCost | None) -> Markup:
    """The cost of computing the features that the run used, or that the job computed."""
    if cost is None:
        return section("features", TITLE, empty("The cost of a feature pass was not recorded."))
    lead, *more = cost.lines()
    rows = [
        [name, element("td", bar(spent / whole, label=f"{name}: {percent(spent / whole)}")), seconds(spent),
         percent(spent / whole)]
        for whole in [cost.seconds] if whole > 0
        for name, spent in cost.parts()
    ]  # fmt: skip
    content: list[Child] = [table(["Part", "Share", "time", "of total"], rows, numeric=(2, 3))] if rows else []
    content += [element("p", line) for line in more]
    if cost.advice:
        content.append(element("p", element("b", "Next: "), cost.advice, class_="advice"))
    if cost.operators:
        content.append(element("h3", "Operators of a few batches"))
        content += [operator_advice(cost.operators), operator_table(cost.operators)]
    return section("features", TITLE, content, lead=lead)
