"""`videogen push`: a model to the Hugging Face hub."""

from pathlib import Path

import click

from videogen.cli.param_types import ANY_PATH
from videogen.cli.terminal import Terminal, terminal_options


@click.command("push")
@click.argument("folder", metavar="FOLDER", type=ANY_PATH)
@click.argument("name", metavar="OWNER/NAME")
@click.option("--private", is_flag=True, help="Make a repository that only you and your organization can read.")
@click.option("--revision", metavar="BRANCH", help="Branch to add the commit to [default: main].")
@click.option("--message", default="A model", show_default=True, help="Message of the commit.")
@click.option("--dry-run", is_flag=True, help="Say what would be uploaded, and upload nothing.")
@terminal_options
def push(
    terminal: Terminal, folder: Path, name: str, private: bool, revision: str | None, message: str, dry_run: bool
) -> None:
    """Upload the model in FOLDER, a model folder or a run folder, to the repository OWNER/NAME on the Hugging Face hub.

    Only the files that the model's MANIFEST.json lists are uploaded, in one commit, after their names and sizes have
    been printed. The repository is made if it is missing. Other files in it stay. Log in first: `hf auth login`.

    \b
    Examples:
      videogen push runs/prior owner/toys --dry-run
      videogen push toys owner/toys --private
      videogen generate "a small red ring drifts left slowly over a dark blue background" -o ring.mp4 --model owner/toys
    """
    from videogen.models.push import files_to_push, push_to_hub

    sizes = {place: path.stat().st_size for place, path in files_to_push(folder).items()}
    total = sum(sizes.values())
    for place, size in sizes.items():
        terminal.note(f"{size / 1e6:10.3f} MB  {place}")
    report = {"repository": name, "files": list(sizes), "bytes": total}
    if dry_run:
        terminal.report(report, f"{name}: {len(sizes)} files, {total / 1e6:.1f} MB, not uploaded")
        return
    pushed = push_to_hub(folder, name, private, revision, message)
    report |= {"url": pushed.url, "commit": pushed.commit}
    terminal.report(report, f"{pushed.url}: {len(sizes)} files, {total / 1e6:.1f} MB, commit {pushed.commit}")
