"""Models on the hub: pushed, and fetched again by their name, at any revision, and without a network."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.fake_hub import TOKEN, FakeHub, fake_hub
from tests.pipeline.tiny import write_model
from videogen.checkpoint import MANIFEST
from videogen.cli import main
from videogen.errors import CheckpointError, UsageError
from videogen.models import load_tokenizer, push_to_hub, resolve_checkpoint, resolve_model
from videogen.pipeline import VideoPipeline


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.chdir(tmp_path)
    with fake_hub(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def login(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("made") / "model")


@pytest.mark.usefixtures("login")
def test_a_model_is_pushed_and_fetched_at_every_revision(hub: FakeHub, model: Path, tmp_path: Path) -> None:
    first = push_to_hub(model, "owner/toys")
    (other := VideoPipeline.from_pretrained(model)).model.network.norm.weight.data.fill_(0.5)
    other.save_pretrained(tmp_path / "other")
    push_to_hub(tmp_path / "other", "owner/toys", revision="draft")
    given, fetched = VideoPipeline.from_pretrained(model), VideoPipeline.from_pretrained("owner/toys")
    assert fetched.model.fingerprint == given.model.fingerprint
    for name in ("draft", first.commit):
        pipe = VideoPipeline.from_pretrained("owner/toys", revision=name)
        assert torch.equal(
            pipe.model.network.norm.weight, (other if name == "draft" else given).model.network.norm.weight
        )
        assert VideoPipeline.from_pretrained(f"owner/toys@{name}").model.fingerprint == pipe.model.fingerprint
    assert load_tokenizer("owner/toys").fingerprint == given.model.tokenizer.fingerprint


@pytest.mark.usefixtures("login")
def test_only_the_model_is_uploaded_and_only_what_cannot_run_is_fetched(
    hub: FakeHub, model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    VideoPipeline.from_pretrained(model).save_pretrained(folder)
    for name in ("notes.md", "prior/optimizer.safetensors", "secret.txt"):
        (folder / name).write_text("not of the model")
    push_to_hub(folder, "owner/toys")
    pushed = hub.files["owner/toys"]["main"]
    listed = json.loads((folder / MANIFEST).read_text())["sha256"]
    assert pushed.keys() == {*listed, MANIFEST, ".gitattributes"}
    assert all(pushed[name] == (folder / name).read_bytes() for name in listed)
    hub.commit("owner/toys", {"run.py": b"print()", "weights.bin": b"\x80\x02", "notes.md": b"# more"})
    fetched = {place.name for place in resolve_model("owner/toys").rglob("*") if place.is_file()}
    assert fetched == {*(Path(name).name for name in listed), MANIFEST, "notes.md"}


@pytest.mark.usefixtures("login")
def test_a_download_is_used_again_without_a_network(hub: FakeHub, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    push_to_hub(model, "owner/toys")
    online = VideoPipeline.from_pretrained("owner/toys").model.fingerprint
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(hub.asked)
    assert VideoPipeline.from_pretrained("owner/toys").model.fingerprint == online
    with pytest.raises(CheckpointError, match=r"^owner/others: no such folder here, .* \(no network, and no download"):
        VideoPipeline.from_pretrained("owner/others")
    assert len(hub.asked) == asked


def test_what_the_hub_refuses_is_one_line(hub: FakeHub, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", str(model), "owner/toys"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("videogen: owner/toys: not logged in; `hf auth login`")
    assert main(["info", "owner/nothing"]) == 4
    assert capsys.readouterr().err == (
        "videogen: owner/nothing: no such folder here, and the hub did not provide it "
        "(no such repository, or a private one: `hf auth login`)\n"
    )
    hub.files["owner/toys"] = {}
    hub.commit("owner/toys", {"README.md": b"# a card"})
    with pytest.raises(CheckpointError, match="no such revision"):
        resolve_model("owner/toys@never")
    with pytest.raises(CheckpointError, match=r"no MANIFEST\.json"):
        load_tokenizer("owner/toys")
    with pytest.raises(UsageError, match="give one"):
        resolve_model("owner/toys@main", "draft")
    with pytest.raises(UsageError, match="only names on the hub"):
        resolve_model(model, "main")


@pytest.mark.usefixtures("login")
def test_the_command_says_what_it_uploads(hub: FakeHub, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", str(model), "owner/toys", "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert "MB  prior/model.safetensors\n" in shown.err
    assert "not uploaded" in shown.out
    assert not hub.files
    assert main(["push", str(model), "owner/toys", "--private", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["commit"] in hub.files["owner/toys"]
    assert set(report["files"]) == hub.files["owner/toys"]["main"].keys() - {".gitattributes"}
    assert hub.private == {"owner/toys"}


@pytest.mark.usefixtures("login")
def test_what_is_no_model_or_would_be_seen_is_not_uploaded(
    hub: FakeHub, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.md").write_text("years")
    assert main(["push", "thesis", "owner/toys"]) == 4
    assert main(["push", "nowhere", "owner/toys"]) == 2
    assert main(["push", str(model), "toys"]) == 2
    assert main(["push", str(model), "others/toys"]) == 2
    assert "your account may not write there" in capsys.readouterr().err
    assert not hub.files
    hub.files["owner/toys"] = {}
    hub.commit("owner/toys", {"README.md": b"# a card"})
    with pytest.raises(UsageError, match="everybody can read it"):
        push_to_hub(model, "owner/toys", private=True)
    assert hub.files["owner/toys"]["main"].keys() == {"README.md"}


def test_no_network_is_a_missing_resource(
    hub: FakeHub, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main(["push", str(model), "owner/toys"]) == 5
    assert "the hub cannot be reached" in capsys.readouterr().err


@pytest.mark.usefixtures("hub")
def test_nobody_is_asked_for_a_folder_that_is_meant_to_be_here(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    for name in ("runs/mistyped", "../owner/toys", ".cache/toys"):
        assert resolve_model(name) == resolve_checkpoint(name) == Path(name)
