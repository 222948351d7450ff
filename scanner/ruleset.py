"""YARA rules, ours and a user's: compiled once, their meta read as Rule, matched against one file's bytes at a time."""

from dataclasses import dataclass

from scanner.model import Rule


@dataclass(frozen=True, slots=True)
class YaraRule:
    rule: Rule
    identifier: str
    namespace: str
    behaviour: str
    evidence: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class StringMatch:
    identifier: str
    offset: int
    length: int
    data: bytes


@dataclass(frozen=True, slots=True)
class RuleMatch:
    rule: YaraRule
    strings: tuple[StringMatch, ...]
