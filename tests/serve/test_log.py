"""The log: time, level and message, and repeats only counted."""

import logging
import re

from videogen.serve.log import MAX_KINDS, MAX_REPEATS, WINDOW_SECONDS, RepeatFilter, log_on_stderr


def test_line_has_a_time_and_a_level(capsys):
    with log_on_stderr():
        logging.getLogger("videogen.serve.engine.engine").info("it works again")
        logging.getLogger("asyncio").warning("socket.send() raised exception.")
        logging.getLogger("asyncio").info("nobody needs to know")
    logging.getLogger("videogen.serve.engine.engine").info("when it is over, nothing is written")
    time = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}"
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(f"{time} INFO it works again", first)
    assert re.fullmatch(rf"{time} WARNING socket\.send\(\) raised exception\.", second)


def test_quiet_leaves_warnings_and_errors(capsys):
    with log_on_stderr(quiet=True):
        logging.getLogger("videogen.serve.engine.engine").info("it works again")
        logging.getLogger("videogen.serve.engine.engine").warning("it does not")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(" WARNING it does not")


def written(repeats: RepeatFilter, message: str, times: int = 1) -> list[str]:
    records = [logging.LogRecord("asyncio", logging.WARNING, "", 0, message, (), None) for _ in range(times)]
    return [record.getMessage() for record in records if repeats.filter(record)]


def test_repeats_are_counted_and_reported_later():
    instant = [0.0]
    repeats = RepeatFilter(lambda: instant[0])
    assert written(repeats, "a", 9033) == ["a"] * MAX_REPEATS
    assert written(repeats, "b") == ["b"], "another kind of message is written"
    instant[0] = WINDOW_SECONDS
    assert written(repeats, "a", 2) == [f"a (and {9033 - MAX_REPEATS} more like it in the meantime)", "a"]
    instant[0] = 2 * WINDOW_SECONDS
    assert written(repeats, "a") == ["a"], "nothing was left out"


def test_kind_is_the_first_line_and_kinds_are_bounded():
    repeats = RepeatFilter(lambda: 0.0)
    assert len([line for number in range(50) for line in written(repeats, f"no room\nsocket {number}")]) == MAX_REPEATS
    for number in range(3 * MAX_KINDS):
        written(repeats, str(number))
    assert len(repeats._windows) <= MAX_KINDS
