"""What a model's classes are, so that the page asks the right question."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Subject = Literal["dogs", "classes"]

# A breed that this list does not know must not change the question, and one cat among dogs must.
_LEAST_SHARE = 0.9

# Words in the names of dog breeds: those of groups, and the breeds of the Stanford and Udacity data sets without one.
_NAMES = """
affenpinscher airedale akita appenzeller basenji basset beagle bernard bernese bichon blenheim bloodhound bluetick
borzoi bouvier boxer briard brittany bull bulldog bullmastiff bullterrier cairn canaan cane cardigan cavapoo chihuahua
chin chow clumber cockapoo cocker collie coonhound corgi corso dachshund dalmatian dandie dane deerhound dhole dingo
doberman dog dogue elkhound entlebucher eskimo foxhound frise greyhound griffon groenendael hairless havanese hound
husky keeshond kelpie komondor kuvasz labradoodle lapphund leonberg leonberger lhasa lhasaapso lowchen malamute
malinois maltese mastiff newfoundland norwich otterhound papillon pekinese pekingese pembroke pharaoh pinscher plott
pointer pomeranian poodle pug puli pyrenees redbone retriever ridgeback rottweiler saluki samoyed schipperke schnauzer
setter sheepdog sheltie shepherd shiba shih shihtzu shorthaired spaniel spitz springer terrier tervuren tzu vallhund
vizsla weimaraner westie whippet wolfhound xoloitzcuintli
"""
_WORDS = frozenset(_NAMES.split())


def subject_of(labels: Iterable[str]) -> Subject:
    """What the classes are: "dogs" if nearly all are names of dog breeds, else "classes".

    Args:
        labels: Their display names.

    >>> subject_of(["Border collie", "Pug", "Xoloitzcuintli"]), subject_of(["Pug", "Siamese", "Sphynx"])
    ('dogs', 'classes')
    """
    found = [any(word in _WORDS for word in re.findall(r"[a-z]+", label.lower())) for label in labels]
    return "dogs" if found and sum(found) >= _LEAST_SHARE * len(found) else "classes"
