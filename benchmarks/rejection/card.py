"""Writes docs/model_card.md from what not_a_dog.py measured, so that no figure in it is kept by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from torch import Tensor

from rejection.measures import Estimate, passed_at, share_estimate
from rejection.results import Results, Run, Seen
from rejection.scores import BASELINE, SHIPPED
from training_scripts._util.class_names import display_name
from training_scripts.models import backbones, efficientnet_lite

_CONFUSIONS = 10

_TEXT = """\
# Model card: dog breeds

<!-- Written by `python benchmarks/not_a_dog.py --write-card`: change that, not this. -->

The model that this project's defaults train on 120 dog breeds: the worked example, not a product. A bundle of your
data has its own card, `MODEL_CARD.md` beside its `model.json`. Every interval here is a 95% bootstrap interval
over photographs; where all n of them agree it has no width, and up to 3 / n of others may still differ.

## What it is

| What | Value |
| --- | --- |
| Task | which of {classes} dog breeds a photograph shows, or that it shows none of them |
| Backbone | `{backbone}`, pretrained on ImageNet (package `{package}`), frozen |
| Head | linear, trained for 10 epochs on stored features of the plain and the mirrored picture |
| Input | RGB, shorter side to {resize}, center {crop} x {crop} |
| Temperature | {temperature:.3f}, fitted on the valid split |
| Rejection | {method}: 1 - cosine of the angle between features and the nearest class mean; above {threshold:.4f} |

## Intended use

Naming the likely breed in a photograph of one dog: albums, shelters' listings, teaching, and trying the SDK out. Not
for decisions about an animal or its keeper (breed bans, insurance, medicine): a breed is not read off a photograph with
the certainty these take, mixed breeds have no class, and the breeds are those of one data set.

## Data, and what may be done with it

Stanford Dogs, {train} train, {valid} valid and {test} test photographs of {classes} breeds, as many of each. It is
for research; photographers keep their rights, so neither pictures nor weights trained on them are part of this project.
Its pictures were drawn from ImageNet, **which the pretrained backbone has seen, with labels**: the figures below are
better than those on photographs that are new to the backbone. Dogs of another data set are from Oxford-IIIT Pet
(CC BY-SA 4.0).

## Accuracy

| Measure, on {test} test photographs | Value |
| --- | --- |
| Top-1 accuracy | {accuracy} |
| Top-5 accuracy | {top5} |
| Cross-entropy, nats | {loss:.3f} |
| Calibration error (15 bins), before the temperature | {ece_uncalibrated:.3f} |
| Calibration error (15 bins), after it | {ece:.3f} |

Most often confused (test photographs of the first breed that were taken for the second, of 10 each):

{confused}

## Pictures that show none of the breeds

The threshold was fitted on the valid split to keep {kept:.0%} of dogs. Of {test} test photographs of dogs it keeps
{kept_test}, of {other_dogs} photographs of the same breeds in another data set
{kept_elsewhere}.
What it was measured against are photographs from open-source packages (people, places, things), photographed animals
(mostly cut out, in front of photographed landscapes), textures, and the SDK's drawn scenes without a dog, each whole
and as two crops. The backbone has learned from ImageNet what many of these are.

| Group | Photographs (with crops) | AUROC | Rejected at the threshold |
| --- | --- | --- | --- |
{groups}

Scores compared, on all of them together; "passes" is the share that passes where 95% of the dogs do:

| Score | AUROC | Passes | Rejected | AUROC, breeds left out | AUROC, breeds of another data set |
| --- | --- | --- | --- | --- | --- |
{scores}

Best of each group by AUROC (all that are equal to the third decimal):

{best}

`{shipped}` is shipped: of the scores that need no more than one vector a class (0.6 MB here; nearest neighbors,
which reject a little more, need every train picture's features, 31 MB), none is better by more than its interval, and
it is fitted on the valid split alone, which every training job sees at no extra cost.

## Limits

- **Other breeds are mostly not rejected.** Of photographs of {left_out_classes} breeds that were left out of
  training, {left_out_rejected} are rejected at the threshold;
  of {new_photographs} photographs of breeds that only another data set has, {new_rejected}.
  The rule recognizes what is not a dog, not dogs of an unknown breed.
- The cats are few ({cats} photographs, most of them big cats); their interval says so.
- Score and share to keep were chosen by these very figures, test photographs included: expect slightly less of others.
- Several dogs in a picture, puppies, drawings, and dogs that fill little of the picture were not measured.
- The rule knows pictures that are unlike the train data. Dogs photographed very unlike it are rejected more often than
  the stated share.
"""


def card(results: Results, *, backbone: str) -> str:
    """The card's text."""
    run, preprocessing = results.run, backbones.spec(backbone).preprocessing
    test, valid = len(run.test.targets), len(run.valid.targets)
    right = run.test.logits.argmax(1) == run.test.targets
    top5 = (run.test.logits.topk(5).indices == run.test.targets[:, None]).any(1)
    rows = [str(row) for row in range(test)]
    kept_test = run.score(SHIPPED, run.test.features) <= run.rule.threshold
    kept_elsewhere = run.score(SHIPPED, results.known_breeds.features) <= run.rule.threshold
    return _TEXT.format(
        classes=len(run.classes),
        backbone=backbone,
        package=efficientnet_lite.weights_requirement(backbone).partition(">=")[0],
        resize=preprocessing.resize,
        crop=preprocessing.crop,
        temperature=run.temperature,
        method=run.rule.method,
        threshold=run.rule.threshold,
        train=f"{results.train:,}",
        valid=f"{valid:,}",
        test=f"{test:,}",
        accuracy=_percent(share_estimate(right, rows)),
        top5=_percent(share_estimate(top5, rows)),
        loss=run.metrics["test:loss"],
        ece=run.metrics["test:ece"],
        ece_uncalibrated=run.metrics["test:ece_uncalibrated"],
        confused=_confused(run),
        kept=run.rule.kept,
        kept_test=_percent(share_estimate(kept_test, rows)),
        kept_elsewhere=_percent(share_estimate(kept_elsewhere, results.known_breeds.origins)),
        other_dogs=len(results.known_breeds),
        groups=_groups(results),
        scores=_scores(results),
        best=_best(results),
        shipped=SHIPPED,
        left_out_classes=len(run.classes) - len(results.fewer.classes),
        left_out_rejected=_percent(results.fewer.rejected(SHIPPED, results.left_out)),
        new_photographs=results.new_breeds.photographs,
        new_rejected=_percent(run.rejected(SHIPPED, results.new_breeds)),
        cats=results.groups["cats"].photographs if "cats" in results.groups else 0,
    )


def _groups(results: Results) -> str:
    every = results.groups | {"all": results.all_groups()}
    return "\n".join(
        f"| {group} | {seen.photographs} ({len(seen)}) | {results.run.auroc(SHIPPED, seen)} | "
        f"{_percent(results.run.rejected(SHIPPED, seen))} |"
        for group, seen in every.items()
    )


def _scores(results: Results) -> str:
    run, every = results.run, results.all_groups()
    lines = []
    for name in run.scores:
        shown = f"**{name}**" if name == SHIPPED else f"{name} (baseline)" if name == BASELINE else name
        passes = passed_at(run.score(name, run.test.features), run.score(name, every.features), kept=0.95)
        lines.append(
            f"| {shown} | {run.auroc(name, every)} | {passes:.1%} | {run.rejected(name, every).value:.1%} | "
            f"{results.fewer.auroc(name, results.left_out)} | {run.auroc(name, results.new_breeds)} |"
        )
    return "\n".join(lines)


def _best(results: Results) -> str:
    """The best scores of each group, equal ones side by side."""
    near = {
        "breeds left out": (results.fewer, results.left_out),
        "breeds of another data set": (results.run, results.new_breeds),
    }
    groups: dict[str, tuple[Run, Seen]] = {name: (results.run, seen) for name, seen in results.groups.items()}
    parts = []
    for group, (run, seen) in (groups | near).items():
        areas = {name: round(run.auroc(name, seen).value, 3) for name in run.scores}
        parts.append(f"- {group}: {', '.join(name for name, area in areas.items() if area == max(areas.values()))}")
    return "\n".join(parts)


def _confused(run: Run) -> str:
    pairs = _pairs(run.test.targets, run.test.logits.argmax(1))
    return "\n".join(
        f"- {display_name(run.classes[true])} for {display_name(run.classes[taken])}: {count}"
        for (true, taken), count in pairs
    )


def _pairs(labels: Tensor, answers: Tensor) -> Sequence[tuple[tuple[int, int], int]]:
    """The commonest confusions; equally common ones by their classes' order."""
    found = Counter(pair for pair in zip(labels.tolist(), answers.tolist(), strict=True) if pair[0] != pair[1])
    return sorted(found.items(), key=lambda row: (-row[1], row[0]))[:_CONFUSIONS]


def _percent(share: Estimate) -> str:
    return f"{share.value:.1%} [{share.low:.1%}, {share.high:.1%}]"
