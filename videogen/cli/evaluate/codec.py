"""`videogen evaluate codec`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from videogen.cli.options import DEVICE, INDEX, OVERWRITE_REPORT, REQUIRED_MODEL
from videogen.cli.param_types import ANY_PATH, OUTPUT_FOLDER, POSITIVE, CountsType, SizeType
from videogen.cli.terminal import Terminal, terminal_options
from videogen.system.devices import use_device
from videogen.system.threads import use_threads

if TYPE_CHECKING:
    from videogen.codec.settings import Source


@click.command("codec")
@click.argument("data", metavar="DATA", type=ANY_PATH)
@REQUIRED_MODEL
@INDEX
@click.option("--clips", type=click.IntRange(1), help="Evaluate at most this many clips.")
@click.option("--frames", type=click.IntRange(1), help="Frames per clip [default: as in training].")
@click.option("--size", type=SizeType(), help="Frame size [default: as in training].")
@click.option("--fps", type=POSITIVE, help="Frame rate [default: as in training].")
@click.option(
    "--steps", type=CountsType(), default="1,4,8", show_default=True, help="Steps of a latent frame, of a masked prior."
)
@click.option(
    "--probabilities",
    type=click.Choice(("prior", "adaptive", "flat")),
    multiple=True,
    help="Only these; several times for several [default: all that the model has].",
)
@click.option("--captions", is_flag=True, help="Tell the prior the caption of each clip, which its file then holds.")
@click.option("--lpips", type=ANY_PATH, help="LPIPS weights (safetensors), to report LPIPS too.")
@click.option("--out", type=OUTPUT_FOLDER, help="A folder for a page with charts and figures.json.")
@OVERWRITE_REPORT
@DEVICE
@terminal_options
def codec(
    terminal: Terminal,
    data: Path,
    model: Path,
    index: Path | None,
    clips: int | None,
    frames: int | None,
    size: tuple[int, int] | None,
    fps: float | None,
    steps: tuple[int, ...],
    probabilities: "tuple[Source, ...]",
    captions: bool,
    lpips: Path | None,
    out: Path | None,
    overwrite: bool,
    device: str,
) -> None:
    """Compress the indexed clips of DATA with a model, beside H.264, HEVC, VP9 and AV1 on the same frames.

    Prints bits a pixel, quality and speed of each way to code, and how many times the model's bits each codec needs at
    the same PSNR. Every file is read back: it must give the tokenizer's own reconstruction, to the bit. Computes with
    one thread, and runs the prior once to write and once to read: begin with few clips.

    \b
    Examples:
      videogen evaluate codec fresh --model playroom --clips 10 --out report
      videogen evaluate codec fresh --model playroom --clips 4 --steps 1,2,4,8,16,64 --probabilities prior
    """
    from videogen.clip_spec import ClipSpec
    from videogen.codec.settings import tokenizer_of
    from videogen.errors import VideogenError
    from videogen.evaluation.codec.evaluate import evaluate_codec
    from videogen.evaluation.codec.page import as_table
    from videogen.evaluation.codec.variants import CodecPlan
    from videogen.evaluation.report.folder import check_report_folder
    from videogen.evaluation.tokenizer.video import check_size
    from videogen.models import has_prior, load_prior, load_tokenizer

    if out is not None:
        check_report_folder(out, overwrite)
    use_threads(1)
    on = use_device(device)
    opened = load_prior(model, on) if has_prior(model) else load_tokenizer(model, on)
    trained = opened.clips
    height, width = size or (trained.height, trained.width)
    check_size(tokenizer_of(opened).network, height, width)
    spec = ClipSpec(height, width, fps or trained.fps, frames or trained.frames)
    plan = CodecPlan(probabilities or None, steps, captions)
    with terminal.progress("evaluating", "clips") as on_progress:
        figures = evaluate_codec(opened, data, plan, index, spec, clips, lpips, out, on_progress=on_progress)
    terminal.report(figures, as_table(figures))
    if figures["differing_clips"]:
        raise VideogenError(f"{model}: {figures['differing_clips']} files did not give back what was written")
