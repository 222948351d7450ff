"""Wallet addresses, told by their checksum and never by their shape.

Sources: Monero's base58 and address prefixes (monero, src/common/base58.cpp, cryptonote_config.h), Bitcoin's
base58check, BIP-173 and BIP-350 (bech32, bech32m), EIP-55, Kaspa's encoding (rusty-kaspa, crypto/addresses).
"""

import re
from collections.abc import Callable, Set
from dataclasses import dataclass
from hashlib import sha256

from scanner.detectors.mining.keccak import keccak256

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58_VALUE = {c: i for i, c in enumerate(_BASE58)}
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_VALUE = {c: i for i, c in enumerate(_BECH32)}


@dataclass(frozen=True, slots=True)
class Wallet:
    """A valid address as written: `coin` in lower case, `kind` of address, `offset` in the bytes searched."""

    coin: str
    kind: str
    address: str
    offset: int = 0


# Monero writes base58 in blocks of 8 bytes as 11 characters; the last block is shorter.
_MONERO_BLOCK = {11: 8, 7: 5, 10: 7, 9: 6, 6: 4, 5: 3, 3: 2, 2: 1}
_MONERO_KINDS = {18: "standard", 19: "integrated", 42: "subaddress"}
_MONERO_LENGTH = {"standard": 69, "subaddress": 69, "integrated": 77}


def _monero_decode(text: str) -> bytes | None:
    out = bytearray()
    for begin in range(0, len(text), 11):
        block = text[begin : begin + 11]
        size = _MONERO_BLOCK.get(len(block))
        if size is None:
            return None
        value = 0
        for character in block:
            digit = _BASE58_VALUE.get(character)
            if digit is None:
                return None
            value = value * 58 + digit
        if value >= 1 << (8 * size):
            return None
        out += value.to_bytes(size, "big")
    return bytes(out)


def _monero(text: str) -> str | None:
    raw = _monero_decode(text)
    if raw is None or len(raw) < 5:
        return None
    kind = _MONERO_KINDS.get(raw[0])
    if kind is None or len(raw) != _MONERO_LENGTH[kind] or keccak256(raw[:-4])[:4] != raw[-4:]:
        return None
    return kind


def _base58check(text: str) -> bytes | None:
    """The payload with its version byte, or None where a character or the checksum is wrong."""
    value = 0
    for character in text:
        digit = _BASE58_VALUE.get(character)
        if digit is None:
            return None
        value = value * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    raw = b"\0" * zeros + value.to_bytes((value.bit_length() + 7) // 8, "big")
    if len(raw) < 5 or sha256(sha256(raw[:-4]).digest()).digest()[:4] != raw[-4:]:
        return None
    return raw[:-4]


_VERSIONS: dict[bytes, tuple[str, str]] = {
    b"\x00": ("bitcoin", "p2pkh"),
    b"\x05": ("bitcoin", "p2sh"),
    b"\x30": ("litecoin", "p2pkh"),
    b"\x32": ("litecoin", "p2sh"),
    b"\x1e": ("dogecoin", "p2pkh"),
    b"\x3c": ("ravencoin", "p2pkh"),
    b"\x1c\xb8": ("zcash", "p2pkh"),
    b"\x1c\xbd": ("zcash", "p2sh"),
}


def _bech32_polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            if top >> i & 1:
                check ^= generator
    return check


def _segwit(text: str) -> bool:
    """Whether `text` is a segregated witness address: bech32 for version 0, bech32m from version 1 on."""
    if text.lower() != text and text.upper() != text:
        return False
    prefix, _, payload = text.lower().rpartition("1")
    values = [_BECH32_VALUE.get(c, -1) for c in payload]
    if -1 in values or len(values) < 8:
        return False
    version = values[0]
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    if version > 16 or _bech32_polymod(expanded + values) != (1 if version == 0 else 0x2BC830A3):
        return False
    bits, padding = divmod((len(values) - 7) * 5, 8)
    if padding > 4 or not 2 <= bits <= 40:
        return False
    return version != 0 or bits in (20, 32)


def _cashaddr_polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 35
        check = (check & 0x07FFFFFFFF) << 5 ^ value
        for i, generator in enumerate((0x98F2BC8E61, 0x79B76D99E2, 0xF33E5FB3C4, 0xAE2EABE2A8, 0x1E4F43E470)):
            if top >> i & 1:
                check ^= generator
    return check ^ 1


def _kaspa(text: str) -> bool:
    prefix, _, payload = text.partition(":")
    values = [_BECH32_VALUE.get(c, -1) for c in payload]
    return -1 not in values and _cashaddr_polymod([ord(c) & 31 for c in prefix] + [0] + values) == 0


def _ethereum(text: str) -> bool:
    """EIP-55's mixed case carries the checksum; an address of one case has none and is not told from other hex."""
    digits = text[2:]
    if digits.lower() == digits or digits.upper() == digits:
        return False
    digest = keccak256(digits.lower().encode()).hex()
    return all(c.isdigit() or c.isupper() == (int(h, 16) >= 8) for c, h in zip(digits, digest, strict=False))


def _check_base58(text: str) -> tuple[str, str] | None:
    payload = _base58check(text)
    if payload is None:
        return None
    return _VERSIONS.get(payload[:-20]) if len(payload) in (21, 22) else None


def _check_monero(text: str) -> tuple[str, str] | None:
    kind = _monero(text)
    return ("monero", kind) if kind else None


def _check_segwit(text: str) -> tuple[str, str] | None:
    coin = "bitcoin" if text[:2].lower() == "bc" else "litecoin"
    return (coin, "segwit") if _segwit(text) else None


def _check_kaspa(text: str) -> tuple[str, str] | None:
    return ("kaspa", "address") if _kaspa(text) else None


def _check_ethereum(text: str) -> tuple[str, str] | None:
    return ("ethereum", "account") if _ethereum(text) else None


def _coins(names: str) -> frozenset[str]:
    return frozenset(names.split())


COINS = _coins("monero bitcoin litecoin kaspa ethereum dogecoin ravencoin zcash")

_B58 = rb"[1-9A-HJ-NP-Za-km-z]"
_SHAPES: tuple[tuple[frozenset[str], re.Pattern[bytes], Callable[[str], tuple[str, str] | None]], ...] = (
    (
        _coins("monero"),
        re.compile(rb"(?:4[1-9A-HJ-M]|8[2-9ABC])" + _B58 + rb"{93}(?:" + _B58 + rb"{11})?(?![0-9A-Za-z])"),
        _check_monero,
    ),
    (
        _coins("bitcoin litecoin"),
        re.compile(rb"(?:bc1|BC1|ltc1|LTC1)[0-9A-Za-z]{11,87}(?![0-9A-Za-z])"),
        _check_segwit,
    ),
    (_coins("kaspa"), re.compile(rb"kaspa:[02-9ac-hj-np-z]{61,63}(?![0-9A-Za-z])"), _check_kaspa),
    (_coins("ethereum"), re.compile(rb"0x[0-9A-Fa-f]{40}(?![0-9A-Za-z])"), _check_ethereum),
    (
        _coins("bitcoin litecoin dogecoin ravencoin zcash"),
        re.compile(rb"[13LMDRt]" + _B58 + rb"{25,34}(?![0-9A-Za-z])"),
        _check_base58,
    ),
)
TRIES = 1000
"""Candidates of one shape whose checksum is computed in one search: a hostile file cannot buy more of our time."""
ENOUGH = 20
"""Valid addresses of one shape after which a search has seen what it came for."""


def search(data: bytes | memoryview, coins: Set[str] = COINS) -> tuple[list[Wallet], bool]:
    """The first valid addresses of these coins in `data`, each once, and whether no shape had more than TRIES candidates."""
    found, complete = [], True
    for of, shape, check in _SHAPES:
        if coins.isdisjoint(of):
            continue
        tried: set[bytes] = set()
        valid = 0
        for place in shape.finditer(data):
            text = bytes(place.group())
            begin = place.start()
            # looked at here and not in the pattern, which is four times as fast without it
            if text in tried or (begin and bytes(data[begin - 1 : begin]).isalnum()):
                continue
            if valid == ENOUGH:
                break
            if len(tried) == TRIES:
                complete = False
                break
            tried.add(text)
            address = text.decode("ascii")
            known = check(address)
            if known and known[0] in coins:
                valid += 1
                found.append(Wallet(*known, address, begin))
    return found, complete


def wallets(data: bytes | memoryview, coins: Set[str] = COINS) -> list[Wallet]:
    """The first valid addresses of these coins in `data`, each once."""
    return search(data, coins)[0]


class Purse:
    """Addresses at the beginning of words, as pools take them with `.worker`, `/worker` or `+difficulty` behind them.

    `exhausted` once more than `tries` words had the shape of one: the rest are not checked.
    """

    def __init__(self, tries: int = 300) -> None:
        self._left = tries
        self.exhausted = False

    def wallet(self, text: str) -> Wallet | None:
        """The address that begins `text`, behind at most four characters such as `xmr:`."""
        head = text.strip()[:140].encode("utf-8", "replace")
        if not any(shape.search(head) for _, shape, _ in _SHAPES):
            return None
        if not self._left:
            self.exhausted = True
            return None
        self._left -= 1
        return next((w for w in wallets(head) if w.offset <= 4), None)


def wallet(text: str) -> Wallet | None:
    """The address that begins `text`."""
    return Purse().wallet(text)
