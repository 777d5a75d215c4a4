"""A world that is played: a prior learns from clips with actions, and its streams follow the actions that are set."""

from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from prior.config import PriorShape
from tests.contract.patch_tokenizer import PatchConfig, PatchTokenizer
from videogen.checkpoint import write_folder
from videogen.cli import main
from videogen.clip_spec import ClipSpec
from videogen.io import write_video
from videogen.models import tokenizer_files
from videogen.models.registry import TOKENIZERS, Kind
from videogen.pipeline import VideoPipeline
from videogen.stream import VideoStream
from videogen.training.loop.config import OptimizerConfig, TrainingConfig
from videogen.training.prior.config import PriorPhaseConfig, PriorTrainingConfig, TeachingConfig, TokenDataConfig
from videogen.training.prior.run import run_prior

LEFT, STAY, RIGHT = range(3)
CELL, CELLS, ROWS = 16, 8, 1  # a white bar of one cell moves over a ring of eight
LATENTS, FRAMES = 6, 21  # 1 + 5 * 4
CLIPS = 160


def write_world(folder: Path) -> None:
    """Clips whose bar moves by one cell where a latent frame begins, as the action of its frames says."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    latent_of_frame = [(frame + 3) // 4 for frame in range(FRAMES)]
    for number in range(CLIPS):
        actions = rng.integers(3, size=LATENTS)
        places = (rng.integers(CELLS) + np.cumsum(actions - 1)) % CELLS
        clip = np.zeros((FRAMES, ROWS * CELL, CELLS * CELL, 3), np.uint8)
        for frame, latent in enumerate(latent_of_frame):
            clip[frame, :, places[latent] * CELL : (places[latent] + 1) * CELL] = 255
        write_video(folder / f"{number:03}.mp4", clip, 8)
        np.save(folder / f"{number:03}.control.npy", actions[latent_of_frame])


def world_config(tokens: Path) -> PriorTrainingConfig:
    sizes = {"width": 48, "layers": 2, "heads": 2, "kv_heads": 2, "hidden": 96, "window": 2}
    return PriorTrainingConfig(
        data=TokenDataConfig(train=tokens, validation_share=0.1, validation_clips=4),
        phases=(PriorPhaseConfig(from_step=0, frames=4),),
        prior=PriorShape(**sizes, objective="masked"),  # type: ignore[arg-type]
        text=None,
        teaching=TeachingConfig(corruption=0.0, text_dropout=0.0, control_dropout=0.3),
        optimizer=OptimizerConfig(learning_rate=4e-3, warmup=20, schedule="cosine"),
        training=TrainingConfig(
            steps=600, batch_size=32, average_decay=0.98, sample_every=0, validate_every=0, checkpoint_every=600
        ),
    )


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VideoPipeline]:
    """From files to a trained model, the way of a user."""
    folder, config = tmp_path_factory.mktemp("world"), PatchConfig((4,), cells=(CELL,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TOKENIZERS, "patch", Kind(PatchConfig, PatchTokenizer))
        write_world(folder / "data")
        spec = ClipSpec(ROWS * CELL, CELLS * CELL, 8.0, FRAMES)
        files = tokenizer_files(config, spec, PatchTokenizer(config).state_dict(), "# a test's")
        write_folder(folder / "tokenizer", files)
        assert main(["data", "index", str(folder / "data"), "--quiet"]) == 0
        assert main(["encode", str(folder / "data"), str(folder / "tokens"), "--model", str(folder / "tokenizer")]) == 0
        run_prior(world_config(folder / "tokens"), folder / "tokenizer", folder / "run", resume=False)
        yield VideoPipeline.from_pretrained(folder / "run")


def place_of(stream: VideoStream) -> int | None:
    """The cell of the bar in the last latent frame; None if it is not one bar."""
    codes_RC = stream.generation.context.codes_BTNK[0, -1, :, 0].view(ROWS, CELLS).numpy()
    dark = np.bincount(codes_RC.flatten()).argmax()
    (places,) = np.nonzero((codes_RC != dark).all(0))
    return int(places[0]) if len(places) == 1 and (codes_RC != dark).sum() == ROWS else None


def moves(pipe: VideoPipeline, actions: list[int | None], seed: int, **settings: object) -> list[int | None]:
    """The move of each latent frame after the first: LEFT, STAY, RIGHT, or None for anything else."""
    stream = pipe.stream("", generator=seed, **settings)  # type: ignore[arg-type]
    seen = []
    for number, action in enumerate(actions):
        stream.control = action
        list(islice(stream, 4 if number else 1))
        seen.append(place_of(stream))
    steps = [None if None in pair else (pair[1] - pair[0] + 1) % CELLS for pair in pairwise(seen)]
    return [step if step in (LEFT, STAY, RIGHT) else None for step in steps]


def followed(pipe: VideoPipeline, **settings: object) -> tuple[float, float]:
    """The shares of moves that are the action which was set for their latent frame, and that are another one."""
    rng, right, wrong, count = np.random.default_rng(5), 0, 0, 0
    for seed in range(8):
        actions = rng.integers(3, size=12).tolist()
        for move, action in zip(moves(pipe, actions, seed, temperature=0.7, **settings), actions[1:], strict=True):
            right, wrong, count = right + (move == action), wrong + (move not in (action, None)), count + 1
    return right / count, wrong / count


@pytest.mark.slow
def test_a_stream_follows_the_actions_that_are_set(pipe: VideoPipeline) -> None:
    for settings in ({}, {"guidance_scale": 1.5, "guidance_drops": "control"}):
        right, wrong = followed(pipe, **settings)
        assert right > 0.75, settings  # in the others there is not one whole bar
        assert wrong < 0.05, settings


@pytest.mark.slow
def test_guidance_of_scale_0_ignores_the_actions(pipe: VideoPipeline) -> None:
    right, wrong = followed(pipe, guidance_scale=0.0, guidance_drops="control")
    assert right < 0.6
    assert wrong > 0.3


@pytest.mark.slow
def test_without_an_action_a_stream_moves_either_way(pipe: VideoPipeline) -> None:
    free = [move for seed in range(16) for move in moves(pipe, [None] * 9, seed, temperature=0.7)]
    shares = {move: free.count(move) / len(free) for move in (LEFT, STAY, RIGHT, None)}
    assert shares[None] < 0.2
    assert all(shares[move] > 0.1 for move in (LEFT, STAY, RIGHT))
