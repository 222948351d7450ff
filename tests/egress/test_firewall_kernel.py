"""What the rules are read to mean against what the kernel does with real packets under them."""

import random

import pytest

from scanner.egress.firewall import Flow, Outcome, read_ruleset
from scanner.egress.permits import intersect
from scanner.model.egress import Permit
from tests.egress.packet_lab import (
    BRIDGE,
    ELSEWHERE,
    GATEWAY,
    HOST,
    SANDBOX,
    SIBLING,
    TCP,
    UDP,
    UPLINK,
    WAIT,
    Lab,
    bridges_are_filtered,
    packet_lab,
)
from tests.engine_fixture import program

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def lab():
    program("iptables-restore")
    with packet_lab() as made:
        yield made


PROBES = [
    (kind, host, port)
    for host in (*ELSEWHERE, GATEWAY, HOST, SIBLING)
    for kind, port in (*(("tcp", p) for p in TCP), *(("udp", p) for p in UDP), ("icmp", 0))
]


def told(outcome: Outcome, probe: tuple[str, str, int]) -> str:
    """What an outcome says of one probe."""
    kind, host, port = probe
    one = (Permit((f"{host}/32",), kind, ((port, port),) if kind != "icmp" else ((1, 65535),)),)

    def within(permits) -> bool:
        return bool(intersect(permits, one))

    if any(within(p.permits) for p in outcome.undecided):
        return "undecided"
    if any(within(p.permits) for p in outcome.redirected):
        return "redirected"
    if within([p for p in outcome.accepted if p.reply]):
        return "reached"
    if within(outcome.accepted):
        return "one-way"
    assert any(within(p.permits) for p in outcome.dropped), f"nothing is said of {probe}: {outcome}"
    return "no"


def predicted(text: str, source: str = SANDBOX, out: str = UPLINK) -> dict[tuple[str, str, int], str]:
    rules = read_ruleset(text, "rules")
    far = rules.forward(Flow(BRIDGE, out, (source,), ("0.0.0.0/0",)))
    near = rules.forward(Flow(BRIDGE, BRIDGE, (source,), (f"{SIBLING}/32",)))
    host = rules.input(Flow(BRIDGE, None, (source,), (GATEWAY, HOST)))
    outcomes = {SIBLING: near, GATEWAY: host, HOST: host}
    return {probe: told(outcomes.get(probe[1], far), probe) for probe in PROBES}


def differences(lab: Lab, texts: list[str], guess, allowed=lambda got, want: False) -> list[str]:  # type: ignore[no-untyped-def]
    """Probes of which a text is read otherwise than the kernel has it; what looks so is measured again, more patiently."""
    found: list[str] = []
    for wait in (WAIT, 1.0):
        fact = lab.probe(PROBES, wait)
        found = []
        for text in texts:
            for probe, read in guess(text).items():
                want = fact[probe]
                if probe[1] == SIBLING and not bridges_are_filtered():
                    continue
                # whether a packet came there is not watched
                got = "no" if read == "one-way" and probe[1] in (SIBLING, GATEWAY, HOST) else read
                if got != want and not allowed(got, want):
                    found.append(f"{probe}: read as {got}, measured {want}\n{text}")
        if not found:
            break
    return found


DOCKER = """*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 172.30.5.0/24 ! -o br-abc -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o br-abc -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o br-abc -j DOCKER
-A FORWARD -i br-abc ! -o br-abc -j ACCEPT
-A FORWARD -i br-abc -o br-abc -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i br-abc ! -o br-abc -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o br-abc -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
{rules}
-A DOCKER-USER -j RETURN
{after}
COMMIT
"""

USER_RULES = {
    "nothing": "",
    "drop the bridge": "-A DOCKER-USER -i br-abc -j DROP",
    "drop by wildcard": "-A DOCKER-USER -i br+ -j DROP",
    "drop the subnet": "-A DOCKER-USER -s 172.30.5.0/24 -j DROP",
    "drop the uplink": "-A DOCKER-USER -o up0 -j REJECT",
    "drop everything else": "-A DOCKER-USER ! -i br-abc -j DROP",
    "drop answers": "-A DOCKER-USER -i up0 -o br-abc -m conntrack --ctstate RELATED,ESTABLISHED -j DROP",
    "no private": "-A DOCKER-USER -i br-abc -d 10.0.0.0/8 -j DROP",
    "only one": "-A DOCKER-USER -i br-abc ! -d 203.0.113.10/32 -j DROP",
    "only one port": "-A DOCKER-USER -i br-abc -p tcp -m tcp --dport 443 -j ACCEPT\n-A DOCKER-USER -i br-abc -j DROP",
    "only answers": "-A DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A DOCKER-USER -i br-abc -j DROP",
    "multiport": "-A DOCKER-USER -i br-abc -p tcp -m multiport --dports 22,8000:9000 -j DROP",
    "not multiport": "-A DOCKER-USER -i br-abc -p tcp -m multiport ! --dports 443,80 -j DROP",
    "udp only": "-A DOCKER-USER -i br-abc ! -p udp -j DROP",
    "no ping": "-A DOCKER-USER -p icmp -m icmp --icmp-type 8 -j DROP",
    "no syn": "-A DOCKER-USER -i br-abc -p tcp -m tcp --dport 80 --tcp-flags FIN,SYN,RST,ACK SYN -j LOG\n",
    "range": "-A DOCKER-USER -m iprange --dst-range 203.0.113.1-203.0.113.50 -j DROP",
    "return first": "-A DOCKER-USER -d 203.0.113.0/24 -j RETURN\n-A DOCKER-USER -i br-abc -j DROP",
    "owner": '-A DOCKER-USER -i br-abc -m comment --comment "a b \'c" -j DROP',
    "new only": "-A DOCKER-USER -i br-abc -m conntrack --ctstate NEW -j DROP",
    "source port": "-A DOCKER-USER -i br-abc -p udp -m udp --sport 1:60999 -j ACCEPT",
    "local": "-A DOCKER-USER -i br-abc -m addrtype --dst-type LOCAL -j DROP",
    "direction": "-A DOCKER-USER -m conntrack --ctdir REPLY -j DROP",
    "goto": ":MINE - [0:0]\n-A DOCKER-USER -d 203.0.113.0/24 -g MINE\n-A DOCKER-USER -p tcp -j DROP\n-A MINE -p tcp --dport 22 -j DROP",
    "jump": ":MINE - [0:0]\n-A DOCKER-USER -d 203.0.113.0/24 -j MINE\n-A DOCKER-USER -p tcp -j DROP\n-A MINE -p tcp --dport 22 -j DROP\n-A MINE -p udp -j RETURN\n-A MINE -j DROP",
    "inserted": "-A DOCKER-USER -j ACCEPT\n-I DOCKER-USER 1 -p tcp --dport 22 -j DROP",
    "mark": "-A DOCKER-USER -m mark --mark 0x1 -j DROP",
}
AFTER = {
    "after return": "-A DOCKER-USER -i br-abc -j DROP",
    "appended to forward": "-A FORWARD -i br-abc -j DROP",
    "output": "-A OUTPUT -d 203.0.113.0/24 -j DROP",
    "input": "-A INPUT -i br-abc -j DROP",
    "input but ssh": "-A INPUT -i br-abc -p tcp ! --dport 22 -j DROP\n-A INPUT -p icmp -j REJECT",
    "input by address": "-A INPUT -d 172.30.5.1/32 -j DROP",
}


@pytest.mark.parametrize("name", [*USER_RULES, *AFTER])
def test_docker_user_rules(lab, name):
    text = DOCKER.format(rules=USER_RULES.get(name, ""), after=AFTER.get(name, ""))
    # chains are declared before rules
    lines = text.splitlines()
    declared = [line for line in lines if line == ":MINE - [0:0]"]
    lines = [line for line in lines if line not in declared]
    at = lines.index(":DOCKER-USER - [0:0]")
    text = "\n".join([*lines[:at], *declared, *lines[at:], ""])
    lab.run("iptables-restore", given=text)
    assert differences(lab, [text, lab.run("iptables-save")], predicted) == []


RAW = """*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -d 172.30.5.2/32 ! -i br-abc -j DROP
COMMIT
"""


@pytest.mark.parametrize("masquerade", [True, False])
def test_raw_drops_take_the_answers_of_what_leaves_unmasqueraded(lab, masquerade):
    text = RAW + DOCKER.format(rules="", after="")
    if not masquerade:
        text = text.replace("-A POSTROUTING -s 172.30.5.0/24 ! -o br-abc -j MASQUERADE\n", "")
    lab.run("iptables-restore", given=text)
    assert differences(lab, [text], predicted) == []
    probe = ("tcp", ELSEWHERE[0], 443)
    assert predicted(text)[probe] == ("reached" if masquerade else "one-way")
    lab.run("iptables-restore", given="*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n")


def rule(random: random.Random, chains: list[str]) -> str:
    """One rule with conditions taken by chance."""
    parts = []
    if random.random() < 0.4:
        parts.append(random.choice(["-i br-abc", "! -i br-abc", "-i up0", "-i br+", "-o up0", "! -o up0", "-o br-abc"]))
    if random.random() < 0.5:
        parts.append(
            random.choice(["", "! "])
            + random.choice(["-s", "-d", "-d", "-d"])
            + " "
            + random.choice(
                ["203.0.113.0/24", "203.0.113.10", "10.0.0.0/8", "172.30.5.0/24", "0.0.0.0/1", "172.30.5.3"]
            )
        )
    if random.random() < 0.5:
        kind = random.choice(["tcp", "udp"])
        parts.append(f"-p {kind}")
        if random.random() < 0.7:
            which = random.choice(["dport", "dport", "sport"])
            parts.append(
                random.choice(["", "! "]) + f"--{which} " + random.choice(["22", "80", "53", "1:1023", "443:9999"])
            )
    elif random.random() < 0.3:
        parts.append(random.choice(["-p icmp", "! -p tcp"]))
    if random.random() < 0.3:
        parts.append(
            "-m conntrack "
            + random.choice(["", "! "])
            + "--ctstate "
            + random.choice(["NEW", "RELATED,ESTABLISHED", "NEW,ESTABLISHED", "INVALID"])
        )
    target = random.choice(["ACCEPT", "DROP", "RETURN", "DROP", "ACCEPT", *chains, *chains])
    parts.append(f"-{'g' if target in chains and random.random() < 0.3 else 'j'} {target}")
    return " ".join(parts)


def ruleset(seed: int) -> str:
    chance = random.Random(seed)
    lines = ["*filter"]
    lines += [f":{c} {chance.choice(['ACCEPT', 'ACCEPT', 'DROP'])} [0:0]" for c in ("INPUT", "FORWARD")]
    lines += [":OUTPUT ACCEPT [0:0]", ":ONE - [0:0]", ":TWO - [0:0]", ":THREE - [0:0]"]
    for chain, targets in (
        ("INPUT", ["ONE"]),
        ("FORWARD", ["ONE", "TWO"]),
        ("ONE", ["TWO", "THREE"]),
        ("TWO", ["THREE"]),
        ("THREE", []),
    ):
        for _ in range(chance.randint(1, 5)):
            one = rule(chance, targets)
            lines.append(
                f"-A {chain} "
                + (
                    one.replace("! -o up0", "").replace("-o up0", "").replace("-o br-abc", "")
                    if chain == "INPUT"
                    else one
                )
            )
    return "\n".join([*lines, "COMMIT", ""])


@pytest.mark.parametrize("seed", range(20))
def test_rules_taken_by_chance(lab, seed):
    text = ruleset(seed)
    lab.run("iptables-restore", given=text)
    # an own port that passes is a way, where a socket's own chance may find none
    unlucky = "--sport" in text and (lambda got, want: got in ("reached", "one-way") and want != "reached")
    assert differences(lab, [text], predicted, unlucky or (lambda got, want: False)) == []


NFT = {
    "allow-list": """table inet filter {
  set allowed { type ipv4_addr; flags interval; elements = { 203.0.113.0/28, 10.77.0.1 } }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state vmap { established : accept, related : accept, invalid : drop }
    iifname "br-abc" ip daddr @allowed tcp dport { 80, 443 } counter accept
    iifname "br-abc" oifname "br-abc" accept
  }
}""",
    "maps of interfaces": """table ip docker-like {
  map jumps { type ifname : verdict; elements = { "br-abc" : jump from_abc, "br-other" : jump from_other } }
  chain from_abc { oifname "br-abc" accept; udp dport != 53 drop; ip protocol icmp drop; accept; }
  chain from_other { drop; }
  chain forward {
    type filter hook forward priority -10; policy accept;
    ct state established,related accept
    iifname vmap @jumps
  }
  chain post { type nat hook postrouting priority srcnat; oifname != "br-abc" ip saddr 172.30.5.0/24 masquerade; }
}""",
    "two tables": """table inet one { chain f { type filter hook forward priority 0; policy accept; tcp dport 22 accept; }; }
table inet two { chain f { type filter hook forward priority 5; policy accept; tcp dport 22 iifname "br-abc" reject; ip daddr 203.0.113.77 drop; }
}""",
    "pairs": """table ip t { chain f { type filter hook forward priority 0; policy drop; ct direction reply accept
  ip daddr . tcp dport { 203.0.113.10 . 443, 10.77.0.1 . 22 } accept
  ip daddr . meta l4proto vmap { 203.0.113.77 . udp : accept, 203.0.113.10 . udp : drop }
  meta l4proto { icmp } accept; }
}""",
    "ranges": """table inet t { chain i { type filter hook input priority 0; policy drop; iifname != "br-abc" accept; tcp dport 22-80 accept; icmp type echo-request limit rate 100/second accept; }
  chain f { type filter hook forward priority 0; policy accept; iifname "br-*" ip daddr != { 203.0.113.1-203.0.113.50 } th dport { 53, 80, 443 } drop; goto rest; }
  chain rest { meta nfproto ipv6 drop; tcp dport 8080 counter packets 0 bytes 0 drop; log prefix "x y" accept; }
}""",
    "raw": """table ip raw { chain p { type filter hook prerouting priority raw; policy accept; ip daddr 172.30.5.2 iifname != "br-abc" counter drop; }
}""",
    "redirect": """table ip n { chain p { type nat hook prerouting priority dstnat; tcp dport 80 iifname "br-abc" redirect to :8080; }
}
table ip f { chain f { type filter hook forward priority 0; policy accept; }
 chain i { type filter hook input priority 0; policy accept; }
}""",
}


@pytest.mark.parametrize("name", NFT)
def test_rules_of_nft(lab, name):
    program("nft")
    try:
        lab.run("nft", "flush", "ruleset")
        lab.run("nft", "-f", "-", given=NFT[name])
        texts = [lab.run("nft", "list", "ruleset"), lab.run("nft", "-j", "list", "ruleset"), NFT[name]]
        assert differences(lab, texts, predicted, lambda got, want: got == "redirected" and name == "redirect") == []
    finally:
        lab.run("nft", "flush", "ruleset")


def test_a_set_that_was_dumped_is_known(lab):
    program("ipset")
    lab.run("ipset", "create", "good", "hash:net")
    lab.run("ipset", "add", "good", "203.0.113.0/26")
    lab.run("ipset", "create", "pairs", "hash:ip,port")
    lab.run("ipset", "add", "pairs", "10.77.0.1,tcp:80")
    rules = (
        "-A DOCKER-USER -i br-abc -m set --match-set good dst -j ACCEPT\n"
        "-A DOCKER-USER -i br-abc -m set --match-set pairs dst,dst -j ACCEPT\n-A DOCKER-USER -i br-abc -j DROP"
    )
    try:
        lab.run("iptables-restore", given=DOCKER.format(rules=rules, after=""))
        text = lab.run("iptables-save")
        assert differences(lab, [text + lab.run("ipset", "save")], predicted) == []
        assert predicted(text)["tcp", "203.0.113.10", 443] == "undecided"
    finally:
        lab.run("iptables-restore", given=DOCKER.format(rules="", after=""))
        lab.run("ipset", "destroy")
