"""`videogen selftest` of the bundled model on the device."""

from collections.abc import Iterator

from benchmarks.gpu_check import Finding, yes_or_no
from benchmarks.gpu_check.common import attempt
from videogen.evaluation.prior.selftest import check_prior_laws
from videogen.evaluation.tokenizer.selftest import check_tokenizer_laws
from videogen.models import PriorModel
from videogen.pipeline import VideoPipeline

SEED = 0


def check(device: str) -> Iterator[Finding]:
    model = VideoPipeline.from_pretrained(device=device).model
    yield from attempt("laws of the prior", lambda: prior(model))
    yield from attempt("laws of the tokenizer", lambda: tokenizer(model))


def prior(model: PriorModel) -> Iterator[Finding]:
    for each in check_prior_laws(model, SEED):
        yield Finding(f"law: {each.law}", yes_or_no(each.held), why=f"prior: {each.detail}")


def tokenizer(model: PriorModel) -> Iterator[Finding]:
    for each in check_tokenizer_laws(model.tokenizer, SEED):
        yield Finding(f"law: {each.law}", yes_or_no(each.held), why=f"tokenizer: {each.detail}")
