"""Text for the prior: dropping, choosing and moving captions leaves the others unchanged."""

import pytest
import torch

from interfaces.prior import Text

IDS = Text(torch.arange(12).reshape(4, 3), torch.tensor([[1, 1, 0], [1, 1, 1], [0, 0, 0], [1, 0, 0]]).bool())
FEATURES = Text(torch.arange(24.0).reshape(4, 3, 2), IDS.mask)


@pytest.mark.parametrize("text", [IDS, FEATURES], ids=["ids", "features"])
def test_a_dropped_caption_is_no_text_and_the_others_stay(text: Text) -> None:
    dropped = torch.tensor([True, False, True, False])
    kept = text.without(dropped)
    assert not kept.mask[dropped].any()
    assert torch.equal(kept.mask[~dropped], text.mask[~dropped])
    assert torch.equal(kept.content, text.content)
    assert text.mask[0].any(), "the original is as it was"
    assert torch.equal(text.without(torch.zeros(4).bool()).mask, text.mask)


@pytest.mark.parametrize("text", [IDS, FEATURES], ids=["ids", "features"])
@pytest.mark.parametrize(
    "index", [slice(1, 3), torch.tensor([3, 0, 0]), torch.tensor([True, False, False, True])], ids=str
)
def test_rows_are_those_of_the_index(text: Text, index: torch.Tensor | slice) -> None:
    rows = text.rows(index)
    numbers = torch.arange(4)[index].tolist()
    assert len(rows.content) == len(rows.mask) == len(numbers)
    for row, number in enumerate(numbers):
        assert torch.equal(rows.content[row], text.content[number])
        assert torch.equal(rows.mask[row], text.mask[number])


def test_dropping_wants_one_bool_a_caption() -> None:
    for wrong in (torch.zeros(3).bool(), torch.zeros(4), torch.zeros(4, 3).bool()):
        with pytest.raises(ValueError, match="dropped_B"):
            IDS.without(wrong)


def test_moving_moves_both() -> None:
    moved = FEATURES.to("meta")
    assert moved.content.is_meta
    assert moved.mask.is_meta
