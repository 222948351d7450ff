"""Credentials: named, placed, and never shown."""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fixtures import keys as made
from scanner.credentials import (
    BYTES,
    MANY,
    PATHS,
    Credential,
    env_credentials,
    git_remotes,
    mask,
    mask_items,
    placeholder,
    read,
    secret_name,
)

SECRET = "Zq7vPplanted9KwX3"


def told(kind: str, text: str) -> list[tuple[str, str, int | None]]:
    """Name, target and line of each credential; whatever is read, the secret is not told."""
    found = read(kind, text.encode())
    assert SECRET not in repr(found)
    for one in found.credentials:
        if one.offset is not None:
            assert text.encode().count(b"\n", 0, one.offset) + 1 == one.line
    return [(c.name, c.target, c.line) for c in found.credentials]


def details(kind: str, text: str) -> dict[str, str]:
    [found] = read(kind, text.encode()).credentials
    return dict(found.details)


KUBE = f"""apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: AAAA
    server: https://k8s.example.com:6443
  name: prod
contexts:
- context: {{cluster: prod, user: admin}}
  name: prod
users:
- name: admin
  user:
    client-certificate-data: AAAA
    client-key-data: {SECRET}
- user:
    token: {SECRET}
  name: robot
- name: nobody
  user: {{}}
"""
FILES = {
    "netrc": (
        (
            f"machine a.example.com login bob password {SECRET}\n"
            "machine b.example.com\n\tlogin eve\n"
            f"macdef init\nmachine trap password {SECRET}\n\n"
            f"machine c.example.com\n login x\n password {SECRET}\ndefault login anonymous password changeme\n"
        ),
        [("a.example.com", "a.example.com", 1), ("c.example.com", "c.example.com", 7)],
    ),
    "git-credentials": (
        f"https://bob:{SECRET}@git.example.com\nhttps://git.example.com\nhttps://bob:${{TOKEN}}@x.example.com\n",
        [("git.example.com", "git.example.com", 1)],
    ),
    "git-config": (
        (
            f'[remote "origin"]\n\turl = https://oauth2:{SECRET}@git.example.com/a.git\n'
            '[remote "ssh"]\n\turl = ssh://git@git.example.com/a.git\n'
            f'[http "https://h.example.com/"]\n\textraheader = AUTHORIZATION: basic {SECRET}\n'
            f'[url "https://{SECRET}@github.com/"]\n\tinsteadOf = https://github.com/\n'
        ),
        [
            ("remote.url", "git.example.com", 2),
            ("http.extraheader", "h.example.com", 6),
            ("url.insteadOf", "github.com", 8),
        ],
    ),
    "pip": (
        (
            f"[global]\nindex-url = https://bob:{SECRET}@pypi.example.com/simple\n"
            "extra-index-url =\n    https://pypi.org/simple\n    http://10.0.0.1:8080/simple\ntimeout = 60\n"
        ),
        [("index-url", "pypi.example.com", 2), ("extra-index-url", "10.0.0.1", 5)],
    ),
    "pypirc": (
        (
            f"[distutils]\nindex-servers = pypi\n[pypi]\nusername = __token__\npassword = {SECRET}\n"
            f"[own]\nrepository = https://up.example.com/\npassword: {SECRET}\n[empty]\npassword =\n"
        ),
        [("pypi", "upload.pypi.org", 5), ("own", "up.example.com", 8)],
    ),
    "npmrc": (
        (
            f"registry=https://npm.example.com/\n//npm.example.com/:_authToken={SECRET}\n"
            "//r.example.com/:_authToken=${NPM_TOKEN}\n@a:registry=https://registry.npmjs.org/\n; _auth=x\n"
        ),
        [("registry", "npm.example.com", 1), ("_authToken", "npm.example.com", 2)],
    ),
    "docker": (
        f'{{"auths": {{\n"https://index.docker.io/v1/": {{"auth": "{SECRET}"}},\n"ghcr.io": {{}}}},\n"credsStore": "pass"}}',
        [("auth", "index.docker.io", 2), ("credsStore", "", 4)],
    ),
    "aws": (
        (
            f"[default]\naws_access_key_id = AKIA1\naws_secret_access_key = {SECRET}\n"
            "[profile dev]\nrole_arn = arn:aws:iam::1:role/x\naws_secret_access_key = wJalrEXAMPLEKEY\n"
        ),
        [("aws_secret_access_key", "amazonaws.com", 3), ("role_arn", "amazonaws.com", 5)],
    ),
    "google": (
        f'{{"type": "service_account",\n"private_key": "{SECRET}", "client_email": "a@b.example.com"}}',
        [("private_key", "googleapis.com", 2)],
    ),
    "azure": (
        f'[{{"a": 1}}]\n{{"AccessToken": {{"k":\n {{"secret": "{SECRET}"}}}}}}',
        [],  # two documents are no JSON
    ),
    "kube": (
        KUBE,
        [("server", "k8s.example.com:6443", 5), ("client-key-data", "", 14), ("token", "", 16)],
    ),
    "gh": (f"github.com:\n    user: bob\n    oauth_token: {SECRET}\n", [("oauth_token", "github.com", 3)]),
    "rclone": (
        f"[store]\ntype = sftp\nhost = files.example.com\nuser = bob\npass = {SECRET}\n",
        [("pass", "files.example.com", 5)],
    ),
    "dotenv": (
        f"# x\nexport DB_PASSWORD='{SECRET}'\nAPI_KEY=changeme\nPORT=22\nGITHUB_TOKEN={SECRET}\n",
        [("DB_PASSWORD", "", 2), ("GITHUB_TOKEN", "github.com", 5)],
    ),
    "huggingface": (f"{SECRET}\n", [("token", "huggingface.co", 1)]),
    "huggingface-tokens": (f"[me]\nhf_token = {SECRET}\n", [("hf_token", "huggingface.co", 2)]),
    "terraform": (
        f'{{"credentials": {{"app.terraform.io": {{\n"token": "{SECRET}"}}}}}}',
        [("credentials.app.terraform.io.token", "app.terraform.io", 2)],
    ),
    "terraformrc": (f'credentials "tf.example.com" {{\n  token = "{SECRET}"\n}}\n', [("token", "tf.example.com", 2)]),
    "cargo": (f'[registry]\ntoken = "{SECRET}"\n', [("token", "registry", 2)]),
    "pgpass": (f"# x\ndb.example.com:5432:app:bob:{SECRET}\n*:*:*:*:\n", [("app", "db.example.com", 2)]),
    "gpg-agent": ("# ssh\nenable-ssh-support\ndefault-cache-ttl 60\n", [("enable-ssh-support", "ssh", 2)]),
    "claude": (
        f'{{"claudeAiOauth": {{"accessToken": "{SECRET}", "expiresAt": 1}}}}',
        [("claudeAiOauth.accessToken", "api.anthropic.com", 1)],
    ),
    "codex": (
        f'{{"OPENAI_API_KEY": null, "tokens": {{"access_token": "{SECRET}"}}}}',
        [("tokens.access_token", "api.openai.com", 1)],
    ),
    "yarnrc": (f'npmAuthToken: "{SECRET}"\n', [("npmAuthToken", "registry.npmjs.org", 1)]),
    "vault": (SECRET, [("token", "", 1)]),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_tells_name_target_and_line_and_no_secret(kind):
    text, expected = FILES[kind]
    assert told(kind, text) == expected


def test_details_say_how():
    assert details("git-credentials", f"https://bob:{SECRET}@h\n") == {"user": "bob"}
    assert details("aws", f"[profile dev]\naws_secret_access_key={SECRET}\n") == {"profile": "dev"}
    assert details("gh", f"h:\n  oauth_token: {SECRET}\n") == {}
    assert details("google", FILES["google"][0]) == {"type": "service_account", "account": "a@b.example.com"}
    assert [dict(c.details) for c in read("kube", KUBE.encode()).credentials] == [
        {},
        {"user": "admin"},
        {"user": "robot"},
    ]


@pytest.mark.parametrize("kind", [kind for kind, _ in PATHS if kind != "azure-store"])
def test_an_empty_and_a_broken_file_hold_nothing(kind):
    assert not read(kind, b"").credentials
    for data in (b"\xff\xfe\0", b"{", b"[" * 100_000, b"]" * 9, b"{}", b"null", b"a: b\n", b"[a]\nb\n"):
        assert not read(kind, data).credentials


@pytest.mark.parametrize("kind", ["docker", "terraform", "google"])
def test_what_cannot_be_read_is_told(kind):
    assert read(kind, b"{").problems
    assert read(kind, b'{"a":' * 200_000).problems


def test_what_lies_past_a_limit_is_told():
    long = read("netrc", b"#" * BYTES + b"\nmachine a login b password c9c9c9\n")
    assert not long.credentials
    assert long.problems
    many = read("dotenv", b"A_TOKEN=z9z9z9\n" * (MANY + 1))
    assert len(many.credentials) == MANY
    assert many.problems


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (b"root/.netrc", "netrc"),
        (b"home/a/.git-credentials", "git-credentials"),
        (b".git/config", "git-config"),
        (b"app/.git/config", "git-config"),
        (b"etc/pip.conf", "pip"),
        (b"root/.config/pip/pip.conf", "pip"),
        (b"root/.pypirc", "pypirc"),
        (b"root/.npmrc", "npmrc"),
        (b"root/.docker/config.json", "docker"),
        (b"home/a/.aws/credentials", "aws"),
        (b"root/.config/gcloud/application_default_credentials.json", "google"),
        (b"srv/my-service-account.json", "google"),
        (b"root/.kube/config", "kube"),
        (b"root/.config/gh/hosts.yml", "gh"),
        (b"root/.config/rclone/rclone.conf", "rclone"),
        (b"app/.env", "dotenv"),
        (b"app/.env.production", "dotenv"),
        (b"root/.cache/huggingface/token", "huggingface"),
        (b"root/.terraform.d/credentials.tfrc.json", "terraform"),
        (b"app/.env.example", None),
        (b"app/config.json", None),
        (b"usr/share/doc/netrc", None),
        (b"app/src/environment", None),
    ],
)
def test_each_path_is_of_one_kind(path, kind):
    assert [k for k, form in PATHS if re.search(form, path)] == ([kind] if kind else [])


def test_paths_capture_nothing():
    assert all(re.compile(form).groups == 0 for _, form in PATHS)


@pytest.mark.parametrize(
    ("item", "name", "target"),
    [
        (f"DB_PASSWORD={SECRET}", "DB_PASSWORD", ""),
        (f"AWS_SECRET_ACCESS_KEY={SECRET}", "AWS_SECRET_ACCESS_KEY", "amazonaws.com"),
        (f"OPENAI_API_KEY={SECRET}", "OPENAI_API_KEY", "api.openai.com"),
        (f"SSHPASS={SECRET}", "SSHPASS", ""),
        (f"DATABASE_URL=postgres://bob:{SECRET}@db.example.com:5432/x", "DATABASE_URL", "db.example.com:5432"),
        ("WHATEVER=ghp_" + "a1" * 18, "WHATEVER", "github.com"),
        ("X=sk-proj-" + "a1" * 18, "X", "api.openai.com"),
        ("X=AKIA" + "A1" * 8, "X", "amazonaws.com"),
        (f"AZURE_CONN=AccountName=a;AccountKey={SECRET}==", "AZURE_CONN", "azure.com"),
        ("DEPLOY=" + made.openssh("env"), "DEPLOY", ""),
    ],
)
def test_a_variable_with_a_secret_is_a_credential(item, name, target):
    [found] = env_credentials([item])
    assert (found.kind, found.name, found.target, found.line) == ("environment", name, target, None)
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    "item",
    [
        "PATH=/usr/bin",
        "DB_PASSWORD=",
        "DB_PASSWORD=changeme",
        "DB_PASSWORD=${SECRET}",
        "API_KEY=xxx",
        "API_KEY=your-api-key",
        "TOKEN=<token>",
        "DB_PASSWORD=/run/secrets/db",
        "TOKEN_URL=https://auth.example.com/token",
        "GIT_ASKPASS=/bin/true",
        "PWD=/root",
        "OLDPWD=/root/x",
        "MAX_TOKENS=4096",
        "GPG_KEY=E3FF2839C048B25C084DEBE9B26995E310250568",
        "PYTHON_SHA256=0123",
        "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "no equals sign",
    ],
)
def test_other_variables_are_none(item):
    assert env_credentials([item]) == ()


def test_an_agent_is_where_keys_are_lent():
    assert env_credentials(["SSH_AUTH_SOCK=/run/agent.sock"]) == (
        Credential("ssh-agent", "SSH_AUTH_SOCK", None, None, "/run/agent.sock"),
    )


def test_names_and_placeholders():
    assert all(map(secret_name, ("password", "dbPassword", "--api-key", "X-Auth-Token", "SECRET_KEY_BASE", "TOKEN_2")))
    assert not any(map(secret_name, ("", "key", "TOKEN_URL", "bypass", "tokens", "author", "PASSWORD_FILE", "monkey")))
    assert all(map(placeholder, ("", "''", "CHANGE_ME", "<x>", "$X", "{{ x }}", "****", "todo", "your_token")))
    assert not any(map(placeholder, (SECRET, "hunter2", "a$b", "correct horse")))


GIT = """[core]
\tbare = false
[remote "origin"]
\turl = git@github.com:me/a.git
\tfetch = +refs/heads/*:refs/remotes/origin/*
[remote "two"]
\turl = ssh://bob@git.example.com:2222/a.git
\tpushurl = ssh://[2001:db8::1]:22/a
[remote "https"]
\turl = https://git.example.com/a.git
[remote "file"]
\turl = /srv/a.git
[url "git@corp.example.com:"]
\tinsteadOf = corp:
[submodule "s"]
\turl = host:a
"""


def test_remotes_are_told_with_user_host_and_port():
    assert [(r.name, r.scheme, r.user, r.host, r.port, r.line) for r in git_remotes(GIT.encode())] == [
        ("origin", "ssh", "git", "github.com", None, 4),
        ("two", "ssh", "bob", "git.example.com", 2222, 7),
        ("two", "ssh", "", "2001:db8::1", 22, 8),
        ("https", "https", "", "git.example.com", None, 10),
        ("url.insteadOf", "ssh", "git", "corp.example.com", None, 14),
        ("s", "ssh", "", "host", None, 16),
    ]


def test_a_password_in_a_remote_is_not_told():
    [remote] = git_remotes(f'[remote "o"]\nurl = https://{SECRET}:x-oauth-basic@github.com/a\n'.encode())
    assert SECRET not in repr(remote)
    assert remote.host == "github.com"


PLACES = [
    "sshpass -p {} ssh -p 22 bob@host",
    "sshpass -p{} ssh host",
    "sshpass -v -P assword: -p '{}' ssh host",
    "sshpass -P 'pass word' -vp {} ssh host",
    '["sshpass", "-v", "-P", "pass word", "-p", "{}", "ssh", "host"]',
    '["docker", "--debug", "login", "-p", "{}"]',
    '["sshpass", "-p", "{}", "ssh", "host"]',
    "SSHPASS={} sshpass -e ssh host",
    "export DB_PASSWORD='{}'; run",
    "mysql -u root -p{} db",
    "mysql --password={} db",
    "psql --password {} db",
    "curl -u bob:{} https://host/",
    'curl --user "bob:{}" https://host/',
    'curl -H "Authorization: Bearer {}" https://host/',
    "curl -H 'Authorization: Basic {}' https://host/",
    "curl -H 'PRIVATE-TOKEN: {}' https://host/",
    "curl 'https://host/?a=1&access_token={}&b=2'",
    "git clone https://bob:{}@github.com/a/b",
    "git clone https://{}@github.com/a/b",
    "ssh://bob:{}@host:22/a",
    "postgres://bob:{}@db/x",
    "docker login -u bob -p {} registry.example.com",
    "echo {} | docker login --password-stdin",
    "echo 'root:{}' | chpasswd",
    "redis-cli -a {} ping",
    "plink -pw {} bob@host",
    "openssl enc -pass pass:{} -in a",
    "gpg --batch --passphrase {} -c a",
    "machine host login bob password {}",
    "//registry.npmjs.org/:_authToken={}",
    "npm config set //registry.npmjs.org/:_authToken {}",
    '{{"token": "{}", "a": 1}}',
    "{{'apiKey': '{}'}}",
    "password: {}",
    "password = {}",
    "ENV API_TOKEN {}",
    "/bin/sh -c #(nop)  ENV A=1 API_TOKEN={} x",
    "RUN |1 TOKEN={} /bin/sh -c make",
    "kubectl create secret generic a --from-literal=k={}",
    "ngrok config add-authtoken {}",
    "AccountName=a;AccountKey={};B=c",
    'sh -c "sshpass -p \\"{}\\" ssh host"',
    "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\\n{}",
]


@pytest.mark.parametrize("place", PLACES)
@given(st.text("abcXYZ019-_.+/%#!", min_size=4, max_size=24).map(lambda s: f"q{s}9"))
@example(SECRET)
def test_a_planted_secret_does_not_survive(place, secret):
    if "://{" in place or "bob:{}@" in place or "access_token" in place:
        secret = re.sub("[/#%]", "x", secret)
    text = place.format(secret)
    masked = mask(text)
    assert secret not in masked
    assert "*" in masked
    assert len(masked) <= len(text)
    assert mask(masked) == masked


TOKENS = [
    "ghp_" + "a1B2" * 9,
    "github_pat_" + "a1B2" * 9,
    "glpat-" + "a1B2" * 5,
    "sk-ant-api03-" + "a1B2" * 9,
    "sk-" + "a1B2" * 9,
    "AKIA" + "A1B2" * 4,
    "xoxb-1234567890-" + "a1B2" * 5,
    "hf_" + "aBcD" * 8,
    "npm_" + "a1B2" * 9,
    "tskey-auth-" + "a1B2" * 5,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
]


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("around", ["{}", "run {} now", "x={};", '"{}"', "(see {})", "a:{}@b"])
def test_a_token_is_known_by_its_shape(token, around):
    assert token not in mask(around.format(token))
    assert token[8:] not in mask(around.format(token))


@pytest.mark.parametrize(
    "text",
    [
        "ssh -p 22 host",
        "ssh -fNR 0.0.0.0:2222:localhost:22 -o ExitOnForwardFailure=yes -i /root/.ssh/id_rsa bob@203.0.113.1",
        "ssh -o PasswordAuthentication=no -o IdentityFile=/k -o StrictHostKeyChecking=no h",
        "sshpass -e ssh -p 22 host",
        "sshpass -f /run/secret ssh -p 22 host",
        "autossh -M 0 -N -D 1080 bob@host",
        "cp -p a b",
        "mkdir -p /a/b && cd /a/b",
        "docker run -p 80:80 -u 1000:1000 -e TOKEN=$TOKEN image",
        "docker login --password-stdin",
        "mysql -u root -p db",
        "psql -p 5432",
        "redis-cli -p 6379",
        "curl -k -o out https://host:8443/@scope/x",
        "git clone git@github.com:a/b.git",
        "git clone ssh://git@github.com/a/b",
        "rsync -a -e 'ssh -p 22' a b:/c",
        "DB_PASSWORD=${DB_PASSWORD} run",
        "PWD=/root HOME=/root GIT_ASKPASS=/bin/true",
        "max_tokens=4096 tokenizer=gpt2 key=value",
        "if token == wanted and $token =~ /x/ then Token::new(have_pat=1)",
        "-----BEGIN CERTIFICATE-----",
        f"restrict {made.public_line('me', 'me@there')}",
        "PermitRootLogin yes\nPermitEmptyPasswords no",
        "chain of tokens, a secret, a password and a key",
    ],
)
def test_what_is_no_secret_stays(text):
    assert mask(text) == text


@pytest.mark.parametrize(
    ("items", "masked"),
    [
        (("sshpass", "-p", "two words", "ssh", "-p", "22"), ("sshpass", "-p", "***", "ssh", "-p", "22")),
        (("DB_PASSWORD=two words", "PATH=/bin"), ("DB_PASSWORD=***", "PATH=/bin")),
        (("docker", "login", "-u", "bob", "-p", "abcd"), ("docker", "login", "-u", "bob", "-p", "***")),
        (("sh", "-c", "TOKEN='a b' run"), ("sh", "-c", "TOKEN='***' run")),
        (("tool", "--token", 'a"b\\', "x"), ("tool", "--token", "***", "x")),
        (("curl", "-H", "X-Api-Key: abcd", "https://h/"), ("curl", "-H", "X-Api-Key: ***", "https://h/")),
        (("ssh", "-p", "22"), ("ssh", "-p", "22")),
        ((), ()),
    ],
)
def test_items_that_belong_together_are_masked_together(items, masked):
    assert mask_items(items) == masked
    assert mask_items(masked) == masked


PIECES = st.sampled_from(
    "password = : '\" \\ ' \" token -p sshpass mysql curl -u a:b :// @ / ? & = \n ; | echo login authorization: bearer "
    "cookie: ENV set --token , [ ] *** $X ${X} a b1 -----BEGIN_PRIVATE_KEY----- pass: openssl password=".split(" ")
)


@given(st.lists(PIECES, max_size=25), st.sampled_from(["", " "]))
@example(["password", "password", "=", "a"], " ")
def test_masking_is_done_once_and_never_makes_longer(pieces, between):
    text = between.join(pieces)
    masked = mask(text)
    assert len(masked) <= len(text)
    assert mask(masked) == masked
    items = mask_items(pieces)
    assert mask_items(items) == items
    assert [len(i) <= len(p) for i, p in zip(items, pieces, strict=True)] == [True] * len(pieces)


@given(st.text())
def test_no_text_stops_masking(text):
    masked = mask(text)
    assert len(masked) <= len(text)
    assert mask(masked) == masked
    mask_items((text, text))
    env_credentials([text, f"A_TOKEN={text}", f"X=https://{text}"])


@given(st.binary(max_size=300))
def test_no_bytes_stop_a_reader(data):
    git_remotes(data)
    for kind, _ in PATHS:
        read(kind, data)


@given(st.sampled_from(sorted(FILES)), st.integers(0, 10_000), st.binary(max_size=4))
def test_a_changed_file_stops_no_reader_and_tells_no_secret(kind, place, change):
    data = FILES[kind][0].encode()
    at = place % len(data)
    read(kind, data[:at] + change + data[at + 1 :])


@pytest.mark.parametrize(
    "piece",
    [
        "password=",
        'password: "',
        "'token: a' ",
        "?token=&",
        "curl -u a:b ",
        "7z -p",
        "a://b@",
        "echo a|",
        "\\",
        '"',
        "eyJ",
        "sk-",
        "-----BEGIN RSA PRIVATE KEY-----",
        "login a password ",
        "docker a ",
        "docker " + "a=" * 200,
        "sshpass " + "-f=" * 200,
        "sshpass " + "-f a " * 5,
        "sshpass -P '",
        "token\\\\",
        "password" + "\\" * 1000,
        "--token ",
        "\n \n",
    ],
)
def test_time_is_linear(piece):
    def seconds(size: int) -> float:
        text = (piece * (size // len(piece) + 1))[:size]
        begin = time.process_time()
        mask(text)
        return time.process_time() - begin

    assert seconds(200_000) < max(12 * seconds(40_000), 1.5)


@pytest.mark.parametrize("piece", ["[", '{"a":', "\n", "- name: a\n  token: b\n", "machine a password b ", "a=b\n c\n"])
def test_reading_is_linear(piece):
    data = (piece * (BYTES // 16 // len(piece))).encode()
    for kind, _ in PATHS:
        begin = time.process_time()
        read(kind, data)
        assert time.process_time() - begin < 2, kind
