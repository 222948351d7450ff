"""Containers that set up a firewall in themselves: their script's rules stand between them and their networks, and only as
long as nobody takes them away. Verdicts are written as in test_docker.py, those by plain sockets behind a stroke."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner import reach
from scanner.egress.assumptions import Assumed
from scanner.egress.paths import answers
from scanner.egress.permits import subtract
from scanner.egress.without_effect import of_container
from scanner.model import LaunchLocation
from scanner.model.egress import Destination, Mode, Permit, Verdict
from scanner.model.launch import Container, Network, Place, Published, Said, Script
from tests.egress.test_docker import INNER, NEW, OLD, OUTER, box, caps, graph, launch, net, reached, said, words
from tests.egress.test_firewall_script import ALLOW_LIST

D, V = Destination, Verdict
HERE = Place("init.sh", 1)
NO_ROOT = {**NEW, "root.agent": "false"}
CLOSED_OUT = "iptables -P OUTPUT DROP\nip6tables -P OUTPUT DROP\niptables -A OUTPUT -o lo -j ACCEPT\n"
OPEN_WIDE = "iptables -P OUTPUT ACCEPT\niptables -F OUTPUT\n"
NO_PRIVATE = "".join(
    f"iptables -A OUTPUT -d {n} -j REJECT\n" for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)


def agent(text: str, *networks: str, user: str | None = "node", as_root: bool | None = True, mode: str | None = None, rights: Sequence[str] = ("NET_ADMIN",), **more: object) -> Container:  # fmt: skip
    """The agent, with a script that sets its firewall."""
    if user is not None:
        more["user"] = said(user)
    made = box("agent", *networks, mode=mode, cap_add=caps(*rights), **more)
    return replace(made, scripts=(Script("postStartCommand", text, HERE, as_root),))


def verdicts(*parts: Container | Network, assumed: dict[str, str] = NO_ROOT) -> str:
    found = reached(launch(*parts), assumed)
    return "/".join(
        "".join(getattr(found[d], kind).value[0].upper() for d in Destination) for kind in ("verdict", "direct")
    )


def allowed(destination: Destination, *parts: Container | Network, assumed: dict[str, str] = NO_ROOT) -> set[Permit]:
    return set(reached(launch(*parts), assumed)[destination].allows)


def missing(destination: Destination, *parts: Container | Network, assumed: dict[str, str] = NEW) -> set[str]:
    return {m.key for m in reached(launch(*parts), assumed)[destination].missing}


# ---- what the rules let through


@pytest.mark.parametrize("engine", [OLD, NEW])
def test_what_the_script_lets_out_is_what_leaves(engine):
    assumed = {**engine, "root.agent": "false"}
    parts = agent(ALLOW_LIST, "outer"), OUTER
    assert verdicts(*parts, assumed=assumed) == "LLLLCOC/LLLLCOC"
    assert allowed(D.INTERNET, *parts, assumed=assumed) == {
        Permit(("api.anthropic.com", "https://api.example.com/meta", "registry.npmjs.org")),
        Permit(("0.0.0.0/0",), "tcp", ((22, 22),)),
        Permit(("0.0.0.0/0",), "udp", ((53, 53),)),
    }
    assert {(p.protocol, p.ports) for p in allowed(D.METADATA, *parts, assumed=assumed)} == {
        ("tcp", ((22, 22),)),
        ("udp", ((53, 53),)),
    }


def test_the_gateway_s_network_is_the_host_by_its_bridge_and_the_neighbours():
    parts = agent(ALLOW_LIST, "outer"), box("web", "outer"), OUTER
    assert allowed(D.HOST, *parts) == {
        Permit(("host at the address of outer's bridge",)),
        Permit(("host",), "tcp", ((22, 22),)),
        Permit(("host",), "udp", ((53, 53),)),
    }
    assert reached(launch(*parts), NO_ROOT)[D.SIBLINGS].direct is V.OPEN


def test_steps_stand_at_the_lines_that_accept_and_barriers_at_those_that_drop():
    answer = reached(launch(agent(ALLOW_LIST, "outer"), OUTER), NO_ROOT)[D.INTERNET]
    lines = ALLOW_LIST.splitlines()
    told = {lines[e.origin.line - 1] for p in answer.paths for e in p.steps if isinstance(e.origin, Place) and e.origin.file == "init.sh"}  # fmt: skip
    assert told == {
        "iptables -A OUTPUT -p udp --dport 53 -j ACCEPT",
        "iptables -A OUTPUT -p tcp --dport 22 -j ACCEPT",
        "iptables -A OUTPUT -m set --match-set good dst -j ACCEPT",
    }
    [barrier] = [b for b in answer.because if "firewall" in b.why]
    assert isinstance(barrier.origin, Place)
    assert lines[barrier.origin.line - 1].startswith("iptables -A OUTPUT -j REJECT")
    assert "until postStartCommand has run, everything is open" in barrier.why


@pytest.mark.parametrize(
    ("id", "text", "expected"),
    [
        ("everything is dropped", CLOSED_OUT, "CCCCCCC"),
        ("nothing is", OPEN_WIDE, "OOOOCOO"),
        ("private ranges are", NO_PRIVATE, "OLOLCOC"),  # 100.64/10 and public addresses of the host are left
        ("one host is let out", CLOSED_OUT + "iptables -A OUTPUT -d 192.0.43.10 -p tcp --dport 443 -j ACCEPT\n", "LCCCCCC"),
        ("and names", CLOSED_OUT + "iptables -A OUTPUT -p udp --dport 53 -d 203.0.113.53 -j ACCEPT\n", "LCCCCOC"),
        ("the engine's resolver is lost", "iptables -t nat -F\n" + OPEN_WIDE, "OOOOCLO"),
        ("a subnet of the engine's may be its own", CLOSED_OUT + "iptables -A OUTPUT -d 172.18.0.0/16 -j ACCEPT\n", "CLCLCLU"),
    ],
)  # fmt: skip
def test_rules_and_networks_are_joined(id, text, expected):
    assert verdicts(agent(text, "outer"), box("web", "outer"), OUTER).partition("/")[2] == expected


def test_what_the_network_closes_no_rule_opens():
    parts = agent(OPEN_WIDE, "inner"), box("web", "inner"), INNER
    assert verdicts(*parts) == "CCCLCCO/CCCLCCO"


def test_a_subnet_that_is_told_decides():
    text = CLOSED_OUT + "iptables -A OUTPUT -d 10.9.0.0/24 -j ACCEPT\n"
    for subnet, expected in (("10.9.0.0/24", "O"), ("10.8.0.0/24", "C")):
        lan = net("outer", subnets=(subnet,))
        found = verdicts(agent(text, "outer"), box("web", "outer"), lan)
        assert found.partition("/")[2][6] == expected, subnet


def test_an_address_that_is_told_decides_for_one_sibling():
    text = CLOSED_OUT + "iptables -A OUTPUT -d 10.9.0.7 -p tcp --dport 5432 -j ACCEPT\n"
    lan = net("outer", subnets=("10.9.0.0/24",))
    parts = agent(text, "outer"), box("db", "outer", addresses={"outer": "10.9.0.7"}), box("web", "outer"), lan
    assert allowed(D.SIBLINGS, *parts, assumed={**NO_ROOT, "forwards.db": "false"}) == {
        Permit(("db",), "tcp", ((5432, 5432),))
    }


def test_ipv6_is_open_where_the_rules_are_of_iptables_alone():
    six = net("outer", ipv6=True, subnets=("10.9.0.0/24", "fd00:9::/64"))
    parts = agent("iptables -P OUTPUT DROP\niptables -A OUTPUT -o lo -j ACCEPT\n", "outer"), box("web", "outer"), six
    assert allowed(D.INTERNET, *parts) == {Permit(("::/0",))}
    assert allowed(D.HOST, *parts) == {Permit(("host at the IPv6 address of outer's bridge",))}
    assert reached(launch(*parts), NO_ROOT)[D.SIBLINGS].direct is V.OPEN


def test_the_default_bridge_has_an_address_that_is_known():
    text = CLOSED_OUT + "iptables -A OUTPUT -d 172.17.0.1 -p tcp --dport 11434 -j ACCEPT\n"
    assert allowed(D.HOST, agent(text, mode="bridge")) == {
        Permit(("host at the address of bridge's bridge",), "tcp", ((11434, 11434),))
    }


def test_a_port_of_the_host_is_a_sibling_s_where_the_rules_let_it_be_called():
    web = replace(box("web", "other"), published=(Published("", 8080, 80, "tcp", HERE),))
    for rule, expected in (("-p tcp --dport 8080 -j ACCEPT", "L"), ("-p tcp --dport 80 -j ACCEPT", "C")):
        parts = agent(CLOSED_OUT + f"iptables -A OUTPUT {rule}\n", "outer"), web, OUTER, net("other")
        assert verdicts(*parts).partition("/")[2][6] == expected, rule


# ---- siblings


def test_a_proxy_counts_where_its_port_is_let_through():
    proxy = box("proxy", "inner", "outer", command=words("socat TCP-LISTEN:8080,fork TCP:api.example.com:443"))
    lan = replace(INNER, subnets=("10.9.0.0/24",))
    for port, expected in ((8080, "L"), (9090, "C")):
        text = CLOSED_OUT + f"iptables -A OUTPUT -d 10.9.0.0/24 -p tcp --dport {port} -j ACCEPT\n"
        assert verdicts(agent(text, "inner"), proxy, lan, OUTER)[0] == expected, port


def test_a_neighbour_on_the_same_network_may_reach_more_than_the_agent():
    text = CLOSED_OUT + "iptables -A OUTPUT -d 10.9.0.0/24 -j ACCEPT\n"
    lan = net("outer", subnets=("10.9.0.0/24",))
    parts = agent(text, "outer"), box("web", "outer", command=words("server")), lan
    assert verdicts(*parts)[0] == "U"
    assert verdicts(*parts).partition("/")[2][0] == "C"
    assert missing(D.INTERNET, *parts, assumed=NO_ROOT) == {"forwards.web"}


def test_a_name_is_let_out_by_the_family_that_the_network_has():
    text = "iptables -P OUTPUT DROP\niptables -A OUTPUT -p tcp -d api.example.com --dport 443 -j ACCEPT\n"
    assert allowed(D.INTERNET, agent(text, "outer"), OUTER) == {Permit(("api.example.com",), "tcp", ((443, 443),))}


def test_who_lives_in_the_same_namespace_is_held_too():
    holder = replace(agent(CLOSED_OUT, "outer"), name="holder")
    guest = box("agent", mode="container:holder", user=said("node"))
    assert verdicts(guest, holder, OUTER).startswith("CCC")
    keen = box("agent", mode="container:holder", cap_add=caps("NET_ADMIN"), user=said("root"))
    assert verdicts(keen, holder, OUTER).startswith("OOO")


# ---- who can undo it, and whether it stands at all


def test_root_takes_the_rules_away():
    assert verdicts(agent(ALLOW_LIST, "outer", user="root"), OUTER, assumed=NEW) == "OOOOCOC/LLLLCOC"
    [path, *_] = reached(launch(agent(CLOSED_OUT, "outer", user="root"), OUTER), NEW)[D.INTERNET].paths
    assert path.mode is Mode.PIVOT
    assert path.steps[0].kind == "firewall-undone"
    assert path.steps[0].needs == ("root", "CAP_NET_ADMIN")


def test_who_may_become_root_is_a_fact_that_is_missing():
    parts = agent(ALLOW_LIST, "outer"), OUTER
    assert verdicts(*parts, assumed=NEW) == "UUUUCOC/LLLLCOC"
    assert missing(D.INTERNET, *parts) == {"root.agent"}
    assert verdicts(*parts, assumed={**NEW, "root.agent": "true"}) == "OOOOCOC/LLLLCOC"
    kept = agent(ALLOW_LIST, "outer", no_new_privileges=Said(True, HERE)), OUTER
    assert verdicts(*kept, assumed=NEW) == "LLLLCOC/LLLLCOC"


def test_the_agent_s_own_user_counts_not_the_container_s():
    one = replace(agent(ALLOW_LIST, "outer", user="root"), runs_as=Said("node", HERE))
    assert verdicts(one, OUTER) == "LLLLCOC/LLLLCOC"


def test_without_the_right_no_rule_is_ever_set():
    assert verdicts(agent(CLOSED_OUT, "outer", rights=()), OUTER) == "OOOOCOC/OOOOCOC"
    assert verdicts(agent(CLOSED_OUT, "outer", as_root=False), OUTER) == "OOOOCOC/OOOOCOC"
    by_sudo = CLOSED_OUT.replace("ip", "sudo ip")
    assert verdicts(agent(by_sudo, "outer", as_root=False), OUTER) == "CCCCCCC/CCCCCCC"


def test_who_sets_the_rules_as_himself_takes_them_away_or_never_set_them():
    parts = agent(CLOSED_OUT, "outer", user=None, as_root=None), OUTER
    assert verdicts(*parts, assumed=NEW) == "OOOOCOC/UUUUCUC"
    assert missing(D.INTERNET, *parts) == {"root.agent"}


def test_what_a_script_leaves_undecided_is_missing():
    parts = agent(CLOSED_OUT + "iptables -A OUTPUT -d $ALLOWED -j ACCEPT\n", "outer"), OUTER
    assert verdicts(*parts)[0] == "U"
    assert missing(D.INTERNET, *parts, assumed=NO_ROOT) == {"firewall.agent"}
    assert verdicts(*parts, assumed={**NO_ROOT, "firewall.agent": "none"}) == "CCCCCCC/CCCCCCC"
    listed = {**NO_ROOT, "firewall.agent": "api.example.com:443"}
    assert {p.hosts for p in allowed(D.INTERNET, *parts, assumed=listed)} == {("api.example.com",)}


def test_a_tool_whose_rules_cannot_be_read_may_drop_everything_or_nothing():
    parts = agent("ufw default deny outgoing\nufw enable\n", "outer"), OUTER
    assert verdicts(*parts) == "UUUUCUC/UUUUCUC"
    assert missing(D.INTERNET, *parts, assumed=NO_ROOT) == {"firewall.agent"}
    assert verdicts(*parts, assumed={**NO_ROOT, "firewall.agent": "all"}) == "OOOOCOC/OOOOCOC"
    assert verdicts(*parts, assumed={**NO_ROOT, "firewall.agent": "none"}) == "CCCCCCC/CCCCCCC"


def test_an_interface_is_told_where_there_is_one_alone():
    text = "iptables -A OUTPUT -o eth0 -j DROP\nip6tables -P OUTPUT DROP\n"
    assert verdicts(agent(text, "outer"), OUTER).startswith("CCC")
    assert verdicts(agent(text, "inner", "outer"), INNER, OUTER).startswith("UUU")


def test_an_engine_on_the_host_is_reached_where_the_rules_let_its_port_be_called():
    assumed = {**NO_ROOT, "engine.tcp": "2375"}
    assert verdicts(agent(CLOSED_OUT, "outer"), OUTER, assumed=assumed) == "CCCCCCC/CCCCCCC"
    assert verdicts(agent(ALLOW_LIST, "outer"), OUTER, assumed=assumed)[4] == "O"


def test_scripts_on_the_host_set_nothing_in_the_container():
    one = agent(CLOSED_OUT, "outer")
    on_host = replace(one, scripts=tuple(replace(s, on_host=True) for s in one.scripts))
    assert verdicts(on_host, OUTER).endswith("/OOOOCOC")


RULES = st.lists(
    st.sampled_from(
        [
            "iptables -A OUTPUT -p tcp --dport 443 -j ACCEPT",
            "iptables -A OUTPUT -d 10.0.0.0/8 -j DROP",
            "iptables -I OUTPUT -d 172.16.0.0/12 -j ACCEPT",
            "iptables -A OUTPUT -m state --state NEW -j REJECT",
            "iptables -P OUTPUT DROP",
            "ip6tables -P OUTPUT DROP",
            "iptables -A INPUT -j DROP",
            "iptables -A OUTPUT -d $(ip route | grep default | cut -d' ' -f3) -j ACCEPT",
            "iptables -A OUTPUT -d api.example.com -j ACCEPT",
            "iptables -t nat -F",
            "if [ -f /x ]; then iptables -A OUTPUT -j ACCEPT; fi",
        ]
    ),
    max_size=6,
)


@given(RULES, st.sampled_from(["inner", "outer"]))
@settings(max_examples=40, deadline=None)
def test_rules_never_open_what_the_networks_close_and_never_count_twice(lines, network):
    text = "\n".join(lines)
    held = {a.destination: a for a in answers(graph(launch(agent(text, network), INNER, OUTER), NO_ROOT))}
    free = {a.destination: a for a in answers(graph(launch(agent("true", network), INNER, OUTER), NO_ROOT))}
    for destination in (D.INTERNET, D.PRIVATE, D.METADATA):
        if free[destination].direct is V.CLOSED:
            assert held[destination].direct is V.CLOSED
        beyond = subtract(held[destination].allows, free[destination].allows)
        assert not [p for p in beyond if any(h[:1].isdigit() for h in p.hosts)]


# ---- remarks


def remarks(one: Container, assumed: dict[str, str] = NEW) -> dict[str, object]:
    found = reached(launch(one, OUTER), assumed)
    return {r.kind: r.origin for r in of_container(one, tuple(found.values()), Assumed(assumed))}


def test_a_list_that_lets_anybody_be_called_is_remarked_with_its_line():
    found = remarks(agent(ALLOW_LIST, "outer", user="root"))
    lines = ALLOW_LIST.splitlines()
    assert set(found) == {
        "firewall-lets-ssh-out",
        "firewall-lets-dns-out",
        "firewall-forgets-ipv6",
        "firewall-can-be-undone",
    }
    assert "--dport 22" in lines[found["firewall-lets-ssh-out"].line - 1]
    assert "-p udp --dport 53" in lines[found["firewall-lets-dns-out"].line - 1]


def test_a_wall_is_not_remarked():
    assert remarks(agent(CLOSED_OUT, "outer")) == {}
    assert set(remarks(agent(CLOSED_OUT, "outer", rights=()))) == {"firewall-is-never-set"}


# ---- from a folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / ".devcontainer"
    folder.mkdir(parents=True)
    (folder / "devcontainer.json").write_text(
        "{\n"
        '  "name": "agent",\n'
        '  "build": {"dockerfile": "Dockerfile"},\n'
        '  "runArgs": ["--cap-add=NET_ADMIN", "--cap-add=NET_RAW"],  // for the firewall\n'
        '  "remoteUser": "node",\n'
        '  "postStartCommand": "sudo /usr/local/bin/init-firewall.sh"\n'
        "}\n"
    )
    (folder / "Dockerfile").write_text("FROM node:20\nCOPY init-firewall.sh /usr/local/bin/\nUSER node\n")
    (folder / "init-firewall.sh").write_text(ALLOW_LIST)
    return tmp_path / "work"


def test_a_devcontainer_with_a_firewall_script(project):
    report = reach(project, assume={**NEW, "root.work": "false"})
    [work] = report.egress.sandboxes
    found = {a.destination: a for a in work.answers}
    assert "".join(found[d].verdict.value[0] for d in Destination) == "llllcoc"
    assert all(found[d].direct is found[d].verdict for d in Destination)
    assert set(found[D.INTERNET].allows) == {
        Permit(("api.anthropic.com", "https://api.example.com/meta", "registry.npmjs.org")),
        Permit(("0.0.0.0/0",), "tcp", ((22, 22),)),
        Permit(("0.0.0.0/0",), "udp", ((53, 53),)),
    }
    script = str(project / ".devcontainer" / "init-firewall.sh")
    lines = ALLOW_LIST.splitlines()
    kinds = {f.details["kind"]: f.locations[0] for f in report.findings if f.rule_id == "egress/policy-without-effect"}
    ssh = lines.index("iptables -A OUTPUT -p tcp --dport 22 -j ACCEPT") + 1
    assert kinds["firewall-lets-ssh-out"] == LaunchLocation(script, ssh, 1)
    assert kinds["firewall-forgets-ipv6"] == LaunchLocation(script, lines.index("iptables -F") + 1, 1)
    assert "firewall-can-be-undone" not in kinds
    [internet] = [f for f in report.findings if f.rule_id == "egress/internet"]
    assert internet.locations[0].file == script
    assert "ACCEPT" in lines[internet.locations[0].line - 1]


def test_whether_the_devcontainer_s_user_becomes_root_is_asked(project):
    report = reach(project, assume=NEW)
    answer = report.egress.sandboxes[0].answer(D.INTERNET)
    assert (answer.verdict, answer.direct) == (V.UNKNOWN, V.LIMITED)
    assert [m.key for m in answer.missing] == ["root.work"]
    opened = reach(project, assume={**NEW, "root.work": "true"})
    answer = opened.egress.sandboxes[0].answer(D.INTERNET)
    assert (answer.verdict, answer.direct) == (V.OPEN, V.LIMITED)
    kinds = {f.details["kind"]: f.locations[0] for f in opened.findings if f.rule_id == "egress/policy-without-effect"}
    assert kinds["firewall-can-be-undone"].line == 4
    assert kinds["firewall-can-be-undone"].file.endswith("devcontainer.json")


def test_what_runs_after_the_script_counts_after_it(project):
    file = project / ".devcontainer" / "devcontainer.json"
    text = file.read_text().replace(
        'init-firewall.sh"', 'init-firewall.sh && sudo iptables -P OUTPUT ACCEPT && sudo iptables -F OUTPUT"'
    )
    file.write_text(text)
    report = reach(project, assume={**NEW, "root.work": "false"})
    assert report.egress.sandboxes[0].answer(D.INTERNET).direct is V.OPEN


# ---- a relay that finds its targets by labels


def test_siblings_behind_traefik_are_counted():
    traefik = box(
        "traefik",
        "inner",
        "outer",
        image="traefik:v3",
        command=words("--providers.docker --entrypoints.web.address=:80"),
    )
    web = replace(box("web", "outer"), exposed=(8000,))
    alone = launch(box("agent", "inner"), traefik, web, INNER, OUTER)
    served = reached(alone, NEW)[D.SIBLINGS]
    assert Permit(("web",), "any", ((8000, 8000),)) in served.allows
    assert any("web among them" in s.why for p in served.paths for s in p.steps)
    off = replace(web, labels={"traefik.enable": "false"})
    found = reached(launch(box("agent", "inner"), traefik, off, INNER, OUTER), NEW)[D.SIBLINGS]
    assert not any("web" in p.hosts for p in found.allows)


def test_only_labelled_siblings_where_traefik_asks_for_it():
    command = words("--providers.docker=true --providers.docker.exposedbydefault=false")
    traefik = box("traefik", "inner", "outer", image="traefik:v3", command=command)
    plain = replace(box("web", "outer"), exposed=(8000,))
    named = replace(
        plain, labels={"traefik.enable": "true", "traefik.http.services.web.loadbalancer.server.port": "9000"}
    )
    for web, expected in ((plain, set()), (named, {((9000, 9000),)})):
        found = reached(launch(box("agent", "inner"), traefik, web, INNER, OUTER), NEW)[D.SIBLINGS]
        assert {p.ports for p in found.allows if "web" in p.hosts} == expected
    untold = replace(named, exposed=(), labels={"traefik.enable": "true"})
    found = reached(launch(box("agent", "inner"), traefik, untold, INNER, OUTER), NEW)[D.SIBLINGS]
    assert "exposes.web" in {m.key for p in found.paths for m in p.missing}
