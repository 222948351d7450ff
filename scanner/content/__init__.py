"""The bytes of one file and what can be read from them within bounds."""

from scanner.content.content import Content

__all__ = ["Content"]
