"""Tools that carry traffic out of a sandbox, or let somebody in: what each is called where it can be installed from.

Names of packages are Debian's, Alpine's, Fedora's and openSUSE's, PyPI's and npm's; of Go tools the main module as their
go.mod names it. A tool is told by such a record or by its content, never by a file's name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from scanner.model import Severity


class Sort(StrEnum):
    """What a tool is for, in words that follow "it is"."""

    TUNNEL = "a tunnel to a server outside"
    COVERT = "a tunnel inside a protocol that firewalls let through"
    SHELL = "a way to hand a terminal to somebody outside"
    MESH = "a private network over the internet"
    VPN = "a virtual private network"
    SSH = "a helper that keeps or feeds ssh connections"
    ANONYMITY = "an anonymity network"
    CIRCUMVENTION = "a proxy made to pass firewalls unseen"
    PROXY_CLIENT = "a wrapper that sends other programs' traffic through a proxy"
    PROXY = "a proxy server"
    RELAY = "a relay from one socket to another"
    SYNC = "a copier of files to storage outside"
    CLIENT = "a plain client that also speaks to SOCKS and HTTP proxies"


SEVERITY: Mapping[Sort, Severity] = {
    Sort.TUNNEL: Severity.HIGH,
    Sort.COVERT: Severity.HIGH,
    Sort.SHELL: Severity.HIGH,
    Sort.CIRCUMVENTION: Severity.HIGH,
    Sort.ANONYMITY: Severity.HIGH,
    Sort.MESH: Severity.HIGH,
    Sort.VPN: Severity.MEDIUM,
    Sort.SSH: Severity.MEDIUM,
    Sort.PROXY_CLIENT: Severity.MEDIUM,
    Sort.RELAY: Severity.LOW,
    Sort.PROXY: Severity.LOW,
    Sort.SYNC: Severity.LOW,
    Sort.CLIENT: Severity.NOTE,
}
"""How bad a tool is that lies there unused: what serves nothing but a way out weighs most, what servers need least."""


@dataclass(frozen=True, slots=True)
class Tool:
    """`packages` of any distribution, `programs` as they are called on a command line, `modules` of Go without `/vN`."""

    name: str
    sort: Sort
    packages: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()

    @property
    def severity(self) -> Severity:
        return SEVERITY[self.sort]


def _tool(
    name: str, sort: Sort, packages: str = "", programs: str = "", go: str = "", pip: str = "", npm: str = ""
) -> Tool:
    """`packages` and `programs` are the tool's own name where nothing else is said; `-` for none."""
    named = () if packages == "-" else tuple(packages.split()) or (name,)
    called = () if programs == "-" else tuple(programs.split()) or (name,)
    return Tool(name, sort, named, called, tuple(go.split()), tuple(pip.split()), tuple(npm.split()))


TOOLS: tuple[Tool, ...] = (
    # ---- tunnels to a server outside
    _tool("chisel", Sort.TUNNEL, go="github.com/jpillora/chisel"),
    _tool("cloudflared", Sort.TUNNEL, go="github.com/cloudflare/cloudflared", npm="cloudflared", pip="pycloudflared"),
    _tool("frp", Sort.TUNNEL, "frp frpc frps", "frpc frps", "github.com/fatedier/frp"),
    _tool("ngrok", Sort.TUNNEL, go="golang.ngrok.com/ngrok go.ngrok.com", pip="pyngrok ngrok", npm="ngrok @ngrok/ngrok"),
    _tool("gost", Sort.TUNNEL, go="github.com/go-gost/gost github.com/ginuerzh/gost"),
    _tool("ligolo-ng", Sort.TUNNEL, "ligolo-ng ligolo-ng-common-binaries", "ligolo-agent ligolo-proxy", "github.com/nicocha30/ligolo-ng github.com/tnpitsecurity/ligolo-ng"),
    _tool("pgrok", Sort.TUNNEL, programs="pgrok pgrokd", go="github.com/pgrok/pgrok"),
    _tool("nps", Sort.TUNNEL, "nps npc", "nps npc", "ehang.io/nps github.com/ehang-io/nps github.com/djylb/nps"),
    _tool("revsocks", Sort.TUNNEL, go="github.com/kost/revsocks"),
    _tool("inlets", Sort.TUNNEL, "inlets inlets-pro", "inlets inlets-pro inletsctl", "github.com/inlets/inlets github.com/inlets/inlets-pro github.com/alexellis/inlets github.com/inlets/inletsctl"),
    _tool("bore-cli", Sort.TUNNEL, "bore-cli", "bore"),
    _tool("rathole", Sort.TUNNEL),
    _tool("wstunnel", Sort.TUNNEL, npm="wstunnel"),
    _tool("websocat", Sort.RELAY),
    _tool("boringproxy", Sort.TUNNEL, go="github.com/boringproxy/boringproxy"),
    _tool("sish", Sort.TUNNEL, go="github.com/antoniomika/sish"),
    _tool("localtunnel", Sort.TUNNEL, programs="lt localtunnel", npm="localtunnel"),
    _tool("zrok", Sort.TUNNEL, go="github.com/openziti/zrok"),
    _tool("openziti", Sort.MESH, "openziti ziti ziti-edge-tunnel", "ziti ziti-edge-tunnel", "github.com/openziti/ziti"),
    _tool("pagekite", Sort.TUNNEL, "pagekite python3-pagekite", "pagekite pagekite.py", pip="pagekite"),
    _tool("proxytunnel", Sort.TUNNEL),
    _tool("httptunnel", Sort.COVERT, programs="htc hts"),
    _tool("corkscrew", Sort.TUNNEL),
    _tool("connect-proxy", Sort.TUNNEL, "connect-proxy ssh-connect"),
    _tool("stunnel", Sort.TUNNEL, "stunnel4 stunnel", "stunnel stunnel3 stunnel4"),
    _tool("udptunnel", Sort.TUNNEL),
    _tool("6tunnel", Sort.RELAY),
    _tool("go-http-tunnel", Sort.TUNNEL, programs="tunnel tunneld", go="github.com/mmatczuk/go-http-tunnel"),
    _tool("devtunnel", Sort.TUNNEL, "-", "devtunnel code-tunnel", go=""),
    _tool("vscode-tunnel", Sort.TUNNEL, "-", "-"),
    _tool("resocks", Sort.TUNNEL, go="github.com/RedTeamPentesting/resocks"),
    _tool("rpivot", Sort.TUNNEL, "-", "-"),
    _tool("regeorg", Sort.TUNNEL, "-", "-"),
    _tool("pivotnacci", Sort.TUNNEL, "-", "-"),
    _tool("suo5", Sort.TUNNEL, "-", "suo5", "github.com/zema1/suo5"),
    _tool("ssf", Sort.TUNNEL, "-", "ssf ssfd"),
    _tool("rsockstun", Sort.TUNNEL, go="github.com/llkat/rsockstun github.com/mis-team/rsockstun"),
    _tool("iox", Sort.TUNNEL, go="github.com/eddieivan01/iox iox"),
    _tool("stowaway", Sort.TUNNEL, "-", "stowaway", "github.com/ph4ntonn/Stowaway Stowaway"),
    _tool("tunnelto", Sort.TUNNEL),
    _tool("playit", Sort.TUNNEL, "playit playit-agent", "playit playit-agent"),
    _tool("remoteit", Sort.TUNNEL, "remoteit connectd", "connectd remoteit"),
    _tool("sshtunnel", Sort.SSH, "python3-sshtunnel", "-", pip="sshtunnel"),
    _tool("http-tunnel-client", Sort.TUNNEL, "-", "-", npm="tunnelmole instatunnel"),
    # ---- inside protocols that firewalls let through
    _tool("iodine", Sort.COVERT, programs="iodine iodined"),
    _tool("dns2tcp", Sort.COVERT, programs="dns2tcpc dns2tcpd"),
    _tool("dnscat2", Sort.COVERT, "dnscat2 dnscat2-client dnscat2-server", "dnscat dnscat2", npm=""),
    _tool("dnstt", Sort.COVERT, programs="dnstt-client dnstt-server", go="www.bamsoftware.com/git/dnstt.git"),
    _tool("nstx", Sort.COVERT, programs="nstxcd nstxd"),
    _tool("ptunnel", Sort.COVERT),
    _tool("ptunnel-ng", Sort.COVERT),
    _tool("hans", Sort.COVERT),
    _tool("icmptunnel", Sort.COVERT),
    _tool("icmptx", Sort.COVERT),
    _tool("pwnat", Sort.COVERT),
    _tool("udp2raw", Sort.COVERT, "udp2raw udp2raw-tunnel"),
    _tool("kcptun", Sort.COVERT, programs="kcptun kcptun-client kcptun-server", go="github.com/xtaci/kcptun"),
    _tool("gsocket", Sort.SHELL, programs="gs-netcat gsocket gs-sftp gs-mount gs-full-pipe gs-helper gs_funcs blitz"),
    # ---- terminals
    _tool("tmate", Sort.SHELL, "tmate tmate-ssh-server"),
    _tool("upterm", Sort.SHELL, programs="upterm uptermd", go="github.com/owenthereal/upterm github.com/jingweno/upterm"),
    _tool("sshx", Sort.SHELL, programs="sshx sshx-server"),
    _tool("ttyd", Sort.SHELL),
    _tool("gotty", Sort.SHELL, go="github.com/yudai/gotty github.com/sorenisanerd/gotty"),
    _tool("shellinabox", Sort.SHELL, programs="shellinabox shellinaboxd"),
    _tool("teleport", Sort.SHELL, "teleport teleport-ent", "tsh teleport tbot", "github.com/gravitational/teleport"),
    _tool("tty-share", Sort.SHELL, go="github.com/elisescu/tty-share"),
    _tool("termshare", Sort.SHELL, go="github.com/progrium/termshare"),
    # ---- meshes
    _tool("tailscale", Sort.MESH, programs="tailscale tailscaled derper", go="tailscale.com"),
    _tool("headscale", Sort.MESH, go="github.com/juanfont/headscale"),
    _tool("zerotier-one", Sort.MESH, "zerotier-one zerotier", "zerotier-one zerotier-cli zerotier-idtool"),
    _tool("nebula", Sort.MESH, "nebula nebula-vpn", "nebula nebula-cert", "github.com/slackhq/nebula"),
    _tool("yggdrasil", Sort.MESH, "yggdrasil yggdrasil-go", "yggdrasil yggdrasilctl", "github.com/yggdrasil-network/yggdrasil-go"),
    _tool("netbird", Sort.MESH, "netbird netbird-ui", "netbird", "github.com/netbirdio/netbird"),
    _tool("netmaker", Sort.MESH, "netclient netmaker", "netclient netmaker", "github.com/gravitl/netmaker github.com/gravitl/netclient"),
    _tool("innernet", Sort.MESH, "innernet innernet-server", "innernet innernet-server"),
    _tool("n2n", Sort.MESH, programs="edge supernode"),
    _tool("tinc", Sort.MESH, "tinc tinc-pre", "tincd tinc"),
    _tool("cjdns", Sort.MESH, "cjdns", "cjdroute"),
    _tool("vpncloud", Sort.MESH),
    _tool("fastd", Sort.MESH),
    _tool("easytier", Sort.MESH, programs="easytier-core easytier-cli"),
    _tool("quicktun", Sort.MESH, programs="quicktun quicktun.combined"),
    # ---- virtual private networks
    _tool("openvpn", Sort.VPN, "openvpn openvpn3 openvpn-client", "openvpn openvpn3"),
    _tool("wireguard-tools", Sort.VPN, "wireguard-tools wireguard wireguard-tools-wg wireguard-tools-wg-quick", "wg wg-quick"),
    _tool("wireguard-go", Sort.VPN, go="golang.zx2c4.com/wireguard", programs="wireguard-go"),
    _tool("boringtun", Sort.VPN, "boringtun boringtun-cli", "boringtun boringtun-cli"),
    _tool("wireproxy", Sort.VPN, go="github.com/pufferffish/wireproxy github.com/octeep/wireproxy github.com/windtf/wireproxy"),
    _tool("strongswan", Sort.VPN, "strongswan strongswan-starter strongswan-charon strongswan-swanctl charon-systemd charon-cmd", "ipsec charon swanctl charon-cmd"),
    _tool("libreswan", Sort.VPN, programs="pluto"),
    _tool("openconnect", Sort.VPN),
    _tool("ocserv", Sort.VPN),
    _tool("vpnc", Sort.VPN),
    _tool("openfortivpn", Sort.VPN),
    _tool("xl2tpd", Sort.VPN),
    _tool("pptp-linux", Sort.VPN, "pptp-linux pptpclient", "pptp"),
    _tool("pptpd", Sort.VPN),
    _tool("ppp", Sort.VPN, programs="pppd pppoe"),
    _tool("isatapd", Sort.VPN),
    _tool("sstp-client", Sort.VPN, programs="sstpc"),
    _tool("softether", Sort.VPN, "softether-vpn softether-vpnserver softether-vpnclient softether-vpncmd", "vpnserver vpnclient vpnbridge vpncmd"),
    _tool("vtun", Sort.VPN, programs="vtund"),
    _tool("eduvpn", Sort.VPN, "eduvpn-client python3-eduvpn-client", "eduvpn-cli"),
    # ---- ssh's helpers
    _tool("autossh", Sort.SSH),
    _tool("sshpass", Sort.SSH),
    _tool("sshuttle", Sort.SSH, pip="sshuttle"),
    _tool("dropbear", Sort.SSH, "dropbear dropbear-bin dropbear-run dropbear-initramfs dropbear-dbclient dropbear-ssh", "dropbear dbclient dropbearmulti"),
    _tool("tinyssh", Sort.SSH, programs="tinysshd"),
    _tool("mosh", Sort.SSH, "mosh mosh-client mosh-server", "mosh mosh-client mosh-server"),
    _tool("putty-tools", Sort.SSH, "putty-tools putty", "plink"),
    _tool("eternalterminal", Sort.SSH, "et eternalterminal", "et etserver etterminal"),
    _tool("lsh", Sort.SSH, "lsh-client lsh-server lsh-utils", "lsh lshd"),
    _tool("sshoot", Sort.SSH, pip="sshoot"),
    # ---- anonymity and circumvention
    _tool("tor", Sort.ANONYMITY, programs="tor tor-gencert"),
    _tool("arti", Sort.ANONYMITY),
    _tool("i2pd", Sort.ANONYMITY),
    _tool("i2p", Sort.ANONYMITY, "i2p i2p-router", "i2prouter"),
    _tool("onionshare", Sort.ANONYMITY, "onionshare onionshare-cli", "onionshare onionshare-cli", pip="onionshare-cli"),
    _tool("obfs4proxy", Sort.CIRCUMVENTION, go="gitlab.com/yawning/obfs4 gitlab.com/yawning/obfs4.git"),
    _tool("lyrebird", Sort.CIRCUMVENTION, go="gitlab.torproject.org/tpo/anti-censorship/pluggable-transports/lyrebird"),
    _tool("webtunnel", Sort.CIRCUMVENTION, "webtunnel webtunnel-client webtunnel-server", "webtunnel-client webtunnel-server", "gitlab.torproject.org/tpo/anti-censorship/pluggable-transports/webtunnel"),
    _tool("miredo", Sort.TUNNEL, "miredo miredo-server", "miredo"),
    _tool("badvpn", Sort.VPN, programs="badvpn-tun2socks badvpn-udpgw badvpn-client badvpn-server"),
    _tool("snowflake", Sort.CIRCUMVENTION, "snowflake-client snowflake-proxy snowflake", "snowflake-client snowflake-proxy", "gitlab.torproject.org/tpo/anti-censorship/pluggable-transports/snowflake git.torproject.org/pluggable-transports/snowflake.git"),
    _tool("meek", Sort.CIRCUMVENTION, "meek-client", "meek-client", "git.torproject.org/pluggable-transports/meek.git"),
    _tool("v2ray", Sort.CIRCUMVENTION, "v2ray v2ray-core", "v2ray v2ctl", "github.com/v2fly/v2ray-core v2ray.com/core"),
    _tool("xray-core", Sort.CIRCUMVENTION, "xray xray-core", "xray", "github.com/xtls/xray-core github.com/XTLS/Xray-core"),
    _tool("sing-box", Sort.CIRCUMVENTION, go="github.com/sagernet/sing-box"),
    _tool("hysteria", Sort.CIRCUMVENTION, go="github.com/apernet/hysteria github.com/tobyxdd/hysteria github.com/HyNetwork/hysteria"),
    _tool("trojan", Sort.CIRCUMVENTION, "trojan trojan-go", "trojan trojan-go", "github.com/p4gefau1t/trojan-go"),
    _tool("brook", Sort.CIRCUMVENTION, go="github.com/txthinking/brook"),
    _tool("mihomo", Sort.CIRCUMVENTION, "mihomo clash clash-meta", "mihomo clash clash-meta", "github.com/metacubex/mihomo github.com/Dreamacro/clash github.com/MetaCubeX/Clash.Meta"),
    _tool("naiveproxy", Sort.CIRCUMVENTION, programs="naive"),
    _tool("tuic", Sort.CIRCUMVENTION, "tuic-client tuic-server", "tuic-client tuic-server"),
    _tool("shadowsocks-libev", Sort.CIRCUMVENTION, programs="ss-server ss-local ss-redir ss-tunnel ss-manager ss-nat"),
    _tool("shadowsocks-rust", Sort.CIRCUMVENTION, programs="sslocal ssserver ssmanager ssservice ssurl"),
    _tool("shadowsocks-go", Sort.CIRCUMVENTION, "-", "go-shadowsocks2 shadowsocks-server shadowsocks-local", "github.com/shadowsocks/go-shadowsocks2 github.com/shadowsocks/shadowsocks-go"),
    _tool("shadowsocks", Sort.CIRCUMVENTION, "shadowsocks python3-shadowsocks", "-", pip="shadowsocks"),
    _tool("simple-obfs", Sort.CIRCUMVENTION, programs="obfs-local obfs-server"),
    _tool("psiphon", Sort.CIRCUMVENTION, "-", "-", "github.com/Psiphon-Labs/psiphon-tunnel-core"),
    _tool("outline", Sort.CIRCUMVENTION, "-", "outline-ss-server", "github.com/Jigsaw-Code/outline-ss-server"),
    _tool("fteproxy", Sort.CIRCUMVENTION, pip="fteproxy"),
    # ---- proxies and relays
    _tool("proxychains-ng", Sort.PROXY_CLIENT, "proxychains4 libproxychains4 proxychains-ng proxychains libproxychains3", "proxychains4 proxychains"),
    _tool("torsocks", Sort.PROXY_CLIENT, programs="torsocks torify"),
    _tool("tsocks", Sort.PROXY_CLIENT),
    _tool("redsocks", Sort.PROXY_CLIENT),
    _tool("graftcp", Sort.PROXY_CLIENT, go="github.com/hmgle/graftcp", programs="graftcp mgraftcp"),
    _tool("tun2socks", Sort.PROXY_CLIENT, go="github.com/xjasonlyu/tun2socks", programs="tun2socks"),
    _tool("dante", Sort.PROXY, "dante-server dante-client dante", "danted sockd socksify"),
    _tool("microsocks", Sort.PROXY),
    _tool("3proxy", Sort.PROXY),
    _tool("srelay", Sort.PROXY),
    _tool("ss5", Sort.PROXY),
    _tool("tinyproxy", Sort.PROXY, "tinyproxy tinyproxy-bin"),
    _tool("privoxy", Sort.PROXY),
    _tool("squid", Sort.PROXY, "squid squid-openssl squid-common"),
    _tool("pproxy", Sort.PROXY, pip="pproxy"),
    _tool("proxy.py", Sort.PROXY, "-", "proxy", pip="proxy.py"),
    _tool("mitmproxy", Sort.PROXY, programs="mitmproxy mitmdump mitmweb", pip="mitmproxy"),
    _tool("goproxy", Sort.PROXY, "-", "-", "github.com/snail007/goproxy"),
    _tool("haproxy", Sort.PROXY),
    _tool("hitch", Sort.PROXY),
    _tool("pound", Sort.PROXY),
    _tool("socat", Sort.RELAY),
    _tool("ncat", Sort.RELAY),
    _tool("netcat-traditional", Sort.RELAY, programs="-"),
    _tool("gnu-netcat", Sort.RELAY, "netcat-gnu", "-"),
    _tool("netcat-openbsd", Sort.CLIENT, programs="-"),
    _tool("cryptcat", Sort.RELAY),
    _tool("socket", Sort.RELAY, programs="-"),
    _tool("sniproxy", Sort.PROXY),
    _tool("netsed", Sort.RELAY),
    _tool("sslsplit", Sort.RELAY),
    _tool("spiped", Sort.TUNNEL, programs="spiped spipe"),
    _tool("simpleproxy", Sort.RELAY),
    _tool("rinetd", Sort.RELAY),
    _tool("redir", Sort.RELAY),
    _tool("sslh", Sort.RELAY, programs="sslh sslh-select sslh-ev"),
    _tool("stone", Sort.RELAY),
    _tool("websockify", Sort.RELAY, "websockify python3-websockify", pip="websockify", npm="@maximegris/node-websockify websockify"),
    _tool("portfwd", Sort.RELAY),
    _tool("balance", Sort.RELAY),
    _tool("pen", Sort.RELAY),
    _tool("delegate", Sort.PROXY, programs="delegated"),
    _tool("cntlm", Sort.PROXY),
    _tool("polipo", Sort.PROXY),
    # ---- files out
    _tool("rclone", Sort.SYNC, go="github.com/rclone/rclone", pip="rclone-python"),
)  # fmt: skip


@cache
def by_name() -> Mapping[str, Tool]:
    return {tool.name: tool for tool in TOOLS}


@cache
def by_package() -> Mapping[str, Tool]:
    """By a distribution's package name."""
    return {package: tool for tool in TOOLS for package in tool.packages}


@cache
def by_program() -> Mapping[str, Tool]:
    """By the name under which a command line calls it."""
    return {program: tool for tool in TOOLS for program in tool.programs}


@cache
def by_pip() -> Mapping[str, Tool]:
    """By the normalised name of a Python distribution (PEP 503)."""
    return {pip_name(name): tool for tool in TOOLS for name in tool.pip}


@cache
def by_npm() -> Mapping[str, Tool]:
    return {name: tool for tool in TOOLS for name in tool.npm}


def pip_name(name: str) -> str:
    """A distribution's name as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def of_module(path: str) -> Tool | None:
    """The tool whose main Go module (or main package within it) this is; a major version's `/vN` is no part of its name."""
    parts = path.split("/")
    modules = _by_module()
    for end in range(len(parts), 0, -1):
        if (tool := modules.get("/".join(parts[:end]).lower())) is not None:
            return tool
    return None


@cache
def _by_module() -> Mapping[str, Tool]:
    return {module.lower(): tool for tool in TOOLS for module in tool.modules}
