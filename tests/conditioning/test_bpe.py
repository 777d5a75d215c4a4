"""Every caption has ids, equal captions have equal ids, and ids decode to the caption."""

import json
import random
import unicodedata
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from videogen.checkpoint import read_folder, write_folder
from videogen.conditioning import BPEConfig, Conditioner, load_conditioner, make_conditioner, normalize_text
from videogen.conditioning.base import LONGEST_TEXT
from videogen.conditioning.bpe import BPEConditioner, train_bpe
from videogen.errors import CheckpointError
from videogen.playroom.grammar import caption
from videogen.playroom.scene import sample_scenes

CAPTIONS = [caption(scene, seed) for seed, scene in enumerate(sample_scenes(300, seed=5))]
TRAINED = train_bpe(BPEConfig(), CAPTIONS)
LONG = BPEConditioner(BPEConfig(length=1024), TRAINED.tokenizer)
ANY_TEXT = st.text(st.characters(codec=None), max_size=40)  # halves of surrogate pairs too


def written(conditioner: Conditioner) -> str:
    return json.dumps(conditioner.files())


def normal(text: str) -> str:
    return str(TRAINED.tokenizer.normalizer.normalize_str(normalize_text(text)))


def said(ids: torch.Tensor) -> str:
    """The text of a row of ids; the first word has a blank before it."""
    return str(TRAINED.tokenizer.decode(ids.tolist(), skip_special_tokens=False)).removeprefix(" ")


@given(ANY_TEXT)
@settings(max_examples=400, deadline=None)
def test_ids_say_what_the_caption_said(text: str) -> None:
    ids, mask = LONG([text])
    assert ids.dtype == torch.int64
    assert ids.shape == mask.shape == (1, 1024)
    assert said(ids[mask]) == normal(text)
    assert bool(mask.any()) == bool(normalize_text(text))


@given(ANY_TEXT)
@settings(max_examples=400, deadline=None)
def test_a_caption_of_its_ids_is_the_caption(text: str) -> None:
    assert LONG.caption_of(LONG.token_ids(text)) == normal(text)


@given(st.lists(st.integers(0, TRAINED.vocabulary - 1), max_size=12))
@settings(max_examples=200, deadline=None)
def test_any_ids_are_one_line_of_text(ids: list[int]) -> None:
    text = LONG.caption_of(ids)
    assert normalize_text(text) == text
    assert "\n" not in text


@given(ANY_TEXT)
@settings(max_examples=400, deadline=None)
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalize_text(normalize_text(text)) == normalize_text(text)
    assert normal(normal(text)) == normal(text)
    assert TRAINED.token_ids(normal(text)) == TRAINED.token_ids(text)


@given(st.text(st.characters(max_codepoint=0x2FF), max_size=40))
@settings(max_examples=200, deadline=None)
def test_normalising_is_what_it_is_said_to_be(text: str) -> None:
    lower = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", normalize_text(text)).lower())
    assert normal(text) == " ".join(lower.split())


@given(st.lists(ANY_TEXT, max_size=5))
@settings(max_examples=100, deadline=None)
def test_a_row_depends_on_its_caption_alone(texts: list[str]) -> None:
    batch = TRAINED(texts)
    assert batch.content.shape == batch.mask.shape == (len(texts), TRAINED.length)
    for row, text in enumerate(texts):
        alone = TRAINED([text])
        assert torch.equal(batch.content[row], alone.content[0])
        assert torch.equal(batch.mask[row], alone.mask[0])


@given(ANY_TEXT)
@settings(max_examples=100, deadline=None)
def test_tokens_come_first_and_padding_is_zero(text: str) -> None:
    (ids,), (mask,) = TRAINED([text])
    count = int(mask.sum())
    assert mask[:count].all()
    assert (ids[:count] > 0).all()
    assert (ids[count:] == 0).all()
    assert int(ids.max()) < TRAINED.vocabulary


@pytest.mark.parametrize(
    "blank", ["", " ", "\n\t  \r\n", "\x00\x07", "\u3000\u00a0", "\ufeff", "\ud800", "\u200b \x85"]
)
def test_a_blank_caption_is_no_text(blank: str) -> None:
    text = TRAINED([blank, "a ring"])
    assert text.mask.any(1).tolist() == [False, True]
    assert not text.content[0].any()


def test_case_blanks_forms_and_controls_make_no_difference() -> None:
    same = ["a small ring", "  A  Small\tRING\n", "a\x00 sma\ufeffll ring", "ａ ｓｍａｌｌ ｒｉｎｇ"]
    assert len({tuple(TRAINED.token_ids(text)) for text in same}) == 1
    assert TRAINED.token_ids("H̱é") == TRAINED.token_ids("ẖe\u0301")  # the lower case has a form that the upper lacks


@pytest.mark.parametrize(
    "text",
    [
        "一只红色的环向左漂移",
        "красное кольцо",
        "حلقة حمراء",
        "लाल अंगूठी",
        "🎈👩‍👩‍👧‍👦🏳️‍🌈",
        "\U000e0041\ue000",
        "ͻ߷\U0001f9ff",
    ],
)
def test_any_script_has_ids_that_say_it(text: str) -> None:
    ids = torch.tensor(TRAINED.token_ids(text))
    assert said(ids) == normal(text)


@pytest.mark.parametrize("text", ["<pad>", "a <pad> ring", "<PAD>", "[UNK] </s> <|endoftext|>"])
def test_what_looks_like_a_special_token_is_text(text: str) -> None:
    ids = TRAINED.token_ids(text)
    assert 0 not in ids
    assert said(torch.tensor(ids)) == text.lower()


def test_a_long_caption_is_cut_and_counted() -> None:
    long = "a small red ring " * 1000
    text = TRAINED([long])
    assert text.mask.all()
    assert text.content[0].tolist() == TRAINED.token_ids(long)[: TRAINED.length]
    assert TRAINED.too_long([long, "a ring", "", long]) == 2
    endless = "a small red ring " * 500_000
    assert torch.equal(TRAINED([endless]).content, text.content)
    assert len(normalize_text(endless)) <= LONGEST_TEXT
    exactly = " ".join(["ring"] * TRAINED.length)
    assert len(TRAINED.token_ids(exactly)) == TRAINED.length
    assert TRAINED.too_long([exactly, exactly + " ring"]) == 1


def test_the_order_of_the_captions_does_not_matter() -> None:
    shuffled = list(CAPTIONS)
    for seed in range(3):
        random.Random(seed).shuffle(shuffled)
        again = train_bpe(BPEConfig(), iter(shuffled))
        assert written(again) == written(TRAINED)
        assert again.fingerprint == TRAINED.fingerprint


def test_other_captions_or_settings_have_another_fingerprint() -> None:
    prints = {
        TRAINED.fingerprint,
        train_bpe(BPEConfig(), CAPTIONS[:20]).fingerprint,
        train_bpe(BPEConfig(length=31), CAPTIONS).fingerprint,
        train_bpe(BPEConfig(vocabulary=400), CAPTIONS).fingerprint,
    }
    assert len(prints) == 4


@pytest.mark.parametrize("size", [257, 300, 512])
def test_the_vocabulary_is_as_large_as_asked_at_most(size: int) -> None:
    assert train_bpe(BPEConfig(vocabulary=size), CAPTIONS).vocabulary <= size
    assert train_bpe(BPEConfig(vocabulary=size), []).vocabulary == 257
    assert train_bpe(BPEConfig(vocabulary=size), ["", " "]).vocabulary == 257


def test_the_words_of_the_captions_become_tokens() -> None:
    tokens, words = sum(len(TRAINED.token_ids(text)) for text in CAPTIONS), sum(len(text.split()) for text in CAPTIONS)
    assert words < tokens < 1.2 * words
    assert len(TRAINED.token_ids("ring")) == 1
    assert TRAINED.token_ids("ring ring") == TRAINED.token_ids("ring") * 2  # the same token at the beginning


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    write_folder(tmp_path / "model", TRAINED.files())
    loaded = load_conditioner(read_folder(tmp_path / "model"))
    assert isinstance(loaded, BPEConditioner)
    assert written(loaded) == written(TRAINED)
    assert loaded.fingerprint == TRAINED.fingerprint
    assert (loaded.vocabulary, loaded.length, loaded.features) == (TRAINED.vocabulary, 32, None)
    for text in [*CAPTIONS[:20], "", "红色 🎈", "<pad>", "a " * 100]:
        assert torch.equal(loaded([text]).content, TRAINED([text]).content)
    write_folder(tmp_path / "again", loaded.files())
    assert read_folder(tmp_path / "again").hashes == read_folder(tmp_path / "model").hashes


def test_it_is_a_tokenizer_of_transformers(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = write_folder(tmp_path / "model", TRAINED.files()).path / "text"
    theirs = AutoTokenizer.from_pretrained(folder)
    texts = [*CAPTIONS[:20], "", " RED  ring", "红色 🎈", "a <pad> ring", "a " * 100]
    batch = theirs(texts, padding="max_length", truncation=True, return_tensors="pt")
    ours = TRAINED(texts)
    assert theirs.is_fast
    assert torch.equal(batch["input_ids"], ours.content)
    assert torch.equal(batch["attention_mask"].bool(), ours.mask)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text/tokenizer.json", {"version": "1.0"}),
        ("text/tokenizer.json", []),
        ("text/config.json", {"text": {"kind": "bpe", "vocabulary": 260, "length": 32}}),
        ("text/config.json", {"text": {"kind": "bpe", "vocabulary": "many"}}),
        ("text/config.json", {"text": {"kind": "rnn"}}),
        ("text/config.json", [1]),
    ],
)
def test_what_is_no_tokenizer_of_ours_is_refused(tmp_path: Path, name: str, content: object) -> None:
    folder = write_folder(tmp_path / "model", {**TRAINED.files(), name: content})
    with pytest.raises(CheckpointError) as caught:
        load_conditioner(folder)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_vocabulary_without_our_padding_is_refused(tmp_path: Path) -> None:
    files = TRAINED.files()
    files["text/tokenizer.json"] = json.loads(json.dumps(files["text/tokenizer.json"]).replace("<pad>", "<nil>"))
    with pytest.raises(CheckpointError, match="<pad>"):
        load_conditioner(write_folder(tmp_path / "model", files))


def test_the_default_makes_a_vocabulary_of_the_captions() -> None:
    made = make_conditioner(BPEConfig(), CAPTIONS)
    assert made.fingerprint == TRAINED.fingerprint
