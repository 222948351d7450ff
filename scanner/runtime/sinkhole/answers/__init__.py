"""What a client's first bytes are, and enough of an answer to make it show its hand.

`answers.answering` has the three calls: `recognise` (a TCP stream's first bytes), `datagram` (a UDP datagram and the answer to
it) and `converse` (takes the connection over); `answers.values` the values that they take and give. One file of `protocols` is
one protocol. All of it runs in the sink's own process and namespace: nothing here opens a socket to anybody, or listens.

## Details

What is told of an attempt lies by service name, so that what is inside of something else never hides it: stratum over TLS
through SOCKS has `socks`, `tls` and `stratum`. The attempt's own service is the innermost one that was recognised; `layers` has
all, outermost first. Every text is printable, bounded and masked, every list bounded. A key that is not known is left out.

| service | key of the details | what it holds |
|---|---|---|
| (any) | `layers` | services from the outside in, where there is more than one |
| (any) | `unanswered` | why no answer was given (`asyncssh is not installed`) |
| (any) | `left_out`, in the service's own facts | how many entries a list of that name had no room for (20 are told) |
| (any) | `end` | why the conversation ended: `closed`, `reset`, `silence`, `time limit`, `read limit`, `write limit`, `answered` |
| (any) | `problem` | the class of an error of ours that ended the conversation; what was told before stands |
| `tls` | `tls` | `sni`, `alpn` (all offered), `versions`, `ja3`, `ja4` (of a complete hello), `ech` (where present), `complete` (the whole hello was read), `chosen` (version and protocol agreed on), `refused` (the client's alert, or `closed`), `sslv2`, `family` |
| `http`, `http2` | `http` | `method`, `host`, `path`, `version`, `agent`, `type` (content type), `length`, `auth` (scheme only), `upgrade`, `protocol` (of a websocket), `proxied` (a whole URL was asked for), `metadata` (`aws`, `aws-ecs`, `aws-eks`, `google`, `azure`, `alibaba`, `oracle`, `digitalocean`, `openstack`, `unknown`), `doh` (the name asked for), `requests` (how many), `more` (`METHOD host/path` of the later ones), `family`; of HTTP/2 `version` and `requests` alone |
| `http-connect` | `proxy` | `target` (`host:port`), `agent`, `auth` (scheme only) |
| `websocket` | | a layer; what is said in it is told as what it is |
| `ssh` | `ssh` | `client`, `hassh`, `user`, `auth` (`none`, `password`, `publickey SHA256:…`, `keyboard-interactive`), `forwards` [{`bind`, `port`}], `unix_forwards`, `direct` [{`host`, `port`, `inside`}], `unix_direct` [{`path`, `inside`}], `sessions` (how many), `exec`, `subsystems`, `shell`, `typed`, `pty`, `tun`, `tap`; `inside` are the details of what came through a forward, with its `service` |
| `stratum` | `stratum` | `dialect` (`xmr`, `bitcoin`, `ethereum`, `getwork`), `method` (the first), `methods`, `login` (a wallet in it shortened), `wallet` (whole), `coin`, `worker`, `agent`, `host`, `algo`, `rigid`, `submits` (how many) |
| `socks4`, `socks5` | `socks` | `version` (4, `4a`, 5), `command` (`connect`, `bind`, `associate`, `resolve`), `target`, `offered`, `user`, `auth` |
| `proxy-protocol` | `proxy_protocol` | `version`, `source`, `target` |
| `dns` | `dns` | `name` and `type` (the first), `names`, `transport` (`udp`, `tcp`, `tls`, `https`) |
| `smtp`, `ftp`, `pop3`, `imap`, `irc`, `telnet` | the same word | `lines` (commands, passwords and letters left out), `user` |
| `mysql`, `postgres`, `redis`, `mqtt`, `mongodb`, `amqp` | the same word | `user`, `database`, `client`, `commands`, `topics`, `version`, as far as it has them |
| `shell` | `shell` | `text`: its prompt, or its complaint about our greeting |
| `quic`, `dtls` | the same word | as `tls`, without an answer; `version`, `unread` (why a packet was not opened) |
| `frp` | `frp` | `version`, `hostname`, `os`, `arch`, `user`, or `tls` (TLS lies inside) |
| `bitcoin`, `levin`, `bittorrent`, `tor`, `openvpn`, `wireguard`, `tailscale`, `ike`, `stun`, `ntp`, `snmp`, `ssdp`, `netbios`, `dhcp`, `tftp`, `syslog`, `rdp`, `smb`, `ldap`, `vnc`, `rsync`, `git`, `sip`, `rtsp`, `xmpp`, `bore`, `rathole`, `yamux`, … | the same word | little more than that: `network`, `command`, `message`, `version`, `method`, `turn`, `name`, `path`, `text`, `line` |
| `unknown` | `unknown` | `entropy` (bits in a byte, of the first bytes), `text` (its printable start) |
| `silent` | | nothing came |

`family` is the tool that calls such a host or speaks so: `ngrok`, `cloudflared`, `chisel`, `wstunnel`, `tor-directory`, `tailscale`, `pinggy`,
`localtunnel`, `serveo`, `tmate`, `bore`, `devtunnel`.
"""
