"""Text about miners is told from a miner's own text, one occurrence at a time, in bounded time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.detectors.mining.context import in_list, in_pattern, in_rule

WORD = b"mining.subscribe"
HOST = b"pool.minexmr.com"


def around(text: bytes, word: bytes) -> tuple[bytes, int, int]:
    return text, text.index(word), len(word)


@pytest.mark.parametrize(
    "text",
    [
        b'    $a = "mining.subscribe" ascii nocase\n',
        b"\n$re = /mining.subscribe[0-9]/is fullword // old\n",
        b'\x00\x01rule x {\n strings:\n $s1 = "{method:mining.subscribe}" wide\r\n condition: $s1}\0\0',
        b'condition: proc.cmdline contains "mining.subscribe" or x\n',
        b'alert tcp any any (content:"mining.subscribe"; sid:1;)\n',
        b"match stratum m|^mining.subscribe| p/x/\n",
        b"      CommandLine|contains: 'mining.subscribe'\n",
        b'"patterns": ["mining.subscribe", "x"]\n',
    ],
)
def test_a_rules_text_is_a_rules(text: bytes) -> None:
    assert in_rule(*around(text, WORD))


@pytest.mark.parametrize(
    "text",
    [
        b'\0{"id": 1, "method": "mining.subscribe", "params": []}\0',
        b"mining.subscribe\0mining.notify\0",
        b'$a = "x"\nmining.subscribe\n',
        b'$a = "\0mining.subscribe\0',
        b"$cost = mining.subscribe",
        b'$a = "mining.subscribe and more code follows here',
    ],
)
def test_a_programs_own_text_is_not(text: bytes) -> None:
    assert not in_rule(*around(text, WORD))


def test_a_pattern_gives_a_choice_of_words_and_a_program_has_them() -> None:
    pattern = b"\0\xda\x12(?i)^mining.subscribe|mining\\.notify|eth_\\w+$\xe9\1"

    assert in_pattern(*around(pattern, WORD))
    assert not in_pattern(*around(b"\0\xda\x12mining.subscribe\xe9\1" + pattern, WORD))
    assert not in_pattern(*around(b"use mining.subscribe|mining.notify|mining.submit", WORD))


@pytest.mark.parametrize(
    "line",
    [
        b"0.0.0.0 pool.minexmr.com",
        b"127.0.0.1\tpool.minexmr.com # pool",
        b"||pool.minexmr.com^$third-party",
        b"address=/pool.minexmr.com/0.0.0.0",
        b'local-zone: "pool.minexmr.com" always_nxdomain',
        b"pool.minexmr.com",
        b"- pool.minexmr.com",
        b'"pool.minexmr.com",',
    ],
)
def test_a_line_of_a_block_list_is_one(line: bytes) -> None:
    assert in_list(*around(b"# list\n" + line + b"\n# end\n", HOST))


@pytest.mark.parametrize(
    "line",
    [b"pool.minexmr.com:3333", b"url = pool.minexmr.com", b"./x -o pool.minexmr.com -u me", b"x\0pool.minexmr.com\0y"],
)
def test_a_place_to_connect_to_is_not(line: bytes) -> None:
    assert not in_list(*around(b"#\n" + line + b"\n", HOST))


@pytest.mark.parametrize(
    "filler",
    [b"1.1.1.11", b"0.0.0.0 ", b"127.0.0.1", b'"', b"::", b"zone ", b"a.", b"\t nocase", b"[{", b"|contains|", b"$a="],
)
def test_no_line_takes_long(filler: bytes) -> None:
    data = filler * 200 + HOST + filler * 200
    started = time.process_time()

    in_rule(*around(data, HOST))
    in_list(*around(data, HOST))

    assert time.process_time() - started < 1


@given(st.binary(max_size=900), st.binary(max_size=900))
def test_no_bytes_break_the_contexts(before: bytes, after: bytes) -> None:
    data = before + HOST + after
    in_rule(data, len(before), len(HOST))
    in_list(data, len(before), len(HOST))
