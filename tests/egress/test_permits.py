"""Sets of packets: the algebra against sets of single packets, and the verdicts by the issue's words."""

import ipaddress
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.egress.permits import (
    CORE,
    METADATA,
    PRIVATE,
    PROTOCOLS,
    REGIONS,
    WIDE,
    address_range,
    classify,
    common,
    intersect,
    joined,
    ranges_of,
    simplify,
    subtract,
    union,
    within,
    without,
    written_ranges,
)
from scanner.model.egress import Destination, Permit, Verdict

OPEN, LIMITED, CLOSED = Verdict.OPEN, Verdict.LIMITED, Verdict.CLOSED
ALL4 = Permit(("0.0.0.0/0",))
ALL6 = Permit(("::/0",))
RFC1918 = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")

# ---- a small world: 16 addresses of each family, ports 1 to 8, a few names

ADDRESSES = [ipaddress.ip_address("10.0.0.0") + n for n in range(16)]
ADDRESSES += [ipaddress.ip_address("fd00::") + n for n in range(16)]
BLOCKS = [f"10.0.0.{first}/{32 - bits}" for bits in range(5) for first in range(0, 16, 1 << bits)]
BLOCKS += [f"fd00::{first:x}/{128 - bits}" for bits in range(5) for first in range(0, 16, 1 << bits)]
NAMES = ["a.example.com", "b.example.com"]
PORTS = range(1, 9)
PORTED = ("tcp", "udp", "sctp")

Packet = tuple[str, str, int, bool]


def packets(permits) -> set[Packet]:
    """Every packet of the small world that permits let pass: (protocol, host, port, answered)."""
    found = set()
    for permit in permits:
        excepts = [ipaddress.ip_network(e) for e in permit.excepts]
        hosts = set()
        for host in permit.hosts:
            try:
                network = ipaddress.ip_network(host)
            except ValueError:
                hosts.add(host)
                continue
            hosts |= {str(a) for a in ADDRESSES if a in network and not any(a in e for e in excepts)}
        whole = permit.ports == ((1, 65535),)
        protocols = [p for p in PROTOCOLS if whole or p in PORTED] if permit.protocol == "any" else [permit.protocol]
        for protocol in protocols:
            ports = [p for p in PORTS if any(a <= p <= b for a, b in permit.ports)] if protocol in PORTED else [0]
            found |= set(itertools.product([protocol], hosts, ports, {False, permit.reply}))
    return found


ranges = st.tuples(st.integers(1, 8), st.integers(1, 8)).map(lambda pair: (min(pair), max(pair)))
permits = st.lists(
    st.builds(
        Permit,
        st.lists(st.sampled_from(BLOCKS + NAMES), min_size=1, max_size=3).map(tuple),
        st.sampled_from(["any", *PROTOCOLS]),
        st.one_of(st.just(((1, 65535),)), st.lists(ranges, min_size=1, max_size=2).map(tuple)),
        st.lists(st.sampled_from(BLOCKS), max_size=2).map(tuple),
        st.booleans(),
    ),
    max_size=4,
).map(tuple)


@given(permits)
def test_simplified_permits_let_the_same_packets_pass(some):
    assert packets(simplify(some)) == packets(some)


@given(permits)
def test_simplified_permits_are_a_form_of_their_own(some):
    once = simplify(some)
    assert simplify(once) == once
    assert simplify(reversed(some)) == once
    assert simplify((*some, *some)) == once


@given(permits, permits)
def test_union(a, b):
    assert packets(union(a, b)) == packets(a) | packets(b)


@given(permits, permits)
def test_an_intersection_is_exact_for_addresses(a, b):
    both = packets(intersect(a, b))
    shared = packets(a) & packets(b)
    assert {p for p in both if p[1] not in NAMES} == {p for p in shared if p[1] not in NAMES}
    assert both >= shared, "what both let pass passes, names too"
    assert intersect(a, b) == intersect(b, a)


@given(permits, permits)
def test_what_is_subtracted_leaves_neither_way(a, b):
    gone = {(protocol, host, port) for protocol, host, port, _ in packets(b)}
    assert packets(subtract(a, b)) == {p for p in packets(a) if p[:3] not in gone}


line = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 6)), max_size=6).map(
    lambda spans: tuple(sorted((a, a + n) for a, n in spans))
)


@given(line, line)
def test_ranges_are_sets_of_integers(a, b):
    def numbers(spans):
        return {n for first, last in spans for n in range(first, last + 1)}

    a, b = joined(a, ((100, 100),)), joined(b, ((101, 101),))
    for result, expected in (
        (joined(a, b), numbers(a) | numbers(b)),
        (common(a, b), numbers(a) & numbers(b)),
        (without(a, b), numbers(a) - numbers(b)),
    ):
        assert numbers(result) == expected
        assert all(x[1] + 1 < y[0] for x, y in itertools.pairwise(result)), "disjoint, sorted, not adjacent"


@given(st.lists(st.sampled_from(BLOCKS), max_size=8), st.lists(st.sampled_from(BLOCKS), max_size=4))
def test_ranges_are_written_as_blocks_and_exceptions_of_them(hosts, excepts):
    meant = without(ranges_of(hosts), ranges_of(excepts))
    blocks, left_out = written_ranges(meant)
    assert without(ranges_of(blocks), ranges_of(left_out)) == meant
    assert len(blocks) + len(left_out) <= len(set(hosts)) * 2 + len(excepts) * 5 + 1


def test_everything_but_private_networks_is_written_as_people_do():
    assert simplify([Permit(("0.0.0.0/0",), excepts=RFC1918)]) == (Permit(("0.0.0.0/0",), excepts=RFC1918),)


# ---- names


@pytest.mark.parametrize(
    ("a", "b", "both"),
    [
        ("api.example.com", "api.example.com", ("api.example.com",)),
        ("api.example.com", "API.example.com.", ("api.example.com",)),
        ("*.example.com", "api.example.com", ("api.example.com",)),
        ("*.example.com", "*.a.example.com", ("*.a.example.com",)),
        ("*.example.com", "example.com", ()),
        ("*.example.com", "api.example.org", ()),
        ("*.example.com", "evil-example.com", ()),
        ("*", "api.example.com", ("api.example.com",)),
        ("a*.example.com", "*b.example.com", ("a*.example.com",)),
        ("a.example.com", "b.example.com", ()),
    ],
)
def test_names_agree_by_wildcards(a, b, both):
    for pair in ((a, b), (b, a)):
        found = intersect([Permit((pair[0],), "tcp")], [Permit((pair[1],), "tcp")])
        hosts = tuple(host for permit in found for host in permit.hosts)
        assert len(hosts) == len(both), pair
        assert not both or hosts[0].lower().rstrip(".") in {both[0], *(p.lower().rstrip(".") for p in pair)}, pair


@pytest.mark.parametrize(
    ("name", "block", "passes"),
    [
        ("api.example.com", "0.0.0.0/0", True),
        ("api.example.com", "140.82.0.0/16", True),  # nobody knows where it lies: never called closed
        ("api.example.com", "10.0.0.0/8", False),
        ("db", "10.0.0.0/8", True),
        ("db", "140.82.0.0/16", False),
        ("metadata.google.internal", "169.254.169.254/32", True),
        ("metadata.google.internal", "10.0.0.0/8", False),
        ("*", "10.0.0.0/8", True),
        ("*", "169.254.169.254/32", True),
        ("host", "140.82.0.0/16", True),
    ],
)
def test_a_name_passes_addresses_of_a_region_it_may_lie_in(name, block, passes):
    assert bool(intersect([Permit((name,))], [Permit((block,))])) is passes


# ---- verdicts

ONE_WAY = Permit(("0.0.0.0/0",), reply=False)
TCP, UDP, ICMP = (Permit(("0.0.0.0/0",), p) for p in ("tcp", "udp", "icmp"))
DOCUMENTATION = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "192.0.0.0/24")

VERDICTS = [
    # internet
    ("internet", [], CLOSED),
    ("internet", [ALL4], OPEN),
    ("internet", [ALL4, ALL6], OPEN),
    ("internet", [ALL6], LIMITED),
    ("internet", [ONE_WAY], LIMITED),
    ("internet", [TCP], LIMITED),
    ("internet", [TCP, UDP], OPEN),
    ("internet", [ICMP], LIMITED),
    ("internet", [TCP, UDP, ICMP], OPEN),
    ("internet", [Permit(("0.0.0.0/0",), "tcp", ((1, 52), (54, 65535))), UDP], LIMITED),
    ("internet", [Permit(("0.0.0.0/0",), "tcp", ((1, 52), (53, 65535))), UDP], OPEN),
    ("internet", [Permit(("0.0.0.0/0",), excepts=RFC1918)], OPEN),
    ("internet", [Permit(("0.0.0.0/0",), excepts=(*RFC1918, "169.254.0.0/16", "224.0.0.0/4"))], OPEN),
    ("internet", [Permit(("0.0.0.0/0",), excepts=DOCUMENTATION)], OPEN),
    ("internet", [Permit(("0.0.0.0/0",), excepts=("8.8.8.8/32",))], LIMITED),
    ("internet", [Permit(("0.0.0.0/1", "128.0.0.0/1"))], OPEN),
    ("internet", [Permit(("0.0.0.0/1",))], LIMITED),
    ("internet", [Permit(DOCUMENTATION)], LIMITED),
    ("internet", [Permit(("203.0.113.7/32",), "tcp", ((22, 22),))], LIMITED),
    ("internet", [Permit(RFC1918)], CLOSED),
    ("internet", [Permit(("169.254.169.254/32", "168.63.129.16/32"))], CLOSED),
    ("internet", [Permit(("127.0.0.0/8", "224.0.0.0/4"))], CLOSED),
    ("internet", [Permit(("fd00::/8", "fe80::/10", "ff00::/8"))], CLOSED),
    ("internet", [Permit(("2606:4700::/32",))], LIMITED),
    ("internet", [Permit(("api.example.com",))], LIMITED),
    ("internet", [Permit(("*",))], LIMITED),
    ("internet", [Permit(("api.example.com", "0.0.0.0/0"))], OPEN),
    ("internet", [Permit(("db",))], CLOSED),
    ("internet", [ONE_WAY, ALL4], OPEN),
    # private
    ("private", [], CLOSED),
    ("private", [ALL4], OPEN),
    ("private", [ALL6], LIMITED),
    ("private", [Permit(("0.0.0.0/0",), excepts=RFC1918)], LIMITED),  # 100.64.0.0/10 is forgotten
    ("private", [Permit(("0.0.0.0/0",), excepts=(*RFC1918, "100.64.0.0/10"))], CLOSED),
    ("private", [Permit(RFC1918)], LIMITED),
    ("private", [Permit((*RFC1918, "100.64.0.0/10"))], OPEN),
    ("private", [Permit(("100.100.100.200/32",))], CLOSED),
    ("private", [Permit(("fd12::/16",))], LIMITED),
    ("private", [Permit(("10.1.2.3/32",), "tcp", ((5432, 5432),))], LIMITED),
    ("private", [Permit(("db.corp",))], LIMITED),
    ("private", [Permit(("api.example.com",))], CLOSED),
    ("private", [Permit(("*",))], LIMITED),
    # metadata
    ("metadata", [], CLOSED),
    ("metadata", [ALL4], OPEN),
    ("metadata", [Permit(("0.0.0.0/0",), excepts=("169.254.0.0/16",))], LIMITED),
    ("metadata", [Permit(("0.0.0.0/0",), excepts=("169.254.0.0/16", "100.64.0.0/10", "168.63.129.16/32"))], CLOSED),
    ("metadata", [Permit(("169.254.169.254/32",), "tcp", ((80, 80),))], LIMITED),
    ("metadata", [Permit(("fd00:ec2::254/128",))], LIMITED),
    ("metadata", [Permit(("metadata.google.internal",))], LIMITED),
    ("metadata", [Permit(("*.internal",))], LIMITED),
    ("metadata", [Permit(("api.example.com",))], CLOSED),
    # host
    ("host", [], CLOSED),
    ("host", [Permit(("host",))], OPEN),
    ("host", [Permit(("host",), "tcp")], LIMITED),
    ("host", [Permit(("host",), "tcp"), Permit(("host",), "udp")], OPEN),
    ("host", [Permit(("host",), reply=False)], LIMITED),
    ("host", [Permit(("host gateway 172.17.0.1",))], LIMITED),
    ("host", [ALL4], OPEN),
    # engine
    ("engine", [], CLOSED),
    ("engine", [Permit(("engine",))], OPEN),
    ("engine", [Permit(("engine",), "tcp", ((2375, 2375),))], OPEN),
    ("engine", [Permit(("BuildKit at /run/b.sock",))], LIMITED),
    # dns
    ("dns", [], CLOSED),
    ("dns", [Permit(("names",))], OPEN),
    ("dns", [Permit(("names",), "udp", ((53, 53),))], OPEN),
    ("dns", [Permit(("names",), reply=False)], LIMITED),
    ("dns", [Permit(("*.example.com",))], LIMITED),
]


@pytest.mark.parametrize(("destination", "some", "verdict"), VERDICTS)
def test_verdicts_by_the_issues_words(destination, some, verdict):
    assert classify(some, Destination(destination)) is verdict


@pytest.mark.parametrize(
    ("some", "siblings", "verdict"),
    [
        ([], (), CLOSED),
        ([], ("a",), CLOSED),
        ([Permit(("a",))], ("a",), OPEN),
        ([Permit(("a",))], ("a", "b"), LIMITED),
        ([Permit(("a", "b"))], ("a", "b"), OPEN),
        ([Permit(("a",), "tcp", ((80, 80),))], ("a",), LIMITED),
        ([Permit(("a",), reply=False)], ("a",), LIMITED),
        ([ALL4], ("a", "b"), OPEN),
    ],
)
def test_siblings_are_open_when_each_is_reached_whole(some, siblings, verdict):
    assert classify(some, Destination.SIBLINGS, siblings) is verdict


def test_a_siblings_name_is_no_private_host():
    assert classify([Permit(("db",))], Destination.PRIVATE) is LIMITED
    assert classify([Permit(("db",))], Destination.PRIVATE, siblings=("db",)) is CLOSED


@given(permits, permits, st.sampled_from(list(REGIONS)))
def test_more_permits_never_make_a_verdict_less(a, b, destination):
    order = [CLOSED, LIMITED, OPEN]
    assert order.index(classify(union(a, b), destination)) >= order.index(classify(a, destination))


@given(permits, st.sampled_from(list(REGIONS)))
def test_what_is_listed_of_a_region_says_the_same_of_it(some, destination):
    assert classify(within(some, destination), destination) is classify(some, destination)
    assert bool(within(some, destination)) is (classify(some, destination) is not CLOSED)


def test_a_listing_keeps_blocks_that_are_partly_public():
    some = [Permit(("0.0.0.0/0",), excepts=RFC1918), Permit(("10.0.0.0/8",), "tcp", ((443, 443),))]
    assert within(some, Destination.INTERNET) == (Permit(("0.0.0.0/0",), excepts=RFC1918),)
    assert within(some, Destination.PRIVATE) == (
        Permit(("100.64.0.0/10",)),
        Permit(("10.0.0.0/8",), "tcp", ((443, 443),)),
    )


# ---- regions


def test_regions_do_not_overlap():
    for a, b in itertools.combinations((WIDE, PRIVATE, METADATA), 2):
        assert not common(a, b)
    assert not without(CORE, WIDE)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "192.0.1.1", "223.255.255.254", "99.255.255.255", "172.15.0.1"]
)
def test_public_addresses_are_the_core_of_the_internet(address):
    assert common((address_range(address),), CORE)


@pytest.mark.parametrize("address", ["192.0.2.1", "198.18.0.1", "203.0.113.9", "240.0.0.1", "192.88.99.1"])
def test_documentation_addresses_count_in_part(address):
    assert common((address_range(address),), WIDE)
    assert not common((address_range(address),), CORE)


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "169.254.170.2"]
)
def test_addresses_of_metadata_services(address):
    assert common((address_range(address),), METADATA)


@pytest.mark.parametrize("text", ["", "db", "1.2.3", "1.2.3.4/33", "::g", "1.2.3.4/", "*", "0.0.0.0/0 ", "１.2.3.4"])
def test_what_is_no_address_is_a_name(text):
    assert address_range(text) is None


@given(st.text(max_size=40))
def test_hostile_names_are_judged_all_the_same(name):
    for destination in Destination:
        verdict = classify([Permit((name,))], destination, siblings=("db",))
        assert verdict is not OPEN or name in ("host", "engine", "names", "db") or address_range(name) is not None
    assert simplify([Permit((name,), name or "any")]) == simplify(simplify([Permit((name,), name or "any")]))
