"""The evaluator: oracle scores, distances, drift, and the report."""

import json
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch

from tests.evaluation.models import write_whole_model
from tests.executors.inline import open_inline
from tests.measures.folders import tiny_clip
from videogen.cli import main
from videogen.cli.evaluate.generation import generation
from videogen.clip_spec import ClipSpec
from videogen.errors import CheckpointError, DataError, UsageError
from videogen.evaluation.distances.distance import Distance, references
from videogen.evaluation.distances.extractor import Clips, sample_frames
from videogen.evaluation.distances.frechet import FeatureStatistics, frechet_distance
from videogen.evaluation.generation.clip_sources import (
    ChunkStream,
    SourceClips,
    rendered_clips,
    rendered_stream,
    sliding_windows,
)
from videogen.evaluation.generation.drift import DriftPlan, attribute_loss, choose_streams, measure_drift
from videogen.evaluation.generation.evaluator import (
    SAMPLES,
    Evaluator,
    evaluate_clips,
    shuffled_baseline,
)
from videogen.evaluation.generation.features import RandomMotionBank, random_filters
from videogen.evaluation.generation.networks import ReferenceClips
from videogen.evaluation.generation.oracle_scores import describe_errors, wilson_interval
from videogen.evaluation.generation.pretrained import ClipScore, VideoMAEFeatures
from videogen.evaluation.generation.prompts import Prompts, read_prompts
from videogen.evaluation.generation.sampler_variants import read_variant, read_variants

FRAMES, SIZE, FPS = 17, 64, 8.0
BANK = RandomMotionBank()


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    return read_prompts("playroom:20")


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    true = ReferenceClips(None, 48, ClipSpec(SIZE, SIZE, FPS, FRAMES))
    (reference,) = references([BANK], map(true.read, true.batches()))
    return Evaluator(FPS, FRAMES, (Distance(BANK, reference, "the playroom"),))


@pytest.fixture(scope="module")
def whole_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whole_model(tmp_path_factory.mktemp("whole"))


def noise(clips: int, frames: int = FRAMES, seed: int = 0) -> Clips:
    return np.random.default_rng(seed).integers(0, 256, (clips, frames, SIZE, SIZE, 3), dtype=np.uint8)


def perfect(prompts: Prompts) -> Any:
    assert prompts.drawn is not None
    return rendered_clips(prompts.drawn, FRAMES, SIZE, SIZE, FPS)


# Oracle scores


def test_true_clips_score_high_and_shuffled_prompts_score_low(prompts: Prompts, evaluator: Evaluator) -> None:
    row = evaluate_clips("true", perfect(prompts), prompts, evaluator, batch=8)
    figures, chance = row.figures(prompts, evaluator), shuffled_baseline(row, prompts, evaluator)
    oracle = figures["oracle"]
    assert oracle["all_correct"] >= 0.95
    assert sum(part["clips"] for part in oracle["by_things"].values()) == oracle["clips"] == 20
    assert set(oracle["by_things"]) == {1, 2}
    assert chance["oracle"]["all_correct"] <= 0.1
    assert chance["oracle"]["attributes"] < 0.5
    assert len(row.drawn) == min(SAMPLES, 20)
    assert all(caption.endswith("--  right") for caption in row.captions(prompts)[:3])


def test_each_error_is_described_once(prompts: Prompts) -> None:
    assert prompts.drawn is not None
    asked = next(scene for scene in prompts.wanted if scene is not None and len(scene.things) == 1)
    other = "red" if asked.things[0].colour != "red" else "blue"
    seen = replace(asked, things=(replace(asked.things[0], colour=other),))
    assert describe_errors(asked, asked) == "right"
    assert describe_errors(asked, seen) == f"WRONG: colour {asked.things[0].colour}, seen nothing"
    assert "not judged" in describe_errors(None, seen)


@pytest.mark.parametrize(("right", "clips"), [(0, 5), (5, 5), (3, 7), (640, 1000)])
def test_the_wilson_interval_contains_the_rate_within_0_and_1(right: int, clips: int) -> None:
    low, high = wilson_interval(right, clips)
    assert 0 <= low <= right / clips <= high <= 1
    assert high - low < 2 / clips**0.5
    assert wilson_interval(500, 1000) == pytest.approx((0.469, 0.531), abs=0.001)


# Prompts and variants


def test_prompts_come_from_a_file_or_from_the_playroom(tmp_path: Path) -> None:
    some, more = read_prompts("playroom:3"), read_prompts("playroom:5")
    assert more.captions[:3] == some.captions
    assert some.about_playroom
    file = tmp_path / "mine.txt"
    file.write_text(f"{some.captions[0]}\n\na storm at sea\n")
    mine = read_prompts(str(file))
    assert mine.captions == (some.captions[0], "a storm at sea")
    assert mine.wanted == (some.wanted[0], None)
    assert not mine.about_playroom
    assert mine.drawn is None


def test_prompts_are_filtered_by_phrases(monkeypatch):
    some = read_prompts("playroom:6:red star,hoop")
    assert len(some.captions) == 6
    assert all("red star" in caption or "hoop" in caption for caption in some.captions)
    assert some.captions[:2] == read_prompts("playroom:2:red star, hoop").captions
    assert read_prompts("playroom:3:").captions == read_prompts("playroom:3").captions
    others = read_prompts("playroom:20:-star,-tiny").captions
    all_of_them = read_prompts("playroom:60").captions
    assert others == tuple(told for told in all_of_them if not {"star", "tiny"} & set(re.findall("[a-z]+", told)))[:20]
    both = read_prompts("playroom:3:hoop,-tiny").captions
    assert all("hoop" in caption and "tiny" not in caption for caption in both)
    monkeypatch.setattr("videogen.evaluation.generation.prompts.MAX_CAPTIONS", 50)
    with pytest.raises(UsageError, match="50 captions"):
        read_prompts("playroom:2:purple")


@pytest.mark.parametrize("source", ["playroom:", "playroom:0", "playroom:many"])
def test_a_wrong_number_of_scenes_is_an_error(source: str) -> None:
    with pytest.raises(UsageError, match="playroom:"):
        read_prompts(source)


def test_a_file_without_prompts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt"):
        read_prompts(str(tmp_path / "none.txt"))
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(DataError, match=r"empty\.txt"):
        read_prompts(str(tmp_path / "empty.txt"))


def test_variants_are_parsed_into_sampler_overrides() -> None:
    variant = read_variant("order=threshold, threshold=0.9")
    assert variant.name == "order=threshold,threshold=0.9"
    assert variant.overrides == {"order": "threshold", "threshold": 0.9}
    common = {"steps": 6, "top_k": None, "guidance_scale": 2.0}
    assert [s.overrides for s in read_variants(["steps=4"], common)] == [{"steps": 4, "guidance_scale": 2.0}]
    assert [s.name for s in read_variants([], {})] == ["default"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("stepz=4", "steps"),
        ("steps=0", "at least 1"),
        ("order=sideways", "sideways"),
        ("steps", "key=value"),
        (" ", "empty"),
    ],
)
def test_a_wrong_variant_is_an_error(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        read_variant(text)


# Distances


def test_the_distance_is_0_between_equal_sets_and_grows_with_noise(prompts: Prompts, evaluator: Evaluator) -> None:
    true = perfect(prompts)(range(16)).clips
    other = FeatureStatistics.of(BANK(true))
    assert frechet_distance(other, other) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(FeatureStatistics.of(BANK(true[::-1].copy())), other) == pytest.approx(0, abs=1e-3)
    reference = evaluator.distances[0].reference
    assert reference is not None
    near = frechet_distance(other, reference)
    mild = np.clip(true.astype(int) + noise(16).astype(int) // 8 - 16, 0, 255).astype(np.uint8)
    distances = [
        near,
        frechet_distance(FeatureStatistics.of(BANK(mild)), reference),
        frechet_distance(FeatureStatistics.of(BANK(noise(16))), reference),
    ]
    assert distances[0] * 1.5 < distances[1]
    assert distances[1] * 2 < distances[2]


def test_the_distance_depends_on_motion(prompts: Prompts) -> None:
    """The same frames in another order or frozen: means over frames alone would not differ."""
    true = perfect(prompts)(range(16)).clips
    cloud = FeatureStatistics.of(BANK(true))
    order = np.random.default_rng(0).permutation(16)
    assert frechet_distance(FeatureStatistics.of(BANK(true[:, order])), cloud) > 5
    assert frechet_distance(FeatureStatistics.of(BANK(np.repeat(true[:, :1], FRAMES, axis=1))), cloud) > 5


def test_the_distance_equals_the_published_formula() -> None:
    generator = torch.Generator().manual_seed(1)
    one = torch.randn(40, 6, generator=generator, dtype=torch.float64)
    other = torch.randn(30, 6, generator=generator, dtype=torch.float64) @ torch.diag(torch.arange(1.0, 7).double()) + 2
    roots = torch.linalg.eigvals(one.T.cov() @ other.T.cov()).real.clamp_min(0).sqrt().sum()
    means = (one.mean(0) - other.mean(0)).square().sum()
    expected = means + one.T.cov().trace() + other.T.cov().trace() - 2 * roots
    assert frechet_distance(FeatureStatistics.of(one), FeatureStatistics.of(other)) == pytest.approx(
        float(expected), rel=1e-9
    )
    assert frechet_distance(FeatureStatistics.of(other), FeatureStatistics.of(one)) == pytest.approx(
        float(expected), rel=1e-9
    )


def test_the_random_filters_are_reproducible_and_independent_of_the_batch(prompts: Prompts) -> None:
    weights = random_filters(0, 6, 8, (1, 5, 5))
    assert weights.shape == (8, 6, 1, 5, 5)
    pinned = [-0.011435828171670437, 0.08990082889795303, -0.07878763973712921]
    assert weights.flatten()[:3].tolist() == pytest.approx(pinned, abs=1e-7)
    clips = perfect(prompts)(range(3)).clips
    torch.testing.assert_close(BANK(clips)[1:2], BANK(clips[1:2]), atol=1e-3, rtol=1e-3)


def test_the_first_frames_are_sampled_and_the_last_is_repeated() -> None:
    clip = np.arange(3, dtype=np.uint8)[None, :, None, None, None].repeat(4, 2).repeat(4, 3).repeat(3, 4) * 51
    x = sample_frames(clip, 5, 8)
    assert x.shape == (1, 3, 5, 8, 8)
    torch.testing.assert_close(x[0, 0, :, 3, 3], torch.tensor([0.0, 0.2, 0.4, 0.4, 0.4]))


# Drift


def in_pieces(video: Clips, lengths: list[int]) -> ChunkStream:
    start = 0
    for length in lengths:
        yield video[:, start : start + length]
        start += length


@pytest.mark.parametrize(("length", "hop"), [(5, 5), (5, 2), (3, 7), (1, 1)])
def test_windows_do_not_depend_on_the_chunks_of_a_stream(length: int, hop: int) -> None:
    video = np.random.default_rng(0).integers(0, 256, (2, 40, 4, 4, 3), dtype=np.uint8)
    seen = list(sliding_windows(in_pieces(video, [1, 4, 4, 4, 9, 2, 16]), length, hop, 30))
    assert [start for start, _ in seen] == list(range(0, 30 - length + 1, hop))
    assert all(np.array_equal(clips, video[:, start : start + length]) for start, clips in seen)


def test_streams_are_chosen_from_judged_prompts_with_one_and_two_objects(prompts: Prompts) -> None:
    numbers = choose_streams((None, *prompts.wanted), 8)
    things = [len(prompts.wanted[number - 1].things) for number in numbers]  # type: ignore[union-attr]
    assert 0 not in numbers
    assert sorted(things) == [1] * 4 + [2] * 4
    assert choose_streams((None, None), 5) == (0, 1)


def test_drift_is_measured_for_a_stream_that_turns_to_noise_and_not_for_a_true_one(
    prompts: Prompts, evaluator: Evaluator
) -> None:
    numbers = choose_streams(prompts.wanted, 4)
    assert prompts.drawn is not None
    scenes, wanted = tuple(prompts.drawn[n] for n in numbers), [prompts.wanted[n] for n in numbers]
    plan = DriftPlan(streams=4, frames=49, window=FRAMES, hop=16)
    seen: list[tuple[int, int]] = []
    stream = rendered_stream(scenes, SIZE, SIZE, FPS)
    true = measure_drift(stream, wanted, evaluator, plan, (), lambda *at: seen.append(at))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert true.seconds == [1.0625, 3.0625, 5.0625]
    assert {len(values) for values in true.measures.values()} == {3}
    assert true.measures["attributes"][0] >= 0.95
    decaying = measure_drift(until_noise(rendered_stream(scenes, SIZE, SIZE, FPS)), wanted, evaluator, plan)
    assert decaying.measures["attributes"][0] == true.measures["attributes"][0]
    assert decaying.measures["attributes"][2] < 0.5
    assert decaying.measures["frechet"][2] > 2 * true.measures["frechet"][2]
    gone = attribute_loss(decaying)
    assert gone is not None
    assert gone < -0.4


def test_workers_write_the_same_report(whole_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["evaluate", "generation", "--model", str(whole_model), "--prompts", "playroom:3", "--batch", "2"]
    command += ["--drift-frames", "20", "--drift-streams", "2", "--reference-clips", "70", "--quiet"]
    command += ["--compare", "steps=1", "steps=2"]
    assert main([*command, "--out", str(tmp_path / "one")]) == 0
    monkeypatch.setattr(sys.modules["videogen.cli.evaluate.generation"], "open_executor", open_inline)
    assert main([*command, "--out", str(tmp_path / "workers"), "--workers", "2"]) == 0
    for place in (tmp_path / "one").iterdir():
        other = tmp_path / "workers" / place.name
        if place.name == "figures.json":
            assert without_speed(other) == without_speed(place)
        elif place.name != "speed.svg":
            assert other.read_bytes() == place.read_bytes()


def without_speed(place: Path) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(place.read_text())
    assert sum(row.pop("frames_per_second") is not None for row in figures["rows"]) == 2
    return figures


def test_windows_of_one_frame_have_no_change(
    whole_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "generation", "--model", str(whole_model), "--prompts", "playroom:2"]
    length = ["--seconds", "0.1", "--drift-frames", "4", "--drift-streams", "1", "--steps", "1"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert main([*command, *length, "--out", str(tmp_path / "report"), "--quiet"]) == 0, capsys.readouterr().err

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    written = (tmp_path / "report" / "figures.json").read_text()
    drift = json.loads(written, parse_constant=refuse)["drift"]
    assert drift["window"] == 1
    assert all("change" not in curve for curve in drift["curves"].values())


def test_a_frozen_stream_has_no_change(prompts: Prompts, evaluator: Evaluator) -> None:
    picture = perfect(prompts)(range(2)).clips[:, :1]
    frozen = measure_drift((picture for _ in count()), prompts.wanted[:2], evaluator, DriftPlan(2, 20, 5, 5))
    assert frozen.measures["change"] == [0.0] * 4
    assert attribute_loss(frozen, "change") == 0
    assert attribute_loss(frozen, "nothing of the kind") is None


def until_noise(pieces: ChunkStream, after: int = 2) -> Iterator[Clips]:
    for number, piece in enumerate(pieces):
        yield piece if number < after else noise(len(piece), piece.shape[1], number)


# Networks from folders


def test_the_clip_score_is_the_cosine_of_prompt_and_frames(tmp_path: Path) -> None:
    folder = tiny_clip(tmp_path)
    score, clips = ClipScore(folder), noise(2, 6)
    one, other = score(clips, ["a red ring", "a blue square"])
    assert -100 <= one <= 100
    assert [one, other] == pytest.approx([score(clips[:1], ["a red ring"])[0], score(clips[1:], ["a blue square"])[0]])
    assert score(clips[:1], ["a blue square"])[0] != pytest.approx(one)
    assert score(clips[:1], ["a " * 200])[0] < 100  # longer than its context


def test_features_can_come_from_a_videomae(tmp_path: Path) -> None:
    from transformers import VideoMAEConfig, VideoMAEModel

    config = VideoMAEConfig(
        image_size=16, patch_size=8, num_frames=4, tubelet_size=2, hidden_size=16, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=24,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        VideoMAEModel(config).save_pretrained(tmp_path)
    features = VideoMAEFeatures(tmp_path)
    assert (features.frames, features.size, features.comparable) == (4, 16, True)
    clips = noise(3)
    assert features(clips).shape == (3, 16)
    torch.testing.assert_close(features(clips[1:2]), features(clips)[1:2])


def test_a_folder_without_the_network_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="CLIPModel"):
        ClipScore(tmp_path)


# The command


def run(*arguments: str) -> None:
    with generation.make_context("generation", list(arguments)) as context:
        generation.invoke(context)


def test_a_report_has_a_row_for_each_variant_for_true_clips_and_for_chance(
    whole_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    run(
        "--model", str(whole_model), "--prompts", "playroom:3", "--out", str(out), "--batch", "2", "--seed", "5",
        "--drift-frames", "13", "--drift-streams", "2", "--json", "--compare", "steps=1",
        "order=threshold,threshold=0.5",
    )  # fmt: skip
    figures = json.loads(capsys.readouterr().out)
    assert figures == json.loads((out / "figures.json").read_text())
    names = [row["name"] for row in figures["rows"]]
    settings = ["steps=1", "order=threshold,threshold=0.5"]
    assert names == ["true clips", "true clips as tokens", *settings, "steps=1, prompts shuffled"]
    assert [row["sampler"] and row["sampler"]["order"] for row in figures["rows"][2:4]] == ["halton", "threshold"]
    assert figures["rows"][2]["steps"] == 1
    assert all(row["frames_per_second"] > 0 for row in figures["rows"][2:4])
    pinned = figures["pinned"]["frechet"]
    assert pinned["extractor"] == "random-motion-1"
    assert pinned["frames"] == 5
    assert not pinned["comparable_with_published_figures"]
    curves = figures["drift"]["curves"]
    assert list(curves) == ["true clips", settings[0]]
    assert all(len(curve["attributes"]) == len(curve["seconds"]) == 3 for curve in curves.values())
    drawn = {path.name for path in out.iterdir()}
    assert {"attributes.svg", "speed.svg", "drift_attributes.svg", "drift_frechet.svg", "drift_change.svg"} <= drawn
    assert {"clips_0_true_clips.png", "clips_2_steps_1.png", "drift_1_steps_1.png", "drift_1_steps_1.svg"} <= drawn


def test_prompts_outside_the_playroom_are_generated_but_not_judged(
    whole_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("a storm at sea\na quiet street\n")
    out = tmp_path / "report"
    run("--model", str(whole_model), "--prompts", str(tmp_path / "mine.txt"), "--out", str(out), "--steps", "2")
    said = capsys.readouterr().out
    assert "steps=2" in said
    head, row, clips, lacking, drift, place = said.splitlines()
    assert head.split() == ["steps", "frames/s"], "what no row has a figure of has no column"
    assert len(row.split()) == 3
    assert clips.endswith("speed at batch 2"), "no more can be made at once than there are prompts"
    for word in ("attributes (the oracle", "--reference DATA", "--clip FOLDER"):
        assert word in lacking
    assert re.fullmatch(r"drift, steps=2: gray levels between frames \S+ at 0 s, \S+ at 19 s", drift)
    assert place == str(out)
    figures = json.loads((out / "figures.json").read_text())
    assert [(row["oracle"], row["frechet"]) for row in figures["rows"]] == [(None, None)]
    assert (out / "clips_0_steps_2.png").is_file()
    assert not (out / "attributes.svg").exists()
    again = "--model", str(whole_model), "--prompts", str(tmp_path / "mine.txt"), "--out", str(out), "--steps", "1"
    with pytest.raises(UsageError, match="--overwrite"):
        run(*again)
    (out / "mine.png").touch()
    run(*again, "--overwrite")
    sheets = {place.name for place in out.glob("*.png")}
    assert {"clips_0_steps_1.png", "mine.png"} <= sheets
    assert "clips_0_steps_2.png" not in sheets


def test_for_playroom_prompts_no_measure_is_reported_as_missing(
    whole_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--model", str(whole_model), "--prompts", "playroom:2", "--out", str(tmp_path / "report")]
    run(*command, "--steps", "1", "--drift-frames", "0")
    head, *_ = said = capsys.readouterr().out.splitlines()
    assert "all right" in head
    assert "Frechet" in head
    assert "CLIP" not in head
    assert not [line for line in said if line.startswith("not judged")]


def test_the_same_seed_gives_the_same_clips_in_any_batch(whole_model: Path) -> None:
    from videogen.evaluation.generation.clip_sources import model_clips
    from videogen.evaluation.generation.sampler_variants import SamplerVariant
    from videogen.pipeline import VideoPipeline

    pipe, prompts = VideoPipeline.from_pretrained(whole_model), read_prompts("playroom:4")
    make = model_clips(pipe, prompts, SamplerVariant("", {"steps": 2}), 5, seed=3)
    alone, together = make(range(2, 3)), make(range(0, 4))
    assert isinstance(alone, SourceClips)
    assert alone.clips.shape == (1, 5, 16, 16, 3)
    assert alone.steps == 2
    assert np.abs(alone.clips[0].astype(int) - together.clips[2].astype(int)).max() <= 1


def test_a_wrong_variant_is_an_error_before_any_work(whole_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="steps"):
        run("--model", str(whole_model), "--prompts", "playroom:2", "--out", str(tmp_path / "r"), "--compare", "step=4")
    with pytest.raises(click.UsageError):
        run("--model", str(whole_model), "--prompts", "playroom:2")
    assert not (tmp_path / "r").exists()
