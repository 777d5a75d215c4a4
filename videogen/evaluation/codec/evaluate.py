"""Evaluates a model as a codec: each of its ways to code, and conventional codecs on the same frames."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from videogen.clip_spec import ClipSpec
from videogen.codec.settings import AnyModel, coded_spec, tokenizer_of
from videogen.data import ClipDataset, load_index
from videogen.evaluation.codec.bench import CodecBench, load_scorer
from videogen.evaluation.codec.comparison import compare
from videogen.evaluation.codec.conventional import CODECS, ConventionalCodec, missing_encoders
from videogen.evaluation.codec.page import page_of, write_charts
from videogen.evaluation.codec.variants import CodecPlan, variants_of
from videogen.evaluation.report.folder import write_figures
from videogen.system.hardware import describe

OnProgress = Callable[[int, int], None]
PAGE = "README.md"


def evaluate_codec(
    model: AnyModel,
    data: Path,
    plan: CodecPlan,
    index: Path | None = None,
    spec: ClipSpec | None = None,
    most: int | None = None,
    lpips: Path | None = None,
    out: Path | None = None,
    codecs: Sequence[ConventionalCodec] = CODECS,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Figures over one clip of each entry, at most `most`; with `out` a page with charts is written there.

    Every file is read back and compared with what the tokenizer itself makes of the clip: `differing_clips` counts
    those that are not equal to the bit.
    """
    dataset = ClipDataset(load_index(data, index), spec or model.clips, seed=0, max_bad_fraction=1.0)
    size, count = dataset.spec, min(len(dataset), most or len(dataset))
    coded_spec(model, size.height, size.width)
    variants, left_out = variants_of(model, plan), missing_encoders(codecs)
    bench = CodecBench(
        variants, [codec for codec in codecs if codec.name not in left_out], size.fps, load_scorer(model, lpips)
    )
    bench.choose_colors(torch.from_numpy(dataset.sample(0, number).clip) for number in range(count))
    for number in range(count):
        sample = dataset.sample(0, number)
        bench.add(torch.from_numpy(sample.clip), sample.caption if plan.captions else "")
        if on_progress is not None:
            on_progress(number + 1, count)
    figures = {
        "model": {"path": str(model.path), "fingerprint": model.fingerprint},
        "data": {
            "path": str(data),
            "clips": count,
            "frames": size.frames,
            "height": size.height,
            "width": size.width,
            "fps": size.fps,
            "skipped": {"refused": len(dataset.refused), "too short": len(dataset.short)},
        },
        "machine": describe(),
        "seconds": "of CPU time, one thread" if tokenizer_of(model).device.type == "cpu" else "on the clock",
        **bench.figures((size.frames, size.height, size.width, 3)),
        "left_out": {**left_out, **bench.refused},
    }
    figures["comparison"] = compare(figures["variants"], figures["codecs"])
    if out is not None:
        write_figures(out, figures)
        charts = write_charts(out, figures)
        (out / PAGE).write_text(page_of(figures, charts), encoding="utf-8")
    return figures
