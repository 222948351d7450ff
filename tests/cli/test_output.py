"""What `-o` takes, by what a command will have to show."""

import pytest

from scanner.cli.live import _Lines
from scanner.cli.output import check
from scanner.errors import ReportError, UsageError
from tests.reports import runs


@pytest.mark.parametrize(
    ("output", "launched", "taken"),
    [
        ("text", False, True),
        ("jsonl=x.jsonl", False, True),
        ("html", False, True),
        ("html", True, True),
        ("dot", False, False),
        ("svg", True, True),
    ],
)
def test_a_format_is_refused_before_the_work_if_there_will_be_nothing_to_draw(output, launched, taken):
    if taken:
        assert len(check([output], launched=launched)) == 1
    else:
        with pytest.raises(UsageError, match="draws what the sandboxes of a launch reach; name one with --launch FILE"):
            check([output], launched=launched)


def test_a_watch_that_cannot_write_its_lines_says_so():
    with (
        pytest.raises(ReportError, match="cannot write the lines of the watch: No space left"),
        _Lines(check(["jsonl=/dev/full"])) as lines,
    ):
        lines.write(runs.WATCHED)
