"""What a variant costs: bits (continuous tokens have none), weights, time and memory."""

from videogen.lab.measures import Figures
from videogen.lab.measures.context import MeasureContext
from videogen.models import count_parameters


def measure(context: MeasureContext) -> Figures:
    spec, clips, training = context.model.spec, context.model.clips, context.training
    pixels = spec.frames_per_latent * clips.height * clips.width
    bits = {"bits_per_token": spec.bits, "bits_per_pixel": spec.bits * spec.tokens / pixels}
    quantizer = context.model.parameters_of("quantizer")
    return {
        **({} if spec.continuous else bits),
        "codes_per_token": spec.depth,
        "parameters": count_parameters(context.model.network),
        "quantizer_parameters": sum(weights.numel() for weights in quantizer),
        "steps": training.steps,
        "ms_per_step": training.ms_per_step,
        "peak_mib": training.peak_mib,
    }
