"""`videogen lab`: variants of a tokenizer, trained alike and measured side by side."""

import shlex
from pathlib import Path

import click

from videogen.cli.engine_options import engine_options, workers_option
from videogen.cli.param_types import ANY_PATH, OUTPUT_FOLDER, OutputFile
from videogen.cli.terminal import Terminal, terminal_options
from videogen.errors import UsageError
from videogen.executors.chosen import EngineName, open_executor


@click.command()
@click.argument("recipe", type=ANY_PATH)
@click.option("--out", type=OUTPUT_FOLDER, required=True, help="A folder for the clips, the runs and the results.")
@click.option("--resume", is_flag=True, help="Continue where it stopped; what is finished is not repeated.")
@click.option(
    "--page", type=OutputFile(".md"), help="The page to write, with its pictures beside it [default: OUT/page.md]."
)
@click.option("--page-only", is_flag=True, help="Write the page from the results so far, and train nothing.")
@workers_option("1")
@engine_options
@terminal_options
def lab(
    terminal: Terminal,
    recipe: Path,
    out: Path,
    resume: bool,
    page: Path | None,
    page_only: bool,
    workers: int | None,
    engine: EngineName,
    address: str | None,
) -> None:
    """Train the variants of RECIPE with the same clips, seeds and CPU time, and write a page that compares them.

    A recipe is a file of the schema `lab`: a base configuration, what its variants change, a budget, and what is
    measured and drawn; docs/lab/README.md explains it. Texts and charts may change afterwards.

    \b
    Examples:
      videogen lab recipes/lab/families.yaml --out runs/families
      videogen lab recipes/lab/families.yaml --out runs/families --resume
      videogen lab recipes/lab/families.yaml --out runs/families --engine ray --address ray://head:10001
      videogen lab recipes/lab/families.yaml --out runs/families --page-only --page docs/lab/families.md
    """
    from videogen.lab.folder import Lab, check_folder
    from videogen.lab.page import PAGE, left_out, write_page
    from videogen.lab.parallel import run_parallel
    from videogen.lab.results import gather
    from videogen.lab.runner import prepare_lab, run_lab

    opened = Lab.open(recipe, out)
    if page_only:
        if not out.is_dir():
            raise UsageError(f"{out}: holds no lab yet; leave out --page-only to begin one")
        check_folder(opened, resume=True)
    else:
        with terminal.progress("preparing", "clips") as on_clips, terminal.progress("training", "runs") as on_progress:
            if engine == "local" and workers in (None, 1):
                run_lab(opened, resume, on_clips, on_progress, terminal.note)
            else:
                prepare_lab(opened, resume, on_clips, terminal.note)
                with open_executor(engine, address, workers, opened.recipe.threads) as executor:
                    run_parallel(opened, executor, on_progress, terminal.note)
    results = gather(opened, shlex.join(["videogen", "lab", str(recipe), "--out", str(out)]))
    place = page or out / PAGE
    write_page(opened, results, place)
    for line in left_out(opened, results):
        terminal.note(line)
    terminal.report(results, str(place))
