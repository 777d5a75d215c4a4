"""Whether single units of a tokenizer's codes tell single attributes of clips: the mutual information gap (MIG).

A unit is a codebook in one place of the latent frame. On a grid a code moves with what it shows, so the place is the
whole group; on a line each token is a place. A unit's value for a clip is a bag: its codes at that place in all latent
frames. Bags are compared with attributes by guessing: codes are counted for each value of the attribute on one half of
the clips, and for each clip of the other half the value is guessed that its bag makes likeliest (naive Bayes, all
values alike). No clip is guessed from counts of itself, so a large codebook does not look informative by being large.

The information of a unit is that of its guesses about the attribute, over the attribute's entropy and adjusted for
chance; it is a lower bound of what the bag holds. The gap is that of the best unit minus that of the second best.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from interfaces.tokens import TokenSpec
from videogen.evaluation.generation.prompts import scene_of
from videogen.evaluation.tokenizer.information import adjusted_information

MIN_CLIPS = 8  # of each value of an attribute; with fewer nothing is said of it
MAX_CLIPS = 4096  # whose codes are kept
Attributes = dict[str, str]


@dataclass
class Disentanglement:
    """The codes of clips whose attributes are known."""

    spec: TokenSpec
    attributes: list[Attributes] = field(default_factory=list)
    codes: list[Tensor] = field(default_factory=list)  # int32 [T', N, K] of each clip

    def add(self, caption: str, codes_TNK: Tensor) -> None:
        """Keep a clip, if its caption tells attributes."""
        known = attributes_of(caption)
        if known and not self.spec.continuous and len(self.codes) < MAX_CLIPS:
            self.attributes.append(known)
            self.codes.append(codes_TNK.to("cpu", torch.int32))

    def figures(self) -> dict[str, Any] | None:
        """By attribute and on average; None if no attribute has enough clips."""
        names = dict.fromkeys(name for known in self.attributes for name in known)
        found = {name: of_one for name in names if (of_one := self._of_attribute(name)) is not None}
        if not found:
            return None
        gaps = [of_one["gap"] for of_one in found.values() if of_one["gap"] is not None]
        return {
            "attributes": found,
            "information": sum(of_one["information"] for of_one in found.values()) / len(found),
            "mig": sum(gaps) / len(gaps) if gaps else None,
        }

    def _of_attribute(self, name: str) -> dict[str, Any] | None:
        clips = [number for number, known in enumerate(self.attributes) if name in known]
        labels = [self.attributes[number][name] for number in clips]
        values = sorted(set(labels))
        if len(values) < 2 or min(map(labels.count, values)) < MIN_CLIPS:
            return None
        truth_C = torch.tensor([values.index(label) for label in labels])
        codes_CTNK = torch.stack([self.codes[number] for number in clips])
        by_unit = {unit: unit_information(bags, truth_C, len(values)) for unit, bags in units(codes_CTNK, self.spec)}
        best, *others = sorted(by_unit, key=lambda unit: -by_unit[unit])
        return {
            "clips": len(clips),
            "values": len(values),
            "information": by_unit[best],
            "unit": best,
            "gap": by_unit[best] - by_unit[others[0]] if others else None,
        }


def attributes_of(caption: str) -> Attributes:
    """What a caption of the playroom tells; nothing of other captions.

    Of two things neither is the one that a code would have to tell, so shape to speed are those of a single thing.
    """
    scene = scene_of(caption)
    if scene is None:
        return {}
    backdrop = {"things": str(len(scene.things)), "pattern": scene.backdrop.pattern, "ground": scene.backdrop.colour}
    if len(scene.things) > 1:
        return backdrop
    thing = scene.things[0]
    speed = {} if thing.speed is None else {"speed": thing.speed}
    return {
        "shape": thing.shape,
        "color": thing.colour,
        "size": thing.size,
        "motion": thing.motion,
        **speed,
        **backdrop,
    }


def units(codes_CTNK: Tensor, spec: TokenSpec) -> Iterator[tuple[str, Tensor]]:
    """Each unit's name and its bags [C, codes of a bag]."""
    for group, tokens in zip(spec.groups, spec.slices, strict=True):
        of_group_CTNK = codes_CTNK[:, :, tokens]
        places = torch.split(of_group_CTNK, 1 if len(group.shape) == 1 else group.tokens, dim=2)
        for number, place_CTNK in enumerate(places):
            token = f" {number}" if len(group.shape) == 1 else ""
            for k in range(len(spec.codebooks)):
                yield f"{group.name}{token}, codebook {k}", place_CTNK[..., k].flatten(1)


def unit_information(bags_CM: Tensor, truth_C: Tensor, values: int) -> float:
    """From 0 to 1: the mean of both halves of the clips, each guessed from the counts of the other."""
    half_C = halves(truth_C)
    parts = []
    for part in (0, 1):
        own, other = half_C == part, half_C != part
        guess_C = guess_values(bags_CM[own], count_codes(bags_CM[other], truth_C[other], values))
        parts.append(adjusted_information(guess_C, truth_C[own], values))
    return max(0.0, sum(parts) / 2)


def halves(truth_C: Tensor) -> Tensor:
    """0 or 1 for each clip, so that both have equally many clips of each value, or one more."""
    order = truth_C.argsort(stable=True)
    return torch.empty_like(truth_C).scatter(0, order, torch.arange(len(truth_C)) % 2)


def count_codes(bags_CM: Tensor, truth_C: Tensor, values: int) -> Tensor:
    """How often each code occurs with each value, float64 [values, codes]; scaled so that all values weigh the same."""
    size = int(bags_CM.max()) + 1
    counts = torch.bincount((truth_C[:, None] * size + bags_CM).flatten(), minlength=values * size)
    counts_AV = counts.view(values, size).double()
    totals_A1 = counts_AV.sum(1, keepdim=True)
    return counts_AV / totals_A1 * totals_A1.mean()


def guess_values(bags_CM: Tensor, counts_AV: Tensor) -> Tensor:
    """The likeliest value for each bag [C]; one code more than counted is added for each value (Laplace)."""
    unseen = int(bags_CM.max()) + 1 - counts_AV.shape[1]
    logs_AV = torch.nn.functional.pad(counts_AV, (0, max(0, unseen))).log1p()
    return torch.stack([logs_V[bags_CM].sum(1) for logs_V in logs_AV]).argmax(0)
