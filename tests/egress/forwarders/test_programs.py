"""What each program passes on, by image, command, environment and mounted configuration."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.egress.assumptions import parse
from scanner.egress.forwarders import forwarder_of
from scanner.egress.forwarders.plugin import image_path
from scanner.egress.permits import classify, simplify
from scanner.model.egress import Destination, Permit, Verdict
from scanner.plugins import plugins
from tests.egress.forwarders.containers import PLACE, container

ANY = (Permit(("0.0.0.0/0", "::/0"), "tcp"),)
NAMES = (Permit(("names",)),)
ENGINE = (Permit(("engine",)),)
ALL = (Permit(("0.0.0.0/0", "::/0")),)


def at(host: str, *ports: int, protocol: str = "tcp") -> Permit:
    return Permit((host,), protocol, tuple((p, p) for p in ports) if ports else ((1, 65535),))


SQUID = """# who and where
acl SSL_ports port 443
acl Safe_ports port 80
acl Safe_ports port 443
acl localnet src 172.16.0.0/12 192.168.0.0/16
acl good dstdomain {names}
http_access deny !Safe_ports
http_access deny CONNECT !SSL_ports
http_access allow localnet good
http_access deny all
http_port 3128
"""
NGINX_SNI = """stream {
  map $ssl_preread_server_name $there {
    api.example.com api.example.com:443;
    files.example.org 192.0.2.9:443;
    default 127.0.0.1:9;
  }
  server { listen 443; ssl_preread on; proxy_pass $there; }
}
"""
ENVOY = """static_resources:
  listeners:
  - name: one
    address: {socket_address: {address: 0.0.0.0, port_value: 10000}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          route_config:
            virtual_hosts:
            - name: v
              domains: %s
              routes:
              - match: {prefix: /}
                route: {cluster: %s}
  clusters:
  - name: dynamic
    cluster_type: {name: envoy.clusters.dynamic_forward_proxy}
  - name: fixed
    type: STRICT_DNS
    load_assignment:
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: api.example.com, port_value: 443}}}
"""
HAPROXY = """frontend f
  bind *:8443
  default_backend b
backend b
  server s1 api.example.com:443 check
backend unused
  server s2 other.example.com:443
"""
DANTE = """internal: eth0 port = 1080
client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
socks block { from: 0.0.0.0/0 to: 10.0.0.0/8 }
socks pass { from: 0.0.0.0/0 to: .example.com port = 443 command: connect }
"""

KNOWN = {
    # name: (container, kind, permits, listens)
    "socat": (container("alpine/socat", "TCP-LISTEN:443,fork TCP:api.example.com:8443"), "relay", (at("api.example.com", 8443),), (("tcp", 443),)),
    "socat, the other way round": (container("x", "socat -d TCP4:192.0.2.1:80 TCP4-LISTEN:8080,reuseaddr"), "relay", (at("192.0.2.1", 80),), (("tcp", 8080),)),
    "socat by udp": (container("alpine/socat:1.8", "UDP4-LISTEN:53,fork UDP4:192.0.2.53:53"), "relay", (at("192.0.2.53", 53, protocol="udp"),), (("udp", 53),)),
    "socat to the engine": (container("alpine/socat", "tcp-listen:2375,fork unix-connect:/var/run/docker.sock"), "engine", ENGINE, (("tcp", 2375),)),
    "socat to a shell": (container("alpine/socat", ["TCP-LISTEN:4444,fork", "EXEC:/bin/sh -i"]), "relay", ALL, (("tcp", 4444),)),
    "socat in a shell": (container("alpine", ["sh", "-c", "apk add --no-cache socat && exec socat TCP-LISTEN:80,fork TCP:db.example.com:5432"]), "relay", (at("db.example.com", 5432),), (("tcp", 80),)),
    "idle": (container("ubuntu", "sleep infinity"), "none", (), ()),
    "idle by tail": (container("ubuntu", ["/bin/sh", "-c", "trap : TERM; while true; do sleep 1; done"]), "none", (), ()),
    "squid": (container("ubuntu/squid:6", files={"/etc/squid/squid.conf": SQUID.format(names=".example.com api.example.org")}), "proxy", (Permit(("*.example.com", "api.example.org", "example.com"), "tcp", ((80, 80), (443, 443))),), (("tcp", 3128),)),
    "squid with a list of its own": (container("ubuntu/squid", files={"/etc/squid/squid.conf": SQUID.format(names='"/etc/squid/good.txt"'), "/etc/squid/good.txt": "# ours\napi.example.org\n"}), "proxy", (at("api.example.org", 80, 443),), (("tcp", 3128),)),
    "squid to anywhere": (container("sameersbn/squid", files={"/etc/squid/squid.conf": "http_port 3128\nhttp_access allow all\n"}), "proxy", ANY, (("tcp", 3128),)),
    "squid without http_access": (container("ubuntu/squid", files={"/etc/squid/squid.conf": "http_port 3128\n"}), "none", (), (("tcp", 3128),)),
    "squid: the last line turned round": (container("ubuntu/squid", files={"/etc/squid/squid.conf": "acl bad dstdomain .evil.example\nhttp_access deny bad\n"}), "proxy", ANY, ()),
    "squid but private": (container("ubuntu/squid", files={"/etc/squid/squid.conf": "acl p dst 10.0.0.0/8\nhttp_access deny p\nhttp_access allow all\n"}), "proxy", (Permit(("0.0.0.0/0", "::/0"), "tcp", ((1, 65535),), ("10.0.0.0/8",)),), ()),
    "envoy fixed": (container("envoyproxy/envoy:v1.30", files={"/etc/envoy/envoy.yaml": ENVOY % ('["*"]', "fixed")}), "relay", (at("api.example.com", 443),), (("tcp", 10000),)),
    "envoy to anywhere": (container("envoyproxy/envoy", "-c /e.yaml", {"/e.yaml": ENVOY % ('["*"]', "dynamic")}), "proxy", ANY, (("tcp", 10000),)),
    "envoy by domains": (container("envoyproxy/envoy", "envoy -c /e.yaml", {"/e.yaml": ENVOY % ('["api.example.com", "*.example.org:443"]', "dynamic")}), "proxy", (at("api.example.com", 80), at("*.example.org", 443)), (("tcp", 10000),)),
    "mitmproxy": (container("mitmproxy/mitmproxy", "mitmdump --ignore-hosts x --allow-hosts api.example.com"), "proxy", ANY, (("tcp", 8080),)),
    "mitmproxy reverse": (container("mitmproxy/mitmproxy", "mitmweb --mode reverse:https://api.example.com -p 9000"), "relay", (at("api.example.com", 443),), (("tcp", 9000),)),
    "haproxy": (container("haproxy:3", files={"/usr/local/etc/haproxy/haproxy.cfg": HAPROXY}), "relay", (at("api.example.com", 443),), (("tcp", 8443),)),
    "haproxy to anywhere": (container("haproxy:3", files={"/usr/local/etc/haproxy/haproxy.cfg": "frontend f\n bind :80\n default_backend b\nbackend b\n http-request do-resolve(txn.ip,r) hdr(Host)\n http-request set-dst var(txn.ip)\n server any 0.0.0.0:0\n"}), "proxy", ANY, (("tcp", 80),)),
    "nginx's own files": (container("nginx:1.27"), "none", (), ()),
    "nginx fixed": (container("nginx", files={"/etc/nginx/conf.d/default.conf": "upstream u { server api.example.com:8443; }\nserver { listen 80; location / { proxy_pass https://u/; } }"}), "relay", (at("api.example.com", 8443),), (("tcp", 80),)),
    "nginx by what the client says": (container("nginx", files={"/etc/nginx/nginx.conf": "http { server { listen 8888; resolver 127.0.0.11; location / { proxy_pass http://$http_host$request_uri; } } }"}), "proxy", ANY, (("tcp", 8888),)),
    "nginx by its own variable": (container("nginx", files={"/etc/nginx/nginx.conf": "http { server { listen 80; set $u api.example.com; location / { proxy_pass https://$u; } } }"}), "relay", (at("api.example.com", 443),), (("tcp", 80),)),
    "nginx by SNI": (container("nginx", files={"/etc/nginx/nginx.conf": NGINX_SNI}), "relay", (at("api.example.com", 443), at("192.0.2.9", 443), at("127.0.0.1", 9)), (("tcp", 443),)),
    "nginx, any SNI": (container("nginx", files={"/etc/nginx/nginx.conf": "stream { server { listen 443; ssl_preread on; proxy_pass $ssl_preread_server_name:443; } }"}), "proxy", (Permit(("0.0.0.0/0", "::/0"), "tcp", ((443, 443),)),), (("tcp", 443),)),
    "nginx that tunnels": (container("x/nginx", "nginx", {"/etc/nginx/nginx.conf": "http { server { listen 3128; proxy_connect; proxy_connect_allow 443; } }"}), "proxy", (Permit(("0.0.0.0/0", "::/0"), "tcp", ((443, 443),)),), (("tcp", 3128),)),
    "caddy": (container("caddy:2", files={"/etc/caddy/Caddyfile": ":80 {\n  reverse_proxy api.example.com:443 {\n    header_up Host x\n  }\n}\n"}), "relay", (at("api.example.com", 443),), ()),
    "caddy forward": (container("x/caddy", files={"/etc/caddy/Caddyfile": ":80\nforward_proxy {\n  ports 443\n  acl {\n    allow *.example.com\n    deny all\n  }\n}\n"}), "proxy", (at("*.example.com", 443),), ()),
    "caddy from its command": (container("caddy", "caddy reverse-proxy --from :80 --to http://api.example.com:8080"), "relay", (at("api.example.com", 8080),), ()),
    "traefik": (container("traefik:v3", "--providers.docker=true --entrypoints.web.address=:80"), "relay", (), (("tcp", 80),)),
    "traefik by file": (container("traefik:v3", "--providers.file.filename=/d.yml", {"/d.yml": "http:\n  services:\n    a:\n      loadBalancer:\n        servers:\n        - url: https://api.example.com\n"}), "relay", (at("api.example.com", 443),), ()),
    "microsocks": (container("vimagick/microsocks", "microsocks -p 1081"), "proxy", ANY, (("tcp", 1081),)),
    "gost": (container("ginuerzh/gost", "-L=:8080"), "proxy", ANY, (("tcp", 8080),)),
    "gost fixed": (container("ginuerzh/gost", "-L tcp://:2222/192.0.2.1:22"), "relay", (at("192.0.2.1", 22),), (("tcp", 2222),)),
    "dante": (container("wernight/dante", files={"/etc/sockd.conf": DANTE}), "proxy", (at("*.example.com", 443), at("example.com", 443)), (("tcp", 1080),)),
    "3proxy": (container("3proxy/3proxy", files={"/etc/3proxy/3proxy.cfg": "allow * * api.example.com 443\ndeny *\nsocks -p1081\n"}), "proxy", (at("api.example.com", 443),), (("tcp", 1081),)),
    "privoxy": (container("vimagick/privoxy"), "proxy", ANY, (("tcp", 8118),)),
    "ssh -D for all": (container("x", "ssh -N -D 0.0.0.0:1080 me@bastion.example.com"), "proxy", ANY, (("tcp", 1080),)),
    "ssh -D for itself": (container("x", "ssh -N -D 1080 me@bastion.example.com"), "none", (), ()),
    "ssh -L": (container("x", "ssh -N -L *:5432:db:5432 me@bastion.example.com"), "relay", (at("db", 5432),), (("tcp", 5432),)),
    "ncat": (container("x", "ncat -l 3128 -k --proxy-type http"), "proxy", ANY, (("tcp", 3128),)),
    "a tcp proxy of environment": (container("tecnativa/tcp-proxy", env={"LISTEN": ":100", "TALK": "api.example.com:443"}), "relay", (at("api.example.com", 443),), (("tcp", 100),)),
    "socket proxy, reading": (container("tecnativa/docker-socket-proxy", env={"CONTAINERS": "1"}), "engine", (Permit(("engine: reading version, events, containers",)),), (("tcp", 2375),)),
    "socket proxy, writing": (container("ghcr.io/tecnativa/docker-socket-proxy:0.3", env={"CONTAINERS": "1", "POST": "1"}), "engine", ENGINE, (("tcp", 2375),)),
    "dind": (container("docker:27-dind", env={"DOCKER_TLS_CERTDIR": ""}), "engine", ENGINE, (("tcp", 2375),)),
    "dind of old": (container("docker:18.09-dind"), "engine", ENGINE, (("tcp", 2375),)),
    "dockerd": (container("docker:dind", "dockerd -H tcp://0.0.0.0:1234 -H unix:///x.sock"), "engine", ENGINE, (("tcp", 1234),)),
    "docker's client": (container("docker:cli"), "none", (), ()),
    "podman": (container("quay.io/podman/stable", "podman system service --time=0 tcp:0.0.0.0:8888"), "engine", ENGINE, (("tcp", 8888),)),
    "buildkit": (container("moby/buildkit", "--addr tcp://0.0.0.0:1234"), "relay", ALL, (("tcp", 1234),)),
    "a router": (container("alpine", ["sh", "-c", "sysctl -w net.ipv4.ip_forward=1; iptables -t nat -A POSTROUTING -o eth1 -j MASQUERADE; tail -f /dev/null"]), "router", ALL, ()),
    "a DNAT": (container("alpine", ["sh", "-c", "iptables -t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 192.0.2.1:8080 && sleep inf"]), "relay", (at("192.0.2.1", 8080),), (("tcp", 80),)),
    "gluetun": (container("qmcgaw/gluetun"), "none", (), ()),
    "gluetun's proxy": (container("qmcgaw/gluetun", env={"HTTPPROXY": "on"}), "proxy", ANY, (("tcp", 8888),)),
    "coredns": (container("coredns/coredns", "-conf /Corefile", {"/Corefile": ". {\n  forward . 9.9.9.9\n}\n"}), "dns", NAMES, (("udp", 53), ("tcp", 53))),
    "coredns of one zone": (container("coredns/coredns", files={"/Corefile": "example.com:53 {\n  forward . 9.9.9.9\n}\n. {\n  hosts /h\n}\n"}), "dns", (Permit(("example.com", "*.example.com")),), (("udp", 53), ("tcp", 53))),
    "coredns that answers itself": (container("coredns/coredns", files={"/Corefile": ". {\n  hosts /h\n}\n"}), "none", (), (("udp", 53), ("tcp", 53))),
    "dnsmasq": (container("andyshinn/dnsmasq", "-S 9.9.9.9"), "dns", NAMES, (("udp", 53), ("tcp", 53))),
    "dnsmasq of one zone": (container("x", "dnsmasq -k --no-resolv --server=/example.com/9.9.9.9"), "dns", (Permit(("example.com", "*.example.com")),), (("udp", 53), ("tcp", 53))),
    "dnsmasq that asks nobody": (container("x", "dnsmasq -k", {"/etc/dnsmasq.conf": "no-resolv\naddress=/#/192.0.2.1\n"}), "none", (), (("udp", 53), ("tcp", 53))),
    "unbound": (container("mvance/unbound"), "dns", NAMES, (("udp", 53), ("tcp", 53))),
    "pihole": (container("pihole/pihole:latest"), "dns", NAMES, (("udp", 53), ("tcp", 53))),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_what_it_passes_on(name):
    one, kind, permits, listens = KNOWN[name]
    found = forwarder_of(one)
    assert found is not None
    assert (found.kind, simplify(found.permits), found.missing, found.perhaps) == (kind, simplify(permits), (), ())
    assert found.listens == listens
    assert found.name == "px"
    assert found.why


UNTOLD = {
    # name: (container, kind, part of the reason)
    "tinyproxy's configuration in its image": (container("vimagick/tinyproxy"), "proxy", "not among the mounted files"),
    "squid's in a folder": (container("ubuntu/squid", folders=["/etc/squid"]), "proxy", "not among the mounted files"),
    "a list that is not mounted": (container("ubuntu/squid", files={"/etc/squid/squid.conf": SQUID.format(names='"/etc/squid/good.txt"')}), "proxy", "good.txt"),
    "squid's credentials": (container("ubuntu/squid", files={"/etc/squid/squid.conf": "acl known proxy_auth REQUIRED\nhttp_access allow known\nhttp_access deny all\n"}), "proxy", "credentials"),
    "another proxy behind it": (container("ubuntu/squid", files={"/etc/squid/squid.conf": "http_access allow all\ncache_peer up.example.com parent 3128 0\n"}), "proxy", "another proxy"),
    "nginx in a folder": (container("nginx", folders=["/etc/nginx/conf.d"]), "proxy", "cannot be read"),
    "nginx of somebody": (container("acme/nginx"), "proxy", "stands in the image"),
    "envoy from a server": (container("envoyproxy/envoy", "-c /e.yaml", {"/e.yaml": "dynamic_resources: {}\n"}), "proxy", "from a server"),
    "envoy with rules": (container("envoyproxy/envoy", "-c /e.yaml", {"/e.yaml": (ENVOY % ('["*"]', "dynamic")).replace("- name: envoy.filters.network.http", "- name: envoy.filters.http.rbac\n      - name: envoy.filters.network.http")}), "proxy", "rbac"),
    "mitmproxy with a script": (container("mitmproxy/mitmproxy", "mitmdump -s /filter.py"), "proxy", "may refuse"),
    "an engine that asks for a key": (container("docker:dind"), "engine", "certificate"),
    "socat with a variable": (container("alpine", ["sh", "-c", "socat TCP-LISTEN:80,fork TCP:$TARGET"]), "relay", "cannot be read"),
    "a broken file": (container("envoyproxy/envoy", "-c /e.yaml", {"/e.yaml": "a: [\n"}), "proxy", "no YAML"),
    "beside a stranger": (container("alpine", ["sh", "-c", "socat TCP-LISTEN:80,fork TCP:192.0.2.1:80 & exec /app/server"]), "relay", "server"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNTOLD)
def test_what_the_launch_does_not_tell_is_missing(name):
    one, kind, words = UNTOLD[name]
    found = forwarder_of(one)
    assert found is not None
    assert found.kind == kind
    assert found.perhaps
    assert any(words in m.why for m in found.missing), found.missing
    for missing in found.missing:
        parse([f"{missing.key}=none"] if missing.key.startswith("allows.") else [f"{missing.key}=false"])


STRANGERS = {
    "a server": container("postgres:16"),
    "an application": container("python:3.12", "python app.py"),
    "a module's server": container("python:3.12", "python -m http.server"),
    "a script that is not mounted": container("alpine", "sh /start.sh"),
    "an exporter": container("nginx/nginx-prometheus-exporter"),
    "no image": container(""),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_of_other_software_nobody_knows(name):
    assert forwarder_of(STRANGERS[name]) is None


def test_the_engines_key_is_told_where_it_lies():
    found = forwarder_of(container("docker:dind", folders=["/certs/client"]))
    assert found is not None
    assert found.keys == ("/project/certs/client",)
    assert found.perhaps == ENGINE


def test_mounted_scripts_are_read_with_their_lines():
    found = forwarder_of(
        container(
            "alpine",
            "/bin/sh /run.sh",
            {"/run.sh": "#!/bin/sh\n\nexec socat TCP-LISTEN:80,fork \\\n  TCP:192.0.2.1:80\n"},
        )
    )
    assert found is not None
    assert str(found.origin) == "run.sh:3:1"
    assert found.permits == (at("192.0.2.1", 80),)


def test_what_the_user_takes_for_granted():
    unknown, hidden = STRANGERS["an application"], UNTOLD["tinyproxy's configuration in its image"][0]
    said = forwarder_of(unknown, parse(["forwards.px=false"]))
    assert (said.kind, said.permits) == ("none", ())
    said = forwarder_of(unknown, parse(["forwards.px=true"]))
    assert (said.kind, said.permits) == ("proxy", ANY)
    said = forwarder_of(hidden, parse(["allows.px=api.example.com:443,10.0.0.0/8"]))
    assert said.permits == (at("api.example.com", 443), at("10.0.0.0/8"))
    assert said.missing == ()
    assert forwarder_of(hidden, parse(["allows.px=none"])).kind == "none"
    known = KNOWN["socat"][0]
    assert forwarder_of(known, parse(["allows.px=all"])) == forwarder_of(known)


def test_plain_requests_and_tunnels_are_told_apart():
    found = forwarder_of(KNOWN["squid"][0])
    assert found.tunnels == (Permit(("*.example.com", "api.example.org", "example.com"), "tcp", ((443, 443),)),)


def test_names_are_internet_and_a_proxy_to_anywhere_is_private_too():
    assert classify(forwarder_of(KNOWN["squid"][0]).permits, Destination.INTERNET) is Verdict.LIMITED
    assert classify(forwarder_of(KNOWN["squid"][0]).permits, Destination.PRIVATE) is Verdict.CLOSED
    assert classify(forwarder_of(KNOWN["microsocks"][0]).permits, Destination.PRIVATE) is Verdict.LIMITED


@pytest.mark.parametrize(
    ("image", "path"),
    [
        ("nginx", "nginx"),
        ("docker.io/library/nginx:1.27@sha256:00", "nginx"),
        ("localhost:5000/a/b:c", "a/b"),
        ("ghcr.io/Tecnativa/Docker-Socket-Proxy", "tecnativa/docker-socket-proxy"),
        ("", ""),
    ],
)
def test_images_are_known_without_registry_and_tag(image, path):
    assert image_path(image) == path


def test_every_program_has_a_name_of_its_own():
    programs = plugins("scanner.egress.forwarders")
    assert len({p.name for p in programs}) == len(programs) > 20


PATHS = (
    "/etc/tinyproxy/tinyproxy.conf /etc/squid/squid.conf /etc/envoy/envoy.yaml /usr/local/etc/haproxy/haproxy.cfg /etc/nginx/nginx.conf "
    "/etc/caddy/Caddyfile /etc/traefik/traefik.yml /etc/sockd.conf /etc/3proxy/3proxy.cfg /etc/privoxy/config /Corefile "
    "/etc/dnsmasq.conf /etc/unbound/unbound.conf /etc/bind/named.conf"
).split()
IMAGES = "tinyproxy ubuntu/squid envoyproxy/envoy haproxy nginx caddy traefik wernight/dante 3proxy privoxy coredns/coredns dnsmasq unbound bind9".split()


@given(
    st.sampled_from(list(zip(IMAGES, PATHS, strict=True))),
    st.text(max_size=300) | st.binary(max_size=300).map(lambda b: b.decode("latin-1")),
)
@settings(max_examples=200, deadline=None)
def test_no_configuration_makes_a_reader_fail(which, text):
    forwarder_of(container(which[0], files={which[1]: text}))


PIECES = st.lists(
    st.sampled_from(
        [
            *"{}[]();:,#\"'\\\n \t$*.-/|",
            "acl a dstdomain",
            "http_access allow a",
            "http_access deny !",
            "server",
            "listen 80",
            "proxy_pass http://$host",
            "map $a $b",
            "reverse_proxy",
            "forward_proxy",
            "allow",
            "deny all",
            "Filter",
            "/etc/x",
            "FilterDefaultDeny Yes",
            "clusters:",
            "- name: a",
            "99999999",
            "10.0.0.0/8",
            "a.example",
        ]
    ),
    max_size=40,
).map(" ".join)


@given(st.sampled_from(list(zip(IMAGES, PATHS, strict=True))), PIECES)
@settings(max_examples=300, deadline=None)
def test_no_half_made_configuration_makes_a_reader_fail(which, text):
    forwarder_of(container(which[0], files={which[1]: text}))


@given(
    st.sampled_from(
        [
            "sh",
            "socat",
            "nginx",
            "gost",
            "ssh",
            "dockerd",
            "ncat",
            "iptables",
            "dnsmasq",
            "mitmdump",
            "caddy",
            "3proxy",
            "pproxy",
            "envoy",
        ]
    ),
    st.lists(st.text(max_size=20), max_size=6),
)
@settings(max_examples=200, deadline=None)
def test_no_command_makes_a_reader_fail(program, words):
    forwarder_of(container("x", [program, *words]))
    forwarder_of(container("x", ["sh", "-c", f"{program} {' '.join(words)}"]))


def test_the_place_is_that_of_the_line_that_decides():
    found = forwarder_of(KNOWN["squid"][0])
    assert str(found.origin) == "squid.conf:9:1"
    assert forwarder_of(KNOWN["socat"][0]).origin == PLACE
