"""The posterior of mask noise: which random numbers make a masked prior propose a given latent frame.

A proposal draws its tokens independently of each other, so what they have to agree on must be decided by something that
all of them see. Here that is the noise at the masked tokens. In training it comes from a second network that sees the
true frame, and the divergence of that network from plain noise is a cost, so that plain noise serves in its place
afterwards: a variational autoencoder (Kingma and Welling, "Auto-encoding variational Bayes", 2014) whose decoder is the
prior, for few proposals a latent frame.

At first the noise of a token lies where the embeddings of tokens vary most, so that a masked token looks much like the
token that it hides. What a prior knows of known tokens serves it to read the noise.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from prior.attention import Kernel
from prior.linear import Linear
from prior.model import LlamaPrior, PriorBatch

FIRST_LOG_VARIANCE = -3.0  # the noise tells much about the frame at first, and gives up what is not worth its cost


class NoiseDistribution(NamedTuple):
    """Independent normal distributions [B, T, N, R], of each random number at each token."""

    mean: Tensor
    log_variance: Tensor

    def sample(self) -> Tensor:
        return self.mean + torch.randn_like(self.mean) * (0.5 * self.log_variance).exp()

    def nats(self) -> Tensor:
        """The Kullback-Leibler divergence from plain noise, of each token [B, T, N]."""
        variance = self.log_variance.exp()
        return 0.5 * (self.mean.square() + variance - 1 - self.log_variance).sum(-1)


class NoiseDirections(NamedTuple):
    """Noise as vectors of a width, and vectors of that width as noise."""

    vectors_CR: Tensor
    noise_RC: Tensor
    noise_bias_R: Tensor


def noise_directions(embedded_MC: Tensor, count: int) -> NoiseDirections:
    """The directions in which these vectors vary most: in them, the vectors are noise of mean 0 and variance 1."""
    mean_C = embedded_MC.mean(0)
    _, sizes, directions = torch.linalg.svd((embedded_MC - mean_C).double(), full_matrices=False)
    sizes, directions = sizes[:count] / len(embedded_MC) ** 0.5, directions[:count]
    missing = count - len(sizes)
    sizes, directions = nn.functional.pad(sizes, (0, missing)), nn.functional.pad(directions, (0, 0, 0, missing))
    inverse = torch.where(sizes > 1e-4 * sizes.max(), 1 / sizes, 0.0)
    noise_RC = (inverse[:, None] * directions).to(embedded_MC)
    return NoiseDirections((sizes[:, None] * directions).T.to(embedded_MC), noise_RC, -noise_RC @ mean_C)


class NoisePosterior(nn.Module):
    """A prior without a head that sees the whole frame. The mean begins as a function of the token itself."""

    def __init__(self, network: LlamaPrior, mask_noise: int):
        super().__init__()
        network.head = nn.Identity()  # weights without a gradient would stop distributed training
        self.network = network
        self.of_token = Linear(network.config.width, mask_noise)
        self.outputs = Linear(network.config.width, 2 * mask_noise)
        nn.init.zeros_(self.outputs.weight)
        nn.init.zeros_(self.outputs.bias)

    def forward(self, batch: PriorBatch, kernel: Kernel = "auto", recompute: bool = False) -> NoiseDistribution:
        everything = torch.ones_like(batch.targets[..., 0], dtype=torch.bool)
        features = self.network.features(batch._replace(known=everything, mask_noise=None), kernel, recompute)
        mean, log_variance = self.outputs(features).float().chunk(2, -1)
        mean = mean + self.of_token(self.network.embedding.tokens(batch.targets)).float()
        return NoiseDistribution(mean, FIRST_LOG_VARIANCE + log_variance)
