"""Attempts joined with the prediction: each outcome by name, on a real launch file."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner import network, reach
from scanner.egress.observed import EDGES, destination_of, join
from scanner.model.egress import Destination, Egress, Mode, SandboxReach, Verdict
from scanner.model.run import Attempt, Endpoint, How, Namespace, Query, Run, Socket

ROME = Path(__file__).parents[2] / "fixtures/rome-launch/compose.yaml"
SSH = Attempt(1.0, "tcp", Endpoint("203.0.113.7", 22), service="ssh", count=3)
POOL = Attempt(2.0, "tcp", Endpoint("198.18.0.9", 3333), name="pool.example", service="stratum")
METADATA = Attempt(3.0, "tcp", Endpoint("169.254.169.254", 80), service="http")
PROXIED = tuple(
    Attempt(
        4.0, "tcp", Endpoint("198.18.0.4", 8888), name="proxy", service="tls", details={"proxy": {"target": target}}
    )
    for target in ("models.example.com:443", "203.0.113.7:22")
)


def observed(*attempts: Attempt, how: How = How.OBSERVE, **more: object) -> Run:
    return replace(Run(how, "rome", 0.0, 9.0, attempts=attempts), **more)


@cache
def rome() -> Egress:
    egress = reach(ROME).egress
    assert egress is not None
    return egress


@pytest.fixture
def predicted() -> Egress:
    return rome()


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Egress:
    file = tmp_path_factory.mktemp("closed") / "compose.yaml"
    file.write_text(
        "services:\n  agent: {image: a, networks: [in]}\n  tool: {image: t, networks: [in]}\n"
        "networks:\n  in: {internal: true}\n"
    )
    egress = reach(file, assume={"engine.version": "29.0"}).egress
    assert egress is not None
    return egress


def joined(egress: Egress, run: Run, name: str) -> SandboxReach:
    return next(s for s in join(egress, run, [name]).sandboxes if s.name == name)


def outcomes(sandbox: SandboxReach, destination: Destination) -> list[tuple[str, int, str]]:
    return [(t.target, t.count, t.outcome) for t in sandbox.answer(destination).tried or ()]


def test_what_a_path_lets_through_is_possible_and_says_by_which_way(predicted: Egress) -> None:
    sandbox = joined(predicted, observed(SSH, POOL), "sandbox")

    assert outcomes(sandbox, Destination.INTERNET) == [
        ("203.0.113.7:22", 3, "possible"),
        ("pool.example:3333", 1, "possible"),
    ]
    [tried, _] = sandbox.answer(Destination.INTERNET).tried or ()
    assert tried.service == "ssh"
    assert "socket" in tried.because  # the engine's: nothing else of this launch leads to port 22
    by_socket = [p for p in sandbox.answer(Destination.INTERNET).paths if any("engine" in e.target for e in p.steps)]
    by_proxy = [p for p in sandbox.answer(Destination.INTERNET).paths if p not in by_socket]
    assert by_socket
    assert all(p.tried for p in by_socket)
    assert not any(p.tried for p in by_proxy)


def test_where_nothing_was_tried_the_paths_say_so_and_elsewhere_nothing_is_said(predicted: Egress) -> None:
    result = join(predicted, observed(), ["sandbox"])
    sandbox, proxy = (next(s for s in result.sandboxes if s.name == n) for n in ("sandbox", "proxy"))

    assert sandbox.answer(Destination.INTERNET).tried == ()
    assert {p.tried for p in sandbox.answer(Destination.INTERNET).paths} == {False}
    assert proxy.answer(Destination.INTERNET).tried is None
    assert {p.tried for p in proxy.answer(Destination.INTERNET).paths} == {None}


def test_what_is_closed_names_the_line_that_closes_it(closed: Egress) -> None:
    agent = joined(closed, observed(SSH, POOL, METADATA), "agent")

    assert outcomes(agent, Destination.INTERNET) == [
        ("203.0.113.7:22", 3, "closed"),
        ("pool.example:3333", 1, "closed"),
    ]
    assert outcomes(agent, Destination.METADATA) == [("169.254.169.254:80", 1, "closed")]
    because = (agent.answer(Destination.INTERNET).tried or ())[0].because
    assert "internal" in because


def test_a_sibling_that_was_asked_by_name_is_possible_and_another_port_of_the_host_is_not_a_sibling(
    closed: Egress,
) -> None:
    run = observed(
        Attempt(1.0, "tcp", Endpoint("198.18.0.3", 5432), name="tool"),
        Attempt(2.0, "tcp", Endpoint("172.17.0.1", 2375)),
        namespace=Namespace(routes=("default via 172.17.0.1 dev eth0",)),
    )

    agent = joined(closed, run, "agent")

    assert outcomes(agent, Destination.SIBLINGS) == [("tool:5432", 1, "possible")]
    assert [t.target for t in agent.answer(Destination.HOST).tried or ()] == ["172.17.0.1:2375"]


def test_what_a_proxy_was_asked_for_is_judged_by_the_proxys_own_list(tmp_path: Path) -> None:
    """Without the engine's socket, the proxy is the only way: what is on its list passes, an address does not."""
    for name in ("tinyproxy.conf", "allowed"):
        (tmp_path / name).write_text((ROME.parent / name).read_text())
    text = ROME.read_text()
    assert "      - /var/run/docker.sock:/var/run/docker.sock:ro\n" in text
    (tmp_path / "compose.yaml").write_text(text.replace("      - /var/run/docker.sock:/var/run/docker.sock:ro\n", ""))
    egress = reach(tmp_path / "compose.yaml").egress
    assert egress is not None

    sandbox = joined(egress, observed(*PROXIED, SSH), "sandbox")

    assert outcomes(sandbox, Destination.SIBLINGS) == [("proxy:8888", 2, "possible")]
    assert outcomes(sandbox, Destination.INTERNET) == [
        ("203.0.113.7:22", 3, "closed"),
        ("203.0.113.7:22 through proxy", 1, "closed"),
        ("models.example.com:443 through proxy", 1, "possible"),
    ]
    [path] = [p for p in sandbox.answer(Destination.INTERNET).paths if p.mode is Mode.MEDIATED]
    assert path.tried is True


def test_names_that_were_asked_for_count_towards_dns_by_the_server(closed: Egress) -> None:
    server = Endpoint("198.51.100.53", 53)
    run = observed(queries=(Query(1.0, "a.example", "A", server, count=2), Query(2.0, "b.example", "A", server)))

    tried = joined(closed, run, "agent").answer(Destination.DNS).tried or ()

    assert [(t.target, t.count) for t in tried] == [("names asked of 198.51.100.53:53", 3)]


def test_a_live_connection_got_through_whatever_was_predicted(closed: Egress) -> None:
    remote = Endpoint("203.0.113.9", 443)
    run = observed(
        how=How.LIVE,
        sockets=(
            Socket("tcp", "ipv4", "established", Endpoint("172.18.0.2", 5000), remote, 1),
            Socket("tcp", "ipv4", "established", Endpoint("127.0.0.1", 1), Endpoint("127.0.0.1", 2), 2),
            Socket("tcp", "ipv4", "listen", Endpoint("0.0.0.0", 80), None, 3),
            Socket("unix", "unix", "established", None, Endpoint("/run/docker.sock"), 4, says="engine socket"),
        ),
    )

    agent = joined(closed, run, "agent")

    [tried] = agent.answer(Destination.INTERNET).tried or ()
    assert (tried.target, tried.outcome) == ("203.0.113.9:443", "possible")
    assert "though the prediction has no way" in tried.because
    assert outcomes(agent, Destination.ENGINE) == [("/run/docker.sock", 1, "possible")]


def test_an_engines_socket_that_was_asked_for_is_tried_at_the_engine(predicted: Egress, closed: Egress) -> None:
    asked = Attempt(1.0, "unix", Endpoint("/var/run/docker.sock"), details={"call": "connect", "result": "ENOENT"})
    other = Attempt(1.0, "unix", Endpoint("/var/run/nscd/socket"))

    assert outcomes(joined(predicted, observed(asked, other), "sandbox"), Destination.ENGINE) == [
        ("/var/run/docker.sock", 1, "possible")
    ]
    assert outcomes(joined(closed, observed(asked, other), "agent"), Destination.ENGINE) == [
        ("/var/run/docker.sock", 1, "closed")
    ]


def test_attempts_become_edges_that_no_verdict_rests_on(closed: Egress) -> None:
    many = tuple(Attempt(1.0, "tcp", Endpoint("203.0.113.7", port)) for port in range(1, EDGES + 50))
    before = next(s for s in closed.sandboxes if s.name == "agent")

    after = joined(closed, observed(*many), "agent")

    assert len(after.graph.observed) == EDGES
    assert {e.kind for e in after.graph.observed} == {"observed"}
    assert {e.target for e in after.graph.observed} == {"destination:internet"}
    assert after.graph.edges == before.graph.edges
    assert after.answer(Destination.INTERNET).verdict is Verdict.CLOSED
    drawn = [d["kind"] for _, _, d in network(after.graph).edges(data=True)]
    assert drawn.count("observed") == EDGES


@pytest.mark.parametrize(
    ("address", "name", "destination"),
    [
        ("203.0.113.7", None, Destination.INTERNET),
        ("2001:db8::1", None, Destination.INTERNET),
        ("10.1.2.3", None, Destination.PRIVATE),
        ("100.64.0.1", None, Destination.PRIVATE),
        ("fd00::7", None, Destination.PRIVATE),
        ("169.254.169.254", None, Destination.METADATA),
        ("fd00:ec2::254", None, Destination.METADATA),
        ("169.254.170.23", None, Destination.METADATA),
        ("fd00:ec2::23", None, Destination.METADATA),
        ("100.100.100.200", None, Destination.METADATA),
        ("172.17.0.1", None, Destination.HOST),
        ("172.17.0.9", None, Destination.PRIVATE),
        ("169.254.3.4", None, Destination.SIBLINGS),
        ("ff02::fb", None, Destination.SIBLINGS),
        ("127.0.0.1", None, None),
        ("::1", None, None),
        ("::ffff:10.1.2.3", None, Destination.PRIVATE),
        ("198.18.0.5", "pool.example.", Destination.INTERNET),
        ("198.18.0.5", "metadata.google.internal", Destination.METADATA),
        ("198.18.0.5", "host.docker.internal", Destination.HOST),
        ("198.18.0.5", "DB", Destination.SIBLINGS),
        ("198.18.0.5", "build.corp", Destination.PRIVATE),
        ("no address", None, None),
    ],
)
def test_addresses_and_names_count_as_the_prediction_counts_them(
    address: str, name: str | None, destination: Destination | None
) -> None:
    assert destination_of(address, name, ["db"], ["172.17.0.1"]) is destination


@given(st.text(max_size=40), st.none() | st.text(max_size=40), st.none() | st.integers(0, 65535), st.text(max_size=12))
def test_whatever_was_tried_is_told_or_stayed_inside(
    address: str, name: str | None, port: int | None, protocol: str
) -> None:
    attempt = Attempt(1.0, protocol, Endpoint(address, port), name=name)

    sandbox = joined(rome(), observed(attempt), "sandbox")

    told = [t for a in sandbox.answers for t in a.tried or ()]
    assert len(told) == (destination_of(address, name, sandbox.graph.siblings) is not None)
