"""How much of a caption the oracle of the playroom still recognizes in reconstructions, beside the true clips.

The figures that begin with `ceiling` are those of the true clips at this size and length.
"""

from torch import Tensor

from videogen.evaluation.generation.oracle_scores import OracleScores, detect_scenes
from videogen.evaluation.generation.prompts import scene_of
from videogen.lab.measures import Figures
from videogen.lab.measures.context import MeasureContext

SHOWN = ("shape", "colour", "size", "motion")


def measure(context: MeasureContext) -> Figures:
    seen = recognized(context, context.reconstructions)
    ceiling = recognized(context, context.clips)
    return {**named("oracle", seen), **named("ceiling", ceiling)}


def recognized(context: MeasureContext, clips: Tensor) -> OracleScores:
    wanted = [scene_of(caption) for caption in context.captions]
    return OracleScores.of(wanted, detect_scenes(clips.numpy(), context.model.clips.fps))


def named(prefix: str, scores: OracleScores) -> Figures:
    figures = scores.everything.figures()
    each = {f"{prefix}_{name}": figures["by_attribute"].get(name, 0.0) for name in SHOWN}
    return {f"{prefix}_attributes": figures["attributes"], f"{prefix}_all": figures["all_correct"], **each}
