"""What of this repository is rightly found when it is scanned: nobody else's alarm, and not to be hidden from our own."""

OPEN_TUNNELS = frozenset((b"tests/runtime/evader.py", b"tests/runtime/sinkhole/answers/test_ssh.py"))
"""Programs of the tests that do open tunnels, where nothing can leave."""
