"""A compressed file to frames: read, decoded and checked chunk by chunk, in constant memory."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interfaces.tokenizer import State
from interfaces.tokens import TokenSpec
from videogen.codec.container import Chunk, ChunkReader, DamagedError, End, check_of, check_of_end
from videogen.codec.figures import CodecFigures
from videogen.codec.probabilities import Coded, Probabilities
from videogen.codec.range_coder import SymbolReader, WrongBytesError
from videogen.codec.settings import AnyModel, check_model, coded_spec, made_with, probabilities_of, tokenizer_of
from videogen.generation.metadata import metadata_of_reconstruction
from videogen.io.pixels import to_frames
from videogen.models import TokenizerModel
from videogen.system.threads import one_thread


class Decompressor:
    """The frames of a file, checked before they are given."""

    def __init__(self, model: AnyModel, reader: ChunkReader):
        self.model, self.reader, self.header = model, reader, reader.header
        check_model(model, self.header, reader.name)
        self.spec = coded_spec(model, self.header.height, self.header.width)
        self.figures = CodecFigures()

    def frames(self, first: int = 0) -> Iterator[Tensor]:
        """uint8 [T, H, W, 3] from frame number `first` on. DamagedError where the file is; frames before are right.

        A file is read from the last scene that begins before that frame, a pipe from its start.
        """
        number = self.reader.seek_scene(first, self.spec) if first else 0
        for frames in self._decoded(number):
            number += len(frames)
            if number > first:
                yield frames[max(0, len(frames) - (number - first)) :]

    def metadata(self) -> dict[str, Any]:
        """Of a video with these frames."""
        return metadata_of_reconstruction(tokenizer_of(self.model), Path(self.reader.name), self.header.prompt or None)

    def _decoded(self, number: int) -> Iterator[Tensor]:
        probabilities, check = probabilities_of(self.model, self.header, self.spec), self.reader.start
        scene = self._scene()
        for part in self.reader.parts(self.spec):
            if isinstance(part, End) or part.begins_scene:
                yield from scene.rest()
            if isinstance(part, End):
                if (part.frames, part.check) != (number, check_of_end(check, number)):
                    raise self.reader.damage("its end is not that of these frames")
                return
            if part.begins_scene:
                check, scene = self.reader.start, self._scene()
                probabilities.begin()
            elif not scene.begun:
                raise self.reader.damage("its first chunk begins no scene")
            codes_TNK = self._codes(part, probabilities, number)
            check = check_of(check, part.begins_scene, number, part.frames, codes_TNK)
            if check != part.check:
                raise self._wrong(number)
            number += part.frames
            self.figures.add_chunk(part.begins_scene, part.latent_frames, part.frames, len(part.payload))
            self.figures.bytes, began = self.reader.place, time.perf_counter()
            frames = scene.decode(codes_TNK, part.frames)
            self.figures.seconds["tokenizer"] += time.perf_counter() - began
            if len(frames):
                yield frames

    def _scene(self) -> "SceneDecoder":
        return SceneDecoder(tokenizer_of(self.model), self.spec, self.header.prompt)

    def _codes(self, chunk: Chunk, probabilities: Probabilities, number: int) -> Tensor:
        coder, began = SymbolReader(chunk.payload), time.perf_counter()
        try:
            with one_thread():
                codes = [probabilities.code(Coded(coder, None)) for _ in range(chunk.latent_frames)]
        except WrongBytesError:
            raise self._wrong(number) from None
        self.figures.add_seconds(coder.seconds, time.perf_counter() - began)
        return torch.stack(codes) if codes else self.spec.empty(1)[0]

    def _wrong(self, number: int) -> DamagedError:
        here = made_with(self.model)
        others = [
            f"{name} {made} there, {here[name]} here"
            for name, made in self.header.made.items()
            if here.get(name, made) != made
        ]
        why = (
            f"probabilities differ ({'; '.join(others)})"
            if others and self.header.probabilities == "prior"
            else "it is damaged"
        )
        return self.reader.damage(f"frames from number {number} on do not match their check: {why}")


class SceneDecoder:
    """The frames of one scene; a decoder that looks ahead gives some of them late, one with a condition is told it."""

    def __init__(self, tokenizer: TokenizerModel, spec: TokenSpec, prompt: str):
        self.network, self.spec = tokenizer.network, spec
        self.state: State = tokenizer.begin_decoding([prompt]) if prompt else None
        self.begun = False
        self.due = 0  # frames that were not given yet

    def decode(self, codes_TNK: Tensor, frames: int) -> Tensor:
        clip, self.state = self.network.decode(codes_TNK.unsqueeze(0), self.spec, self.state)
        self.begun, self.due = True, self.due + frames
        return self._given(clip)

    def rest(self) -> Iterator[Tensor]:
        clip = self.network.decode_tail(self.state) if self.begun else None
        if clip is not None:
            yield self._given(clip)

    def _given(self, clip: Tensor) -> Tensor:
        """Only a scene's last latent frame holds more frames than are due."""
        frames = to_frames(clip)[0, : self.due].cpu()
        self.due -= len(frames)
        return frames
