"""Dockerfiles, read as BuildKit reads them: `parse` gives stages and instructions with their lines, `expanded` what ARG and ENV make of them."""

from scanner.dockerfile.expansion import Expanded, ExpandedStage, Step, expanded
from scanner.dockerfile.parser import parse
from scanner.dockerfile.values import Dockerfile, Heredoc, Instruction, Problem, Stage
from scanner.dockerfile.words import Work

__all__ = [
    "Dockerfile",
    "Expanded",
    "ExpandedStage",
    "Heredoc",
    "Instruction",
    "Problem",
    "Stage",
    "Step",
    "Work",
    "expanded",
    "parse",
]
