"""Other people's exceptions in few words."""

from scanner.model import printable


def reason(error: BaseException) -> str:
    """The innermost cause's words: what the system said, without the libraries' wrapping."""
    inner = error
    for _ in range(8):
        wrapped = getattr(inner.args[0] if inner.args else None, "reason", None) or getattr(inner, "reason", None)
        within = next((a for a in inner.args if isinstance(a, BaseException)), None)
        deeper = wrapped if isinstance(wrapped, BaseException) else within or inner.__cause__ or inner.__context__
        if deeper is None:
            break
        inner = deeper
    return printable(getattr(inner, "strerror", None) or str(inner) or type(inner).__name__)
