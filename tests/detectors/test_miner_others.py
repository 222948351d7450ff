"""Wallets alone, packed programs, source code, and a user's own rules."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from struct import pack

import pytest

from fixtures import miners
from fixtures.elf import Program, build
from fixtures.wallet import INTEGRATED, SUBADDRESS, monero
from scanner.content import Content
from scanner.detectors import yara
from scanner.detectors.miner_packed import entropy
from scanner.model import Confidence, FileLocation, Finding, Image, ImageConfig, Layer, Severity, State, Target
from scanner.oci.packages import Packages
from scanner.oci.view import ImageView, Sighting
from scanner.ruleset import load

Detect = Callable[..., list[Finding]]

NOISE = b"".join(sha256(n.to_bytes(4, "big")).digest() for n in range(4000))
ELF64 = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\x3e\0\1\0\0\0" + bytes(8) + b"\x40" + bytes(7)
HEADERLESS = (
    ELF64
    + bytes(8)
    + bytes(4)
    + b"\x40\0\x38\0\1\0\0\0\0\0\0\0"
    + pack("<2I6Q", 1, 5, 0, 0, 0, *[120 + len(NOISE)] * 2, 1)
    + NOISE
)


def of(rule: str, findings: list[Finding]) -> list[Finding]:
    return [f for f in findings if f.rule_id == rule]


# ---- wallets


@pytest.mark.parametrize(
    "address", [monero(), monero("b", SUBADDRESS), monero("c", INTEGRATED)], ids=["standard", "sub", "integrated"]
)
@pytest.mark.parametrize(
    "text", ["%s", "to: %s\n", '{"a": "%s"}', "\n\n%s"], ids=["alone", "prose", "json", "third line"]
)
def test_a_wallet_alone_is_low(detect: Detect, address: str, text: str) -> None:
    [found] = detect({"srv/w.cfg": (text % address).encode()})

    assert (found.rule_id, found.severity, found.details["wallets"]) == ("miner/wallet", Severity.LOW, [address])
    place = found.locations[0]
    assert isinstance(place, FileLocation)
    assert place.line == text.count("\n", 0, text.index("%s")) + 1


@pytest.mark.parametrize("path", ["usr/share/doc/x/README", "opt/x/README.md", "app/tests/data.txt", "srv/a.html"])
def test_a_wallet_in_a_document_is_a_note(detect: Detect, path: str) -> None:
    [found] = detect({path: monero().encode()})

    assert (found.severity, found.confidence) == (Severity.NOTE, Confidence.LOW)


def test_a_wallet_in_a_packages_file_is_a_note(detect: Detect) -> None:
    [found] = detect({"usr/bin/w": monero().encode()}, owners={"usr/bin/w": "wallet"})

    assert found.severity is Severity.NOTE
    assert found.details["package"] == "wallet"


def test_a_wallet_in_a_miners_file_is_no_finding_of_its_own(detect: Detect) -> None:
    assert of("miner/wallet", detect({"a.json": miners.config(), "m.py": miners.scripts()["miner.py"]})) == []


def test_a_wrong_checksum_is_nothing(detect: Detect) -> None:
    address = monero()
    assert detect({"srv/w": (address[:40] + ("a" if address[40] != "a" else "b") + address[41:]).encode()}) == []


# ---- packed


def test_a_program_without_sections_and_with_dense_bytes_is_packed(detect: Detect) -> None:
    [found] = detect({"opt/tool": HEADERLESS})

    assert (found.rule_id, found.severity, found.confidence) == ("miner/packed", Severity.LOW, Confidence.LOW)
    assert found.details["packer"] == "unknown"
    assert found.details["entropy"] > 7.2  # type: ignore[operator]


@pytest.mark.parametrize(
    ("path", "owners", "severity"),
    [
        ("opt/tool", {"x": "y"}, Severity.LOW),
        ("opt/tool", {"opt/tool": "tool"}, Severity.NOTE),
        ("usr/bin/tool", {"x": "y"}, Severity.MEDIUM),
        ("tmp/tool", None, Severity.MEDIUM),
        ("opt/.x/tool", None, Severity.MEDIUM),
        ("opt/kdevtmpfsi", None, Severity.MEDIUM),
        ("opt/xmrig", None, Severity.MEDIUM),
    ],
)
def test_where_it_lies_decides_how_bad(
    detect: Detect, path: str, owners: dict[str, str] | None, severity: Severity
) -> None:
    [found] = detect({path: HEADERLESS}, owners=owners)

    assert found.severity is severity


def test_zeros_behind_it_do_not_thin_it(detect: Detect) -> None:
    assert of("miner/packed", detect({"opt/tool": HEADERLESS + bytes(4 << 20)}))


def test_an_unpacked_program_without_sections_is_not_packed(detect: Detect) -> None:
    assert detect({"opt/tool": build(Program(strings=b"hello\0" * 4000, sections=False))}) == []


def test_what_unpacks_to_a_miner_is_reported_as_the_miner(detect: Detect) -> None:
    found = detect({"opt/tool": HEADERLESS, "opt/tool!/(unpacked)": miners.binaries()["xmrig-stripped"]})

    assert [f.rule_id for f in found] == ["miner/binary"]
    assert "packing" in found[0].details["support"]  # type: ignore[operator]


@pytest.mark.parametrize(("data", "low", "high"), [(b"", 0, 0), (bytes(1000), 0, 0), (NOISE, 7.9, 8)])
def test_entropy_is_in_bits_a_byte(data: bytes, low: float, high: float) -> None:
    assert low <= entropy(data) <= high


# ---- source


def test_source_is_one_note_for_each_folder(detect: Detect) -> None:
    code = b"#include <x.h>\nnamespace xmrig {\nclass Client {};\n}\n"
    files = {"usr/src/x/a.cpp": code, "usr/src/x/b.h": code, "usr/src/y.tar!/c.cpp": code}

    found = detect(files)

    assert [(f.rule_id, f.severity) for f in found] == [("miner/source", Severity.NOTE)] * 2
    assert [p.display for p in found[0].locations] == [b"usr/src/x/a.cpp", b"usr/src/x/b.h"]
    assert found[0].details["files"] == 2


def test_text_about_source_is_none(detect: Detect) -> None:
    assert detect({"README.md": b"namespace xmrig is where it lives; RANDOMX_ARGON_MEMORY"}) == []


# ---- a user's rules


def test_a_users_rule_is_a_finding_with_its_own_words(tmp_path: Path) -> None:
    rules = tmp_path / "mine.yar"
    rules.write_text(
        'rule Evil_Word { meta: severity = "high" description = "an evil word" strings: $a = "evil" condition: $a }'
    )
    ruleset = load([rules])
    data = b"line\nevil\n"
    content = Content(path=b"opt/x", data=memoryview(data), matches=ruleset.match(data, seconds=5).matches)
    layer = Layer(0, None, None)
    sightings = tuple(Sighting(e, layer, State.VISIBLE, None) for e in yara.inspect(content))
    image = Image(None, "linux/amd64", None, ImageConfig(), (layer,))

    [found] = yara.judge(ImageView(Target("rootfs", "t", "t"), image, sightings, Packages([])))

    assert (found.rule_id, found.severity) == ("yara/Evil_Word", Severity.HIGH)
    assert found.locations[0] == FileLocation(b"opt/x", layer, (), 2, 5)
    assert "an evil word" in found.message
    assert found.details["strings"] == ["$a: evil"]
