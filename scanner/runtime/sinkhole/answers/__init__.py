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
| (any) | `end` | why the conversation ended: `closed`, `reset`, `silence`, `time limit`, `read limit`, `write limit`, `answered` |
| (any) | `problem` | the class of an error of ours that ended the conversation; it hides nothing that was told before |
| `tls` | `tls` | `sni`, `alpn` (all offered), `versions`, `ja3`, `ja4`, `ech` (bool), `complete` (bool: the whole hello was read), `chosen` (version and protocol agreed on), `refused` (the client's alert, or `closed`), `family` (`ngrok`, `cloudflared`, `tor` …, by its names), `sslv2` (bool) |
| `http` | `http` | `method`, `host`, `path`, `version`, `agent`, `type` (content type), `length`, `auth` (scheme only), `upgrade`, `protocol` (of a websocket), `metadata` (`aws`, `google`, `azure`, …), `doh` (the name asked for), `requests` (how many), `more` (`METHOD host/path` of the later ones), `family` (`chisel`, `tor-directory`, …) |
| `http-connect` | `proxy` | `target` (`host:port`), `agent`, `auth` (scheme only) |
| `ssh` | `ssh` | `client`, `hassh`, `user`, `auth` (ways and key fingerprints), `forwards` [{`bind`, `port`}], `unix_forwards`, `direct` [{`host`, `port`}], `unix_direct`, `sessions`, `exec`, `subsystems`, `shell`, `pty`, `requests`; `end` |
| `stratum` | `stratum` | `dialect` (`xmr`, `bitcoin`, `ethereum`, `getwork`), `method` (the first), `methods`, `login`, `wallet`, `coin`, `worker`, `agent`, `algo`, `rigid`, `submits` |
| `socks4`, `socks5` | `socks` | `version`, `command` (`connect`, `bind`, `associate`), `target`, `user`, `auth` |
| `dns` | `dns` | `name`, `type`, `transport` |
| `smtp`, `ftp`, `pop3`, `imap`, `irc`, `telnet`, `mysql`, `postgres`, `redis`, `mqtt`, `amqp` | the same word | `lines` (the client's first commands), or `user`, `database`, `client`, `command` |
| `tor`, `wireguard`, `openvpn`, `quic`, `dtls`, `stun`, `ntp`, `snmp`, `ike`, `ssdp`, `netbios`, `syslog`, `frp`, `bittorrent`, `bitcoin`, … | the same word | what its file in `protocols` says |
| `unknown` | `unknown` | `entropy` (bits in a byte, of the bytes seen), `text` (its printable start) |
| `silent` | | nothing came |
"""
