"""Rollouts in training: what the prior writes into its memory about its own frames is taught by later frames."""

from pathlib import Path

import torch

from interfaces.tokens import TokenGroup, TokenSpec
from prior.model import LlamaPrior
from tests.prior.models import WORDS, tiny_batch, tiny_config, tiny_model
from videogen.training.prior.config import PriorPhaseConfig
from videogen.training.prior.samples import rollout_history


def history_gradients(model: LlamaPrior, frames: int, history: torch.Tensor) -> torch.Tensor:
    """[T]: how much the loss of the last frame depends on what was made of each frame of the history."""
    batch = tiny_batch(model.config, frames=frames)._replace(clean=history)
    embedded: list[torch.Tensor] = []
    make = model.embedding.tokens

    def watched(
        codes: torch.Tensor, known: torch.Tensor | None = None, noise: torch.Tensor | None = None
    ) -> torch.Tensor:
        vectors = make(codes, known, noise)
        if codes.shape[1] == frames - 1:  # the clean copy
            vectors = vectors.detach().requires_grad_()
            embedded.append(vectors)
        return vectors

    model.embedding.tokens = watched  # type: ignore[method-assign]
    model(batch).loss[:, -1].sum().backward()
    (vectors,) = embedded
    assert vectors.grad is not None
    return vectors.grad.abs().amax((0, 2, 3))


def test_a_loss_reaches_all_that_the_memory_has_written_of_the_models_own_frames(tmp_path: Path) -> None:
    """Through the keys of frames between them, also frames that have left the window."""
    spec = TokenSpec((4, 3), (TokenGroup("tokens", (2, 3)),), 4)
    config = tiny_config(context=WORDS, window=2, layers=3, spec=spec)
    model, frames = tiny_model(config), 6
    batch = tiny_batch(config, frames=frames)
    history = rollout_history(model, batch, PriorPhaseConfig(0, frames, rollout_share=1, rollout_steps=2), [1, 2])
    assert not torch.equal(history[:, 1:-1], batch.targets[:, 1:-1])  # the model's own frames
    reached = history_gradients(model, frames, history)
    assert (reached > 1e-9).all()  # frame 0 is five frames away, the window holds two
