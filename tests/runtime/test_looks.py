"""The union of many looks at one container."""

from scanner.model.run import Process
from scanner.runtime.live import Looked, _All


def look(*processes: Process) -> Looked:
    return Looked(processes, (), None, (), (), ())


def test_another_program_under_the_same_number_is_told_as_it_comes() -> None:
    shell = Process(7, 1, ("sh", "-c", "exec sleep 5555"), executable=b"/bin/sh", started=1.0)
    sleep = Process(7, 1, ("sleep", "5555"), executable=b"/bin/sleep", started=1.0)
    seen = _All()

    first, after, again = seen.add(look(shell)), seen.add(look(sleep)), seen.add(look(sleep))

    assert first is not None
    assert after is not None
    assert (first.processes, after.processes, again) == ((shell,), (sleep,), None)
    assert seen.union().processes == (sleep,)


def test_what_ends_is_told_once_with_its_end() -> None:
    one = Process(7, 1, ("sleep", "1"), executable=b"/bin/sleep", started=1.0)
    seen = _All()
    seen.add(look(one))

    gone, still_gone = seen.add(look()), seen.add(look())

    assert gone is not None
    assert [(p.pid, p.ended is not None) for p in gone.processes] == [(7, True)]
    assert still_gone is None
