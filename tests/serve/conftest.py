"""A tiny model and an engine around it."""

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from prior.config import ContextConfig
from tests.pipeline.tiny import CLIPS, tiny_tokenizer
from tests.prior.models import tiny_config, tiny_model
from videogen.checkpoint import write_folder
from videogen.conditioning import BPEConfig, make_conditioner
from videogen.models import prior_files
from videogen.playroom.grammar import caption
from videogen.playroom.scene import sample_scenes
from videogen.serve.engine.engine import Engine
from videogen.serve.limits import ServerLimits

Result = TypeVar("Result")


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights; 16 x 24 pixels, 8 frames a second, 4 frames per latent; its text tokenizer knows the playroom."""
    home = tmp_path_factory.mktemp("studio")
    captions = [caption(scene, number) for number, scene in enumerate(sample_scenes(300, 5))]
    conditioner = make_conditioner(BPEConfig(vocabulary=512, length=32), captions)
    context = ContextConfig(32, vocabulary=conditioner.vocabulary)
    tokenizer = tiny_tokenizer(home)
    config = tiny_config("masked", spec=tokenizer.spec, context=context)
    weights = tiny_model(config).float().state_dict()
    write_folder(home / "tiny", prior_files(tokenizer, config, CLIPS, weights, conditioner, "# a card"))
    return home / "tiny"


@dataclass(frozen=True, eq=False)
class Home:
    """One engine for all tests, in a loop that runs only while a test waits."""

    runner: asyncio.Runner
    engine: Engine

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(within(work))


async def within(work: Coroutine[Any, Any, Result]) -> Result:
    """The timeout only ends what would never end."""
    async with asyncio.timeout(120):
        return await work


@pytest.fixture(scope="package")
def home(tiny_model_folder: Path) -> Iterator[Home]:
    limits = ServerLimits(
        streams=2, queued=3, turn_seconds=3600, spare_seconds=3600, idle_seconds=5, upload_bytes=2**20, prompt_chars=200
    )
    with asyncio.Runner() as runner:
        engine = runner.run(within(Engine.start(tiny_model_folder, limits, threads=1)))
        yield Home(runner, engine)
        runner.run(within(engine.close()))
