"""Privoxy: a proxy to anywhere, less what `permit-access`, `deny-access` and `{+block}` sections say.

Source: the Privoxy User Manual (main configuration, actions files).
"""

from scanner.egress.forwarders.plugin import ANYWHERE, Forwarder, Program, Run


def read(run: Run) -> Forwarder | None:
    listens = [("tcp", 8118)]
    config = run.file("/etc/privoxy/config") or next((f for w in run.words if (f := run.file(w)) is not None), None)
    if config is not None:
        for number, raw in config.lines():
            words = raw.partition("#")[0].split()
            if words[:1] == ["listen-address"] and len(words) > 1 and words[1].rpartition(":")[2].isdigit():
                listens = [("tcp", int(words[1].rpartition(":")[2][:5]))]
            elif words and (words[0].startswith("forward") and words[-1] != "."):
                return run.untold("it hands requests on to another proxy", listens=listens, origin=config.place(number))
            elif (
                words[:1] == ["actionsfile"]
                and len(words) > 1
                and words[1] not in ("default.action", "match-all.action")
            ):
                return run.untold(f"its rules in {words[1]} are not read", listens=listens, origin=config.place(number))
            elif words[:1] == ["permit-access"] and len(words) > 2:
                return run.untold(
                    "permit-access names destinations, which are not read", listens=listens, origin=config.place(number)
                )
    if run.files_in("/etc/privoxy", ".action"):
        return run.untold("its rules in a mounted actions file are not read", listens=listens)
    return run.result(
        "proxy", ANYWHERE, "privoxy connects to anywhere for whoever asks", listens=listens, resolves=True
    )


PLUGIN = Program("privoxy", images=("privoxy", "alpine-privoxy"), commands=("privoxy",), read=read)
