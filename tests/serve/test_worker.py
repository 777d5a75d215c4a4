"""The worker in this process: its socket is a script, and its clock moves when it waits."""

from collections import deque
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.pipeline.tiny import RING, STAR, write_model
from videogen.conditioning.prompt_vocabulary import PromptVocabulary
from videogen.errors import CheckpointError
from videogen.generation.continuation_prompt import Continuation
from videogen.generation.generation_warnings import GenerationWarning, prompt_warnings
from videogen.io import fit
from videogen.pipeline import VideoPipeline
from videogen.serve.messages import Ack, ChangeStream, FrameBatch, MaskUpdate, StartStream, StopStream, StreamEnded
from videogen.serve.requests import GenerationParams, InitialFrames
from videogen.serve.worker.active_stream import MAX_UNACKED_LATENTS
from videogen.serve.worker.model_description import examples_for
from videogen.serve.worker.worker import Worker, error_line, load_pipeline, warm_up

BEGIN = StartStream("a", GenerationParams(RING, seed=3, frames=13), None)


def asked(**changes):
    """BEGIN with other values in it or in its params."""
    own = {name: changes.pop(name) for name in ("id", "ahead_seconds", "payload") if name in changes}
    return replace(BEGIN, params=replace(BEGIN.params, **changes), **own)


def continued(kind, frames, **changes):
    initial = InitialFrames(kind, frames.tobytes(), len(frames))
    return asked(initial_frames=initial, payload=initial.pixels, **changes)


class ScriptedSocket:
    """The messages of the web process: some at the start, some as a reaction."""

    def __init__(self, *messages, takes=True, reaction=lambda message: ()):
        self.inbox, self.sent, self.now = deque(messages), [], 0.0
        self.takes, self.reaction, self.proposals = takes, reaction, 0

    def poll(self, seconds):
        if self.inbox or seconds is None:
            return True  # when nothing more is said and nothing can be done, the script is over
        self.now += seconds
        return False

    def receive(self):
        if not self.inbox:
            raise EOFError
        return self.inbox.popleft()

    def send(self, message):
        self.sent.append(message)
        if self.takes and isinstance(message, FrameBatch):
            self.inbox.append(Ack(message.id, message.first + message.count))
        self.inbox.extend(self.reaction(message))

    def pictures(self, name="a"):
        return [message for message in self.sent if isinstance(message, FrameBatch) and message.id == name]

    def frames(self, pipe, name="a"):
        rows, columns = pipe.size(None, None)
        together = b"".join(message.payload for message in self.pictures(name))
        return np.frombuffer(together, np.uint8).reshape(-1, rows, columns, 3)


def worked(pipe, script):
    worker = Worker(script, pipe, lambda: script.now)
    with pytest.raises(EOFError):
        worker.run()
    return worker


def of_pipe(pipe, count=13, prompt=RING, seed=3, **more):
    return np.stack(list(islice(pipe.stream(prompt, generator=seed, **more), count)))


@pytest.fixture(scope="module")
def pipe(tmp_path_factory):
    return VideoPipeline.from_pretrained(write_model(tmp_path_factory.mktemp("model") / "masked"))


def test_stream_equals_pipeline_and_ends(pipe):
    script = ScriptedSocket(BEGIN)
    worker = worked(pipe, script)
    np.testing.assert_array_equal(script.frames(pipe), of_pipe(pipe))
    assert [(message.first, message.count) for message in script.pictures()] == [(0, 1), (1, 4), (5, 4), (9, 4)]
    assert script.sent[-1] == StreamEnded("a")
    assert not worker.streams
    assert not worker.order


def test_last_latent_frame_is_cut(pipe):
    script = ScriptedSocket(asked(frames=7))
    worked(pipe, script)
    np.testing.assert_array_equal(script.frames(pipe), of_pipe(pipe, 7))


@pytest.mark.parametrize("order", ["autoregressive", "raster"])
def test_prior_sampled_token_by_token(order, tmp_path):
    pipe = VideoPipeline.from_pretrained(write_model(tmp_path / "autoregressive", "autoregressive"))
    script = ScriptedSocket(
        asked(sampling={"order": order}), ChangeStream("a", masks=True), reaction=slowly(lambda: script)
    )
    worked(pipe, script)
    np.testing.assert_array_equal(script.frames(pipe), of_pipe(pipe, order=order))


def slowly(script):
    def later(message):
        script().now += 1.0
        return ()

    return later


def test_streams_take_turns(pipe):
    script = ScriptedSocket(*(asked(id=name, seed=number) for number, name in enumerate("abc")))
    worked(pipe, script)
    assert [message.id for message in script.sent if isinstance(message, FrameBatch)] == list("abc") * 4
    for number, name in enumerate("abc"):
        np.testing.assert_array_equal(script.frames(pipe, name), of_pipe(pipe, seed=number))


def test_sampling_settings_reach_the_sampler(pipe):
    settings = {"steps": 2, "guidance_scale": 2.0, "temperature": 0.5, "top_k": 5}
    script = ScriptedSocket(asked(sampling=settings, negative_prompt=STAR))
    worked(pipe, script)
    more = {name: value for name, value in settings.items() if name != "steps"}
    expected = of_pipe(pipe, num_inference_steps=2, negative_prompt=STAR, **more)
    np.testing.assert_array_equal(script.frames(pipe), expected)
    assert {message.steps for message in script.pictures()} == {2}


def test_change_applies_from_the_next_latent_frame(pipe):
    def change(message):
        return [ChangeStream("a", STAR)] if isinstance(message, FrameBatch) and message.first == 1 else []

    script = ScriptedSocket(BEGIN, reaction=change)
    worked(pipe, script)
    assert [(message.prompt, message.new_prompt) for message in script.pictures()] == [
        (RING, True),
        (RING, False),
        (STAR, True),
        (STAR, False),
    ]
    stream = pipe.stream(RING, generator=3)
    before = list(islice(stream, 5))
    stream.prompt = STAR
    np.testing.assert_array_equal(script.frames(pipe), np.stack(before + list(islice(stream, 8))))


def test_truncation_is_reported_once_per_prompt(pipe):
    """With its first frame, and again for another prompt."""
    long, short = f"{RING} {STAR} " * 4, "a"
    assert pipe.model.conditioner.too_long((long, short)) == 1

    def change(message):
        turns = {1: ChangeStream("a", short), 5: ChangeStream("a", long)}
        return [turns[message.first]] if isinstance(message, FrameBatch) and message.first in turns else []

    script = ScriptedSocket(asked(prompt=long), reaction=change)
    worked(pipe, script)
    assert [(message.new_prompt, message.truncated) for message in script.pictures()] == [
        (True, True),
        (False, False),
        (True, False),
        (True, True),
    ]


def test_model_without_text_truncates_nothing(tmp_path):
    pipe = VideoPipeline.from_pretrained(write_model(tmp_path / "textless", text=False))
    script = ScriptedSocket(asked(frames=1))
    worked(pipe, script)
    assert [message.truncated for message in script.pictures()] == [False]


def test_paused_stream_resumes_where_it_was(pipe):
    def pause(message):
        return [ChangeStream("a", paused=True)] if isinstance(message, FrameBatch) and message.first == 1 else []

    script = ScriptedSocket(BEGIN, reaction=pause)
    worker = Worker(script, pipe, lambda: script.now)
    with pytest.raises(EOFError):
        worker.run()
    assert len(script.pictures()) == 2
    script.inbox.append(ChangeStream("a", paused=False))
    with pytest.raises(EOFError):
        worker.run()
    np.testing.assert_array_equal(script.frames(pipe), of_pipe(pipe))


def test_stopped_stream_costs_no_further_forward_pass(pipe, monkeypatch):
    """Even between two forward passes of a latent frame."""
    asked, prior = [], type(pipe.model.network)
    propose = prior.propose

    def counted(self, codes, *rest):
        asked.append(codes)
        return propose(self, codes, *rest)

    monkeypatch.setattr(prior, "propose", counted)

    def stop(message):
        if isinstance(message, MaskUpdate) and message.frame == 5:
            asked.clear()
            return [StopStream("a")]
        script.now += 1.0  # so that every mask is shown
        return []

    script = ScriptedSocket(BEGIN, replace(BEGIN, id="b"), ChangeStream("a", masks=True), reaction=stop)
    worked(pipe, script)
    assert len(script.pictures("a")) == 2
    np.testing.assert_array_equal(script.frames(pipe, "b"), of_pipe(pipe))
    assert StreamEnded("a") not in script.sent
    assert asked, "the other stream went on"


def test_disconnect_cancels_the_latent_frame(pipe, capsys):
    class Broken(ScriptedSocket):
        def poll(self, seconds):
            return bool(self.sent) or super().poll(seconds)

    script = Broken(BEGIN)
    worked(pipe, script)
    assert [type(message) for message in script.sent] == [FrameBatch]
    assert capsys.readouterr().err == ""


def test_masks_show_the_decided_tokens(pipe):
    script = ScriptedSocket(BEGIN, ChangeStream("a", masks=True), reaction=slowly(lambda: script))
    script.now = 1.0
    worked(pipe, script)
    masks = [message for message in script.sent if isinstance(message, MaskUpdate)]
    assert {message.frame for message in masks} == {0, 1, 5, 9}
    for before, after in pairwise(masks):
        assert (before.height, before.width, len(before.payload)) == (2, 3, 6)
        if before.frame == after.frame:
            assert sum(before.payload) < sum(after.payload)
            assert all(a <= b for a, b in zip(before.payload, after.payload, strict=True)), "what is decided stays so"
        else:
            assert sum(after.payload) == 0


def test_no_masks_without_viewers(pipe):
    script = ScriptedSocket(BEGIN)
    worked(pipe, script)
    assert not any(isinstance(message, MaskUpdate) for message in script.sent)


def test_unacked_frames_are_limited(pipe):
    script = ScriptedSocket(asked(frames=1000), takes=False)
    worked(pipe, script)
    assert MAX_UNACKED_LATENTS * 4 <= sum(message.count for message in script.pictures()) < MAX_UNACKED_LATENTS * 4 + 4


def test_live_stream_keeps_to_real_time(pipe):
    times = []

    def note(message):
        times.append(script.now)
        return ()

    script = ScriptedSocket(asked(ahead_seconds=1.0, frames=65), reaction=note)
    worked(pipe, script)
    for message, now in zip(script.pictures(), times, strict=False):
        assert message.first / 8 - now <= 1.0 + 1e-9
    assert script.now == pytest.approx(65 / 8, abs=1.6)


@pytest.mark.parametrize("kind", ["image", "video"])
def test_stream_continues_its_initial_frames(kind, pipe):
    pictures = np.random.default_rng(0).integers(0, 255, (1 if kind == "image" else 5, 16, 24, 3), np.uint8)
    script = ScriptedSocket(continued(kind, pictures))
    worked(pipe, script)
    given = {"image": pictures[0]} if kind == "image" else {"video": pictures}
    np.testing.assert_array_equal(script.frames(pipe), of_pipe(pipe, **given))
    firsts = [(message.first, message.count, message.latent_frames) for message in script.pictures()]
    assert firsts[:2] == [(0, 1, 0), (1, 4, 1)] if kind == "image" else [(0, 4, 1), (4, 4, 1)]


def test_unfamiliar_clip_is_noted_with_the_first_frame(pipe):
    vocabulary = PromptVocabulary("playroom", RING, lowest_psnr=99.0)
    choosy = VideoPipeline(replace(pipe.model, prompt_vocabulary=vocabulary), pipe.sampler)
    script = ScriptedSocket(continued("image", np.zeros((1, 16, 24, 3), np.uint8)))
    worked(choosy, script)
    notes = [message.note for message in script.pictures()]
    assert "outside the playroom" in notes[0]
    assert not any(notes[1:])


def test_prompt_is_inferred_from_a_clip_and_reported(pipe, monkeypatch):
    found = Continuation(STAR, (GenerationWarning("no_prompt", "a word about it"),))
    monkeypatch.setattr("videogen.serve.worker.active_stream.continuation_prompt", lambda model, known: found)
    pictures = of_pipe(pipe, 3)
    begin = continued("video", pictures, prompt="", infer_prompt=True)
    script = ScriptedSocket(begin)
    worked(pipe, script)
    assert np.array_equal(script.frames(pipe), of_pipe(pipe, prompt=STAR, video=pictures))
    assert {message.prompt for message in script.pictures()} == {STAR}
    assert script.pictures()[0].note == "a word about it"
    changed = ScriptedSocket(begin, ChangeStream("a", prompt=RING))  # before its first turn
    worked(pipe, changed)
    assert {message.prompt for message in changed.pictures()} == {RING}


def test_failed_stream_ends_alone(pipe):
    script = ScriptedSocket(asked(id="bad", sampling={"order": "autoregressive"}), BEGIN)
    worked(pipe, script)
    (failed,) = [message for message in script.sent if isinstance(message, StreamEnded) and message.id == "bad"]
    assert "autoregressive" in failed.error
    np.testing.assert_array_equal(script.frames(pipe), of_pipe(pipe))


def test_nan_is_reported(tmp_path):
    pipe = VideoPipeline.from_pretrained(write_model(tmp_path / "broken"))
    with torch.no_grad():
        pipe.model.network.norm.weight.fill_(float("nan"))
    script = ScriptedSocket(BEGIN)
    worked(pipe, script)
    assert [type(message) for message in script.sent] == [StreamEnded]
    assert "NaN" in script.sent[0].error


def test_error_is_one_line_for_the_client_and_a_traceback_in_the_log(caplog):
    assert error_line(CheckpointError("no model")) == "no model"
    assert "out of memory" in error_line(MemoryError())
    assert error_line(KeyError("secret")) == "internal error (KeyError)"
    assert "secret" in caplog.text


def test_messages_about_unknown_streams_are_ignored(pipe):
    script = ScriptedSocket(StopStream("x"), Ack("x", 3), ChangeStream("x", STAR), BEGIN)
    worked(pipe, script)
    assert len(script.pictures()) == 4


def test_model_is_loaded_and_warmed_up(tmp_path):
    pipe = load_pipeline(write_model(tmp_path / "model"), None, "float32", 1)
    warm_up(pipe)
    with pytest.raises(CheckpointError):
        load_pipeline(Path(tmp_path / "nowhere"), None, None, None)


def test_examples_only_for_models_of_the_playroom(pipe, tiny_model_folder):
    bundled = VideoPipeline.from_pretrained().model
    assert examples_for(None, None) == ()
    assert examples_for(pipe.model.conditioner, None) == ()  # of a vocabulary that was made of two captions
    assert len(examples_for(VideoPipeline.from_pretrained(tiny_model_folder).model.conditioner, None)) > 3
    examples = examples_for(bundled.conditioner, bundled.prompt_vocabulary)
    assert len(examples) == 8
    assert prompt_warnings(bundled.prompt_vocabulary, examples) == []


def test_reader_resizes_as_the_pipeline():
    from PIL import Image

    from videogen.serve.uploads.reader import ReadTask, resize_to_cover

    draw = np.random.default_rng(1)
    for height, width in ((16, 24), (48, 96), (37, 41), (100, 30), (7, 9)):
        picture = draw.integers(0, 255, (height, width, 3), np.uint8)
        ours = resize_to_cover(Image.fromarray(picture), ReadTask("video", 8, 16, 24, 5, 1, 1, 1, 1))
        theirs = fit(picture[None], 16, 24)[0]
        assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1


def test_seconds_of_a_latent_frame_count_while_it_is_due(pipe):
    """Work on other streams counts; time when it was paused or far enough ahead does not."""

    def slow(message):
        if isinstance(message, FrameBatch):
            script.now += 3.0  # before the other stream's frame, and between this one's
        return ()

    script = ScriptedSocket(BEGIN, replace(BEGIN, id="b"), reaction=slow)
    worked(pipe, script)
    assert [message.seconds for message in script.pictures()] == [0.0, 6.0, 6.0, 6.0]

    def pauses(message):
        if not isinstance(message, FrameBatch):
            return ()
        return [ChangeStream("a", paused=True), ChangeStream("b", paused=False)] if message.first == 1 else ()

    script = ScriptedSocket(asked(frames=21, ahead_seconds=0.5), reaction=pauses)
    worker = Worker(script, pipe, lambda: script.now)
    with pytest.raises(EOFError):
        worker.run()
    script.now += 100.0
    script.inbox.append(ChangeStream("a", paused=False))
    with pytest.raises(EOFError):
        worker.run()
    assert [message.seconds for message in script.pictures()] == [0.0] * 6
    assert script.now > 100.0, "it was ahead, and has waited"
