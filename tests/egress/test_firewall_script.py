"""Firewall scripts: what they leave open, read from their text, and against the rules that really stand when they ran."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.egress.firewall import Flow, read_ruleset
from scanner.egress.permits import classify, simplify
from scanner.egress.scripts.firewall_script import ScriptFirewall, script_permits, undone
from scanner.egress.scripts.shell import Unreadable, read
from scanner.model.egress import Destination, Permit, Verdict
from scanner.model.launch import Confinement, Container, Default, Place, Said, Script
from tests.engine_fixture import missing, program

ALLOW_LIST = r"""#!/bin/bash
set -euo pipefail
IFS=$'\n\t'
saved=$(iptables-save -t nat | grep "127\.0\.0\.11" || true)
iptables -F
iptables -t nat -F
ipset destroy good 2>/dev/null || true
if [ -n "$saved" ]; then
  iptables -t nat -N DOCKER_OUTPUT 2>/dev/null || true
  echo "$saved" | xargs -L 1 iptables -t nat
else
  echo "no rules of the engine's resolver"
fi
iptables -A OUTPUT -p udp --dport 53 -j ACCEPT
iptables -A INPUT -p udp --sport 53 -j ACCEPT
iptables -A OUTPUT -p tcp --dport 22 -j ACCEPT
iptables -A INPUT -p tcp --sport 22 -m state --state ESTABLISHED -j ACCEPT
iptables -A INPUT -i lo -j ACCEPT
iptables -A OUTPUT -o lo -j ACCEPT
ipset create good hash:net
meta=$(curl -s https://api.example.com/meta)
if [ -z "$meta" ]; then
  echo "nothing was fetched"
  exit 1
fi
while read -r net; do
  if [[ ! "$net" =~ ^[0-9.]+/[0-9]{1,2}$ ]]; then
    exit 1
  fi
  ipset add good "$net"
done < <(echo "$meta" | jq -r '.web[]' | aggregate -q)
for name in \
    "registry.npmjs.org" \
    "api.anthropic.com"; do
  found=$(dig +short A "$name" | awk '/^[0-9.]+$/ { print }')
  while read -r ip; do
    ipset add good "$ip"
  done < <(echo "$found")
done
gateway=$(ip route | grep default | cut -d" " -f3)
net=$(echo "$gateway" | sed "s/\.[0-9]*$/.0\/24/")
iptables -A INPUT -s "$net" -j ACCEPT
iptables -A OUTPUT -d "$net" -j ACCEPT
iptables -P INPUT DROP
iptables -P FORWARD DROP
iptables -P OUTPUT DROP
iptables -A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT
iptables -A OUTPUT -m state --state ESTABLISHED,RELATED -j ACCEPT
iptables -A OUTPUT -m set --match-set good dst -j ACCEPT
iptables -A OUTPUT -j REJECT --reject-with icmp-admin-prohibited
if curl --connect-timeout 5 https://example.net >/dev/null 2>&1; then
  exit 1
fi
"""


def firewall(text: str, **kept: object) -> ScriptFirewall:
    script = Script("postStartCommand", text, Place("init.sh", 1), as_root=True)
    found = script_permits((script,), **kept)  # type: ignore[arg-type]
    assert found is not None
    return found


def four(found: ScriptFirewall) -> tuple[Permit, ...]:
    """What is permitted of IPv4 and of names."""
    kept = [
        Permit(hosts, p.protocol, p.ports, tuple(e for e in p.excepts if ":" not in e), p.reply)
        for p in found.permits
        if (hosts := tuple(h for h in p.hosts if "::" not in h))
    ]
    return simplify(kept)


def test_what_looks_like_an_allow_list_lets_ssh_and_dns_out_to_anybody():
    found = firewall(ALLOW_LIST)
    assert set(four(found)) == {
        Permit(("api.anthropic.com", "https://api.example.com/meta", "registry.npmjs.org")),
        Permit(("0.0.0.0/0",), "tcp", ((22, 22),)),
        Permit(("0.0.0.0/0",), "udp", ((53, 53),)),
    }
    assert found.missing == ()
    assert found.perhaps == ()
    assert classify(found.permits, Destination.INTERNET) is Verdict.LIMITED
    by_line = {part.place.line: part.why for part in found.accepted if part.place}
    lines = ALLOW_LIST.splitlines()
    assert {lines[n - 1] for n in by_line if n > 1} >= {
        "iptables -A OUTPUT -p udp --dport 53 -j ACCEPT",
        "iptables -A OUTPUT -p tcp --dport 22 -j ACCEPT",
        "iptables -A OUTPUT -m set --match-set good dst -j ACCEPT",
    }
    assert "REJECT" in lines[next(p.place.line for p in found.dropped if p.place) - 1]


def test_only_iptables_was_used_so_that_ipv6_stays_open():
    found = firewall(ALLOW_LIST)
    assert found.ipv6 == "open"
    assert any("::/0" in p.hosts and p.protocol == "any" for p in found.permits)
    closed = firewall(ALLOW_LIST + "sysctl -w net.ipv6.conf.all.disable_ipv6=1\n".replace("sysctl", "true && sysctl"))
    assert closed.ipv6 == "closed" or "sysctl" not in ALLOW_LIST
    both = firewall("for t in iptables ip6tables; do $t -P OUTPUT DROP; $t -A OUTPUT -o lo -j ACCEPT; done")
    assert both.ipv6 == "closed"
    assert both.permits == ()


def test_the_hosts_network_is_reached_by_its_bridge():
    found = firewall(ALLOW_LIST)
    outcome = found.towards((), gateway=True, neighbours=True)
    assert outcome.accepted == (Permit(("the gateway", "the gateway's /24")),)
    assert outcome.all_accepted
    assert found.towards(("10.9.9.9",)).accepted == (
        Permit(("10.9.9.9/32",), "tcp", ((22, 22),)),
        Permit(("10.9.9.9/32",), "udp", ((53, 53),)),
    )


def test_the_engines_resolver_is_known_to_go_on_or_not():
    assert firewall(ALLOW_LIST).resolver(("203.0.113.53",)) is True
    lost = ALLOW_LIST.replace('echo "$saved" | xargs -L 1 iptables -t nat', "true")
    lost = lost.replace("iptables -t nat -N DOCKER_OUTPUT 2>/dev/null || true", "true")
    assert firewall(lost).resolver() is False
    assert firewall("iptables -P OUTPUT DROP").resolver() is False
    quiet = "iptables -P OUTPUT DROP\niptables -A OUTPUT -o lo -j ACCEPT\n"
    assert firewall(quiet).resolver() is False
    assert (
        firewall(quiet + "iptables -A OUTPUT -p udp --dport 53 -d 10.0.0.2 -j ACCEPT").resolver(("10.0.0.2",)) is True
    )


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("iptables -A OUTPUT -d api.example.com -j ACCEPT", {"api.example.com"}),
        ("HOSTS='a.example.com b.example.com'\nfor h in $HOSTS; do iptables -A OUTPUT -d $h -j ACCEPT; done", {"a.example.com", "b.example.com"}),
        ('L=(a.example.com "b.example.com")\nfor h in "${L[@]}"; do for ip in $(getent ahosts "$h" | awk \'{print $1}\'); do iptables -A OUTPUT -d "$ip" -j ACCEPT; done; done', {"a.example.com", "b.example.com"}),
        ("allow() { iptables -A OUTPUT -d \"$1\" -p tcp --dport 443 -j ACCEPT; }\nallow a.example.com\nallow 192.0.2.7", {"a.example.com", "192.0.2.7/32"}),
        ("while read -r h; do iptables -A OUTPUT -d $h -j ACCEPT; done <<EOF\na.example.com\n192.0.2.0/24\nEOF", {"a.example.com", "192.0.2.0/24"}),
        ("IFS=',' read -ra H <<< \"a.example.com,b.example.com\"\nfor h in \"${H[@]}\"; do iptables -A OUTPUT -d $h -j ACCEPT; done", {"a.example.com", "b.example.com"}),
        ("curl -s https://ips.example.com/v4 | while read -r n; do iptables -A OUTPUT -d \"$n\" -j ACCEPT; done", {"https://ips.example.com/v4"}),
        ("iptables -C OUTPUT -d 192.0.2.1 -j ACCEPT 2>/dev/null || iptables -A OUTPUT -d 192.0.2.1 -j ACCEPT", {"192.0.2.1/32"}),
        ("if ! iptables -C OUTPUT -d 192.0.2.1 -j ACCEPT; then iptables -A OUTPUT -d 192.0.2.1 -j ACCEPT; fi", {"192.0.2.1/32"}),
        ("D=192.0.2.1\niptables-restore <<EOF\n*filter\n:OUTPUT DROP [0:0]\n-A OUTPUT -d $D -j ACCEPT\nCOMMIT\nEOF", {"192.0.2.1/32"}),
        ("IPT=$(command -v iptables)\n$IPT -A OUTPUT -d 192.0.2.1 -j ACCEPT", {"192.0.2.1/32"}),
        ("sudo -n bash -c 'iptables -A OUTPUT -d 192.0.2.1 -j ACCEPT'", {"192.0.2.1/32"}),
        ("ipset create s hash:ip\nip_list=\"192.0.2.1 192.0.2.2\"\necho $ip_list | tr ' ' '\\n' | xargs -n1 ipset add s\niptables -A OUTPUT -m set --match-set s dst -j ACCEPT", {"192.0.2.1/32", "192.0.2.2/32"}),
        ("iptables -N ALLOWED\niptables -A ALLOWED -d 192.0.2.1 -j ACCEPT\niptables -A OUTPUT -j ALLOWED", {"192.0.2.1/32"}),
        ("iptables -A OUTPUT -d 192.0.2.1 -j ACCEPT\niptables -A OUTPUT -d 192.0.2.2 -j ACCEPT\niptables -D OUTPUT 1", {"192.0.2.2/32"}),
        ("iptables -A OUTPUT -d 192.0.2.1 -j ACCEPT\niptables -I OUTPUT -d 192.0.2.1 -j DROP\niptables -A OUTPUT -d 192.0.2.3 -j ACCEPT", {"192.0.2.3/32"}),
        ("P=443; HOST=${HOST:-a.example.com}\niptables -A OUTPUT -p tcp --dport $P -d $HOST -j ACCEPT", {"a.example.com"}),
    ],
)  # fmt: skip
def test_hosts_are_found_in_the_ways_that_scripts_name_them(text, hosts):
    found = firewall("iptables -P OUTPUT DROP\nip6tables -P OUTPUT DROP\n" + text)
    assert {h for p in found.permits for h in p.hosts} == hosts
    assert found.missing == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("iptables -P OUTPUT DROP\niptables -A OUTPUT -d $ALLOWED -j ACCEPT", "the value of ALLOWED is not told"),
        ("if [ \"$MODE\" = strict ]; then iptables -P OUTPUT DROP; fi", "policy of OUTPUT"),
        ("iptables -P OUTPUT DROP\nif grep -q x /etc/y; then iptables -A OUTPUT -j ACCEPT; fi", "if the condition on line 2 holds"),
        ("iptables-restore < /etc/iptables/rules.v4", "not at hand"),
        ("ufw default deny outgoing\nufw enable", "ufw"),
        ("iptables -P OUTPUT DROP\nip route del default", "routes"),
        ("iptables -P OUTPUT DROP\niptables -A OUTPUT -m set --match-set dynamic dst -j ACCEPT", "the set dynamic"),
        ("iptables -P OUTPUT DROP\nif true; then", "cannot be read from here on"),
        ("iptables -P OUTPUT DROP\nbash /opt/firewall-extra.sh", "not at hand"),
    ],
)  # fmt: skip
def test_what_a_text_cannot_tell_is_missing_never_closed(text, words):
    found = firewall(text)
    assert found.perhaps
    assert any(words in m.why for m in found.missing), found.missing


def test_variables_of_the_launch_are_used():
    text = "iptables -P OUTPUT DROP\nfor h in ${ALLOWED//,/ }; do iptables -A OUTPUT -d $h -j ACCEPT; done\niptables -A OUTPUT -d $ONE -j ACCEPT"
    found = firewall(text, environment=(("ONE", Said("one.example.com", Default("test"))),))
    assert "one.example.com" in {h for p in found.permits for h in p.hosts}


def test_rules_of_nft_in_a_script():
    found = firewall(
        "nft flush ruleset\nnft add table inet guard\n"
        "nft 'add chain inet guard out { type filter hook output priority 0 ; policy drop ; }'\n"
        "nft add rule inet guard out oifname lo accept\n"
        "nft add rule inet guard out tcp dport '{ 80, 443 }' ip daddr 192.0.2.0/24 accept\n"
        "nft -f - <<EOF\ntable inet guard {\n  chain out {\n    ct state established accept\n    udp dport 53 accept\n  }\n}\nEOF\n"
    )
    assert found.permits == simplify(
        (
            Permit(("192.0.2.0/24",), "tcp", ((80, 80), (443, 443))),
            Permit(("0.0.0.0/0", "::/0"), "udp", ((53, 53),)),
        )
    )
    assert found.ipv6 == "filtered"


def test_scripts_without_a_firewall_are_none():
    for text in ("npm install\n", "echo iptables\n", "iptables -L -n\n", "if x; then", ""):
        assert script_permits((Script("postCreateCommand", text, Place("x", 1)),)) is None
    on_host = Script("initializeCommand", "iptables -P OUTPUT DROP", Place("x", 1), on_host=True)
    assert script_permits((on_host,)) is None


def container(user: str | None, *caps: str, **more: object) -> Container:
    said = Default("test")
    held = Confinement(
        user=Said(user, said) if user else None,
        cap_add=tuple(Said(c, said) for c in caps),
        **more,  # type: ignore[arg-type]
    )
    return Container("agent", "service", said, Said("networks", said), confinement=held)


def test_who_can_take_the_rules_away():
    assert undone(container("root", "NET_ADMIN")).answer is True
    assert undone(container("0:0", "CAP_NET_ADMIN")).answer is True
    assert undone(container("root")).answer is False
    asked = undone(container("node", "NET_ADMIN"))
    assert asked.answer is None
    assert [m.key for m in asked.missing] == ["root.agent"]
    assert undone(container("node", "NET_ADMIN"), sudo=False).answer is False
    assert undone(container("node", "NET_ADMIN"), sudo=True).answer is True
    assert undone(container(None, "NET_ADMIN")).answer is None
    kept = undone(container("node", "ALL", no_new_privileges=Said(True, Default("test"))))
    assert kept.answer is False


# ---- against what a shell and the kernel make of it

REAL = {
    "an allow-list": "iptables -F OUTPUT\niptables -P OUTPUT DROP\nfor ip in 192.0.2.1 192.0.2.2; do\n  iptables -A OUTPUT -p tcp -d $ip --dport 443 -j ACCEPT\ndone\niptables -A OUTPUT -o lo -j ACCEPT\n",
    "functions and tests": 'allow() {\n  local port=$2\n  [ -n "$port" ] || port=80\n  iptables -A OUTPUT -p tcp -d "$1" --dport "$port" -j ACCEPT\n}\nallow 192.0.2.1 8080\nif ! iptables -C OUTPUT -j DROP 2>/dev/null; then iptables -A OUTPUT -j DROP; fi\niptables -C OUTPUT -j DROP || iptables -I OUTPUT -j ACCEPT\n',
    "chains": "iptables -N A && iptables -A A -d 10.0.0.0/8 -j RETURN\niptables -A A -j ACCEPT\niptables -I OUTPUT 1 -j A\niptables -A OUTPUT -j REJECT\nip6tables -P OUTPUT DROP\n",
    "a set": 'ipset create s hash:net\nwhile read -r n; do\n  [ -z "$n" ] && continue\n  ipset add s "$n"\ndone <<\'EOF\'\n192.0.2.0/25\n\n198.51.100.7\nEOF\niptables -A OUTPUT -m set ! --match-set s dst -j DROP\n',
    "restored": "iptables-restore <<X\n*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT DROP [0:0]\n-A OUTPUT -p udp -m udp --dport 53 -j ACCEPT\nCOMMIT\nX\niptables -A OUTPUT -p icmp -j ACCEPT\n",
    "a loop over two tools": "for ipt in iptables ip6tables; do\n  $ipt -A OUTPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n  $ipt -A OUTPUT -p tcp -m multiport --dports 80,443 -j ACCEPT\n  $ipt -P OUTPUT DROP\ndone\n",
    "a heredoc for nft": "nft -f - <<'EOF'\ntable inet f {\n  chain o {\n    type filter hook output priority 0; policy drop;\n    ip daddr 192.0.2.0/24 tcp dport { 22, 443 } accept\n    meta l4proto icmp accept\n  }\n}\nEOF\nnft add rule inet f o udp dport 53 accept\nnft insert rule inet f o ip daddr 192.0.2.9 drop\n",
}


@pytest.mark.engine
@pytest.mark.parametrize("name", REAL)
def test_the_rules_that_really_stand_are_those_that_were_read(name, tmp_path: Path):
    if os.geteuid() != 0:
        missing("root, for a network namespace")
    for one in ("unshare", "iptables-save", "ip6tables-save", "ipset", "nft"):
        program(one)
    script = tmp_path / "script.sh"
    script.write_text(REAL[name])
    dump = (
        "nft list ruleset"
        if "nft" in REAL[name]
        else "iptables-save; echo '# ip6tables-save'; ip6tables-save; ipset save"
    )
    # an untouched table is not dumped; listing makes the tool set it up
    done = subprocess.run(
        [
            "unshare",
            "-n",
            "bash",
            "-c",
            f"iptables -S >/dev/null; ip6tables -S >/dev/null; bash {script} && echo MARK && {dump}"
            if "nft" not in REAL[name]
            else f"bash {script} && echo MARK && {dump}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rules = read_ruleset(done.stdout.partition("MARK\n")[2], "dump")
    found = firewall(REAL[name])
    assert found.missing == ()
    for family, everything in ((4, "0.0.0.0/0"), (6, "::/0")):
        flow = Flow(None, "eth0", (), (everything,), family=family)
        # a table that nobody touched is not dumped
        real = rules.output(flow).accepted if rules.speaks(family, "output") else (Permit((everything,)),)
        assert found.towards((everything,), family).accepted == real, (family, done.stdout)


# ---- hostile texts


@given(st.text(alphabet=st.sampled_from(list("iptables -AOUTPUTj$(){}[]<>&|;'\"`\\\n#!=x01./"))))
@settings(max_examples=150, deadline=None)
def test_no_text_makes_the_reader_fail(text):
    script_permits((Script("postStartCommand", "iptables -P OUTPUT DROP\n" + text, Place("x", 1)),))


@given(st.binary(max_size=400))
@settings(max_examples=100, deadline=None)
def test_no_bytes_make_the_shell_reader_fail(data):
    with suppress(Unreadable):
        read(data.decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize(
    "text",
    [
        "$(" * 500,
        "if " * 500,
        "{ " * 300,
        "f() { f; f; }\nf\n",
        "while true; do iptables -A OUTPUT -j DROP; done",
        "x() { y; }; y() { x; iptables -A OUTPUT -j DROP; }; x",
        "a=1\n" * 30_000,
        "for i in "
        + "x " * 3000
        + "; do for j in "
        + "y " * 3000
        + "; do iptables -A OUTPUT -d 192.0.2.1 -j DROP; done; done",
        "iptables -N A; iptables -N B; iptables -A A -j B; iptables -A B -j A; iptables -A OUTPUT -j A",
    ],
)
def test_texts_without_end_are_bounded(text):
    found = script_permits((Script("postStartCommand", "iptables -P OUTPUT DROP\n" + text, Place("x", 1)),))
    assert found is not None
