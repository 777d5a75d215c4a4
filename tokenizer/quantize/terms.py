"""Terms that keep a codebook alive, by name: each has a weight, 0 unless a configuration sets it."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Terms:
    """The weights of the terms, and the temperature of the soft assignments that some of them are about."""

    temperature: float = 1.0  # a token's probabilities of codes are softmax(-squared distance / temperature)
    sample_entropy: float = 0.0  # of a token's probabilities: low makes each assignment certain
    batch_entropy: float = 0.0  # of their mean over a batch, maximized: a batch uses all codes
    kl_to_uniform: float = 0.0  # of a token's probabilities, as in a variational autoencoder
    norm: float = 0.0  # squared distance of each code's norm from 1
    repulsion: float = 0.0  # codes push their neighbors away
    orthogonality: float = 0.0  # squared products of different codes
    orthogonality_normalized: float = 0.0  # the same of codes scaled to norm 1
    variance_hinge: float = 0.0  # how far each channel's deviation over a batch is below 1
    contrastive: float = 0.0  # a latent tells its own code from all others
    covariance: float = 0.0  # squared covariances of different channels over a batch

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 0:
                raise ValueError(f"{field.name} = {getattr(self, field.name):g} must not be negative")
        if self.temperature == 0:
            raise ValueError("temperature = 0 must be positive")
