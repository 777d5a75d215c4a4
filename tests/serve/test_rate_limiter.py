import random

import pytest

from videogen.serve.worker.active_stream import RateLimiter

FPS, AHEAD, GROUP = 8, 1.0, 4


@pytest.mark.parametrize("seed", range(50))
def test_stream_stays_within_the_limit_of_a_player(seed):
    """A simulated player that waits when it has no frame, and a model that is slow at times."""
    draw, limiter = random.Random(seed), RateLimiter(FPS, AHEAD)
    now, made, shown_from = 0.0, 0, None
    for _ in range(200):
        now = max(now, limiter.due(made))
        ahead = 0.0 if shown_from is None else shown_from + made / FPS - now
        assert ahead <= AHEAD + 1e-9
        now += draw.choice((0.001, 0.1, 0.5, 3.0))
        if shown_from is None or now > shown_from + made / FPS:
            shown_from = now - made / FPS  # it has run out of pictures, and goes on when there are new ones
        limiter.add(made, now)
        made += GROUP
        assert limiter.started == pytest.approx(shown_from)


def test_first_frames_are_due_at_once():
    limiter = RateLimiter(FPS, AHEAD)
    assert limiter.due(0) == float("-inf")
    limiter.add(0, 100.0)
    assert limiter.due(1) < 100.0
