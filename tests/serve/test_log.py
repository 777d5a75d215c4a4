"""The operator's log: when, how bad and what; and not the same thing ten thousand times."""

import logging
import re

from videogen.serve.log import ALIKE, MOST_KINDS, WINDOW, Repeats, log_on_stderr


def test_a_line_has_a_time_and_a_level(capsys):
    with log_on_stderr():
        logging.getLogger("videogen.serve.engine.engine").info("it works again")
        logging.getLogger("asyncio").warning("socket.send() raised exception.")
        logging.getLogger("asyncio").info("nobody needs to know")
    logging.getLogger("videogen.serve.engine.engine").info("when it is over, nothing is written")
    time = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}"
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(f"{time} INFO it works again", first)
    assert re.fullmatch(rf"{time} WARNING socket\.send\(\) raised exception\.", second)


def test_a_quiet_server_says_what_is_wrong_alone(capsys):
    with log_on_stderr(quiet=True):
        logging.getLogger("videogen.serve.engine.engine").info("it works again")
        logging.getLogger("videogen.serve.engine.engine").warning("it does not")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(" WARNING it does not")


def written(repeats: Repeats, message: str, times: int = 1) -> list[str]:
    records = [logging.LogRecord("asyncio", logging.WARNING, "", 0, message, (), None) for _ in range(times)]
    return [record.getMessage() for record in records if repeats.filter(record)]


def test_what_repeats_itself_is_counted_and_told_later():
    instant = [0.0]
    repeats = Repeats(lambda: instant[0])
    assert written(repeats, "a", 9033) == ["a"] * ALIKE
    assert written(repeats, "b") == ["b"], "another kind of message is written"
    instant[0] = WINDOW
    assert written(repeats, "a", 2) == [f"a (and {9033 - ALIKE} more like it in the meantime)", "a"]
    instant[0] = 2 * WINDOW
    assert written(repeats, "a") == ["a"], "nothing was left out"


def test_one_kind_is_one_first_line_and_there_are_only_so_many():
    repeats = Repeats(lambda: 0.0)
    assert len([line for number in range(50) for line in written(repeats, f"no room\nsocket {number}")]) == ALIKE
    for number in range(3 * MOST_KINDS):
        written(repeats, str(number))
    assert len(repeats._seen) <= MOST_KINDS
