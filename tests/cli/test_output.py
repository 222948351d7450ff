"""What `-o` takes, by what a command will have to show."""

import pytest

from scanner.cli.live import _Lines
from scanner.cli.output import check
from scanner.errors import ReportError, UsageError
from tests.reports import runs


@pytest.mark.parametrize(
    ("output", "launched", "run", "taken"),
    [
        ("text", False, False, True),
        ("jsonl=x.jsonl", False, False, True),
        ("html", False, False, False),
        ("html", False, True, True),
        ("html", True, False, True),
        ("dot", False, True, False),
        ("svg", True, True, True),
    ],
)
def test_a_format_is_refused_before_the_work_if_there_will_be_nothing_to_draw(output, launched, run, taken):
    if taken:
        assert len(check([output], launched=launched, run=run)) == 1
    else:
        with pytest.raises(UsageError, match="draws what the sandboxes of a launch reach; name one with --launch FILE"):
            check([output], launched=launched, run=run)


def test_a_watch_that_cannot_write_its_lines_says_so():
    with (
        pytest.raises(ReportError, match="cannot write the lines of the watch: No space left"),
        _Lines(check(["jsonl=/dev/full"])) as lines,
    ):
        lines.write(runs.WATCHED)
