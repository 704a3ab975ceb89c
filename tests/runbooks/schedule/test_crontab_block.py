"""The block of a schedule in the text of a crontab: nobody else's line is ever lost or changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcnb.runbooks.schedule.crontab_block import find_line, has_block, put_block, remove_block

JOB = "0 2 * * * exec env LCNB_SCHEDULE=night /opt/lcnb run night"
LINES = ["# Night", "# Written by lcnb.", JOB]
BEGIN, END = "# >>> lcnb schedule night >>>", "# <<< lcnb schedule night <<<"
BLOCK = "\n".join([BEGIN, *LINES, END]) + "\n"
OTHER = BLOCK.replace("night", "other")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", BLOCK),
        ("5 5 * * * backup\n", f"5 5 * * * backup\n{BLOCK}"),
        ("5 5 * * * backup", f"5 5 * * * backup\n{BLOCK}"),
        ("5 5 * * * backup\r\n# mine\r\n", f"5 5 * * * backup\r\n# mine\r\n{BLOCK}"),
        ("5 5 * * * backup\r", f"5 5 * * * backup\r\n{BLOCK}"),
        ("\n\n\n", f"\n\n\n{BLOCK}"),
        (f"a\n{BLOCK}z\n", f"a\n{BLOCK}z\n"),
        (f"a\n{BLOCK.replace(JOB, '#' + JOB)}z\n", f"a\n{BLOCK}z\n"),
        (f"a\n{BLOCK.replace('0 2', '0 3')}z\n", f"a\n{BLOCK}z\n"),
        (f"a\n{BLOCK}{BLOCK}z\n", f"a\n{BLOCK}z\n"),
        # an unfinished block: what follows belongs to people
        (f"a\n{BEGIN}\n{JOB}\n5 5 * * * backup\n# mine\n", f"a\n{BLOCK}5 5 * * * backup\n# mine\n"),
        (f"{BEGIN}\n5 5 * * * backup\n{OTHER}z\n", f"{BLOCK}5 5 * * * backup\n{OTHER}z\n"),
        (f"{BEGIN}\n", BLOCK),
        # an end without a beginning
        (f"a\n{JOB}\n{END}\nz\n", f"a\nz\n{BLOCK}"),
        # lines of people within the block
        (
            f"{BEGIN}\n# Night\n# my note\n{JOB}\n5 5 * * * mine\n{END}\nz\n",
            f"{BLOCK}# my note\n5 5 * * * mine\nz\n",
        ),
        # the block saved with the line ends of Windows
        (f"a\n{BLOCK}z\n".replace("\n", "\r\n"), f"a\r\n{BLOCK}z\r\n"),
        # a zone that would apply to what follows it
        ("a\nCRON_TZ=UTC\nz\n", f"a\n{BLOCK}CRON_TZ=UTC\nz\n"),
        (f"{OTHER}z\n", f"{OTHER}z\n{BLOCK}"),
    ],
)
def test_put(before: str, after: str) -> None:
    """The block takes the place of the earlier one, or the end; every other line stays as it is."""
    assert put_block(before, "night", LINES, LINES) == after
    assert put_block(after, "night", LINES, LINES) == after
    assert find_line(after, "night", JOB) == "present"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"a\n{BLOCK}z", "a\nz"),
        (f"{BEGIN}\n# Night\n# mine\n{JOB}\n", "# mine\n"),
        (f"{OTHER}{BLOCK}", OTHER),
        ("a\n", "a\n"),
        ("", ""),
        # a line that somebody copied out of the block and changed is theirs
        (f"{BLOCK}{JOB.replace('0 2', '0 4')}\n", f"{JOB.replace('0 2', '0 4')}\n"),
    ],
)
def test_remove(before: str, after: str) -> None:
    """Only the lines of the schedule are removed."""
    assert remove_block(before, "night", LINES) == after


lines = st.lists(
    st.one_of(
        st.sampled_from(
            [BEGIN, END, *LINES, f"#{JOB}", JOB.replace("0 2", "0 9"), "", "# mine", "MAILTO=me"]
        ),
        st.text(st.characters(blacklist_characters="\n", blacklist_categories=["Cs"]), max_size=20),
        st.sampled_from(OTHER.splitlines()),
    ),
    max_size=12,
)


@given(lines, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_no_line_of_others_is_lost(found: list[str], end: str, ended: bool) -> None:
    """Whatever the crontab looks like, every line that lcnb did not write is there afterwards, in the same order."""
    text = end.join(found) + (end if ended and found else "")
    own = {BEGIN, END, *LINES}

    def others(crontab: str) -> list[str]:
        parts = [line.removesuffix("\r") for line in crontab.split("\n")]
        return [
            line for line in parts
            if line.strip() and line.strip() not in own and "LCNB_SCHEDULE=night" not in line
        ]  # fmt: skip

    put = put_block(text, "night", LINES, LINES)
    assert others(put) == others(text)
    assert put_block(put, "night", LINES, LINES) == put
    removed = remove_block(put, "night", LINES)
    assert others(removed) == others(text)
    assert not has_block(removed, "night")


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (BLOCK, "present"),
        ("", "missing"),
        (f"{BEGIN}\n{END}\n", "missing"),
        (OTHER, "missing"),
        (BLOCK.replace(JOB, f"#{JOB}"), "commented out"),
        (BLOCK.replace(JOB, f"   # {JOB}"), "commented out"),
        (BLOCK.replace("0 2", "0 3"), "changed"),
        (BLOCK.replace("/opt/lcnb", "/home/me/lcnb"), "changed"),
        (BLOCK.replace(JOB, f"{JOB}\r"), "changed"),
        (f"{JOB}\n", "without its markers"),
        (f"{BLOCK.replace(JOB, f'#{JOB}')}{JOB}\n", "without its markers"),
        (f"{BEGIN}\n{JOB}\n", "present"),
    ],
)
def test_what_became_of_the_line(text: str, state: str) -> None:
    """A line that was removed, commented out, or edited is recognised."""
    assert find_line(text, "night", JOB) == state
