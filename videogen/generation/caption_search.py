"""What a clip shows, in a model's own words: the caption under which its prior finds the clip's tokens most likely.

    rules: caption -> "{thing} over {ground}", thing -> "a {colour} ball", colour -> "red", "blue", ...

Captions are built from rules, which a model brings as data. One rule is decided at a time, and all its alternatives are
asked about in one batch: first on one latent frame, which shows what is there, then on two and on all, which show what
happens; each time only what the time before could not rule out. Nothing is drawn at random.
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

Rules = Mapping[str, Sequence[str]]  # the first is a whole caption; the others go from what is plain to what is fine
Place = tuple[int, ...]  # of a phrase inside another: numbers of parts, from the outermost in
RULED_OUT = 25.0  # nats by which an alternative is so much worse on two frames that more would not save it
FAR = 60.0  # nats by which it is so much worse that no other choice would
WORTH_SAYING = 0.12  # nats a token that a longer form of caption must save
BESIDE = 3  # phrases that are followed side by side on one frame: words hang together
SWEEPS = 3  # over all rules, at most, until nothing changes
TOGETHER = 64  # so many combinations at most are tried for the places of one rule; above it is place by place
AT_ONCE = 24  # captions


@dataclass(frozen=True)
class Phrase:
    """A rule put into words: the number of its alternative, and phrases for the names in it."""

    rule: str
    number: int
    parts: tuple["Phrase", ...]

    @staticmethod
    def of(rules: Rules, rule: str, number: int = 0, like: "Phrase | None" = None) -> "Phrase":
        """This alternative with what `like` has under the same names, in order, and first alternatives elsewhere."""
        given: dict[str, list[Phrase]] = {}
        for part in () if like is None else like.parts:
            given.setdefault(part.rule, []).append(part)
        names = RULE_NAME.findall(rules[rule][number])
        parts = (given[name].pop(0) if given.get(name) else Phrase.of(rules, name) for name in names)
        return Phrase(rule, number, tuple(parts))

    def shorter(self, rules: Rules, number: int) -> list["Phrase"]:
        """Another form with some of what is there, in every choice and order."""
        orders = itertools.permutations(self.parts)
        return list(dict.fromkeys(Phrase.of(rules, self.rule, number, replace(self, parts=order)) for order in orders))

    def longer(self, rules: Rules, number: int) -> "Phrase":
        """Another form with what is found once in both; what the other form has more of is to be found anew."""
        fresh = Phrase.of(rules, self.rule, number)
        for one in self.parts:
            there = [place for place in range(len(fresh.parts)) if fresh.parts[place].rule == one.rule]
            if len(there) == 1 and sum(part.rule == one.rule for part in self.parts) == 1:
                fresh = fresh.with_part((there[0],), one)
        return fresh

    def unordered(self) -> tuple[Any, ...]:
        """Equal for two that say the same in another order."""
        return (self.rule, self.number, *sorted(part.unordered() for part in self.parts))

    def text(self, rules: Rules) -> str:
        parts = iter(self.parts)
        return RULE_NAME.sub(lambda _: next(parts).text(rules), rules[self.rule][self.number])

    def places(self, rule: str) -> Iterator[Place]:
        """Where in it phrases of a rule are."""
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
        """The whole phrase with every combination of the alternatives given for these places."""
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
    """The most likely caption of a clip that is `possible`, as far as this search finds it; what the rules
    `over_time` say cannot be seen in a single frame."""
    search, whole = Search(model, rules, context, tuple(over_time), possible), next(iter(rules))
    best = search.described(Phrase.of(rules, whole))
    for form in range(1, len(rules[whole])):  # one thing, then two: a longer caption has to be worth it
        longer = search.described(best.longer(rules, form))
        best = search.likeliest([best, *longer.shorter(rules, form - 1)])  # it may have seen better what is there
        if search.nats([best])[0] - search.nats([longer])[0] < WORTH_SAYING * int(asked(model, context).sum()):
            break
        best = longer
    return best.text(rules)


Excess = dict[tuple[Place, int], float]  # nats by which an alternative at a place was worse than the best there


@dataclass(frozen=True)
class Search:
    model: PriorModel
    rules: Rules
    context: Context  # of one clip, B = 1
    over_time: tuple[str, ...]
    possible: Callable[[str], bool]
    known: dict[tuple[str, int], float] = field(default_factory=dict)  # nats of a caption on so many frames

    def likeliest(self, phrases: Sequence[Phrase]) -> Phrase:
        nats = self.nats(phrases)
        return phrases[nats.index(min(nats))]

    def described(self, phrase: Phrase) -> Phrase:
        """This form in the most likely words: what one frame shows, then what happens in two, then in all of them."""
        at_once = [rule for rule in list(self.rules)[1:] if rule not in self.over_time]
        excess: Excess = {}
        best, frames = self.settled([phrase], at_once, 1, excess)[:1], 1
        while frames < self.context.codes_BTNK.shape[1]:
            frames *= 2
            best = self.settled(best, [*self.over_time, *at_once], frames, excess)
        return best[0]

    def settled(self, best: list[Phrase], rules: Sequence[str], frames: int, excess: Excess) -> list[Phrase]:
        """One rule after the other, until nothing changes any more. On one frame all alternatives are looked at, and
        on two once; then, and on more frames, those that were not far off."""
        for sweep in range(SWEEPS):
            before = best[0]
            worth = RULED_OUT if frames > 2 else FAR if sweep and frames > 1 else math.inf
            alike = (
                frames == 1 and not sweep
            )  # until a rule with several places, all of them together, tells them apart
            for rule in rules:
                places = list(best[0].places(rule))
                if alike and len(places) > 1 and 1 < len(self.rules[rule]) ** len(places) <= TOGETHER:
                    best, alike = self.decided(best[:1], rule, places, frames, excess, worth), False
                    continue
                for place in places:
                    best = self.decided(best, rule, [place], frames, excess, worth)
            if best[0] == before:
                break
        return best

    def decided(
        self, best: list[Phrase], rule: str, places: Sequence[Place], frames: int, excess: Excess, worth: float
    ) -> list[Phrase]:
        """The best phrases with an alternative that was at most so much worse when it was looked at last; of one frame,
        which leaves much open, a few of them."""
        numbers = range(len(self.rules[rule]))
        choices = {place: [n for n in numbers if excess.get((place, n), 0.0) <= worth] for place in places}
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
        return [candidates[number] for number in order[: BESIDE if frames == 1 else 1]]

    def nats(self, phrases: Sequence[Phrase], frames: int | None = None) -> list[float]:
        """What the first so many latent frames cost under each; each caption is asked about once."""
        context = beginning_of(self.context, frames)
        count = context.codes_BTNK.shape[1]
        texts = [phrase.text(self.rules) for phrase in phrases]
        new = list(dict.fromkeys(text for text in texts if (text, count) not in self.known))
        for start in range(0, len(new), AT_ONCE):
            some = new[start : start + AT_ONCE]
            costs = nats_of(self.model, some, context).tolist()
            self.known.update({(text, count): cost for text, cost in zip(some, costs, strict=True)})
        return [self.known[text, count] for text in texts]


def beginning_of(context: Context, frames: int | None) -> Context:
    control = None if context.control_BT is None else context.control_BT[:, :frames]
    return Context(context.codes_BTNK[:, :frames], context.spec, control)


@torch.no_grad()
@on_free_cores
def nats_of(model: PriorModel, captions: Sequence[str], context: Context) -> Tensor:
    """What the `asked` tokens of a clip cost under each caption, nats float64 [C]; "" is no caption at all."""
    device, count = model.network.device, len(captions)
    text = None if model.conditioner is None else model.conditioner(captions).to(device)
    codes_CTNK = context.codes_BTNK.expand(count, -1, -1, -1)
    control = None if context.control_BT is None else context.control_BT.expand(count, *context.control_BT.shape[1:])
    asked_TN = asked(model, context)
    known = ~asked_TN.expand(codes_CTNK.shape[:3]) if model.config.objective == "masked" else None
    noise_C = torch.zeros(count, device=device)
    losses = model.network(PriorBatch(codes_CTNK, codes_CTNK, known, text, noise_C, context.spec, control))
    nats_C: Tensor = (losses.nats * asked_TN).double().flatten(1).sum(1).cpu()
    return nats_C


def asked(model: PriorModel, context: Context) -> Tensor:
    """bool [T, N]: of the first latent frame all tokens but every other one of every other row, whose neighbors say
    where things are, and all of the later ones, whose past says what there is. An autoregressive prior is asked about
    all."""
    asked_TN = torch.ones(context.codes_BTNK.shape[1:3], dtype=torch.bool, device=model.network.device)
    if model.config.objective == "masked":
        asked_TN[0] = (coordinates(context.spec.groups, asked_TN.device) % 2 != 0).any(-1)
    return asked_TN
