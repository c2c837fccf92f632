"""A rule is added in one file: all that is said elsewhere about rules is read from their declarations."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from training_scripts import rules
from training_scripts.rules import managed, registry
from training_scripts.rules.bounds import COUNT, SHARE
from training_scripts.rules.causes.catalog import CATALOG
from training_scripts.rules.causes.find import BY_RULE
from training_scripts.rules.declaration import DEBUGGING, KINDS, PROFILING, Answer, Rule
from training_scripts.rules.findings import ISSUES_FOUND, Finding, RuleResult
from training_scripts.rules.precedence import causes_first

ROOT = Path(__file__).parents[3]
HIGH_LOSS = '''"""HighLoss: a loss above a limit."""

from training_scripts.rules.bounds import SHARE
from training_scripts.rules.findings import Finding
from training_scripts.rules.declaration import Explanation, Rule


def _judge(trial, parameters):
    series = trial.tensor("CrossEntropyLoss_output_0").series("TRAIN")
    high = series.steps[series.values > parameters["limit"]]
    return [Finding("The loss is high.", mode="TRAIN", steps=tuple(high.tolist()))] if len(high) else []


RULES = (
    Rule(
        name="HighLoss",
        judge=_judge,
        aws={},
        default={"limit": 0.25},
        description="A loss that stays above a limit.",
        advice="Lower lr.",
        bounds={"limit": SHARE},
        explanation=Explanation(computes="`loss > limit`.", parameters={"limit": "largest allowed loss"}),
        precedes=("LossNotDecreasing",),
        order=35,
        aws_name="HighLossRule",
        collections=("losses",),
    ),
)
'''
TRIAL = """
import json
from training_scripts import rules
from training_scripts.recording.trial.trial import MemoryTrial

trial = MemoryTrial(name="made up")
for step in range(60):
    trial.add("CrossEntropyLoss_output_0", step, "TRAIN", 0.5 if step < 20 else 4.0 + step / 10, collection="losses")
results = rules.evaluate(trial=trial)
try:
    rules.evaluate(trial=trial, overrides={"HighLoss": {"limit": 2}})
    refused = ""
except rules.RuleError as error:
    refused = str(error)
found = [result.name for result in results if result.status == "IssuesFound"]
print(json.dumps({"names": rules.names("debugging"), "found": found, "refused": refused}))
"""


def every_rule() -> list[Rule]:
    return [rule for kind in KINDS for rule in registry.built_in(kind).values()]


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the scripts and documents, to which one file with a rule was added."""
    root = tmp_path_factory.mktemp("extended")
    unneeded = shutil.ignore_patterns("__pycache__")
    for name in ("training_scripts", "docs"):
        shutil.copytree(ROOT / name, root / name, ignore=unneeded)
    (root / "training_scripts" / "rules" / "losses" / "high_loss.py").write_text(HIGH_LOSS, encoding="utf-8")
    return root


def run(root: Path, *arguments: str) -> str:
    """What Python prints in a folder, whose packages come before the installed ones."""
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=root,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
        text=True,
    )
    return ran.stdout


def test_a_file_with_a_rule_is_all_that_it_takes(extended: Path) -> None:
    seen = json.loads(run(extended, "-c", TRIAL))
    names = seen["names"]
    assert names.index("HighLoss") == names.index("AllZero") + 1  # by its order, 35
    assert set(names) == {*rules.names("debugging"), "HighLoss"}
    assert seen["refused"] == "HighLoss.limit must be a finite number from 0 to 1, not 2."
    assert seen["found"][-2:] == ["HighLoss", "LossNotDecreasing"]


def test_documentation_and_the_managed_rules_follow(extended: Path) -> None:
    wrote = run(extended, "docs/generate.py")
    assert wrote.splitlines() == ["wrote docs/reference/rules.md", "wrote training_scripts/rules/managed.py"]
    page = (extended / "docs" / "reference" / "rules.md").read_text(encoding="utf-8")
    section = page.partition("### HighLoss\n")[2].partition("\n### ")[0]
    assert "A loss that stays above a limit.\n\n**Ours:** `loss > limit`." in section
    assert "| `limit` | `0.25` |  | number from 0 to 1 | largest allowed loss |" in section.splitlines()
    listed = "from training_scripts.rules.managed import DEBUGGING_RULES; print(DEBUGGING_RULES['HighLossRule'])"
    assert run(extended, "-c", listed) == "('losses',)\n"


def test_every_built_in_rule_declares_its_place_its_bounds_and_what_it_precedes() -> None:
    known = {rule.name for rule in every_rule()}
    for rule in every_rule():
        assert rule.bounds is not None, rule.name
        assert set(rule.precedes) <= known, rule.name
    for kind in KINDS:
        orders = [rule.order for rule in registry.built_in(kind).values()]
        assert orders == sorted(set(orders))


@pytest.mark.parametrize("rule", every_rule(), ids=lambda rule: rule.name)
def test_every_built_in_rule_explains_itself_and_all_of_its_parameters(rule: Rule) -> None:
    explained = rule.explanation
    assert explained is not None
    assert explained.computes.endswith(".")
    assert bool(explained.computes_aws) >= (rule.judge_aws is not None)
    assert set(explained.parameters) == {*rule.default, *rule.aws}
    assert set(explained.causes) <= set(CATALOG)
    assert rule.name not in BY_RULE or BY_RULE[rule.name] in explained.causes


def test_aws_has_all_of_these_rules() -> None:
    assert tuple(registry.built_in(PROFILING)) == managed.PROFILING_RULES
    ours = [name.removesuffix("Rule") for name in managed.DEBUGGING_RULES]
    assert ours == list(registry.built_in(DEBUGGING))
    assert managed.DEBUGGING_RULES["PoorWeightInitialization"] == ("losses", "weights", "gradients")


def test_a_users_rule_may_declare_bounds() -> None:
    @rules.register(name="Patient", parameters={"patience": 3}, bounds={"patience": COUNT})
    def patient(trial: object, parameters: object) -> list[Finding]:
        return []

    try:
        with pytest.raises(rules.RuleError, match=r"Patient\.patience must be a whole number of 1 or more, not 0"):
            rules.evaluate(overrides={"Patient": {"patience": 0}})
    finally:
        rules.unregister("Patient")


def test_bounds_of_a_parameter_that_a_rule_does_not_have_are_refused() -> None:
    with pytest.raises(rules.RuleError, match="Rule Odd declares bounds for parameters that it does not have: limits"):
        rules.register(lambda *_: [], name="Odd", parameters={"limit": 1}, bounds={"limits": SHARE})


def rule(name: str, *precedes: str) -> Rule:
    return Rule(name, lambda *_: [], {}, {}, "", "", precedes=precedes)


def listed(known: list[Rule], answers: dict[str, Answer] | None = None) -> list[str]:
    results = [RuleResult(name=one.name, status=ISSUES_FOUND, message="") for one in known]
    ordered = causes_first(results, {one.name: one for one in known}, answers or {})
    return [result.name for result in ordered]


def test_causes_come_before_their_consequences() -> None:
    known = [rule("Loss"), rule("Apart"), rule("Gradient", "Loss"), rule("Start", "Gradient")]
    assert listed(known) == ["Start", "Apart", "Gradient", "Loss"]
    assert listed(known, {"Start": Answer(is_consequence=True)}) == ["Gradient", "Apart", "Loss", "Start"]
    assert listed(known, {"Start": Answer(place_of="Loss")}) == ["Gradient", "Apart", "Loss", "Start"]


def test_rules_that_precede_each_other_in_a_circle_do_no_harm() -> None:
    assert sorted(listed([rule("One", "Two"), rule("Two", "One")])) == ["One", "Two"]


def test_profiling_rules_are_not_imported_where_only_debugging_rules_are_evaluated() -> None:
    code = """
import sys
from training_scripts import rules
from training_scripts.recording.trial.trial import MemoryTrial
rules.evaluate(trial=MemoryTrial(name="made up"), only=rules.names("debugging"))
print([name for name in sys.modules if name.startswith("training_scripts.rules.profiling")])
"""
    assert run(ROOT, "-c", code) == "[]\n"
