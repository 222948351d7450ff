"""Configuration of tunnel tools by what it says: each tool's own with its line, and its look-alikes left alone."""

import re
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.detectors.tunnelling.catalogue import by_name
from scanner.detectors.tunnelling.configs import read
from scanner.detectors.tunnelling.places import PATHS
from scanner.detectors.tunnelling.settings import Document

SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldDE="
HEX = "0123456789abcdef" * 4

# path, text, tool, line of the decisive key, direction, server
FOUND: list[tuple[str, str, str, int, str, str]] = [
    (
        "root/.config/ngrok/ngrok.yml",
        f"version: 3\nagent:\n    authtoken: {SECRET}\nendpoints:\n  - name: a\n    upstream:\n      url: 8080\n",
        *("ngrok", 3, "in", ""),
    ),
    (
        "root/.ngrok2/ngrok.yml",
        f"authtoken: {SECRET}\ntunnels:\n  ssh:\n    proto: tcp\n    addr: 22\n",
        *("ngrok", 1, "in", ""),
    ),
    ("etc/frp/frpc.toml", 'serverAddr = "203.0.113.7"\nserverPort = 7000\n\n[[proxies]]\nname = "ssh"\ntype = "tcp"\nlocalPort = 22\n', "frp", 1, "in", "203.0.113.7:7000"),
    ("opt/frpc.ini", "# x\n[common]\nserver_addr = frp.example.org\nserver_port = 7001\n[ssh]\ntype = tcp\nremote_port = 6000\n", "frp", 3, "in", "frp.example.org:7001"),
    ("opt/frpc.yaml", "serverAddr: 203.0.113.7\nserverPort: 7000\nproxies:\n- name: ssh\n  type: tcp\n", "frp", 1, "in", "203.0.113.7:7000"),
    ("opt/frps.toml", "bindPort = 7000\n", "frp", 1, "in", ""),
    (
        "root/.cloudflared/config.yml",
        ("# tunnel\ntunnel: 6ff42ae2-765d-4adf-8112-31c55c1551ef\ncredentials-file: /root/.cloudflared/a.json\n"
        "ingress:\n  - hostname: a.example.com\n    service: ssh://localhost:22\n"),
        *("cloudflared", 2, "in", ""),
    ),
    (
        "root/.cloudflared/6ff42ae2-765d-4adf-8112-31c55c1551ef.json",
        f'{{"AccountTag":"a1",\n"TunnelSecret":"{SECRET}","TunnelID":"6ff42ae2"}}',
        *("cloudflared", 2, "in", ""),
    ),
    ("etc/openvpn/client/a.conf", "client\ndev tun\nproto udp\nremote vpn.example.org 443 # x\n<ca>\n</ca>\n", "openvpn", 4, "out", "vpn.example.org:443"),
    ("root/a.ovpn", "dev tap0\nremote 203.0.113.7\nsecret static.key\n", "openvpn", 2, "out", "203.0.113.7:1194"),
    ("etc/openvpn/server/s.conf", "port 1195\nproto udp\ndev tun\nserver 10.8.0.0 255.255.255.0\n", "openvpn", 4, "in", ""),
    (
        "etc/wireguard/wg0.conf",
        f"[Interface]\nPrivateKey = {SECRET}\nAddress = 10.0.0.2/32\n[Peer]\nPublicKey = {SECRET}\nEndpoint = vpn.example.org:51820\n",
        *("wireguard-tools", 2, "out", "vpn.example.org:51820"),
    ),
    (
        "etc/wireproxy.conf",
        f"[Interface]\nPrivateKey = {SECRET}\n[Peer]\nEndpoint = [2001:db8::1]:51820\n[Socks5]\nBindAddress = 127.0.0.1:1080\n",
        *("wireproxy", 2, "out", "[2001:db8::1]:51820"),
    ),
    (
        "etc/NetworkManager/system-connections/wg.nmconnection",
        f"[connection]\nid=wg\ntype=wireguard\n[wireguard]\nprivate-key={SECRET}\n[wireguard-peer.abc=]\nendpoint=203.0.113.7:51820\n",
        *("wireguard-tools", 7, "out", "203.0.113.7:51820"),
    ),
    (
        "etc/NetworkManager/system-connections/work",
        "[connection]\ntype=vpn\n[vpn]\nservice-type=org.freedesktop.NetworkManager.openvpn\nremote=vpn.example.org:1194\n",
        *("openvpn", 4, "out", "vpn.example.org:1194"),
    ),
    ("etc/tor/torrc", "# c\nHiddenServiceDir /var/lib/tor/ssh/\nHiddenServicePort 22 127.0.0.1:22\n", "tor", 2, "in", ""),
    ("etc/tor/torrc", "UseBridges 1\nBridge obfs4 203.0.113.7:443 ABCDEF cert=x iat-mode=0\n", "tor", 2, "out", "203.0.113.7:443"),
    ("etc/tor/torrc", "SocksPort 0.0.0.0:9050\n", "tor", 1, "out", ""),
    (
        "var/lib/tailscale/tailscaled.state",
        '{\n "_machinekey": "cHJpdmtleTo=",\n "_current-profile": "cHJvZmlsZQ==",\n "profile-a1b2": "e30="\n}',
        *("tailscale", 2, "mesh", ""),
    ),
    (
        "etc/rathole/client.toml",
        f'[client]\nremote_addr = "203.0.113.7:2333"\ndefault_token = "{SECRET}"\n[client.services.ssh]\nlocal_addr = "127.0.0.1:22"\n',
        *("rathole", 2, "in", "203.0.113.7:2333"),
    ),
    ("opt/rathole-server.toml", '[server]\nbind_addr = "0.0.0.0:2333"\n[server.services.ssh]\nbind_addr = "0.0.0.0:5202"\n', "rathole", 2, "in", ""),
    ("etc/proxychains4.conf", "strict_chain\n[ProxyList]\nsocks4 127.0.0.1 9050\nsocks5 203.0.113.7 1080 bob pw\n", "proxychains-ng", 4, "out", "203.0.113.7:1080"),
    ("etc/stunnel/s.conf", "client = yes\n[ssh]\naccept = 127.0.0.1:2222\nconnect = t.example.org:443\n", "stunnel", 4, "out", "t.example.org:443"),
    ("etc/stunnel/stunnel.conf", "cert = /a.pem\n[ssh]\naccept = 443\nconnect = 127.0.0.1:22\n", "stunnel", 3, "in", ""),
    ("etc/redsocks.conf", "base {\n redirector = iptables;\n}\nredsocks {\n ip = 203.0.113.7; // c\n port = 1080; password = p;\n}\n", "redsocks", 5, "out", "203.0.113.7:1080"),
    ("etc/rinetd.conf", "# r\n0.0.0.0 8022 203.0.113.7 22\n", "rinetd", 2, "out", "203.0.113.7:22"),
    (
        "etc/sslh.cfg",
        'listen:\n(\n { host: "0.0.0.0"; port: "443"; }\n);\nprotocols:\n(\n { name: "ssh"; host: "localhost"; port: "22"; }\n);\n',
        *("sslh", 5, "in", ""),
    ),
    ("etc/default/sslh", 'DAEMON_OPTS="--user sslh --listen 0.0.0.0:443 --ssh 127.0.0.1:22"\n', "sslh", 1, "in", ""),
    ("etc/default/iodine", 'START_IODINED="true"\nIODINED_ARGS="10.0.0.1 t.example.org"\n', "iodine", 1, "in", ""),
    ("etc/default/autossh", '# a\nSSH_OPTIONS="-N -R 8022:localhost:22 u@t.example.org"\n', "autossh", 2, "in", "t.example.org"),
    ("etc/danted.conf", "internal: eth0 port = 1081\nexternal: eth0\nsocks pass {\n from: 0.0.0.0/0 to: 0.0.0.0/0\n}\n", "dante", 1, "in", ""),
    ("etc/dante.conf", "route {\n from: 0.0.0.0/0 to: 0.0.0.0/0 via: 203.0.113.7 port = 1080\n}\nroute {\n via: 203.0.113.7 port = 1080\n}\n", "dante", 5, "out", "203.0.113.7:1080"),
    ("etc/3proxy/3proxy.cfg", "nserver 1.1.1.1\nauth none\nsocks -p1085\n", "3proxy", 3, "in", ""),
    ("etc/3proxy.cfg", "auth iponly\nallow *\nparent 1000 socks5 203.0.113.7 1080 u p\nproxy\n", "3proxy", 3, "out", "203.0.113.7:1080"),
    ("etc/tinyproxy/tinyproxy.conf", "Port 8888\nAllow 127.0.0.1\nupstream socks5 203.0.113.7:1080\n", "tinyproxy", 3, "out", "203.0.113.7:1080"),
    ("etc/tinyproxy/tinyproxy.conf", "Port 8888\nAllow 10.0.0.0/8\nAllow ::1\n", "tinyproxy", 1, "in", ""),
    ("etc/squid/squid.conf", "http_access allow localhost\nhttp_port 3128\ncache_peer 203.0.113.7 parent 8080 0 no-query\n", "squid", 3, "out", "203.0.113.7:8080"),
    ("etc/squid/squid.conf", "http_port 3128\nhttp_access allow all\n", "squid", 2, "in", ""),
    ("etc/privoxy/config", "actionsfile user.action\nlisten-address 127.0.0.1:8118\nforward-socks5t / 203.0.113.7:9050 .\n", "privoxy", 3, "out", "203.0.113.7:9050"),
    ("etc/cntlm.conf", "Username bob\nDomain corp\nProxy 203.0.113.7:8080\nListen 3128\n", "cntlm", 3, "out", "203.0.113.7:8080"),
    (
        "etc/shadowsocks-libev/config.json",
        f'{{\n"server":"203.0.113.7",\n"server_port":8388,"local_port":1080,\n"password":"{SECRET}","method":"aes-256-gcm"}}',
        *("shadowsocks-libev", 4, "out", "203.0.113.7:8388"),
    ),
    (
        "etc/v2ray/config.json",
        ('{ // c\n"inbounds":[{"port":1080,"protocol":"socks"}],\n"outbounds":[{"protocol":"vmess","settings":{"vnext":[\n'
        '{"address":"203.0.113.7","port":443,"users":[{"id":"x"}]}]}}]}'),
        *("v2ray", 4, "out", "203.0.113.7:443"),
    ),
    (
        "etc/xray/config.json",
        '{"inbounds":[{"port":443,\n"protocol":"vless","settings":{"clients":[]}}],"outbounds":[{"protocol":"freedom"}]}',
        *("xray-core", 2, "in", ""),
    ),
    (
        "etc/sing-box/config.json",
        '{"outbounds":[{"type":"hysteria2",\n"server":"203.0.113.7","server_port":443,"password":"p"}]}',
        *("sing-box", 2, "out", "203.0.113.7:443"),
    ),
    (
        "etc/trojan/config.json",
        '{\n"run_type":"client","local_addr":"127.0.0.1","local_port":1080,\n"remote_addr":"203.0.113.7","remote_port":443,"password":["p9"]}',
        *("trojan", 2, "out", "203.0.113.7:443"),
    ),
    ("etc/hysteria/config.yaml", "server: 203.0.113.7:443\nauth: p9\nsocks5:\n  listen: 127.0.0.1:1080\n", "hysteria", 1, "out", "203.0.113.7:443"),
    ("etc/hysteria/config.yaml", "listen: :443\nauth:\n  type: password\nmasquerade:\n  type: proxy\n", "hysteria", 1, "in", ""),
    ("etc/mihomo/config.yaml", "mixed-port: 7890\nproxies:\n  - name: a\n    type: vmess\n    server: 203.0.113.7\n    port: 443\n", "mihomo", 4, "out", "203.0.113.7:443"),
    ("etc/naive/config.json", '{"listen":"socks://127.0.0.1:1080","proxy":"https://u:pw@t.example.org"}', "naiveproxy", 1, "out", "t.example.org"),
    ("etc/tuic/c.json", '{"relay":{"server":"t.example.org:443","uuid":"u","password":"p"},"local":{"server":"127.0.0.1:1080"}}', "tuic", 1, "out", "t.example.org:443"),
    ("etc/kcptun/c.json", '{"localaddr":":12948","remoteaddr":"203.0.113.7:29900","key":"k","crypt":"aes","mode":"fast3"}', "kcptun", 1, "out", "203.0.113.7:29900"),
    (
        "etc/nebula/config.yml",
        'pki:\n  ca: /etc/nebula/ca.crt\nstatic_host_map:\n  "192.168.100.1": ["203.0.113.7:4242"]\nlighthouse:\n  am_lighthouse: false\n',
        *("nebula", 1, "mesh", "203.0.113.7:4242"),
    ),
    ("etc/yggdrasil.conf", f"{{\n # peers\n Peers: [\n  tls://203.0.113.7:443\n ]\n PrivateKey: {HEX}\n IfName: auto\n}}\n", "yggdrasil", 3, "mesh", "203.0.113.7:443"),
    ("var/lib/zerotier-one/identity.secret", f"0123456789:0:{HEX * 2}:{HEX * 2}\n", "zerotier-one", 1, "mesh", ""),
    ("var/lib/zerotier-one/networks.d/8056c2e21c000001.conf", "", "zerotier-one", 1, "mesh", ""),
    ("etc/tinc/vpn/tinc.conf", "Name = a\nConnectTo = hub\n", "tinc", 2, "mesh", "hub"),
    (
        "etc/gost/gost.yml",
        ("services:\n- name: s\n  addr: :1080\n  handler:\n    type: socks5\n    chain: c\nchains:\n- name: c\n  hops:\n"
        "  - name: h\n    nodes:\n    - name: n\n      addr: 203.0.113.7:443\n"),
        *("gost", 4, "out", "203.0.113.7:443"),
    ),
    ("etc/headscale/config.yaml", "server_url: https://h.example.org:443\nnoise:\n  private_key_path: /k\nprefixes:\n  v4: 100.64.0.0/10\n", "headscale", 1, "mesh", "h.example.org:443"),
    ("etc/netbird/config.json", f'{{"PrivateKey":"{SECRET}","WgIface":"wt0",\n"ManagementURL":{{"Scheme":"https","Host":"api.netbird.io:443"}}}}', "netbird", 2, "mesh", "api.netbird.io:443"),
    ("opt/npc.conf", f"[common]\nserver_addr=203.0.113.7:8024\nvkey={SECRET}\n[ssh]\nmode=tcp\nserver_port=6000\n", "nps", 2, "in", "203.0.113.7:8024"),
    ("etc/nps/conf/nps.conf", "appname = nps\nbridge_type=tcp\nbridge_port=8024\nweb_port = 8080\n", "nps", 3, "in", ""),
    ("root/.pagekite.rc", f"kitename = a.pagekite.me\nkitesecret = {SECRET}\nservice_on = raw/22:@kitename : localhost:22 : @kitesecret\n", "pagekite", 1, "in", "a.pagekite.me"),
    ("etc/dns2tcprc", "domain = t.example.org\nresource = ssh\nlocal_port = 2222\nkey = k\n", "dns2tcp", 1, "out", "t.example.org"),
    ("etc/dns2tcpd.conf", "listen = 0.0.0.0\nport = 53\ndomain = t.example.org\nresources = ssh:127.0.0.1:22\n", "dns2tcp", 3, "in", ""),
    ("etc/n2n/edge.conf", f"-c=net\n-k={SECRET}\n-l=203.0.113.7:7777\n", "n2n", 3, "mesh", "203.0.113.7:7777"),
    ("etc/default/n2n", 'N2N_COMMUNITY="a"\nN2N_SUPERNODE="203.0.113.7:1234"\nN2N_EDGE_CONFIG_DONE="yes"\n', "n2n", 1, "mesh", "203.0.113.7:1234"),
    ("etc/swanctl/conf.d/a.conf", "connections {\n a {\n  remote_addrs = 203.0.113.7\n }\n}\n", "strongswan", 3, "out", "203.0.113.7"),
    ("etc/ipsec.conf", "config setup\nconn a\n  left=%any\n  right=203.0.113.7\n  auto=start\n", "strongswan", 4, "out", "203.0.113.7"),
    ("etc/sshuttle/tunnel.conf", "0/0\n-r\nu@t.example.org:22\n", "sshuttle", 3, "out", "t.example.org:22"),
    ("root/.vscode/cli/code_tunnel.json", '{"name":"box","id":"a1","cluster":"euw"}', "vscode-tunnel", 1, "in", ""),
    ("root/.tmate.conf", "# t\nset -g tmate-server-host t.example.org\nset -g tmate-server-port 22\n", "tmate", 2, "in", "t.example.org"),
    (
        "etc/teleport/teleport.yaml",
        "version: v3\nteleport:\n  nodename: a\n  proxy_server: t.example.org:443\nssh_service:\n  enabled: true\n",
        *("teleport", 4, "in", "t.example.org:443"),
    ),
    ("etc/sish/config.yml", "ssh-address: :2222\nhttp-address: :80\nbind-random-ports: false\n", "sish", 1, "in", ""),
    ("etc/ligolo-ng/ligolo-ng.yaml", "web:\n  enabled: true\n", "ligolo-ng", 1, "in", ""),
    ("etc/i2pd/tunnels.conf", "[ssh]\ntype = server\nhost = 127.0.0.1\nport = 22\nkeys = ssh.dat\n", "i2pd", 2, "in", ""),
    ("etc/vtund.conf", "options {\n port 5000;\n}\nbox {\n passwd s3;\n type tun;\n}\n", "vtun", 5, "mesh", ""),
    ("etc/fastd/mesh/fastd.conf", f'bind any:10000;\nsecret "{HEX}";\npeer "hub" {{\n remote "t.example.org" port 10000;\n}}\n', "fastd", 2, "mesh", "t.example.org:10000"),
    ("etc/xl2tpd/xl2tpd.conf", "[lac a]\nlns = 203.0.113.7\n", "xl2tpd", 2, "out", "203.0.113.7"),
    ("etc/vpnc/default.conf", "IPSec gateway 203.0.113.7\nIPSec ID a\nXauth username bob\n", "vpnc", 1, "out", "203.0.113.7"),
    ("etc/openfortivpn/config", "host = 203.0.113.7\nport = 8443\nusername = bob\n", "openfortivpn", 1, "out", "203.0.113.7:8443"),
    ("etc/innernet/a.conf", f'[interface]\nnetwork-name = "a"\nprivate-key = "{SECRET}"\n[server]\nexternal-endpoint = "203.0.113.7:51820"\n', "innernet", 2, "mesh", "203.0.113.7:51820"),
    ("etc/easytier.toml", '[network_identity]\nnetwork_name = "a"\n[[peer]]\nuri = "tcp://203.0.113.7:11010"\n', "easytier", 2, "mesh", "203.0.113.7:11010"),
    ("etc/playit/playit.toml", f'secret_key = "{HEX}"\n', "playit", 1, "in", ""),
    ("root/.zrok/environment.json", f'{{"zrok_token":"{SECRET}","ziti_identity":"a","api_endpoint":"https://api.zrok.io"}}', "zrok", 1, "in", "api.zrok.io"),
]  # fmt: skip

ANY = re.compile(b"|".join(PATHS))


@pytest.mark.parametrize(("path", "text", "tool", "line", "direction", "server"), FOUND)
def test_a_configuration_is_told_by_its_tool_line_and_server(
    path: str, text: str, tool: str, line: int, direction: str, server: str
) -> None:
    found = read(path.encode(), text)

    assert found is not None
    assert (found.tool, found.line, found.direction, found.server) == (tool, line, direction, server)
    assert found.active, found.why
    assert found.tool in by_name()
    assert ANY.search(path.encode()), "a file that is never read cannot be found"


@pytest.mark.parametrize(("path", "text"), [(p, t) for p, t, *_ in FOUND])
def test_no_secret_is_kept(path: str, text: str) -> None:
    found = read(path.encode(), text)

    shown = repr(found) + str(found.facts() if found else "") + (found.summary() if found else "")
    for secret in (SECRET, HEX, "p9", " pw", ":pw@", "s3;"):
        assert secret not in shown


@pytest.mark.parametrize(("path", "text"), [(p, t) for p, t, *_ in FOUND if "rinetd" not in p])
def test_windows_line_ends_and_a_byte_order_mark_change_nothing(path: str, text: str) -> None:
    assert read(path.encode(), "﻿" + text.replace("\n", "\r\n")) == read(path.encode(), text)


@pytest.mark.parametrize(("path", "text", "tool"), [(p, t, tool) for p, t, tool, *_ in FOUND])
def test_an_example_is_not_active(path: str, text: str, tool: str) -> None:
    found = read(b"usr/share/doc/x/examples/" + path.encode(), text)

    assert found is not None
    assert not found.active


@pytest.mark.parametrize(
    ("path", "text"), [(p, t) for p, t, *_ in FOUND if t.count("\n") > 1 and not t.startswith("{")]
)
def test_what_is_commented_out_says_nothing(path: str, text: str) -> None:
    found = read(path.encode(), "\n".join("# " + line for line in text.split("\n")))

    assert found is None or not found.active


INERT = [
    ("etc/frp/frpc.toml", 'serverAddr = "127.0.0.1"\nserverPort = 7000\n[[proxies]]\ntype = "tcp"\n', "this machine"),
    ("etc/proxychains4.conf", "[ProxyList]\nsocks4 127.0.0.1 9050\n", "this machine"),
    (
        "etc/redsocks.conf",
        "base {\n}\nredsocks {\n ip = 127.0.0.1;\n port = 1;\n}\nredudp { ip = 192.0.2.1; port = 2; }\n",
        "this machine",
    ),
    (
        "etc/shadowsocks-libev/config.json",
        '{"server":["::1","127.0.0.1"],"server_port":1,"password":"x","method":"m"}',
        "this machine",
    ),
    ("etc/trojan/config.json", '{"run_type":"server","remote_addr":"127.0.0.1","password":["password1"]}', "password"),
    (
        "etc/v2ray/config.json",
        '{"inbounds":[{"port":1,"protocol":"socks"}],"outbounds":[{"protocol":"freedom"}]}',
        "directly",
    ),
    ("etc/default/sslh", 'DAEMON_OPTS="--user sslh --listen <change-me>:443"\n', "placeholder"),
    (
        "etc/default/n2n",
        'N2N_COMMUNITY="a"\nN2N_SUPERNODE="h.example.org:1"\n#N2N_EDGE_CONFIG_DONE="yes"\n',
        "switched on",
    ),
    ("etc/default/iodine", 'START_IODINED="false"\nIODINED_ARGS=""\n', "switched on"),
    (
        "etc/pagekite.d/10_account.rc",
        "kitename = NAME.pagekite.me\nkitesecret = YOURSECRET\nabort_not_configured\n",
        "placeholder",
    ),
    (
        "etc/dns2tcpd.conf",
        "listen = 127.0.0.1\nport = 53\ndomain = your.domain.tld\nresources = ssh:127.0.0.1:22\n",
        "placeholder",
    ),
    ("etc/i2pd/tunnels.conf", "[IRC]\ntype = client\ndestination = irc.ilita.i2p\nkeys = k\n", "shipped"),
    ("etc/tinyproxy/tinyproxy.conf", "Port 8888\nAllow 127.0.0.1\nAllow ::1\n", "this machine alone"),
    (
        "etc/squid/squid.conf",
        "http_access allow localhost\nhttp_access deny all\nhttp_port 3128\n",
        "this machine alone",
    ),
    ("etc/privoxy/config", "actionsfile user.action\nlisten-address 127.0.0.1:8118\n", "hands nothing on"),
    ("etc/openvpn/client.conf", "client\ndev tun\nremote my-server-1 1194\n", "placeholder"),
    (
        "etc/rathole/c.toml",
        '[client]\nremote_addr = "example.com:2333"\n[client.services.a]\nlocal_addr = "a"\n',
        "placeholder",
    ),
    (
        "etc/wireguard/wg0.conf",
        "[Interface]\nPrivateKey = <your key>\n[Peer]\nPublicKey = x\nEndpoint = a.b:1\n",
        "key",
    ),
    ("root/.ngrok2/ngrok.yml", "tunnels:\n  a:\n    proto: http\n    addr: 80\n", "token"),
    ("etc/yggdrasil.conf", f"{{\n Peers: []\n PrivateKey: {HEX}\n IfName: auto\n}}\n", "peer"),
    ("etc/tinc/vpn/tinc.conf", "Name = a\n", "nobody"),
    ("etc/tor/torrc", "SocksPort 0\nDataDirectory /var/lib/tor\n", "nothing"),
    ("etc/cntlm.conf", "Username testuser\nDomain corp-uk\nProxy 10.0.0.41:8080\nListen 3128\n", "placeholder"),
]


@pytest.mark.parametrize(("path", "text", "why"), INERT)
def test_what_is_shipped_or_half_filled_in_is_not_active(path: str, text: str, why: str) -> None:
    found = read(path.encode(), text)

    assert found is not None
    assert not found.active
    assert why in found.why


NEAR = [
    ("etc/prometheus/prometheus.yml", "global:\n  scrape_interval: 15s\nscrape_configs:\n- job_name: a\n  static_configs:\n  - targets: ['localhost:9090']\n"),
    ("etc/nginx/nginx.conf", "user www-data;\nhttp {\n server {\n  listen 80;\n  location / {\n   proxy_pass http://203.0.113.7:8080;\n  }\n }\n}\n"),
    ("app/docker-compose.yml", "services:\n  web:\n    image: nginx\n    ports:\n      - 8080:80\n    environment:\n      - PROXY=1\nnetworks:\n  a:\n    internal: true\n"),
    ("etc/NetworkManager/system-connections/home", "[connection]\nid=home\ntype=wifi\n[wifi]\nssid=a\n[wifi-security]\npsk=secret\n[proxy]\n"),
    ("etc/systemd/network/br0.netdev", "[NetDev]\nName=br0\nKind=bridge\n"),
    ("root/.cloudflared/config.yml", "no-autoupdate: true\nlogfile: /var/log/a\n"),
    ("etc/k/ingress.yaml", "kind: Ingress\nspec:\n  rules:\n  - host: a\n    http:\n      paths: []\ntunnel:\n"),
    ("etc/haproxy/haproxy.cfg", "frontend a\n bind :80\n default_backend b\nbackend b\n server s 203.0.113.7:80\n"),
    ("etc/postgres.json", '{"server":"db","server_port":5432,"password":"x","user":"u"}'),
    ("package.json", '{"name":"a","scripts":{"start":"node a"},"proxy":"https://api.example.org"}'),
    ("etc/mysql/my.cnf", "[client]\nport = 3306\n[mysqld]\nbind-address = 127.0.0.1\n"),
    ("etc/supervisor/a.conf", "[program:a]\ncommand = frpc -c a\n"),
    ("etc/app.ini", "[server]\nbind_addr = 0.0.0.0\ntype = tcp\n[common]\nname = a\n"),
    ("etc/openvpn/update", "script-security 2\nup /etc/a\n"),
    ("etc/ssh/sshd_config", "Port 22\nAllowTcpForwarding no\nAllow x\n"),
    ("etc/apache2/ports.conf", "Listen 80\nProxyPass / http://a\n"),
    ("etc/ipsec.conf", "config setup\n\tuniqueids = never\n"),
    ("etc/swanctl/swanctl.conf", "include conf.d/*.conf\n"),
    ("etc/danted.conf", "logoutput: stderr\nuser.privileged: proxy\n"),
    ("etc/rinetd.conf", "logfile /var/log/rinetd.log\nallow 192.168.2.*\n"),
    ("root/.tmux.conf", "set -g mouse on\nset -g status off\n"),
    ("etc/default/autossh", "AUTOSSH_POLL=600\nAUTOSSH_GATETIME=0\n"),
    ("etc/vtund.conf", "options {\n port 5000;\n}\n"),
    ("etc/wireguard/README.conf", "Interface and Peer are explained here\nPrivateKey\n"),
    ("etc/nebula/config.yml", "pki:\n  ca: a\nserver:\n  port: 1\n"),
    ("etc/teleport/t.yaml", "teleport:\n  seats: 4\n"),
    ("etc/headscale/config.yaml", "server_url: https://a\n"),
    ("etc/trojan/config.json", '{"name":"horse","password":"x"}'),
    ("etc/v2ray/config.json", '{"log":{"loglevel":"warning"}}'),
    ("etc/hysteria/config.yaml", "server: db.example.org\nport: 5432\n"),
    ("etc/gost/config.yml", "services:\n  - name: web\n    image: nginx\n"),
    ("etc/mihomo/config.yaml", "port: 8080\nproxies:\n  - name: a\n    type: round-robin\n"),
    ("etc/squid/squid.conf", "logfile_rotate 0\n"),
    ("etc/tailscale/a.json", '{"profile":"x","machinekey":"y"}'),
    ("etc/zerotier-one/identity.secret", "0123456789:0:abc\n"),
    ("etc/sslh.cfg", "verbose: true;\nlisten: 1\n"),
    ("etc/stunnel/s.conf", "[a]\naccept = 1\n"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "text"), NEAR)
def test_what_only_looks_like_one_is_left_alone(path: str, text: str) -> None:
    assert read(path.encode(), text) is None


@pytest.mark.parametrize(
    "path",
    [
        *(
            "etc/config.yml",
            "app/config.json",
            "srv/config.toml",
            "home/u/config",
            "etc/default/grub",
            "etc/nginx/nginx.conf",
        ),
        *(
            "app/client.json",
            "app/server.conf",
            "etc/edge.yaml",
            "var/lib/dpkg/info/frp.list",
            "usr/share/man/man5/torrc.5.gz",
        ),
        *("opt/torrc_parser.py", "usr/lib/python3/dist-packages/ngrok/config.py", "etc/systemd/network/eth0.network"),
    ],
)
def test_common_names_are_not_asked_for(path: str) -> None:
    assert ANY.search(path.encode()) is None


def test_the_paths_have_no_groups_that_capture_and_are_anchored() -> None:
    for pattern in PATHS:
        assert re.compile(pattern).groups == 0
        assert pattern.endswith(b"$")


def test_the_words_name_the_tool_the_way_and_the_server() -> None:
    found = read(
        b"etc/frp/frpc.ini",
        "[common]\nserver_addr = t.example.org\nserver_port = 7000\n[ssh]\ntype = tcp\nlocal_port = 22\n",
    )

    assert found is not None
    assert found.summary() == "frp lets in through t.example.org:7000 (local_port 22)"
    assert found.facts() == {"direction": "in", "server": "t.example.org:7000", "ports": ["local_port 22"]}


LINES = [
    *("[a]", "[[peer]]", "a = b", "a: b", "- a: b", "- a", "  - - a:", "a {", "}", "a { b = c; }", '{"a":', "[[[[", "]]]]", "/*", "# c", '"'),
    *("kitename = a.b", "Peers: [", "remote a 1", "dev tun", "HiddenServiceDir a", "socks5 a 1", "right = a", " left=b", "conn a"),
    *("redsocks { ip = 127.0.0.1; port = 1; }", "base {", "a" * 300, " " * 300, "\t" * 300, "set -g tmate-", "name: \"ssh\"", "listen:"),
    *("[ProxyList]", "0.0.0.0 1 a 2", "secret \"", "-c=a", "-l=b", "IPSec gateway", "PostUp = x", "[Interface]", "\0", "é\udc80"),
]  # fmt: skip


@given(st.lists(st.sampled_from(LINES), max_size=30), st.sampled_from([p for p, *_ in FOUND]))
@settings(max_examples=300, deadline=None)
def test_no_text_breaks_the_reader(lines: list[str], path: str) -> None:
    text = "\n".join(lines)

    found = read(path.encode(), text)

    assert found is None or 1 <= found.line <= text.count("\n") + 1


@given(st.text(max_size=200), st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_no_path_breaks_the_reader(text: str, path: bytes) -> None:
    read(path, text)
    read(path, "{" + text)


HOSTILE = [
    *(line * ((1 << 15) // max(1, len(line))) for line in ("{", "[", '{"a":', "[a]\n", "a = b\n", "a {\n", "- ", "- - a:\n", '"', "\n", " ", "\t")),
    *(line * ((1 << 15) // max(1, len(line))) for line in ("/*", "#\n", "a:\n ", "redsocks{ip=127.0.0.1;}", "Peers ", "name ", "{name ", "remote a ")),
    *(line * ((1 << 15) // max(1, len(line))) for line in ("set  ", "[a", "right ", "\"a\":1,", "socks5 127.0.0.1 1\n", "conn a\n right=b\n", "{{{}}}")),
    "base{}\n" + "redsocks{ip=127.0.0.1;}" * 10_000,
    "[ProxyList]\n" + "socks5 127.0.0.1 1\n" * 12_500,
    "set" + " " * 250_000,
    "[" + " " * 250_000 + "]",
    "a" * 250_000 + " = b",
    "".join(f"{' ' * (i % 900)}k{i}:\n" for i in range(1000)),
    '{"' + '":{"'.join("k" * 8_000 for _ in range(30)),
    "PrivateKey: x\n{ PrivateKey: y, IfName: z " + "Peers: [ " * 25_000,
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_no_text_takes_long(number: int) -> None:
    began = process_time()

    for path in (b"etc/tor/torrc", b"etc/rinetd.conf", b"etc/sshuttle/a.conf"):
        read(path, HOSTILE[number])
        read(path, "{" + HOSTILE[number])

    assert process_time() - began < 8


def test_more_than_a_mebibyte_is_not_read() -> None:
    assert read(b"etc/tor/torrc", "#" * (1 << 20) + "\nHiddenServiceDir a\n") is None


def test_settings_carry_their_lines() -> None:
    yaml = Document(b"a.yml", "a:\n  b: 1\n  c:\n  - d: 2\n    e: '3' # x\n  - f\ng: |\n  h: 4\ni: 5\n").yaml

    assert [(s.path, s.value, s.line) for s in yaml.all] == [
        *(("a", "", 1), ("a.b", "1", 2), ("a.c", "", 3), ("a.c[].d", "2", 4), ("a.c[].e", "3", 5), ("a.c[]", "f", 6)),
        *(("g", "", 7), ("i", "5", 9)),
    ]
