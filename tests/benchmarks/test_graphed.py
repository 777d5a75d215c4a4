"""The function of the CUDA graph equals the prior; on a CPU it runs without a graph."""

import torch

from benchmarks.gpu_check.graphed_prior import GraphedPrior
from interfaces.prior import clone_tensors
from tests.prior.models import WORDS, tiny_batch, tiny_config, tiny_model


def same(one: torch.Tensor, other: torch.Tensor) -> None:
    """Up to rounding: on a CPU the prior streams with other arithmetic."""
    torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


def test_proposals_and_commits_equal_those_of_the_prior() -> None:
    """Over many latent frames of two streams, with another proposal before each commit, and with copies."""
    config = tiny_config(context=WORDS)
    model, batch = tiny_model(config), tiny_batch(config, frames=12)
    graphed = GraphedPrior(model)
    ours, theirs = (each.begin(batch.text, 2) for each in (graphed, model))
    known = torch.ones(2, config.spec.tokens, dtype=torch.bool)
    for t in range(12):
        codes = batch.clean[:, t]
        if t % 3 == 2:
            (ours, one), (theirs, other) = (
                each.advance(codes, past) for each, past in ((graphed, ours), (model, theirs))
            )
            same(one.features, other.features)
            continue
        first = graphed.propose(codes, ~known, ours)[0]
        same(first.features, model.propose(codes, ~known, theirs)[0].features)
        present = graphed.propose(codes, known, ours)[1]
        same(first.features, model.propose(codes, ~known, theirs)[0].features)  # a later replay did not overwrite it
        graphed.propose(codes, ~known, ours)
        ours, theirs = graphed.commit(ours, present), model.commit(theirs, model.propose(codes, known, theirs)[1])
        ours = clone_tensors(ours) if t == 8 else ours
    assert len(graphed.recordings) >= 2, "nothing was recorded"
