"""How long the prior of the measure `prior` takes for a latent frame: CPU time of one thread, for one video.

Sampled as its scores are, guidance included; the median over latent frames of a stream.
"""

import statistics
import time

from videogen.generate import prefill, step
from videogen.lab.measures import Figures
from videogen.lab.measures.context import MeasureContext
from videogen.lab.measures.prior import FOLDER, sampling_settings
from videogen.pipeline import VideoPipeline
from videogen.system.threads import one_thread

WARM_UP, TIMED = 4, 16  # latent frames


def measure(context: MeasureContext) -> Figures:
    """Nothing for a variant without a prior."""
    run = context.run.parent / FOLDER / "whole"
    if context.prior is None or not run.is_dir():
        return {}
    pipe = VideoPipeline.from_pretrained(run)
    settings = sampling_settings(context.prior, context.model.spec)
    request = pipe.request([context.captions[0]], None, 1, 0, settings)
    milliseconds = []
    with one_thread():
        state = prefill(pipe.model, request)
        for _ in range(WARM_UP + TIMED):
            state, output = step(pipe.model, request, state, clock=time.process_time)
            milliseconds.append(1000 * output.seconds.prior)
    return {"prior_ms_per_latent": statistics.median(milliseconds[WARM_UP:])}
