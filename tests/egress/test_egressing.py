"""Launch files to a report: what is read, judged, joined with an image, mended and handed to other programs."""

import json
from pathlib import Path

import pytest

from scanner import network, reach, scan
from scanner.egress.assess import Asked, assess
from scanner.egress.assumptions import parse
from scanner.egress.edits import apply
from scanner.egressing import EgressOptions, fix, judge_launch, kept, read_launch, with_launch
from scanner.errors import ParseError, TargetError, UsageError
from scanner.model import Confidence, LaunchLocation, Severity
from scanner.model.egress import Destination, Permit, Verdict
from scanner.plugins import plugins
from scanner.reports.json import render
from scanner.reports.plugin import RenderOptions

ROME = "archive:fixtures/rome-replay.tar"
D, V = Destination, Verdict
COMPOSE = """\
services:
  agent:
    image: agents/rome-replay:1
    networks: [inside]
    volumes:
      - ./work:/work
      - /var/run/docker.sock:/var/run/docker.sock:ro  # for the tests
  proxy:
    image: tinyproxy
    command: tinyproxy -d -c /etc/tinyproxy.conf
    networks: [inside, outside]
    volumes:
      - ./tinyproxy.conf:/etc/tinyproxy.conf:ro
      - ./filter:/etc/filter:ro
networks:
  inside:
    internal: true
  outside:
"""
TINYPROXY = 'Port 8888\nFilter "/etc/filter"\nFilterDefaultDeny Yes\nFilterExtended On\nConnectPort 443\n'
KNOWN = {"engine.version": "29.8.1", "engine.dns": "203.0.113.53"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    (tmp_path / "tinyproxy.conf").write_text(TINYPROXY)
    (tmp_path / "filter").write_text("^api\\.example\\.com$\n")
    return tmp_path


def verdict(report, name: str, destination: Destination) -> tuple[Verdict, Verdict]:
    [sandbox] = [s for s in report.egress.sandboxes if s.name == name]
    answer = sandbox.answer(destination)
    return answer.verdict, answer.direct


def test_a_socket_opens_what_the_networks_close(project):
    report = reach(project, assume=KNOWN)
    assert verdict(report, "agent", D.INTERNET) == (V.OPEN, V.CLOSED)
    assert verdict(report, "agent", D.ENGINE)[0] is V.OPEN
    [finding] = [f for f in report.findings if f.rule_id == "egress/engine" and f.details["sandbox"] == "agent"]
    assert finding.severity is Severity.CRITICAL
    assert finding.confidence is Confidence.HIGH
    assert finding.locations[0] == LaunchLocation(str(project / "compose.yaml"), 7, 9)
    assert finding.flow[0].kind == "engine-socket"
    assert report.complete


def test_without_it_the_proxy_s_list_is_the_reach(project):
    text = COMPOSE.replace("      - /var/run/docker.sock:/var/run/docker.sock:ro  # for the tests\n", "")
    (project / "compose.yaml").write_text(text)
    report = reach(project, assume=KNOWN)
    assert verdict(report, "agent", D.INTERNET) == (V.LIMITED, V.CLOSED)
    [agent] = [s for s in report.egress.sandboxes if s.name == "agent"]
    assert {h for p in agent.answer(D.INTERNET).allows for h in p.hosts} == {"api.example.com"}
    assert {p.ports for p in agent.answer(D.INTERNET).allows if p.protocol == "tcp"} <= {
        ((443, 443),),
        ((80, 80),),
        ((1, 65535),),
    }
    [finding] = [f for f in report.findings if f.rule_id == "egress/internet" and f.details["sandbox"] == "agent"]
    assert finding.severity in (Severity.LOW, Severity.MEDIUM)
    assert any(s.location is not None and s.location.file.endswith("compose.yaml") for s in finding.flow)


def test_the_patch_of_the_cut_closes_when_it_is_applied(project):
    options = EgressOptions(
        assumed=parse(f"{k}={v}" for k, v in KNOWN.items()), sandboxes=("agent",), to=(D.INTERNET, D.ENGINE)
    )
    report = judge_launch([str(project)], options)
    [cut] = report.egress.sandboxes[0].cuts
    assert cut.verified
    made = fix(report, [str(project)], options)
    assert made.by_hand == ()
    assert "-      - /var/run/docker.sock:/var/run/docker.sock:ro  # for the tests" in made.diff.splitlines()
    name = project / "compose.yaml"
    before = name.read_text().splitlines(keepends=True)
    after = patched(before, made.diff)
    name.write_text("".join(after))
    again = judge_launch([str(project)], options)
    assert verdict(again, "agent", D.INTERNET) == (V.CLOSED, V.CLOSED)
    assert verdict(again, "agent", D.ENGINE) == (V.CLOSED, V.CLOSED)


def patched(lines: list[str], diff: str) -> list[str]:
    """What `patch` makes of it, hunk by hunk."""
    result, at = [], 0
    for line in diff.splitlines(keepends=True)[2:]:
        if line.startswith("@@"):
            start = int(line.split()[1].split(",")[0][1:]) - 1
            result += lines[at:start]
            at = start
        elif line.startswith("+"):
            result.append(line[1:])
        else:
            assert lines[at].rstrip("\n") == line[1:].rstrip("\n")
            if line.startswith(" "):
                result.append(lines[at])
            at += 1
    return result + lines[at:]


def test_edits_for_several_sandboxes_at_once_are_refused(project):
    options = EgressOptions(assumed=parse(f"{k}={v}" for k, v in KNOWN.items()))
    report = judge_launch([str(project)], options)
    with pytest.raises(UsageError, match="--sandbox"):
        fix(report, [str(project)], options)


def test_an_image_and_its_launch_are_one_report(project):
    report = with_launch(
        scan(ROME, cache=False), [str(project)], EgressOptions(assumed=parse(["engine.version=29.8.1"]))
    )
    rules = {f.rule_id for f in report.findings}
    assert {"tunnel/reverse-ssh", "egress/engine"} <= rules
    ranks = [f.severity.rank for f in report.findings]
    assert ranks == sorted(ranks, reverse=True)
    [agent] = [s for s in report.egress.sandboxes if s.name == "agent"]
    [tunnel] = [q for q in agent.questions if q.name == "could-tunnel"]
    assert tunnel.answer == "yes"
    assert "lies ready" in tunnel.words
    assert agent.answer(D.INTERNET).paths[0].tool is not None
    [proxy] = [s for s in report.egress.sandboxes if s.name == "proxy"]
    assert proxy.answer(D.INTERNET).paths[0].tool is None


def test_an_unsettled_question_is_settled_by_who_knows(tmp_path):
    (tmp_path / ".devcontainer.json").write_text(
        '{"image": "debian", "features": {"ghcr.io/acme/features/thing:1": {}}}'
    )
    open_question = reach(tmp_path, assume={"engine.version": "29.8.1"})
    [one] = open_question.egress.sandboxes
    assert one.answer(D.ENGINE).verdict is V.UNKNOWN
    [missing] = one.answer(D.ENGINE).missing
    settled = reach(tmp_path, assume={"engine.version": "29.8.1", missing.key: "nothing"})
    assert settled.egress.sandboxes[0].answer(D.ENGINE).verdict is V.CLOSED


@pytest.mark.parametrize(
    ("paths", "error", "words"),
    [
        ((), UsageError, "nothing to judge"),
        (("",), UsageError, "no launch file"),
        (("missing.yaml",), TargetError, "missing.yaml"),
        (("broken.yaml",), ParseError, "broken.yaml:3:1: no YAML"),
        (("words.txt",), ParseError, "words.txt"),
        (("compose.yaml", "container:x"), UsageError, "not both"),
    ],
)
def test_what_cannot_be_judged_is_an_error(project, monkeypatch, paths, error, words):
    monkeypatch.chdir(project)
    (project / "broken.yaml").write_text("services:\n  a: [\n")
    (project / "words.txt").write_text("nothing that launches\n")
    with pytest.raises(error, match=words):
        reach(*paths)


def test_a_sandbox_that_is_not_there_is_an_error_with_a_guess(project):
    with pytest.raises(UsageError, match="did you mean agent"):
        reach(project, sandboxes=["agnt"])


@pytest.mark.parametrize(
    ("text", "permit"),
    [
        ("api.example.com:443", Permit(("api.example.com",), "tcp", ((443, 443),))),
        ("203.0.113.7:22", Permit(("203.0.113.7/32",), "tcp", ((22, 22),))),
        ("203.0.113.0/24", Permit(("203.0.113.0/24",), "tcp")),
        ("[2001:db8::1]:443", Permit(("2001:db8::1/128",), "tcp", ((443, 443),))),
        ("API.example.com", Permit(("api.example.com",), "tcp")),
    ],
)
def test_what_is_to_be_kept(text, permit):
    assert kept(text) == permit


@pytest.mark.parametrize("text", ["", ":443", "a:0", "a:70000", "a:b"])
def test_what_cannot_be_kept(text):
    with pytest.raises(UsageError, match="--keep"):
        kept(text)


def test_the_graph_is_networkx_s_for_who_wants_it(project):
    report = reach(project, assume=KNOWN)
    graph = network(report.egress.sandboxes[0].graph)
    assert graph.nodes[graph.graph["start"]]["kind"] == "container"
    assert any(data["kind"] == "engine-socket" for *_, data in graph.edges(data=True))


def test_the_same_files_make_the_same_report(project):
    def text() -> dict:
        document = json.loads(render(reach(project, assume=KNOWN), RenderOptions()))
        document.pop("started")
        document["statistics"].pop("seconds")
        return document

    assert text() == text()


@pytest.mark.parametrize("form", plugins("scanner.reports"), ids=lambda f: f.name)
def test_no_report_shows_a_secret_of_the_launch(tmp_path, form):
    (tmp_path / "compose.yaml").write_text(
        "services:\n  agent:\n    image: x\n    networks: [in]\n"
        "    environment:\n      HTTPS_PROXY: http://user:Hunter2Hunter2@proxy:8888\n      API_TOKEN: Hunter2Hunter2\n"
        "    command: curl -u me:Hunter2Hunter2 http://proxy\n"
        "  proxy:\n    image: x\n    networks: [in, out]\n"
        "    command: socat TCP-LISTEN:8888,fork PROXY:proxy.acme.net:api.example.com:443,proxyauth=me:Hunter2Hunter2\n"
        "networks:\n  in: {internal: true}\n  out:\n"
    )
    text = form.render(reach(tmp_path, assume=KNOWN), RenderOptions(200, verbose=True))
    assert "agent" in text
    assert "Hunter2Hunter2" not in text


def test_what_an_unread_file_starts_is_a_sibling_that_nobody_knows(tmp_path):
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "compose.yaml").write_text("include: [../other/compose.yaml]\nservices:\n  agent:\n    image: x\n")
    report = reach(folder / "compose.yaml", assume=KNOWN)
    assert verdict(report, "agent", D.SIBLINGS)[0] is V.UNKNOWN
    assert not report.complete


POD = "apiVersion: v1\nkind: Pod\nmetadata: {{name: {0}, namespace: a, labels: {{app: {0}}}}}\nspec: {{containers: [{{name: m, {1}}}]}}\n"
THROUGH_A_PROXY = "---\n".join(
    (
        POD.format("agent", "image: x"),
        POD.format("proxy", "image: alpine/socat, args: ['TCP-LISTEN:8888,fork', 'TCP:203.0.113.9:443']"),
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: a}\nspec:\n",
    )
) + (
    "  podSelector: {matchLabels: {app: agent}}\n  policyTypes: [Egress]\n  egress:\n"
    "  - to: [{podSelector: {matchLabels: {app: proxy}}}]\n  - to: [{ipBlock: {cidr: 198.51.100.0/24}}]\n"
)


@pytest.mark.parametrize("others", [0, 100])
def test_a_verified_cut_closes_the_whole_launch_and_not_the_pod_alone(tmp_path, others):
    """A neighbour that passes traffic on counts, in a large cluster too."""
    more = "".join("---\n" + POD.format(f"p{n}", "image: x") for n in range(others))
    (tmp_path / "pods.yaml").write_text(THROUGH_A_PROXY + more)
    paths, options = [str(tmp_path / "pods.yaml")], EgressOptions(sandboxes=("a/agent",), to=(D.INTERNET,))
    [cut] = judge_launch(paths, options).egress.sandboxes[0].cuts
    assert cut.verified
    launch, assumed = read_launch(paths, options)
    egress, _, _ = assess(apply(launch, cut.actions), Asked(assumed, cuts=False, sandboxes=("a/agent",)))
    assert egress.sandboxes[0].answer(D.INTERNET).verdict is V.CLOSED
