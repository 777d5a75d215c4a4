"""Continuing without a prompt: the search of the most likely caption, and the warnings without one."""

import itertools
import warnings
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from prior.laws import random_codes
from tests.pipeline.tiny import RING, STAR
from tests.prior.models import GROUPS_OF_TWO, grid_spec, tiny_config, tiny_model
from videogen.conditioning.prompt_vocabulary import PromptVocabulary
from videogen.errors import UsageError
from videogen.generate import Context
from videogen.generation import caption_search
from videogen.generation.caption_search import Phrase, Search, find_caption, nats_of
from videogen.generation.continuation_prompt import continuation_prompt, stored_prompt
from videogen.io import write_video
from videogen.pipeline import VideoPipeline
from videogen.playroom.grammar import parse
from videogen.playroom.render import render
from videogen.playroom.scene import COLOURS, GROUNDS, MOTIONS, PATTERNS, SHAPES, SIZES, Backdrop, Scene, Thing

RULES = {
    "caption": ("{ball} on {ground}", "{ball} and {ball} on {ground}"),
    "ball": ("a {size} {colour} ball {motion}",),
    "ground": ("grass", "sand", "snow"),
    "colour": ("red", "green", "blue", "white"),
    "size": ("small", "big"),
    "motion": ("rolls", "jumps", "rests"),
}
BALL = Thing("circle", "yellow", "large", "right", "slowly", (0.3, 0.4))
GROUND = Backdrop("plain", "maroon")


@pytest.fixture(scope="module")
def bundled():
    return VideoPipeline.from_pretrained()


def rendered(*things, count=5):
    return render([Scene(things, GROUND)], count, 64)[0].numpy()


def clip_of(latent_frames):
    spec = grid_spec((4, 3), (2, 2))
    return Context(spec.empty(1, latent_frames), spec)


class World:
    """In place of a prior: a clip costs what its true caption and another one differ by; motion is seen from two
    frames on, and a word in the wrong place is as wrong as any."""

    def __init__(self, monkeypatch, truth):
        self.truth, self.scored = Counter(balls_of(truth)), []
        monkeypatch.setattr(caption_search, "nats_of", self.nats_of)
        monkeypatch.setattr(caption_search, "scored_tokens", lambda model, context: torch.ones(10))

    def nats_of(self, model, captions, context):
        frames = context.codes_BTNK.shape[1]
        self.scored += [(caption, frames) for caption in captions]
        return torch.tensor([self.cost(caption, frames) for caption in captions], dtype=torch.float64)

    def cost(self, caption, frames):
        said, true = list(Counter(balls_of(caption)).elements()), list(self.truth.elements())
        pairings = itertools.permutations(said + [()] * (len(true) - len(said)))
        return min(
            sum(self.difference(a, b, frames) for a, b in itertools.zip_longest(one, true, fillvalue=()))
            for one in pairings
        )

    @staticmethod
    def difference(said, true, frames):
        if not said or not true:
            return 40.0 if true else 1.0  # what is not named is a surprise; a name for nothing hardly changes anything
        seen = slice(0, 4 if frames > 1 else 3)
        return sum(10.0 for a, b in zip(said[seen], true[seen], strict=True) if a != b)


def balls_of(caption):
    balls, ground = caption.split(" on ")
    return [(ground, *ball.split()[1:3], ball.split()[-1]) for ball in balls.split(" and ")]


@pytest.mark.parametrize("frames", [1, 2, 4])
@pytest.mark.parametrize(
    "truth",
    [
        "a big blue ball jumps on snow",
        "a small red ball rolls on grass",
        "a big white ball rests and a small green ball jumps on sand",
        "a small blue ball rolls and a big red ball rests on snow",
    ],
)
def test_the_most_likely_caption_is_found_and_none_is_scored_twice(monkeypatch, truth, frames):
    world = World(monkeypatch, truth)
    found = find_caption(None, RULES, clip_of(frames), ("motion",), lambda caption: True)
    assert world.cost(found, frames) == 0
    assert len(balls_of(found)) == len(balls_of(truth))
    assert len(world.scored) == len(set(world.scored)) < 300


def test_an_impossible_caption_is_never_found(monkeypatch):
    World(monkeypatch, "a big blue ball jumps on snow")
    found = find_caption(None, RULES, clip_of(4), ("motion",), lambda caption: "blue" not in caption)
    assert found.startswith("a big")
    assert "blue" not in found


def test_a_longer_form_keeps_the_parts_that_occur_once():
    phrase = Phrase.of(RULES, "caption").with_part((1,), Phrase.of(RULES, "ground", 2))
    phrase = phrase.with_part((0, 1), Phrase.of(RULES, "colour", 3))
    assert phrase.text(RULES) == "a small white ball rolls on snow"
    assert phrase.longer(RULES, 1).text(RULES) == "a small red ball rolls and a small red ball rolls on snow"
    places = [(0, 1), (1, 1)]
    pairs = phrase.longer(RULES, 1).alternatives(RULES, {place: range(4) for place in places})
    assert len(pairs) == 10  # which of two alike is named first makes no difference


def test_a_shorter_form_has_every_selection_of_the_parts():
    pair = Phrase.of(RULES, "caption", 1).with_part((0, 1), Phrase.of(RULES, "colour", 3))
    assert {each.text(RULES) for each in pair.shorter(RULES, 0)} == {
        "a small red ball rolls on grass",
        "a small white ball rolls on grass",
    }


def test_a_single_object_that_was_misread_is_not_described_as_two(monkeypatch):
    """If the search for one object goes wrong, the words found for two are tried for one as well."""
    truth = "a big blue ball jumps on snow"
    World(monkeypatch, truth)
    described = Search.describe
    astray = Phrase.of(RULES, "caption")

    def misled(search, phrase):
        return described(search, phrase) if len(balls_of(phrase.text(RULES))) > 1 else astray

    monkeypatch.setattr(Search, "describe", misled)
    assert find_caption(None, RULES, clip_of(4), ("motion",), lambda caption: True) == truth


@pytest.mark.parametrize(
    ("rules", "over_time", "message"),
    [
        ({"caption": ("a {ball}",)}, (), "no rule ball"),
        ({"caption": ("a ball",)}, ("motion",), "no rule motion"),
        ({"caption": ("a {ball}",), "ball": ("{caption}",)}, (), "cycle"),
    ],
)
def test_invalid_caption_rules_are_refused(rules, over_time, message):
    with pytest.raises(ValueError, match=message):
        PromptVocabulary("playroom", RING, caption_rules=rules, rules_over_time=over_time)


@pytest.mark.parametrize(
    ("metadata", "prompt"),
    [
        ({"prompt": RING, "model": "playroom"}, RING),
        ({"prompt": RING, "model": "playroom", "prompt_changes": [{"picture": 4, "prompt": STAR}]}, STAR),
        ({"prompt": RING, "model": "another"}, None),
        ({"prompt": [RING, STAR], "model": "playroom"}, None),
        (None, None),
    ],
)
def test_the_prompt_is_read_from_a_file_of_this_model(bundled, tmp_path, metadata, prompt):
    clip = np.zeros((3, 16, 16, 3), np.uint8)
    write_video(tmp_path / "clip.mp4", clip, 8, **({} if metadata is None else {"metadata": metadata}))
    assert stored_prompt(bundled.model, tmp_path / "clip.mp4") == prompt


def test_no_search_if_the_file_has_a_prompt(bundled, tmp_path, monkeypatch):
    monkeypatch.setattr("videogen.generation.continuation_prompt.find_caption", None)
    path, prompt = tmp_path / "clip.mp4", "a large yellow circle drifts right slowly over a maroon background"
    write_video(path, rendered(BALL), 8, metadata={"prompt": prompt, "model": "playroom"})
    assert bundled.stream(video=path, generator=3).prompt == prompt


def test_the_caption_rules_of_the_playroom_cover_its_grammar(bundled):
    rules = bundled.model.prompt_vocabulary.caption_rules
    first = Phrase.of(rules, "caption")
    said = set()
    for rule in list(rules)[1:]:
        for place in first.places(rule):
            numbers = {place: range(len(rules[rule]))}
            said |= {
                parse(each.text(rules))
                for each in first.alternatives(rules, numbers)
                if "spins" not in each.text(rules)
            }
    things = [scene.things[0] for scene in said]
    assert {thing.colour for thing in things} == set(COLOURS)
    assert {thing.shape for thing in things} == set(SHAPES)
    assert {thing.size for thing in things} == set(SIZES)
    assert {thing.motion for thing in things} == {*MOTIONS} - {"spins"}
    assert {scene.backdrop.colour for scene in said} == set(GROUNDS)
    assert {scene.backdrop.pattern for scene in said} == set(PATTERNS)


def test_an_image_without_a_prompt_gets_its_caption(bundled):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stream = bundled.stream(image=rendered(BALL, count=1)[0], generator=3)
    scene = parse(stream.prompt).words()
    assert scene.backdrop == GROUND
    (thing,) = scene.things  # whatever it does: that cannot be seen
    assert (thing.shape, thing.colour, thing.size) == (BALL.shape, BALL.colour, BALL.size)


@pytest.mark.slow
def test_a_clip_without_a_prompt_gets_its_caption(bundled):
    clip = rendered(BALL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        output = bundled(video=clip, num_frames=1, generator=3, output_type="codes")
    assert parse(output.metadata[0]["prompt"]).words() == Scene((BALL.words(),), GROUND)
    same = bundled(output.metadata[0]["prompt"], video=clip, num_frames=1, generator=3, output_type="codes")
    assert torch.equal(torch.as_tensor(output.frames), torch.as_tensor(same.frames))


def test_an_unfamiliar_clip_gives_a_warning_and_no_caption(bundled):
    noise = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
    with pytest.warns(UserWarning, match="playroom") as caught:
        output = bundled(video=noise, num_frames=1, generator=3)
    assert [each.message.detail.kind for each in caught] == ["input_unfamiliar"]
    assert "prompt" not in output.metadata[0]
    with pytest.warns(UserWarning, match="playroom"):
        bundled("a small red ring drifts left slowly over a black background", video=noise, num_frames=1)


def test_a_model_without_caption_rules_continues_without_a_prompt(pipe):
    clip = np.zeros((5, 16, 24, 3), np.uint8)
    with pytest.warns(UserWarning, match="no prompt") as caught:
        free = pipe(video=clip, num_frames=2, generator=1, output_type="codes")
    assert caught[0].message.detail.kind == "no_prompt"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(
            torch.as_tensor(pipe("", video=clip, num_frames=2, generator=1, output_type="codes").frames),
            torch.as_tensor(free.frames),
        )
    with pytest.warns(UserWarning, match="no prompt"):
        stream = pipe.stream(image=clip[0], generator=1)
    assert stream.prompt == ""


def test_without_a_clip_or_an_image_a_prompt_is_required(pipe):
    for make in (pipe, pipe.stream):
        with pytest.raises(UsageError, match="prompt"):
            make()


@pytest.mark.parametrize("which", ["masked", "autoregressive"])
def test_a_caption_has_the_same_likelihood_alone_and_in_a_batch(which, pipe, autoregressive_pipe):
    model = {"masked": pipe, "autoregressive": autoregressive_pipe}[which].model
    codes = random_codes(model.spec, (1, 3, 6), torch.Generator().manual_seed(1))
    clip = Context(codes, model.spec)
    together = nats_of(model, [RING, STAR, ""], clip)
    alone = torch.cat([nats_of(model, [caption], clip) for caption in (RING, STAR, "")])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-4)
    assert len(set(together.tolist())) == 3


def test_no_caption_search_for_a_model_without_text(pipe):
    silent = replace(pipe.model, conditioner=None)
    assert continuation_prompt(silent, pipe.conditioning(np.zeros((5, 16, 24, 3), np.uint8), None, None, None)) == (
        "",
        (),
    )


def test_a_caption_is_scored_group_after_group():
    """As in training: fine tokens are predicted with all coarse ones known, and coarse ones without any fine one."""
    config, seen = tiny_config(spec=GROUPS_OF_TWO), []
    network = tiny_model(config).float()

    class Recorder:
        device = network.device

        def __call__(self, batch):
            seen.append(batch.known[0])
            return network(batch)

    model = SimpleNamespace(conditioner=None, network=Recorder(), config=config)
    codes = random_codes(GROUPS_OF_TWO, (1, 3, GROUPS_OF_TWO.tokens), torch.Generator().manual_seed(1))
    nats = nats_of(model, [""], Context(codes, GROUPS_OF_TWO))
    coarse, fine = GROUPS_OF_TWO.slices
    assert [bool(known[:, fine].any()) for known in seen] == [False, True]
    assert [bool(known[:, coarse].all()) for known in seen] == [False, True]
    assert not seen[1][1:, fine].any()
    assert nats.shape == (1,)
    assert nats.isfinite().all()
