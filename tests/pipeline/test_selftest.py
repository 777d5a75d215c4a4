"""`videogen selftest` for whole models: it passes for sound ones and finds broken ones."""

import json

import pytest

from videogen.cli import main
from videogen.evaluation.info.prior import describe_prior, format_prior
from videogen.evaluation.prior.selftest import check_prior_laws
from videogen.models import load_prior
from videogen.stream import VideoStream


@pytest.mark.parametrize("name", ["masked", "autoregressive", "textless"])
def test_the_laws_hold_on_sound_models(folders, name):
    verdicts = check_prior_laws(load_prior(folders[name]), seed=1)
    assert [verdict for verdict in verdicts if not verdict.held] == []
    assert len(verdicts) == 9


@pytest.mark.parametrize("name", ["captions", "captions_in_order"])
def test_the_laws_hold_on_models_that_write_captions(folders, name):
    verdicts = check_prior_laws(load_prior(folders[name]), seed=1)
    assert [verdict for verdict in verdicts if not verdict.held] == []
    assert len(verdicts) == 12


def test_a_broken_stream_is_found(folders, monkeypatch):
    """One that loses a change of prompt when it is saved, and one whose frames differ from its codes."""
    model = load_prior(folders["masked"])
    restore = VideoStream.restore

    def forgetting(model, state, frames=None):
        return restore(model, state._replace(prompt=state.request.prompts[0]), frames)

    monkeypatch.setattr(VideoStream, "restore", staticmethod(forgetting))
    assert "a restored stream is unbroken" in broken(model)
    monkeypatch.undo()
    following = VideoStream.__next__
    monkeypatch.setattr(VideoStream, "__next__", lambda stream: following(stream) ^ 1)
    assert "a stream is the offline result" in broken(model)


def broken(model):
    return [verdict.law for verdict in check_prior_laws(model, seed=1) if not verdict.held]


def test_a_prior_is_described(folders):
    said = format_prior(load_prior(folders["masked"]))
    assert said["trained"] == "with masks, on clips of 9 frames of 16 x 24 at 8 a second"
    assert said["looks back"] == "2 latent frames (1 s)"
    assert said["a token"] == "codes of 8 x 5 x 5 x 5"
    assert "order halton, 6 proposals" in said["sampled"]
    assert format_prior(load_prior(folders["textless"]))["text"] == "none"
    figures = describe_prior(load_prior(folders["masked"]))
    assert (figures["spec"]["codebooks"], figures["window"], figures["window_seconds"]) == ((8, 5, 5, 5), 2, 1.0)
    assert figures["clips"] == {"height": 16, "width": 24, "fps": 8.0, "frames": 9}


def test_the_commands_cover_both_parts(folders, capsys):
    assert main(["selftest", str(folders["masked"]), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["verdicts"]) == 21
    assert main(["info", str(folders["masked"]), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["clips"] == {"height": 16, "width": 24, "fps": 8.0, "frames": 9}
    assert figures["prior"]["sampler"]["order"] == "halton"
    assert main(["info", "playroom"]) == 0
    assert "models/playroom" in capsys.readouterr().out.splitlines()[0]
