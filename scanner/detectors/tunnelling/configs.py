"""Configuration files of tunnel and proxy tools, recognised by what they say; the path only breaks ties.

Formats: each tool's own manual (ngrok agent configuration, frp's example files, cloudflared run parameters, openvpn(8),
wg(8), torrc in tor(1), stunnel(8), proxychains.conf, danted.conf(5), tinc.conf(5), n2n edge(8), ipsec.conf(5), …).
Secrets are looked at to see that they are there, and never kept.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from scanner.detectors.tunnelling.settings import Document, Setting, Settings
from scanner.model import Json

OUT = "out"
IN = "in"
MESH = "mesh"
PORTS = 12


@dataclass(frozen=True, slots=True)
class ToolConfig:
    """What one file tells a tool to do.

    `tool` is its name in the catalogue, `line` of the decisive key. `direction`: out (traffic of the sandbox goes to a
    server), in (it lets somebody reach the sandbox), mesh (both). `server` as `host:port`, "" if none is named; `ports`
    what it listens on or gives away. `active` is False for an example: commented out, a placeholder, a loopback; `why` then
    says which.
    """

    tool: str
    line: int
    direction: str
    server: str = ""
    ports: tuple[str, ...] = ()
    active: bool = True
    why: str = ""

    def facts(self) -> dict[str, Json]:
        """For evidence: no secrets, empty ones left out."""
        found: dict[str, Json] = {"direction": self.direction}
        if self.server:
            found["server"] = self.server
        if self.ports:
            found["ports"] = list(self.ports)
        if self.why:
            found["why"] = self.why
        return found

    def summary(self) -> str:
        """In words."""
        how = {OUT: "goes out", IN: "lets in", MESH: "joins a network"}[self.direction]
        to = f" {'to' if self.direction == OUT else 'through'} {self.server}" if self.server else ""
        over = f" ({', '.join(self.ports[:4])})" if self.ports else ""
        return f"{self.tool} {how}{to}{over}" + (f"; {self.why}" if self.why else "")


_EXAMPLE_PATH = re.compile(
    rb"(?i)(?:^|/)(?:usr/share/(?!(?:\.\w|local))|(?:share/)?doc/|man/|[\w.-]*examples?/|[\w.-]*samples?/|templates?/|testdata/|tests?/"
    rb"|fixtures/|site-packages/|dist-packages/|go/pkg/mod/)|[._-](?:sample|example|dist|template|tmpl|in)(?:\.\w+)?$|(?:^|/)(?:sample|example)[\w.-]*$"
)
_PLACEHOLDER = re.compile(
    r"(?i)^(?:www\.)?example\.(?:com|net|org)$|your|change.?me|^[<{].*[>}]$|^my-server|^hostname\.|^(?:server|host|name|hostname)$"
    r"|^name\.|^x\.x\.x\.x$|^1\.2\.3\.4$|^a\.b\.c\.d$|placeholder|^dummy|domain\.tld|remote[-_]?host$|^server[-_](?:ip|addr\w*|host)$"
    r"|^%\w+$|^\W*$"
)
_LOOPBACK = re.compile(r"(?i)^(?:127\.[\d.]+|localhost(?:\.localdomain)?|::1|0:0:0:0:0:0:0:1|ip6-localhost)$")
_ANY = re.compile(r"^(?:0\.0\.0\.0|::0?|\*|\[::\]|)$")


def _address(value: str, port: str = "") -> str:
    """A server as `host:port`, without scheme, login, path and options; "" for what cannot be one."""
    value = re.sub(r"^[A-Za-z][\w+.-]{0,20}://", "", value.strip().strip("\"'"))
    value = re.split(r"[/?#\s,;]", value, maxsplit=1)[0].rpartition("@")[2]
    if port and ":" not in value.rpartition("]")[2] and not re.fullmatch(r"[\da-fA-F:]+:[\da-fA-F:]*", value):
        value = f"{value}:{port}" if value else ""
    elif port and value.count(":") > 1 and "[" not in value:
        value = f"[{value}]:{port}"
    return value if re.fullmatch(r"[\w.\-\[\]:%*$<>{}|]{1,200}", value) else ""


def _host(address: str) -> str:
    """The host of `host:port` and of `[host]:port`."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


def _of(
    document: Document,
    tool: str,
    at: Setting | None,
    direction: str,
    server: str = "",
    ports: Iterable[str] = (),
    why: str = "",
    local: bool = False,
) -> ToolConfig:
    """The finished value; `local`: a loopback server is no sign of an example (the tool only listens, or none is needed)."""
    if not why and _EXAMPLE_PATH.search(document.path):
        why = "an example by its path"
    host = _host(server)
    if not why and server and _PLACEHOLDER.search(host):
        why = "its server is a placeholder"
    if not why and server and not local and _LOOPBACK.match(host):
        why = "its server is this machine"
    shown = tuple(dict.fromkeys(p[:80] for p in ports if p))[:PORTS]
    return ToolConfig(tool, at.line if at is not None else 1, direction, server, shown, not why, why)


def _real(value: str) -> bool:
    """Whether a secret or a name is one, and no placeholder."""
    value = value.strip("\"'")
    return bool(value) and not re.search(
        r"(?i)^[<{\[].*[>}\]]$|your|change.?me|^x{3,}|^\.{3}|example|placeholder|^token$|^secret$|^password1?$|^null$|^~$",
        value,
    )


# ---- documents of braces and YAML


def _ngrok(d: Document) -> ToolConfig | None:
    t = d.yaml
    token = t.get("agent.authtoken", "authtoken")
    starts = t.matching(r"(?:tunnels\.[^.]+|endpoints\[\])\.(?:addr|proto|url|upstream|upstream\.url|name)")
    if d.is_json or not (token or starts) or not (starts or "version" in t or "ngrok" in d.name.decode("latin-1")):
        return None
    if token is None and not any(s.key in ("addr", "proto") for s in starts):
        return None
    server = _address(t.value("agent.connect_url", "server_addr", "connect_url"))
    ports = [s.value for s in starts if s.key in ("addr", "upstream", "url")]
    why = (
        ""
        if token is not None and _real(token.value)
        else "it has no token"
        if token is None
        else "its token is a placeholder"
    )
    return _of(d, "ngrok", token or starts[0], IN, server, ports, why)


def _cloudflared(d: Document) -> ToolConfig | None:
    t = d.tree
    secret = t.get("tunnelsecret")
    if d.is_json and secret is not None and t.get("tunnelid", "accounttag") is not None:
        return _of(d, "cloudflared", secret, IN, why="" if _real(secret.value) else "its secret is a placeholder")
    tunnel = t.get("tunnel")
    ingress = t.matching(r"ingress\[\]\.(?:service|hostname)")
    if tunnel is None or not tunnel.value or not (ingress or t.get("credentials-file", "url", "token") is not None):
        return None
    why = "" if _real(tunnel.value) else "its tunnel is a placeholder"
    return _of(d, "cloudflared", tunnel, IN, "", [s.value for s in ingress if s.key == "service"], why)


_FRPS = frozenset(
    """vhost_http_port vhosthttpport vhost_https_port vhosthttpsport kcp_bind_port kcpbindport token subdomain_host subdomainhost
    dashboard_port quicbindport quic_bind_port auth.token webserver.port""".split()
)
"""Keys that stand beside a port to listen on in frp's server alone."""


def _frp(d: Document) -> ToolConfig | None:
    s, t = d.sections, d.tree
    address = s.get("common.server_addr", ".serveraddr", "common.serveraddr") or t.get(
        "serveraddr", "common.server_addr"
    )
    if address is not None and s.get("common.vkey") is None:
        proxies = s.matching(r"(?!common\.).+\.type") or t.matching(r"(?:proxies|visitors)\[\]\.type")
        port = s.value("common.server_port", ".serverport") or t.value("serverport") or "7000"
        if not proxies and s.get("common.server_port", ".serverport") is None and "serverport" not in t:
            return None
        local = [
            f"{x.key} {x.value}"
            for x in (*s.all, *t.all)
            if x.key in ("local_port", "localport", "remote_port", "remoteport")
        ]
        return _of(d, "frp", address, IN, _address(address.value, port), local)
    bind = s.get("common.bind_port", ".bindport") or t.get("bindport")
    if bind is None or not bind.value.isdigit():
        return None
    if not any(x.key in _FRPS or x.path.lstrip(".") in _FRPS for x in (*s.all, *t.all)) and not re.search(
        rb"frps?\b", d.name
    ):
        return None
    return _of(d, "frp", bind, IN, "", [bind.value])


def _tailscale(d: Document) -> ToolConfig | None:
    key = d.json.get("_machinekey")
    if key is None or not ("_current-profile" in d.json or "_profiles" in d.json or d.json.matching(r"profile-\w+")):
        return None
    return _of(d, "tailscale", key, MESH)


def _shadowsocks(d: Document) -> ToolConfig | None:
    t = d.json
    port = t.get("server_port", "servers[].server_port", "servers[].port")
    method = t.get("method", "servers[].method")
    server = t.get("server", "servers[].server", "servers[].address")
    listed = [s for s in t.matching(r"server\[\]") if s.value]
    if port is None or method is None or (server is None and not listed) or "inbounds[]" in t or "outbounds[]" in t:
        return None
    hosts = [server.value] if server is not None else [s.value for s in listed]
    if all(_LOOPBACK.match(h) for h in hosts):
        return _of(d, "shadowsocks-libev", method, OUT, _address(hosts[0], port.value))
    if all(_ANY.match(h) or _LOOPBACK.match(h) for h in hosts):
        return _of(d, "shadowsocks-libev", method, IN, "", [port.value])
    chosen = next(h for h in hosts if not _ANY.match(h) and not _LOOPBACK.match(h))
    return _of(d, "shadowsocks-libev", method, OUT, _address(chosen, port.value), [t.value("local_port")])


_CARRIERS = frozenset(
    "vmess vless trojan shadowsocks shadowsocksr socks http hysteria hysteria2 tuic wireguard ssh naive anytls shadowtls tor".split()
)


def _xray(d: Document) -> ToolConfig | None:
    t = d.json
    outs = t.matching(r"outbounds?(?:\[\])?\.(?:protocol|type)")
    ins = t.matching(r"inbounds?(?:\[\])?\.(?:protocol|type)")
    if not outs and not (ins and any(s.value in _CARRIERS for s in ins)):
        return None
    if not {s.value.lower() for s in (*outs, *ins)} & {
        *_CARRIERS,
        "freedom",
        "blackhole",
        "dokodemo-door",
        "direct",
        "mixed",
        "tun",
    }:
        return None
    sing = any(s.key == "type" for s in (*outs, *ins))
    named = b"xray" in d.path.lower() or t.matching(r".*\.realitysettings")
    tool = "sing-box" if sing else "xray-core" if named else "v2ray"
    servers = t.matching(r"outbounds?(?:\[\])?\.(?:settings\.(?:vnext|servers)\[\]\.address|server|settings\.address)")
    ports = t.matching(r"outbounds?(?:\[\])?\.(?:settings\.(?:vnext|servers)\[\]\.port|server_port|settings\.port)")
    listening = [s.value for s in t.matching(r"inbounds?(?:\[\])?\.(?:port|listen_port)")]
    far = [s for s in servers if not _LOOPBACK.match(s.value)]
    if far:
        return _of(d, tool, far[0], OUT, _address(far[0].value, ports[0].value if ports else ""), listening)
    serving = next((s for s in ins if s.value in _CARRIERS - {"socks", "http"}), None)
    if serving is not None:
        return _of(d, tool, serving, IN, "", listening)
    return _of(d, tool, (outs or ins)[0], OUT, "", listening, "it only goes out directly")


def _trojan(d: Document) -> ToolConfig | None:
    t = d.tree
    run = t.get("run_type", "run-type")
    if run is None or t.get("remote_addr", "remote-addr") is None:
        return None
    password = next((s.value for s in t.matching(r"password(?:\[\])?") if s.value), "")
    if run.value == "server":
        why = "its password is a placeholder" if not _real(password) else ""
        why = why or ("its certificate is a placeholder" if t.value("ssl.cert").startswith("/path/to") else "")
        return _of(d, "trojan", run, IN, "", [t.value("local_port", "local-port")], why)
    server = _address(t.value("remote_addr", "remote-addr"), t.value("remote_port", "remote-port"))
    return _of(d, "trojan", run, OUT, server, [t.value("local_port", "local-port")])


def _hysteria(d: Document) -> ToolConfig | None:
    t = d.tree
    auth = t.get("auth", "auth_str", "auth.type", "obfs", "obfs.type")
    more = (
        "tls.sni tls.insecure bandwidth.up up_mbps socks5.listen http.listen bandwidth transport.type lazy fastopen "
        "tcpforwarding[].listen tun.name tls.pinsha256 quic.initstreamreceivewindow recv_window_conn"
    ).split()
    server = t.get("server")
    if server is not None and server.value and auth is not None and any(k in t for k in more):
        return _of(
            d, "hysteria", server, OUT, _address(server.value), [t.value("socks5.listen"), t.value("http.listen")]
        )
    listen = t.get("listen")
    serving = any(
        k in t for k in ("masquerade.type", "masquerade", "acme.domains[]", "acme", "acme.domains", "up_mbps")
    )
    if (
        listen is not None
        and listen.value
        and auth is not None
        and (serving or (b"hysteria" in d.path and "tls.cert" in t))
    ):
        return _of(d, "hysteria", listen, IN, "", [listen.value])
    return None


def _mihomo(d: Document) -> ToolConfig | None:
    t = d.yaml
    port = t.get("mixed-port", "socks-port", "redir-port", "tproxy-port", "port")
    kinds = [s for s in t.matching(r"proxies\[\]\.type") if s.value in {*_CARRIERS, "ss", "ssr", "snell", "socks5"}]
    flow = re.search(
        r"(?m)^[ \t]*-[ \t]*\{[^{}\n]{0,200}\btype:[ ]{0,4}(?:vmess|vless|trojan|ss|ssr|hysteria2?|tuic)\b[^{}\n]{0,400}",
        d.text,
    )
    if d.is_json or port is None or not (kinds or (flow and "proxies" in t)):
        return None
    if kinds:
        server = _address(t.value("proxies[].server"), t.value("proxies[].port"))
        return _of(d, "mihomo", kinds[0], OUT, server, [port.value])
    found = re.search(r"\bserver:\s*([\w.:-]{1,200})", flow[0]) if flow else None
    return _of(d, "mihomo", t.get("proxies"), OUT, _address(found[1]) if found else "", [port.value])


def _small_json(d: Document) -> ToolConfig | None:
    """Tools with a small JSON file each: netbird, Visual Studio Code's tunnel, naive, tuic, kcptun, psiphon, zrok, cjdns, zerotier."""
    t = d.json
    if not d.is_json:
        return None
    if t.get("managementurl") is not None and t.get("wgiface", "privatekey") is not None:
        found = t.get("managementurl")
        host = t.value("managementurl.host") or t.value("managementurl")
        return _of(d, "netbird", found, MESH, _address(host))
    if d.name == b"code_tunnel.json" or (b"tunnel" in d.path and {"cluster", "id", "name"} <= t.first.keys()):
        return _of(d, "vscode-tunnel", t.get("cluster", "id", "name"), IN) if "cluster" in t or "id" in t else None
    proxy, listen = t.get("proxy"), t.get("listen", "listen[]")
    if proxy is not None and re.match(r"(?:https|quic)://", proxy.value) and listen is not None:
        here = listen.value or t.value("listen[]")
        return _of(d, "naiveproxy", proxy, OUT, _address(proxy.value), [here]) if "://" in here else None
    if "relay.server" in t and "relay.uuid" in t:
        return _of(d, "tuic", t.get("relay.server"), OUT, _address(t.value("relay.server")), [t.value("local.server")])
    if "localaddr" in t and "remoteaddr" in t and t.get("crypt", "key", "mode", "sndwnd") is not None:
        return _of(d, "kcptun", t.get("remoteaddr"), OUT, _address(t.value("remoteaddr")), [t.value("localaddr")])
    if "propagationchannelid" in t and "sponsorid" in t:
        return _of(d, "psiphon", t.get("propagationchannelid"), OUT)
    if "zrok_token" in t and t.get("ziti_identity", "api_endpoint") is not None:
        return _of(d, "zrok", t.get("zrok_token"), IN, _address(t.value("api_endpoint")))
    if "authorizedpasswords[]" in t and "privatekey" in t and "ipv6" in t:
        peers = t.matching(r"interfaces\.udpinterface\[\]\.connectto\.[^\[\]]+")
        peer = next((p for p in peers if re.search(r"\d$", p.path) and not p.path.endswith("publickey")), None)
        where = re.search(r"connectto\.([\w.\[\]:-]+:\d+)", peer.path) if peer is not None else None
        return _of(
            d,
            "cjdns",
            t.get("privatekey"),
            MESH,
            where[1] if where else "",
            why="" if peer is not None else "it names no peer",
        )
    if d.name == b"local.conf" and b"zerotier" in d.path and t.matching(r"(?:settings|physical|virtual)(?:\..*)?"):
        return _of(d, "zerotier-one", t.all[0], MESH, why="it only tunes a daemon")
    return None


def _zerotier(d: Document) -> ToolConfig | None:
    if found := re.match(r"\s*[0-9a-f]{10}:0:[0-9a-f]{128}:[0-9a-f]{128}\s*$", d.text[:400]):
        return _of(d, "zerotier-one", Setting("identity", "", d.text[: found.start()].count("\n") + 1), MESH)
    network = re.search(rb"zerotier[\w-]*/networks\.d/([0-9a-f]{16})\.conf$", d.path)
    if network is not None:
        return _of(d, "zerotier-one", None, MESH, ports=[f"network {network[1].decode()}"])
    return None


def _yggdrasil(d: Document) -> ToolConfig | None:
    t = d.json
    if not d.is_json or t.get("privatekey", "privatekeypath", "encryptionprivatekey", "signingprivatekey") is None:
        return None
    if not any(k in t for k in ("peers[]", "interfacepeers", "ifname", "nodeinfo", "multicastinterfaces[]")):
        return None
    peers = t.get("peers[]")
    block = re.search(
        r"(?i)\bPeers\b\"?\s{0,9}:?\s{0,9}\[([^\]]{0,20000})",
        re.sub(r"(?m)^[ \t]*(?:#|//)[^\n]*$", "", d.text[:200_000]),
    )
    peer = re.search(r"(?:tls|tcp|quic|socks|sockstls|ws|wss)://[^\s\"',\]]{1,200}", block[1]) if block else None
    return _of(
        d,
        "yggdrasil",
        peers or t.all[0],
        MESH,
        _address(peer[0].partition("?")[0]) if peer else "",
        why="" if peer else "it names no peer",
    )


def _nebula(d: Document) -> ToolConfig | None:
    t = d.yaml
    if not ({"pki", "lighthouse"} <= t.first.keys() and t.get("static_host_map", "tun", "firewall") is not None):
        return None
    hosts = t.matching(r"static_host_map\..+")
    found = re.search(r"[\w.\-]+:\d+", " ".join(h.value for h in hosts[:50])) if hosts else None
    return _of(d, "nebula", t.get("pki"), MESH, found[0] if found else "")


def _gost(d: Document) -> ToolConfig | None:
    t = d.tree
    handlers = t.matching(r"services\[\]\.handler(?:\.type)?")
    if not handlers or t.get("services[].addr") is None:
        if d.is_json and t.matching(r"servenodes\[\]"):
            chain = next((s.value for s in t.matching(r"chainnodes\[\]") if s.value), "")
            nodes = [s.value for s in t.matching(r"servenodes\[\]") if s.value]
            return _of(
                d, "gost", t.get("servenodes[]"), OUT if chain else IN, _address(chain), [_address(n) for n in nodes]
            )
        return None
    hop = t.get("chains[].hops[].nodes[].addr", "hops[].nodes[].addr", "services[].forwarder.nodes[].addr")
    listening = [s.value for s in t.matching(r"services\[\]\.addr")]
    return _of(
        d, "gost", handlers[0], OUT if hop else IN, _address(hop.value) if hop else "", listening, local=hop is None
    )


def _headscale(d: Document) -> ToolConfig | None:
    t = d.yaml
    if (
        "server_url" in t
        and t.get("noise.private_key_path", "private_key_path") is not None
        and t.get("prefixes", "ip_prefixes", "derp") is not None
    ):
        return _of(d, "headscale", t.get("server_url"), MESH, _address(t.value("server_url")))
    return None


def _teleport(d: Document) -> ToolConfig | None:
    t = d.yaml
    if "teleport" not in t or t.get("ssh_service", "auth_service", "proxy_service", "app_service") is None:
        return None
    server = t.get(
        "teleport.proxy_server", "teleport.auth_server", "teleport.auth_servers[]", "proxy_service.public_addr"
    )
    return _of(d, "teleport", server or t.get("teleport"), IN, _address(server.value) if server is not None else "")


def _small_yaml(d: Document) -> ToolConfig | None:
    """sish, and ligolo-ng's proxy."""
    t = d.yaml
    keys = {
        "ssh-address",
        "http-address",
        "bind-random-ports",
        "bind-random-subdomains",
        "private-keys-directory",
        "authentication-keys-directory",
    }
    if len(keys & t.first.keys()) >= 3:
        return _of(d, "sish", t.get("ssh-address", "private-keys-directory"), IN, "", [t.value("ssh-address")])
    if re.search(rb"ligolo[\w-]*\.ya?ml$", d.name) and t.all:
        return _of(d, "ligolo-ng", t.all[0], IN, _address(t.value("listen", "laddr", "connect")), local=True)
    return None


# ---- sections


def _wireguard(d: Document) -> ToolConfig | None:
    s = d.sections
    key = s.get("interface.privatekey")
    raised = re.search(r"(?m)^[ \t]*PostUp[ \t]*=.*\bwg set\b", d.text) is not None
    peer = s.get("peer.publickey", "peer.endpoint")
    if "[interface]" in s and (key is not None or raised) and ("[peer]" in s or "interface.listenport" in s):
        ends = [_address(e.value) for e in s.matching(r"peer\.endpoint")]
        proxy = next(
            (x for x in s.all if x.path in ("[socks5]", "[http]", "[tcpclienttunnel]", "[tcpservertunnel]")), None
        )
        tool = "wireproxy" if proxy is not None else "wireguard-tools"
        why = "" if peer is not None else "it names no peer"
        if key is not None and not _real(key.value):
            why = "its key is a placeholder"
        ports = [s.value("interface.listenport"), s.value("socks5.bindaddress"), s.value("http.bindaddress")]
        return _of(d, tool, key or peer, OUT if ends and ends[0] else IN, ends[0] if ends else "", ports, why)
    network = next((x for x in s.all if re.fullmatch(r"(?:wireguard-peer\..*|wireguardpeer)\.endpoint", x.path)), None)
    declared = s.value("connection.type") == "wireguard" or s.value("netdev.kind").lower() == "wireguard"
    if declared and (
        network is not None or s.matching(r"(?:wireguard|wireguard)\.(?:private-key|privatekey|privatekeyfile)")
    ):
        server = _address(network.value) if network is not None else ""
        return _of(d, "wireguard-tools", network or s.all[0], OUT if server else IN, server)
    return None


_SERVICES = {
    "openvpn": "openvpn",
    "openconnect": "openconnect",
    "vpnc": "vpnc",
    "strongswan": "strongswan",
    "libreswan": "libreswan",
    "l2tp": "xl2tpd",
    "pptp": "pptp-linux",
    "sstp": "sstp-client",
    "fortisslvpn": "openfortivpn",
}


def _network_manager(d: Document) -> ToolConfig | None:
    """A keyfile of type vpn (NetworkManager's nm-settings-keyfile(5))."""
    s = d.sections
    service = s.get("vpn.service-type")
    if service is None or s.value("connection.type") != "vpn":
        return None
    tool = _SERVICES.get(service.value.rpartition(".")[2])
    gateway = s.value("vpn.remote", "vpn.gateway", "vpn.address", "vpn.right", "vpn.ipsec gateway")
    return _of(d, tool, service, OUT, _address(gateway.partition(",")[0])) if tool else None


def _stunnel(d: Document) -> ToolConfig | None:
    s = d.sections
    accepts = s.matching(r".*\.accept")
    for accept in accepts:
        section = accept.parent
        connect = s.get(f"{section}.connect", f"{section}.exec")
        if connect is None:
            continue
        client = s.value(f"{section}.client", ".client").lower() == "yes"
        if client:
            return _of(d, "stunnel", connect, OUT, _address(connect.value), [accept.value])
        return _of(d, "stunnel", accept, IN, "", [accept.value, f"to {connect.value}"])
    if (
        not accepts
        and s.get(".client") is not None
        and (bare := s.get(".connect")) is not None
        and s.get(".cert", ".pid", ".foreground")
    ):
        return _of(d, "stunnel", bare, OUT, _address(bare.value), [s.value(".accept")])
    return None


def _rathole(d: Document) -> ToolConfig | None:
    s = d.sections
    client, server = s.get("client.remote_addr"), s.get("server.bind_addr")
    services = s.matching(r"\[(?:client|server)\.services\..+\]")
    if client is not None and services:
        local = [x.value for x in s.matching(r"client\.services\..+\.local_addr")]
        return _of(d, "rathole", client, IN, _address(client.value), local)
    if server is not None and services:
        return _of(
            d,
            "rathole",
            server,
            IN,
            "",
            [server.value, *(x.value for x in s.matching(r"server\.services\..+\.bind_addr"))],
        )
    return None


def _i2pd(d: Document) -> ToolConfig | None:
    s = d.sections
    kinds = "client server http irc socks httpproxy udpclient udpserver websocks".split()
    tunnels = [x for x in s.matching(r"[^.]+\.type") if x.value in kinds]
    tunnels = [
        x for x in tunnels if any(k in s for k in (f"{x.parent}.keys", f"{x.parent}.destination", f"{x.parent}.inport"))
    ]
    if not tunnels:
        return None
    shipped = ("irc.ilita.i2p", "irc.postman.i2p", "irc.dg.i2p")
    own = [x for x in tunnels if s.value(f"{x.parent}.destination") not in shipped]
    if not own:
        return _of(
            d,
            "i2pd",
            tunnels[0],
            OUT,
            s.value(f"{tunnels[0].parent}.destination"),
            why="the tunnel that is shipped with it",
        )
    first = own[0]
    port = s.value(f"{first.parent}.port")
    lets = "server" in first.value or first.value in ("http", "irc")
    return _of(
        d, "i2pd", first, IN if lets else OUT, _address(s.value(f"{first.parent}.destination")), [port], local=True
    )


def _nps(d: Document) -> ToolConfig | None:
    s = d.sections
    client = s.get("common.server_addr")
    if client is not None and s.get("common.vkey") is not None:
        why = "" if _real(s.value("common.vkey")) else "its key is a placeholder"
        return _of(
            d, "nps", client, IN, _address(client.value), [x.value for x in s.matching(r"[^.]+\.server_port")], why
        )
    bridge = s.get(".bridge_port")
    if bridge is not None and s.get(".bridge_type", ".http_proxy_port", ".public_vkey", ".web_port") is not None:
        return _of(d, "nps", bridge, IN, "", [bridge.value, s.value(".web_port")])
    return None


def _proxychains(d: Document) -> ToolConfig | None:
    begin = re.search(r"(?m)^[ \t]*\[ProxyList\]", d.text)
    if begin is None:
        return None
    entries = re.finditer(
        r"(?m)^[ \t]*(socks[45]|http|raw)[ \t]+(\S{1,200})[ \t]+(\d{1,5})(?=\s|$)",
        d.text[begin.end() : begin.end() + 100_000],
    )
    first_line = d.text[: begin.end()].count("\n") + 1
    first = None
    for found in entries:
        line = first_line + d.text[begin.end() : begin.end() + found.start(1)].count("\n")
        entry = _of(d, "proxychains-ng", Setting("proxylist", "", line), OUT, _address(found[2], found[3]))
        if entry.active:
            return entry
        first = first or entry
    return first or _of(d, "proxychains-ng", Setting("proxylist", "", first_line), OUT, why="it lists no proxy")


def _innernet(d: Document) -> ToolConfig | None:
    s = d.sections
    if s.get("interface.network-name") is None or s.get("server.external-endpoint", "server.public-key") is None:
        return None
    return _of(d, "innernet", s.get("interface.network-name"), MESH, _address(s.value("server.external-endpoint")))


def _easytier(d: Document) -> ToolConfig | None:
    s = d.sections
    name = s.get("network_identity.network_name")
    if name is None:
        return None
    peer = s.value("peer.uri")
    return _of(d, "easytier", name, MESH, _address(peer))


def _playit(d: Document) -> ToolConfig | None:
    key = d.sections.get(".secret_key")
    return _of(d, "playit", key, IN) if key is not None and b"playit" in d.path and _real(key.value) else None


def _xl2tpd(d: Document) -> ToolConfig | None:
    s = d.sections
    lac = next((x for x in s.all if re.fullmatch(r"lac .+\.lns", x.path)), None)
    if lac is not None:
        return _of(d, "xl2tpd", lac, OUT, _address(lac.value))
    lns = next((x for x in s.all if re.fullmatch(r"lns .+\.ip range", x.path)), None)
    return _of(d, "xl2tpd", lns, IN) if lns is not None else None


# ---- words


def _openvpn(d: Document) -> ToolConfig | None:
    w = d.words
    device = w.get("dev", "dev-type")
    if device is None or not re.match(r"(?:tun|tap|null|ovpn|vpn)\w*$", device.value):
        return None
    remote = w.get("remote")
    more = (
        "client",
        "tls-client",
        "secret",
        "ifconfig",
        "proto",
        "ca",
        "<ca>",
        "auth-user-pass",
        "nobind",
        "tls-auth",
        "pkcs12",
        "<connection>",
    )
    if remote is not None and any(k in w for k in more):
        host, port, *_ = (*remote.value.split(), "", "")
        return _of(d, "openvpn", remote, OUT, _address(host, port if port.isdigit() else "1194"))
    server = w.get("server", "server-bridge", "mode", "ifconfig", "secret", "tls-server")
    if server is not None and any(k in w for k in ("port", "proto", "ca", "dh", "secret", "keepalive", "push")):
        return _of(d, "openvpn", server, IN, "", [w.value("port") or "1194"])
    return None


_TORRC = frozenset(
    """hiddenservicedir hiddenserviceport socksport socksaddress bridge usebridges clienttransportplugin orport exitrelay exitpolicy
    transport dnsport controlport datadirectory socks5proxy httpsproxy virtualaddrnetworkipv4 automaphostsonresolve torproxy
    transporteplugin servertransportplugin bridgerelay exitnodes strictnodes runasdaemon hashedcontrolpassword""".split()
)


def _torrc(d: Document) -> ToolConfig | None:
    w = d.words
    found = _TORRC & w.first.keys()
    hidden = w.get("hiddenservicedir")
    named = re.search(rb"torrc(?:$|[.\-]|\.d/)", d.path) is not None
    if not found or not (named or (hidden and "hiddenserviceport" in w) or len(found) >= 3):
        return None
    if hidden is not None:
        return _of(d, "tor", hidden, IN, "", [s.value for s in w.all if s.key == "hiddenserviceport"])
    bridge = w.get("bridge")
    if bridge is not None:
        host = re.search(r"(?:[\d.]{7,15}|\[[\da-fA-F:]{2,45}\]):\d{1,5}", bridge.value)
        return _of(d, "tor", bridge, OUT, host[0] if host else "")
    relay = w.get("orport", "exitrelay")
    if relay is not None and relay.value not in ("0", "auto 0"):
        return _of(d, "tor", relay, IN, "", [relay.value])
    port = w.get("socksport", "transport", "dnsport", "clienttransportplugin", "exitnodes")
    if port is None or port.value == "0":
        return _of(d, "tor", w.all[0], OUT, why="it opens nothing of its own")
    return _of(d, "tor", port, OUT, "", [s.value for s in w.all if s.key in ("socksport", "transport", "dnsport")])


def _rinetd(d: Document) -> ToolConfig | None:
    rule = r"(?m)^[ \t]*([\w.:*-]{1,100})[ \t]+(\d{1,5}(?:/\w{3})?)[ \t]+([\w.:-]{1,200})[ \t]+(\d{1,5}(?:/\w{3})?)(?=\s|$)"
    found = re.search(rule, d.text) if b"rinetd" in d.name else None
    if found is None:
        return None
    line = d.text[: found.start(1)].count("\n") + 1
    return _of(
        d,
        "rinetd",
        Setting("rule", "", line),
        OUT,
        _address(found[3], found[4].partition("/")[0]),
        [f"{found[1]}:{found[2]}"],
        local=True,
    )


def _danted(d: Document) -> ToolConfig | None:
    b = d.blocks
    via = next((s for s in b.matching(r"route\.via")), None)
    if via is not None:
        host = via.value.split()
        port = re.search(r"port\s+(\d+)", via.value)
        return _of(d, "dante", via, OUT, _address(host[0] if host else "", port[1] if port else ""))
    internal = b.get("internal")
    passes = b.get("socks pass", "client pass")
    if internal is None or passes is None:
        return None
    port = re.search(r"port\s+(\d+)", internal.value)
    return _of(d, "dante", internal, IN, "", [port[1] if port else "1080"])


_SERVICE = re.compile(r"^(?:socks|proxy|tcppm|udppm|pop3p|smtpp|ftppr|tlspr|auto)$")


def _3proxy(d: Document) -> ToolConfig | None:
    w = d.words
    service = next((s for s in w.all if _SERVICE.match(s.key)), None)
    if service is None or not (
        b"3proxy" in d.path or ({"nserver", "nscache"} & w.first.keys() and {"auth", "allow"} & w.first.keys())
    ):
        return None
    parent = w.get("parent")
    if parent is not None and len(parent.value.split()) >= 4:
        _, _, host, port = parent.value.split()[:4]
        return _of(d, "3proxy", parent, OUT, _address(host, port))
    forward = service.value.split() if service.key in ("tcppm", "udppm") else []
    places = [p for p in forward if not p.startswith("-")]
    if len(places) >= 3:
        return _of(d, "3proxy", service, OUT, _address(places[1], places[2]), [places[0]])
    own = re.search(r"-p(\d+)", service.value)
    return _of(d, "3proxy", service, IN, "", [f"{service.key} {own[1] if own else ''}".strip()])


def _http_proxies(d: Document) -> ToolConfig | None:
    """tinyproxy, squid, privoxy and cntlm: where they hand requests on to, or whom they let in."""
    w = d.words
    if re.search(rb"tinyproxy[\w.-]*\.conf$", d.path) or ({"port", "viaproxyname", "maxclients"} <= w.first.keys()):
        for upstream in (s for s in w.all if s.key == "upstream"):
            parts = [p for p in upstream.value.split() if p not in ("http", "socks4", "socks5", "none")]
            if parts and "none" not in upstream.value.split()[:1]:
                return _of(d, "tinyproxy", upstream, OUT, _address(parts[0].strip('"')))
        allows = [s.value for s in w.all if s.key == "allow"]
        port = w.get("port")
        if port is None:
            return None
        opened = not allows or any(not _LOOPBACK.match(a) and a != "::1" for a in allows)
        return _of(d, "tinyproxy", port, IN, "", [port.value], "" if opened else "it serves this machine alone")
    port = w.get("http_port", "https_port")
    if port is not None and "http_access" in w:
        peer = w.get("cache_peer")
        if peer is not None and len(peer.value.split()) >= 3:
            return _of(d, "squid", peer, OUT, _address(peer.value.split()[0], peer.value.split()[2]))
        everyone = next(
            (s for s in w.all if s.key == "http_access" and re.match(r"allow\s+(?:all|localnet)\b", s.value)), None
        )
        return _of(
            d, "squid", everyone or port, IN, "", [port.value], "" if everyone else "it serves this machine alone"
        )
    forward = next((s for s in w.all if re.match(r"forward(?:-socks[45]t?a?)?$", s.key)), None)
    if "listen-address" in w and (forward is not None or "actionsfile" in w):
        parts = forward.value.split() if forward is not None else []
        server = next((p for p in parts[1:] if p != "."), "")
        why = "" if server else "it hands nothing on"
        return _of(
            d,
            "privoxy",
            forward or w.get("listen-address"),
            OUT,
            _address(server),
            [w.value("listen-address")],
            why,
            local=True,
        )
    if {"username", "domain", "proxy"} <= w.first.keys() and "listen" in w:
        why = "its user is a placeholder" if w.value("username") == "testuser" else ""
        return _of(d, "cntlm", w.get("proxy"), OUT, _address(w.value("proxy")), [w.value("listen")], why)
    return None


def _dns2tcp(d: Document) -> ToolConfig | None:
    w = d.sections
    domain = w.get(".domain")
    if domain is None:
        return None
    resources = w.get(".resources")
    if resources is not None and w.get(".listen", ".port") is not None:
        why = "its domain is a placeholder" if _PLACEHOLDER.search(domain.value) else ""
        return _of(d, "dns2tcp", domain, IN, "", [resources.value], why)
    if w.get(".resource") is not None and w.get(".local_port", ".key", ".server") is not None:
        return _of(d, "dns2tcp", domain, OUT, _address(domain.value), [w.value(".local_port")])
    return None


def _n2n(d: Document) -> ToolConfig | None:
    s = d.sections
    community = s.get(".n2n_community")
    if community is not None and ".n2n_supernode" in s:
        done = s.value(".n2n_edge_config_done").lower() == "yes"
        why = "" if done else "it is not switched on"
        return _of(d, "n2n", community, MESH, _address(s.value(".n2n_supernode")), why=why)
    option = r"(?m)^[ \t]*-(?:{})[ \t=]*(\S{{1,200}})"
    supernode = re.search(option.format("l|-supernode-list"), d.text)
    joined = re.search(option.format("c|-community"), d.text)
    if supernode is None or joined is None or not re.search(rb"n2n|edge", d.path):
        return None
    line = d.text[: supernode.start(1)].count("\n") + 1
    return _of(d, "n2n", Setting("supernode", "", line), MESH, _address(supernode[1]))


def _defaults(d: Document) -> ToolConfig | None:
    """Files of etc/default that carry a tool's options: autossh, iodine, sslh."""
    s = d.sections
    if b"autossh" in d.path:
        for setting in s.all:
            forward = re.search(r"(?:^|\s)-[a-zA-Z]*([RLDw])\s*(\S+)", setting.value)
            forward = forward or re.search(r"-o\s*(Remote|Local|Dynamic)Forward", setting.value)
            if forward is not None:
                last = next((w for w in reversed(setting.value.split()) if "@" in w or "." in w), "")
                spec = forward[2] if len(forward.groups()) > 1 else ""
                return _of(d, "autossh", setting, IN if forward[1][0] == "R" else OUT, _address(last), [spec])
        return None
    if b"iodine" in d.name and (start := s.get(".start_iodined", ".start_iodine")) is not None:
        on = start.value.lower() in ("true", "yes", "1") and bool(s.value(".iodined_args", ".iodine_args"))
        return _of(d, "iodine", start, IN, "", [], "" if on else "it is not switched on")
    options = s.get(".daemon_opts")
    if (
        b"sslh" in d.name
        and options is not None
        and (found := re.search(r"--?(?:listen|p)[ =](\S{1,100})", options.value))
    ):
        why = "its address is a placeholder" if "change" in found[1] else ""
        return _of(d, "sslh", options, IN, "", [found[1]], why)
    return None


def _sslh(d: Document) -> ToolConfig | None:
    found = re.search(r"(?m)^[ \t]*protocols[ \t]*[:=]", d.text)
    name = re.search(
        r"\{[^{}]{0,300}\bname[ ]{0,4}[:=][ ]{0,4}\"(?:ssh|tls|openvpn|anyprot|socks5|http|ssl|timeout)\"", d.text
    )
    if found is None or name is None or not re.search(r"(?m)^[ \t]*listen[ \t]*[:=]", d.text):
        return None
    line = d.text[: found.start()].count("\n") + 1
    return _of(
        d,
        "sslh",
        Setting("protocols", "", line),
        IN,
        "",
        re.findall(r"\bname[ ]{0,4}[:=][ ]{0,4}\"(\w{1,20})\"", d.text)[:PORTS],
    )


def _redsocks(d: Document) -> ToolConfig | None:
    b = d.blocks
    address = b.get("redsocks.ip")
    if address is None or "base" not in b:
        return None
    first = None
    for number, setting in enumerate(b.all):
        if setting.path not in ("redsocks.ip", "redudp.ip"):
            continue
        near = b.all[max(0, number - 6) : number + 8]
        port = next((s.value for s in near if s.key == "port" and s.parent == setting.parent), "")
        shipped = "its server is a placeholder" if setting.value == "192.0.2.1" else ""
        entry = _of(d, "redsocks", setting, OUT, _address(setting.value, port), why=shipped)
        if entry.active:
            return entry
        first = first or entry
    return first


def _strongswan(d: Document) -> ToolConfig | None:
    remote = next((s for s in d.blocks.matching(r"connections\..+\.remote_addrs")), None)
    if remote is not None:
        return _of(d, "strongswan", remote, OUT, _address(remote.value.split(",")[0]))
    conn = re.search(r"(?m)^conn[ \t]+(?!%default)(\S{1,100})", d.text)
    right = re.search(r"(?m)^[ \t]+right[ \t]*=[ \t]*(\S{1,200})", d.text)
    if conn is None or right is None or not re.search(r"(?m)^[ \t]+(?:left|keyexchange|authby|auto)\w*[ \t]*=", d.text):
        return None
    line = d.text[: right.start(1)].count("\n") + 1
    anyone = right[1] in ("%any", "%defaultroute", "0.0.0.0")  # noqa: S104 (read, not bound)
    return _of(d, "strongswan", Setting("right", "", line), IN if anyone else OUT, "" if anyone else _address(right[1]))


def _vtun(d: Document) -> ToolConfig | None:
    b = d.blocks
    secret = next((s for s in b.matching(r"(?!options\.|default\.)[^.]+\.(?:passwd|pass)")), None)
    if (
        secret is None
        or not any(f"{secret.parent}.{k}" in b for k in ("type", "proto", "device", "up"))
        or "options" not in b
    ):
        return None
    return _of(
        d,
        "vtun",
        secret,
        MESH,
        "",
        [b.value("options.port")],
        "" if _real(secret.value) else "its password is a placeholder",
    )


def _fastd(d: Document) -> ToolConfig | None:
    secret = re.search(r"(?m)^[ \t]*secret[ \t]+\"[0-9a-f]{64}\"", d.text)
    if secret is None or not re.search(r"(?m)^[ \t]*(?:peer[ \t]+\"|include[ \t]+peers|bind[ \t])", d.text):
        return None
    remote = re.search(r"\bremote\s+(?:ipv[46]\s+)?\"?([\w.:\[\]-]{1,200})\"?(?:\s+port\s+|:)(\d{1,5})", d.text)
    line = d.text[: secret.start()].count("\n") + 1
    return _of(d, "fastd", Setting("secret", "", line), MESH, _address(remote[1], remote[2]) if remote else "")


def _tinc(d: Document) -> ToolConfig | None:
    s = d.sections
    connect, name = s.get(".connectto"), s.get(".name")
    if b"tinc" not in d.path or name is None:
        return None
    why = "" if connect is not None or ".listenaddress" in s else "it connects to nobody"
    return _of(d, "tinc", connect or name, MESH, connect.value if connect is not None else "", why=why)


def _pagekite(d: Document) -> ToolConfig | None:
    s, w = d.sections, d.words
    kite = s.get(".kitename")
    services = s.matching(r"\.(?:service_on|backend)")
    services = [x for x in services if x.value.count(":") >= 3]
    if kite is None and not services:
        return None
    named = kite.value if kite is not None else services[0].value.split(":")[1].strip()
    why = "its name is a placeholder" if named.upper().startswith("NAME.") else ""
    if "." not in named and not named.startswith("@"):
        return None
    if not why and (named.startswith("@") or "abort_not_configured" in w):
        why = "it is not switched on"
    return _of(d, "pagekite", kite or services[0], IN, _address(named), [x.value for x in services], why)


def _tmate(d: Document) -> ToolConfig | None:
    found = re.search(
        r"(?m)^[ \t]*set(?:-option)?[ \t]{1,8}(?:-\w{1,4}[ \t]{1,8})?(tmate-(?:server-host|api-key|session-name|authorized-keys|webhook-url))[ \t]+(\S{1,200})",
        d.text,
    )
    if found is None:
        return None
    server = re.search(
        r"(?m)^[ \t]*set(?:-option)?[ \t]{1,8}(?:-\w{1,4}[ \t]{1,8})?tmate-server-host[ \t]+[\"']?([\w.:-]{1,200})",
        d.text,
    )
    line = d.text[: found.start(1)].count("\n") + 1
    return _of(d, "tmate", Setting("tmate", "", line), IN, server[1] if server else "")


def _sshuttle(d: Document) -> ToolConfig | None:
    """A file of arguments, one on each line (`sshuttle @file`)."""
    if b"sshuttle" not in d.path:
        return None
    found = re.search(r"(?m)^[ \t]*(?:-r|--remote)(?:[ \t=]+|[ \t]*\n[ \t]*)(\S{1,200})", d.text)
    if found is None:
        return None
    return _of(d, "sshuttle", Setting("remote", "", d.text[: found.start(1)].count("\n") + 1), OUT, _address(found[1]))


def _small_vpns(d: Document) -> ToolConfig | None:
    """vpnc and openfortivpn."""
    gateway = re.search(r"(?m)^IPSec[ \t]+gateway[ \t]+(\S{1,200})", d.text)
    if gateway is not None and re.search(r"(?m)^(?:IPSec (?:ID|secret)|Xauth )", d.text):
        return _of(
            d, "vpnc", Setting("gateway", "", d.text[: gateway.start()].count("\n") + 1), OUT, _address(gateway[1])
        )
    s = d.sections
    if b"openfortivpn" in d.path and (host := s.get(".host")) is not None:
        return _of(d, "openfortivpn", host, OUT, _address(host.value, s.value(".port")))
    return None


_READERS: tuple[Callable[[Document], ToolConfig | None], ...] = (
    *(_cloudflared, _tailscale, _xray, _shadowsocks, _trojan, _small_json, _zerotier, _yggdrasil, _gost),
    *(_wireguard, _network_manager, _rathole, _nps, _frp, _stunnel, _i2pd, _proxychains, _innernet, _easytier, _playit),
    *(_xl2tpd, _dns2tcp, _n2n, _defaults, _tinc, _pagekite),
    *(_ngrok, _hysteria, _mihomo, _nebula, _headscale, _teleport, _small_yaml),
    *(_openvpn, _torrc, _rinetd, _sslh, _redsocks, _strongswan, _vtun, _fastd, _danted, _3proxy, _http_proxies),
    *(_tmate, _sshuttle, _small_vpns),
)


def read(path: bytes, text: str) -> ToolConfig | None:
    """What the first MiB of a configuration file tells a tunnel or proxy tool; None for any other file. Never raises.

    Linear in the text. Where the text is longer, the caller says so.
    """
    document = Document(path, text)
    inert = None
    for reader in _READERS:
        found = reader(document)
        if found is not None and found.active:
            return found
        inert = inert or found
    return inert


__all__ = ["Settings", "ToolConfig", "read"]
