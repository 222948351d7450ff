"""Addresses by their checksums: published test vectors are taken, one changed character is enough to refuse them."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.detectors.mining.keccak import keccak256
from scanner.detectors.mining.wallets import TRIES, Purse, search, wallet, wallets

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

VECTORS = [
    # Monero's donation address, a subaddress of its general fund, an integrated address of its documentation
    (
        "monero",
        "standard",
        "44AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7otXft3XjrpDtQGv7SqSsaBYBb98uNbr2VBBEt7f2wfn3RVGQBEP3A",
    ),
    (
        "monero",
        "subaddress",
        "888tNkZrPN6JsEgekjMnABU4TBzc2Dt29EPAvkRxbANsAnjyPbb3iQ1YBRk1UXcdRsiKc9dhwMVgN5S9cQUiyoogDavup3H",
    ),
    (
        "monero",
        "integrated",
        "4LL9oSLmtpccfufTMvppY6JwXNouMBzSkbLYfpAV5Usx3skxNgYeYTRj5UzqtReoS44qo9mtmXCqY45DJ852K5Jv2bYXZKKQePHES9khPK",
    ),
    # the first block's, BIP-16's form, BIP-173's and BIP-350's examples
    ("bitcoin", "p2pkh", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
    ("bitcoin", "p2sh", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"),
    ("bitcoin", "segwit", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
    ("bitcoin", "segwit", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"),
    ("litecoin", "p2pkh", "LM2WMpR1Rp6j3Sa59cMXMs1SPzj9eXpGc1"),
    ("litecoin", "segwit", "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9"),
    ("dogecoin", "p2pkh", "DBXu2kgc3xtvCUWFcxFE3r9hEYgmuaaCyD"),
    ("zcash", "p2pkh", "t1Hsc1LR8yKnbbe3twRp88p6vFfC5t7DLbs"),
    # EIP-55's own examples
    ("ethereum", "account", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
    ("ethereum", "account", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"),
    # kaspad, util/doc.go; rusty-kaspa's other address kinds
    ("kaspa", "address", "kaspa:qqkqkzjvr7zwxxmjxjkmxxdwju9kjs6e9u82uh59z07vgaks6gg62v8707g73"),
    ("kaspa", "address", "kaspa:qyp4scvsxvkrjxyq98gd4xedhgrqtmf78l7wl8p8p4j0mjuvpwjg5cqhy97n472"),
]


def base58check(payload: bytes) -> str:
    raw = payload + sha256(sha256(payload).digest()).digest()[:4]
    value, text = int.from_bytes(raw, "big"), ""
    while value:
        value, digit = divmod(value, 58)
        text = BASE58[digit] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text


@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
        (b"testing", "5f16f4c7f149ac4f9510d9cf8cf384038ad348b3bcdc01915f95de12df9d1b02"),
    ],
)
def test_keccak_is_the_one_before_sha3(data: bytes, digest: str) -> None:
    assert keccak256(data).hex() == digest


@pytest.mark.parametrize("length", [135, 136, 137, 271, 272, 273])
def test_keccak_pads_at_the_edges_of_its_blocks(length: int) -> None:
    assert len({keccak256(bytes(n)) for n in (length, length + 1)}) == 2


@pytest.mark.parametrize(("coin", "kind", "address"), VECTORS, ids=lambda v: v[:8])
def test_a_published_address_is_valid(coin: str, kind: str, address: str) -> None:
    found = wallet(address)

    assert found is not None
    assert (found.coin, found.kind, found.address) == (coin, kind, address)


@pytest.mark.parametrize(("coin", "kind", "address"), VECTORS, ids=lambda v: v[:8])
def test_one_changed_character_is_refused(coin: str, kind: str, address: str) -> None:
    for place in range(8, len(address), 5):
        old = address[place]
        new = next(c for c in "q7Zx3" if c.lower() != old.lower())
        if coin == "ethereum":
            new = old.swapcase() if old.isalpha() else ("1" if old != "1" else "2")
        assert wallet(address[:place] + new + address[place + 1 :]) is None, place


def test_ravencoins_version_byte_is_known() -> None:
    found = wallet(base58check(b"\x3c" + bytes(range(20))))

    assert found is not None
    assert (found.coin, found.address[0]) == ("ravencoin", "R")


@pytest.mark.parametrize("version", [b"\x6f", b"\xef", b"\x80"])
def test_test_networks_and_private_keys_are_no_wallets(version: bytes) -> None:
    assert wallet(base58check(version + bytes(range(20)))) is None


@pytest.mark.parametrize("behind", [".rig1", "/rig1", "+5000", ":x", " "])
def test_what_pools_take_behind_an_address_is_no_part_of_it(behind: str) -> None:
    found = wallet(VECTORS[0][2] + behind)

    assert found is not None
    assert found.address == VECTORS[0][2]


@pytest.mark.parametrize("data", [b"x%s", b"%sx", b"0%s"])
def test_an_address_within_a_longer_word_is_none(data: bytes) -> None:
    assert wallets(data % VECTORS[0][2].encode()) == []


def test_ethereum_of_one_case_has_no_checksum_and_counts_for_nothing() -> None:
    assert wallet("0x" + "ab" * 20) is None
    assert wallet("0x" + "AB" * 20) is None


def test_every_address_of_a_text_is_found_once_with_its_place() -> None:
    first, second = VECTORS[0][2].encode(), VECTORS[1][2].encode()
    data = b"a " + first + b"\nb " + second + b"\nc " + first

    assert [(w.offset, w.kind) for w in wallets(data)] == [(2, "standard"), (100, "subaddress")]


def test_so_many_different_look_alikes_are_not_all_checked() -> None:
    digits = BASE58
    flood = b" ".join(
        ("45" + digits[n % 58] + digits[n // 58 % 58] + digits[n // 3364] + "A" * 90).encode() for n in range(TRIES + 1)
    )

    assert search(flood, {"monero"}) == ([], False)


def test_a_purse_is_empty_after_so_many_look_alikes() -> None:
    purse = Purse(tries=3)

    assert [purse.wallet("45" + c * 93) for c in "ABC"] == [None, None, None]
    assert not purse.exhausted
    assert purse.wallet("plain words cost nothing") is None
    assert not purse.exhausted
    assert purse.wallet(VECTORS[0][2]) is None
    assert purse.exhausted


@given(st.binary(max_size=600))
def test_no_bytes_break_the_search(data: bytes) -> None:
    for found in wallets(data):
        assert wallet(found.address) is not None


@given(st.text(alphabet=BASE58 + "0Ol", min_size=94, max_size=107))
def test_the_shape_is_not_enough(text: str) -> None:
    assert wallets(b"4" + text.encode(), {"monero"}) == []
