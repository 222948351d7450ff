"""Means × opportunity: which tool of the image a path uses, at what effort, and what is answered outright."""

import pytest

from scanner.egress.builder import ENGINE, EVERYWHERE, NAMES, Builder, to
from scanner.egress.paths import answers
from scanner.egress.tools import Inventory, questions, with_tools
from scanner.model import ConfigLocation, Means, MeansKind
from scanner.model.egress import Answer, Destination, Mode, Permit
from scanner.model.launch import Missing

D = Destination


def means(kind: MeansKind, name: str, **details) -> Means:
    return Means(kind, name, ConfigLocation(f"usr/bin/{name}"), details=details)


SSH = means(MeansKind.CLIENT, "ssh")
CURL = means(MeansKind.CLIENT, "curl")
PYTHON = means(MeansKind.INTERPRETER, "python3")
AUTOSSH = means(MeansKind.TUNNEL, "autossh")
KEY = means(MeansKind.ACCESS, "deploy@203.0.113.9")


def open_graph(**edge):
    b = Builder("container:agent", "container", "agent")
    b.edge("container:agent", to(D.INTERNET), "route", "masqueraded", permits=edge.pop("permits", EVERYWHERE), **edge)
    return b


def first_tool(b: Builder, inventory: Inventory | None):
    return with_tools(answers(b.graph()), inventory)[0].paths[0].tool


@pytest.mark.parametrize(
    ("held", "effort", "name"),
    [
        ((SSH, CURL, PYTHON), 0, "ssh"),
        ((CURL, PYTHON), 0, "curl"),
        ((PYTHON,), 1, "python3"),
        ((), 2, None),
        ((PYTHON, AUTOSSH), 0, "autossh"),
        ((PYTHON, KEY, SSH), 0, "deploy@203.0.113.9"),
        ((means(MeansKind.INTERPRETER, "awk", sockets=False),), 2, None),
    ],
)
def test_the_least_effort_is_what_lies_ready(held, effort, name):
    tool = first_tool(open_graph(), Inventory("archive:a.tar", held))
    assert (tool.effort, tool.name) == (effort, name)


def test_without_an_image_nothing_is_said_of_it():
    assert first_tool(open_graph(), None) is None


@pytest.mark.parametrize(("user", "effort"), [("", 0), ("root", 0), ("0:0", 0), ("agent", 3), ("1000", 3)])
def test_a_privilege_that_the_image_s_user_lacks_has_to_be_gained_first(user, effort):
    b = open_graph(mode=Mode.PIVOT, needs=("NET_ADMIN",))
    assert first_tool(b, Inventory("x", (SSH,), user)).effort == effort


def test_names_and_engines_have_tools_of_their_own():
    b = Builder("container:agent", "container", "agent")
    b.edge("container:agent", to(D.DNS), "resolve", "embedded", permits=NAMES)
    b.edge("container:agent", to(D.ENGINE), "engine-socket", "mounted", mode=Mode.PIVOT, permits=ENGINE)
    held = Inventory("x", (means(MeansKind.CLIENT, "dig"), means(MeansKind.CLIENT, "docker"), SSH))
    found = {a.destination: a for a in with_tools(answers(b.graph()), held)}
    assert found[D.DNS].paths[0].tool.name == "dig"
    assert found[D.ENGINE].paths[0].tool.name == "docker"


def asked(b: Builder, inventory: Inventory | None = None, accelerator: str | None = None):
    return {q.name: q for q in questions(answers(b.graph()), inventory, accelerator)}


def test_an_open_sandbox_with_ssh_could_have_been_rome_s():
    found = asked(open_graph(), Inventory("x", (SSH, KEY)), "GPUs that the launch grants (all)")
    tunnel, mine = found["could-tunnel"], found["could-mine"]
    assert tunnel.answer == mine.answer == "yes"
    assert tunnel.path == "internet-1"
    assert "ssh lies ready" in tunnel.words
    assert "deploy@203.0.113.9" in tunnel.words
    assert "GPUs" in mine.words
    assert "no miner in the image" in mine.words


def test_a_closed_one_could_not_and_names_are_not_forgotten():
    b = Builder("container:agent", "container", "agent")
    assert asked(b)["could-tunnel"].answer == "no"
    assert asked(b)["could-mine"].answer == "no"
    b.edge("container:agent", to(D.DNS), "resolve", "embedded", permits=NAMES)
    assert "DNS" in asked(b)["could-tunnel"].words


def test_packets_without_answers_carry_no_ssh():
    found = asked(open_graph(permits=(Permit(("0.0.0.0/0",), reply=False),)))
    assert found["could-tunnel"].answer == "no"
    assert "packets leave" in found["could-tunnel"].words


def test_a_list_of_hosts_is_no_way_to_any_address():
    found = asked(open_graph(permits=(Permit(("api.example.com",), "tcp", ((443, 443),)),)))
    assert found["could-tunnel"].answer == "limited"
    assert "api.example.com" in found["could-tunnel"].words


def test_udp_alone_is_no_tcp():
    assert asked(open_graph(permits=(Permit(("0.0.0.0/0",), "udp"),)))["could-tunnel"].answer == "no"


def test_what_hangs_on_a_fact_is_unknown():
    b = open_graph(missing=(Missing("network.corp", "nobody said"),))
    found = asked(b)["could-tunnel"]
    assert found.answer == "unknown"
    assert "network.corp" in found.words


def test_answers_are_frozen_values_that_keep_all_else():
    before = answers(open_graph().graph())
    after = with_tools(before, Inventory("x", (SSH,)))
    assert isinstance(after[0], Answer)
    assert [a.verdict for a in after] == [a.verdict for a in before]
