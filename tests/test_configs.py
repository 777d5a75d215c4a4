"""Every preset can be read and built, and its first lines describe it."""

import re
from pathlib import Path

import pytest
import torch

from interfaces.text import CaptionInput
from interfaces.tokens import TokenGroup, TokenSpec
from prior.config import ContextConfig
from prior.model import LlamaPrior
from tests.tokenizer.models import noise_clip
from tokenizer.laws import check
from tokenizer.networks.kinds import make_tokenizer
from videogen.config import resolve
from videogen.config.schemas import SCHEMAS
from videogen.training.tokenizer.text import with_input

CONFIGS = Path(__file__).parents[1] / "configs"
FILES = sorted(place for schema in SCHEMAS for place in CONFIGS.glob(f"{schema}/*.yaml"))


def test_presets_exist() -> None:
    assert len(FILES) >= 6


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_preset_resolves(path: Path) -> None:
    schema, resolved = resolve(path)
    assert schema in SCHEMAS
    assert resolved.value is not None


@pytest.mark.parametrize("path", sorted((CONFIGS / "tokenizer").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_tokenizer_can_be_built_from_it(path: Path) -> None:
    config = resolve(path, expected="tokenizer")[1].value
    with torch.device("meta"):
        network = make_tokenizer(with_input(config, CaptionInput(length=40, vocabulary=512, features=None)).tokenizer)
    assert sum(p.numel() for p in network.parameters()) > 1e5
    assert config.training.steps > config.phases[-1].from_step, "the last phase is never reached"


@pytest.mark.parametrize("path", sorted((CONFIGS / "tokenizer").glob("playroom_64_*.yaml")), ids=lambda path: path.stem)
def test_the_laws_hold_for_its_network(path: Path) -> None:
    """With random weights, and a frame of a quarter of the pixels where its layout takes one."""
    config = resolve(path, expected="tokenizer")[1].value
    torch.manual_seed(0)
    network = make_tokenizer(with_input(config, CaptionInput(length=4, vocabulary=512, features=None)).tokenizer).eval()
    side = max(32, network.size_multiple)
    verdicts = list(check(network, noise_clip(1, 9, side, side), [[1, 4]], 1e-3))
    assert [verdict for verdict in verdicts if not verdict.held] == []


@pytest.mark.parametrize(
    ("name", "millions"),
    [("playroom_64_cpu", 5), ("playroom_128_gpu", 14), ("video_80m", 79), ("video_700m", 690), ("video_3b", 2773)],
)
def test_a_prior_can_be_built_from_it(name: str, millions: int) -> None:
    config = resolve(CONFIGS / "prior" / f"{name}.yaml", expected="prior")[1].value
    context = ContextConfig(config.text.length, vocabulary=1024)
    spec = TokenSpec((512, 125), (TokenGroup("tokens", (8, 8)),), frames_per_latent=4)
    with torch.device("meta"):
        network = LlamaPrior(config.prior.with_tokens(spec, context))
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(millions * 1e6, rel=0.1)
    assert config.training.steps > config.phases[-1].from_step, "the last phase is never reached"


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_first_lines_of_a_preset_name_it_and_its_inputs(path: Path) -> None:
    text = path.read_text()
    head = text[: text.index("schema:")]
    given = f"--config {path.stem}" if path.parent.name == "playroom" else f"train {path.parent.name} {path.stem}"
    assert re.search(rf"{given}\b", head) or path.relative_to(CONFIGS.parent).as_posix() in head
    made = re.search(r"train: (\S+)", text)
    assert made is None or made[1] in head or "data.train=" in head
