"""Searches the caption of a clip: the one under which the prior finds the clip's tokens most likely.

    rules: caption -> "{thing} over {ground}", thing -> "a {colour} ball", colour -> "red", "blue", ...

Captions are built from the rules of a model. The search chooses the alternative of one rule at a time and scores all
alternatives in one batch: first on one latent frame, which shows the content, then on two and on all, which show the
motion. Each round scores only what the round before did not rule out. Nothing is random.
"""

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from prior.model import PriorBatch
from prior.rotary import coordinates
from videogen.conditioning.prompt_vocabulary import RULE_NAME
from videogen.generate import Context
from videogen.models import PriorModel
from videogen.system.threads import on_free_cores

Rules = Mapping[str, Sequence[str]]  # the first is the whole caption; the others go from coarse to fine
Place = tuple[int, ...]  # the position of a phrase inside another: indices of parts, from the outside in
RULED_OUT = 25.0  # an alternative that is worse by so many nats on two frames is not scored on more frames
FAR = 60.0  # and one that is worse by so many is not scored again on two frames
MIN_GAIN = 0.12  # nats per token that a longer caption must gain
BEAM_WIDTH = 3  # phrases that are kept on one frame
SWEEPS = 3  # over all rules, at most
MAX_COMBINATIONS = 64  # of the alternatives of one rule at all its places; if there are more, place by place
BATCH_SIZE = 24  # captions


@dataclass(frozen=True)
class Phrase:
    """A rule with the number of the chosen alternative, and a phrase for each rule name in it."""

    rule: str
    number: int
    parts: tuple["Phrase", ...]

    @staticmethod
    def of(rules: Rules, rule: str, number: int = 0, like: "Phrase | None" = None) -> "Phrase":
        """This alternative, with the parts of `like` for the same rule names in order, else with first alternatives."""
        given: dict[str, list[Phrase]] = {}
        for part in () if like is None else like.parts:
            given.setdefault(part.rule, []).append(part)
        names = RULE_NAME.findall(rules[rule][number])
        parts = (given[name].pop(0) if given.get(name) else Phrase.of(rules, name) for name in names)
        return Phrase(rule, number, tuple(parts))

    def shorter(self, rules: Rules, number: int) -> list["Phrase"]:
        """A shorter alternative with some of the parts, in every selection and order."""
        orders = itertools.permutations(self.parts)
        return list(dict.fromkeys(Phrase.of(rules, self.rule, number, replace(self, parts=order)) for order in orders))

    def longer(self, rules: Rules, number: int) -> "Phrase":
        """A longer alternative; keeps the parts of rules that occur once in both, the others have to be searched."""
        fresh = Phrase.of(rules, self.rule, number)
        for one in self.parts:
            there = [place for place in range(len(fresh.parts)) if fresh.parts[place].rule == one.rule]
            if len(there) == 1 and sum(part.rule == one.rule for part in self.parts) == 1:
                fresh = fresh.with_part((there[0],), one)
        return fresh

    def unordered(self) -> tuple[Any, ...]:
        """A key that does not depend on the order of the parts."""
        return (self.rule, self.number, *sorted(part.unordered() for part in self.parts))

    def text(self, rules: Rules) -> str:
        parts = iter(self.parts)
        return RULE_NAME.sub(lambda _: next(parts).text(rules), rules[self.rule][self.number])

    def places(self, rule: str) -> Iterator[Place]:
        """The places of all phrases of a rule."""
        if self.rule == rule:
            yield ()
        for number, part in enumerate(self.parts):
            yield from ((number, *place) for place in part.places(rule))

    def at(self, place: Place) -> "Phrase":
        return self.parts[place[0]].at(place[1:]) if place else self

    def with_part(self, place: Place, part: "Phrase") -> "Phrase":
        if not place:
            return part
        changed = self.parts[place[0]].with_part(place[1:], part)
        return replace(self, parts=(*self.parts[: place[0]], changed, *self.parts[place[0] + 1 :]))

    def alternatives(self, rules: Rules, choices: Mapping[Place, Collection[int]]) -> "list[Phrase]":
        """The phrase with every combination of these alternatives at these places."""
        found = [self]
        for place, numbers in choices.items():
            now = self.at(place)
            others = [Phrase.of(rules, now.rule, number, now) for number in sorted(numbers)]
            found = [each.with_part(place, other) for each, other in itertools.product(found, others)]
        return list({each.unordered(): each for each in reversed(found)}.values())[::-1]


@on_free_cores
def find_caption(
    model: PriorModel, rules: Rules, context: Context, over_time: Sequence[str], possible: Callable[[str], bool]
) -> str:
    """The most likely caption of a clip that this search finds and that is `possible`. The rules `over_time`, such as
    motions, cannot be seen in a single frame."""
    search, whole = Search(model, rules, context, tuple(over_time), possible), next(iter(rules))
    best = search.describe(Phrase.of(rules, whole))
    for form in range(1, len(rules[whole])):  # one object, then two: a longer caption has to gain enough
        longer = search.describe(best.longer(rules, form))
        best = search.most_likely([best, *longer.shorter(rules, form - 1)])  # the longer one may have better words
        if search.nats([best])[0] - search.nats([longer])[0] < MIN_GAIN * int(scored_tokens(model, context).sum()):
            break
        best = longer
    return best.text(rules)


Excess = dict[tuple[Place, int], float]  # nats by which an alternative at a place is worse than the best one there


@dataclass(frozen=True)
class Search:
    """The state of a search: scores captions, and caches their scores."""

    model: PriorModel
    rules: Rules
    context: Context  # of one clip, B = 1
    over_time: tuple[str, ...]
    possible: Callable[[str], bool]
    known: dict[tuple[str, int], float] = field(default_factory=dict)  # caption and number of latent frames -> nats

    def most_likely(self, phrases: Sequence[Phrase]) -> Phrase:
        nats = self.nats(phrases)
        return phrases[nats.index(min(nats))]

    def describe(self, phrase: Phrase) -> Phrase:
        """The most likely phrase of this form: searches on one latent frame, then on two, then on all."""
        static_rules = [rule for rule in list(self.rules)[1:] if rule not in self.over_time]
        excess: Excess = {}
        best, frames = self.refine([phrase], static_rules, 1, excess)[:1], 1
        while frames < self.context.codes_BTNK.shape[1]:
            frames *= 2
            best = self.refine(best, [*self.over_time, *static_rules], frames, excess)
        return best[0]

    def refine(self, best: list[Phrase], rules: Sequence[str], frames: int, excess: Excess) -> list[Phrase]:
        """Chooses the alternatives of one rule after the other until nothing changes. Scores all alternatives on one
        latent frame and in the first sweep on two, later only those that were not much worse."""
        for sweep in range(SWEEPS):
            before = best[0]
            limit = RULED_OUT if frames > 2 else FAR if sweep and frames > 1 else math.inf
            # Until a rule with several places was chosen at all of them jointly, the places are interchangeable.
            interchangeable = frames == 1 and not sweep
            for rule in rules:
                places = list(best[0].places(rule))
                if interchangeable and len(places) > 1 and 1 < len(self.rules[rule]) ** len(places) <= MAX_COMBINATIONS:
                    best, interchangeable = self.choose(best[:1], rule, places, frames, excess, limit), False
                    continue
                for place in places:
                    best = self.choose(best, rule, [place], frames, excess, limit)
            if best[0] == before:
                break
        return best

    def choose(
        self, best: list[Phrase], rule: str, places: Sequence[Place], frames: int, excess: Excess, limit: float
    ) -> list[Phrase]:
        """The best phrase among the alternatives that were worse by at most `limit` nats when last scored; on one
        latent frame, the best few."""
        numbers = range(len(self.rules[rule]))
        choices = {place: [n for n in numbers if excess.get((place, n), 0.0) <= limit] for place in places}
        found = {each.unordered(): each for one in best for each in one.alternatives(self.rules, choices)}
        candidates = list(found.values())
        if len(candidates) == len(best):
            return best
        candidates = [each for each in candidates if self.possible(each.text(self.rules))] or candidates
        nats = self.nats(candidates, frames)
        order = sorted(range(len(candidates)), key=lambda number: nats[number])
        for place in places:
            costs: dict[int, float] = {}
            for number in reversed(order):
                costs[candidates[number].at(place).number] = nats[number]
            excess.update({(place, number): cost - nats[order[0]] for number, cost in costs.items()})
        return [candidates[number] for number in order[: BEAM_WIDTH if frames == 1 else 1]]

    def nats(self, phrases: Sequence[Phrase], frames: int | None = None) -> list[float]:
        """The nats of the first `frames` latent frames under each phrase; scores each caption once."""
        context = first_frames(self.context, frames)
        count = context.codes_BTNK.shape[1]
        texts = [phrase.text(self.rules) for phrase in phrases]
        new = list(dict.fromkeys(text for text in texts if (text, count) not in self.known))
        for start in range(0, len(new), BATCH_SIZE):
            some = new[start : start + BATCH_SIZE]
            costs = nats_of(self.model, some, context).tolist()
            self.known.update({(text, count): cost for text, cost in zip(some, costs, strict=True)})
        return [self.known[text, count] for text in texts]


def first_frames(context: Context, frames: int | None) -> Context:
    control = None if context.control_BT is None else context.control_BT[:, :frames]
    return Context(context.codes_BTNK[:, :frames], context.spec, control)


@torch.no_grad()
@on_free_cores
def nats_of(model: PriorModel, captions: Sequence[str], context: Context) -> Tensor:
    """The nats of the `scored_tokens` of a clip under each caption, float64 [C]; "" means no caption."""
    device, count = model.network.device, len(captions)
    text = None if model.conditioner is None else model.conditioner(captions).to(device)
    codes_CTNK = context.codes_BTNK.expand(count, -1, -1, -1)
    control = None if context.control_BT is None else context.control_BT.expand(count, *context.control_BT.shape[1:])
    noise_C, nats_C = torch.zeros(count, device=device), torch.zeros(count, dtype=torch.float64)
    for known_TN, scored_TN in passes(model, context):
        known = None if known_TN is None else known_TN.expand(codes_CTNK.shape[:3])
        losses = model.network(PriorBatch(codes_CTNK, codes_CTNK, known, text, noise_C, context.spec, control))
        nats_C += (losses.nats * scored_TN).double().flatten(1).sum(1).cpu()
    return nats_C


def passes(model: PriorModel, context: Context) -> Iterator[tuple[Tensor | None, Tensor]]:
    """The known and the scored tokens of each pass, bool [T, N]: one group after the other, with the earlier ones
    known, as the prior was trained. An autoregressive prior scores all tokens in one pass."""
    scored_TN = scored_tokens(model, context)
    if model.config.objective != "masked":
        yield None, scored_TN
        return
    for part in context.spec.slices:
        part_TN = torch.zeros_like(scored_TN)
        part_TN[:, part] = scored_TN[:, part]
        known_TN = ~part_TN
        known_TN[:, part.stop :] = False
        yield known_TN, part_TN


def scored_tokens(model: PriorModel, context: Context) -> Tensor:
    """bool [T, N]: the tokens whose likelihood scores a caption. Of the first latent frame, every other token of every
    other row is given instead, to locate the objects; an autoregressive prior scores all tokens."""
    scored_TN = torch.ones(context.codes_BTNK.shape[1:3], dtype=torch.bool, device=model.network.device)
    if model.config.objective == "masked":
        scored_TN[0] = (coordinates(context.spec.groups, scored_TN.device) % 2 != 0).any(-1)
    return scored_TN
