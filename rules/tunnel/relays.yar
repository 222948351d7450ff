// Programs that tunnel, relay or proxy, known by what they say: usage lines, messages, names that stripping leaves.
// The header makes them programs: a manual page, a package list or a rule file with the same words is none.

// Around ssh.

rule tunnel_program_autossh
{
    meta:
        id = "tunnel/program-autossh"
        name = "autossh, which keeps an ssh tunnel up"
        severity = "note"
        class = "program"
        tool = "autossh"
        description = "The program autossh, which starts ssh and starts it again whenever its connection ends."
        help = "With a key in the image it holds a forwarded port open from the sandbox to a host outside, for as long as the sandbox lives. Remove the package autossh, or the file if no package owns it."
        references = "https://www.harding.motd.ca/autossh/"
        attack = "T1572"
    strings:
        $1 = "AUTOSSH_GATETIME"
        $2 = "AUTOSSH_MAXLIFETIME"
        $3 = "AUTOSSH_FIRST_POLL"
        $4 = "conn_test(): error: dolongjmp != 0"
        $5 = "checking for grace period, tries = %d"
        $6 = "exceeded maximum time to live, shutting down"
        $7 = "expired child, returning %d"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_sshpass
{
    meta:
        id = "tunnel/program-sshpass"
        name = "sshpass, which types a password for ssh"
        severity = "note"
        class = "program"
        tool = "sshpass"
        description = "The program sshpass, which answers the password prompt of ssh."
        help = "A script in the sandbox can log in elsewhere with a password, which then lies in the image, in a variable or on a command line. Remove the package sshpass and the password with it."
        references = "https://sourceforge.net/projects/sshpass/"
        attack = "T1021.004"
    strings:
        $1 = "searching for password prompt using match"
        $2 = "detected prompt. Sending password."
        $3 = "detected prompt, again. Wrong password. Terminating."
        $4 = "detected host authentication prompt. Exiting."
        $5 = "Failed to change pseudo terminal's permission"
        $6 = "Short write. Tried to write %lu, only wrote %ld"
        $7 = "Conflicting password source"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_dropbear
{
    meta:
        id = "tunnel/program-dropbear"
        name = "Dropbear, a small ssh server and client"
        severity = "note"
        class = "program"
        tool = "dropbear"
        description = "The server dropbear, the client dbclient, or both in one program."
        help = "The server lets whoever has a key or a password in; the client forwards ports in both directions, as OpenSSH does, and reads none of OpenSSH's configuration. Remove the packages dropbear and dropbear-bin if the sandbox needs no ssh."
        references = "https://matt.ucc.asn.au/dropbear/dropbear.html"
        attack = "T1021.004"
    strings:
        $01 = "SSH-2.0-dropbear"
        $02 = "Child connection from %s:%s"
        $03 = "Allow blank password logins"
        $04 = "Pubkey auth bad signature for '%s'"
        $05 = "Request for connection before auth"
        $06 = "Couldn't read or generate hostkey %s"
        $07 = "Server sent unrequested forward from"
        $08 = "Bad netcat endpoint '%s'"
        $09 = "I won't let you use interactive auth unencrypted"
        $10 = "Bad multi-hop hostnames"
        $11 = "remove the bad entry from ~/.ssh/known_hosts"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_corkscrew
{
    meta:
        id = "tunnel/program-corkscrew"
        name = "corkscrew, which takes ssh through a web proxy"
        severity = "note"
        class = "program"
        tool = "corkscrew"
        description = "The program corkscrew, a ProxyCommand that asks a web proxy to CONNECT."
        help = "If the sandbox may only speak to a web proxy, this is how ssh gets out through it. Remove the package corkscrew, and let the proxy refuse CONNECT to any port but 443."
        references = "https://github.com/bryanpkc/corkscrew"
        attack = "T1572"
    strings:
        $1 = "usage: corkscrew <proxyhost> <proxyport> <desthost> <destport>"
        $2 = "Couldn't establish connection to proxy: %s"
        $3 = "Proxy could not open connection to %s: %s"
        $4 = "Proxy could not open connnection to %s: %s"
    condition:
        uint32(0) == 0x464c457f and 2 of them
}

rule tunnel_program_connect_proxy
{
    meta:
        id = "tunnel/program-connect-proxy"
        name = "connect-proxy, which takes ssh through any proxy"
        severity = "note"
        class = "program"
        tool = "connect-proxy"
        description = "The program connect (connect-proxy), a ProxyCommand for SOCKS, web and telnet proxies."
        help = "It joins ssh, or anything that speaks through a pipe, to a host beyond the proxy that was meant to hold the sandbox back. Remove the package connect-proxy."
        references = "https://github.com/gotoh/ssh-connect"
        attack = "T1572"
    strings:
        $1 = "connect --- simple relaying command via proxy"
        $2 = "making direct addr list from: '%s'"
        $3 = "failed to begin relaying via HTTP."
        $4 = "failed to begin relaying via telnet."
        $5 = "Give-up waiting port because stdin is closed."
        $6 = "Enter SOCKS5 password for %s@%s"
        $7 = "atomic_out()  [some bytes]"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_proxytunnel
{
    meta:
        id = "tunnel/program-proxytunnel"
        name = "proxytunnel, which takes ssh through one or two web proxies"
        severity = "note"
        class = "program"
        tool = "proxytunnel"
        description = "The program proxytunnel, which opens a tunnel through web proxies, with NTLM and TLS where they ask for it."
        help = "Traffic to the proxy looks like the web; behind it stands an ssh server or anything else. Remove the package proxytunnel, and let the proxy refuse CONNECT to hosts that are not allowed."
        references = "https://github.com/proxytunnel/proxytunnel"
        attack = "T1572"
    strings:
        $1 = "Enter remote proxy password for user %s:"
        $2 = "Found remote password in env variable REMPROXYPASS"
        $3 = "SSL local to remote proxy enabled"
        $4 = "analyze_HTTP: readline failed"
        $5 = "`--remproxy' (`-r') option given more than once"
        $6 = "Tunneling to %s (remote proxy)"
        $7 = "SSL client to proxy enabled, only until CONNECT"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

// Relays: whatever comes in at one end goes out at the other.

rule tunnel_program_socat
{
    meta:
        id = "tunnel/program-socat"
        name = "socat, which joins any two channels"
        severity = "note"
        class = "program"
        tool = "socat"
        description = "The program socat, a relay between sockets, files, terminals and programs."
        help = "One command makes it a listener with a shell behind it, a relay to another host or a tunnel in TLS. Remove the package socat."
        references = "https://manpages.debian.org/stable/socat/socat.1.en.html"
        attack = "T1572"
    strings:
        $1 = "inactivity timeout triggered"
        $2 = "starting data transfer loop with FDs"
        $3 = "exactly 2 addresses required"
        $4 = "-U and -u must not be combined"
        $5 = "maxchildren are active, waiting"
        $6 = "permitting connection from %s due to range option"
        $7 = "escape char found in input"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_ncat
{
    meta:
        id = "tunnel/program-ncat"
        name = "Ncat, the netcat of Nmap"
        severity = "note"
        class = "program"
        tool = "ncat"
        description = "The program ncat: connections and listeners with TLS, proxies, a broker and programs behind them."
        help = "It can give a shell to whoever connects, relay between hosts that cannot reach each other, or be a web proxy. Nmap does not need it: remove the package ncat (nmap-ncat)."
        references = "https://nmap.org/ncat/"
        attack = "T1572"
    strings:
        $1 = "Enable Ncat's connection brokering mode"
        $2 = "Start a simple Ncat chat server"
        $3 = "hosts allowed to connect to Ncat"
        $4 = "hosts denied from connecting to Ncat"
        $5 = "Display Ncat's version information and exit"
        $6 = "NCAT_REMOTE_PORT"
        $7 = "NCAT_LOCAL_ADDR"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_netcat_openbsd
{
    meta:
        id = "tunnel/program-netcat-openbsd"
        name = "netcat of OpenBSD"
        severity = "note"
        class = "program"
        tool = "netcat-openbsd"
        description = "The program nc (nc.openbsd), which connects and listens, through proxies and unix sockets as well."
        help = "With a pipe and a shell it is a way in or out; as ssh's ProxyCommand it passes a SOCKS or web proxy. Remove the package netcat-openbsd."
        references = "https://man.openbsd.org/nc.1"
        attack = "T1572"
    strings:
        $1 = "Cannot pass file descriptor to tty"
        $2 = "Delay interval for lines sent, ports scanned"
        $3 = "Proxy auth response too long"
        $4 = "Shutdown the network socket after EOF on stdin"
        $5 = "Keep inbound sockets open for multiple connects"
        $6 = "Zero-I/O mode [used for scanning]"
        $7 = "Suppress name/port resolutions"
        $8 = "Specify local port for remote connects"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_netcat_traditional
{
    meta:
        id = "tunnel/program-netcat-traditional"
        name = "netcat of Hobbit, the original"
        severity = "note"
        class = "program"
        tool = "netcat-traditional"
        description = "The program nc (nc.traditional), which connects, listens and can run a program behind the connection (-e, -c)."
        help = "nc -e /bin/sh is the shortest shell for somebody outside. Remove the package netcat-traditional."
        references = "https://packages.debian.org/stable/netcat-traditional"
        attack = "T1572"
    strings:
        $1 = "gethostpoop fuxored"
        $2 = "udptest first write failed?!"
        $3 = "loadports: bogus values %d, %d"
        $4 = "Hmalloc %d failed"
        $5 = "Preposterous fd value %d"
        $6 = "all-A-records NIY"
        $7 = "nnetfd reuseaddr failed"
        $cryptcat = "outBufferSize is %d, but len*3 is %d"
    condition:
        uint32(0) == 0x464c457f and 3 of ($1, $2, $3, $4, $5, $6, $7) and not $cryptcat
}

rule tunnel_program_cryptcat
{
    meta:
        id = "tunnel/program-cryptcat"
        name = "cryptcat, netcat with encryption"
        severity = "note"
        class = "program"
        tool = "cryptcat"
        description = "The program cryptcat, a netcat that encrypts with Twofish and a password."
        help = "It does what netcat does, and nobody on the way can read what leaves the sandbox. Remove the package cryptcat."
        references = "https://sourceforge.net/projects/cryptcat/"
        attack = "T1572"
    strings:
        $1 = "outBufferSize is %d, but len*3 is %d"
        $2 = "gethostpoop fuxored"
        $3 = "loadports: bogus values %d, %d"
        $4 = "nnetfd reuseport failed"
    condition:
        uint32(0) == 0x464c457f and $1 and any of ($2, $3, $4)
}

rule tunnel_program_gnu_netcat
{
    meta:
        id = "tunnel/program-gnu-netcat"
        name = "netcat of GNU"
        severity = "note"
        class = "program"
        tool = "gnu-netcat"
        description = "The program netcat of the GNU rewrite, with a tunnel mode (-L) and programs behind connections (-e)."
        help = "It gives a shell to whoever connects and forwards ports without ssh. Remove the package (gnu-netcat, netcat)."
        references = "https://netcat.sourceforge.net/"
        attack = "T1572"
    strings:
        $1 = "GNU netcat %s, a rewrite of the famous networking tool"
        $2 = "netcat (The GNU Netcat) %s"
        $3 = "tunnel to somewhere:   %s -L hostname:port -p port"
        $4 = "forward local port to remote address"
        $5 = "close connection on EOF from stdin"
        $6 = "program to exec after connect"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_simpleproxy
{
    meta:
        id = "tunnel/program-simpleproxy"
        name = "simpleproxy, a TCP forwarder"
        severity = "note"
        class = "program"
        tool = "simpleproxy"
        description = "The program simpleproxy, which forwards a port to another host, through a web proxy if need be."
        help = "A port of the sandbox becomes a port of a host that its clients could not reach. Remove the package simpleproxy."
        references = "https://github.com/vzaliva/simpleproxy"
        attack = "T1090"
    strings:
        $1 = "You must be root to run SIMPLEPROXY on reserved port"
        $2 = "Proxy authorization (-a) meaningless without HTTPS parameters"
        $3 = "error in connect through HTTPS proxy"
        $4 = "Tracing is disabled, can't create/open trace file"
        $5 = "POP3 login failed for %s."
        $6 = "-ERR USER or QUIT command expected"
        $7 = "Adding '%s' to POP3 users list"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_rinetd
{
    meta:
        id = "tunnel/program-rinetd"
        name = "rinetd, a TCP and UDP forwarder"
        severity = "note"
        class = "program"
        tool = "rinetd"
        description = "The daemon rinetd, which forwards ports as /etc/rinetd.conf lists them."
        help = "It joins networks that the sandbox stands between and starts with the system. Remove the package rinetd."
        references = "https://github.com/samhocevar/rinetd"
        attack = "T1090"
    strings:
        $1 = "/etc/rinetd.conf"
        $2 = "done-local-closed"
        $3 = "done-remote-closed"
        $4 = "local-connect-failed -"
        $5 = "local-bind-failed -"
        $6 = "not enough memory to add slots"
        $7 = "couldn't create server socket! (%m)"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_redir
{
    meta:
        id = "tunnel/program-redir"
        name = "redir, a TCP forwarder"
        severity = "note"
        class = "program"
        tool = "redir"
        description = "The program redir, which forwards a port to another host, through a web proxy if need be."
        help = "A port of the sandbox becomes a port of a host that its clients could not reach. Remove the package redir."
        references = "https://github.com/troglobit/redir"
        attack = "T1090"
    strings:
        $1 = "Run in Linux's transparent proxy mode"
        $2 = "listening for ftpdata on addr"
        $3 = "CONNECT string passed to proxy server"
        $4 = "Redirect FTP connections.  Where type is"
        $5 = "https://github.com/troglobit/redir"
        $6 = "Wait for in(1), out(2), or in&out(3)"
        $7 = "Failed reading reply from proxy: %s"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_6tunnel
{
    meta:
        id = "tunnel/program-6tunnel"
        name = "6tunnel, a relay between IPv4 and IPv6"
        severity = "note"
        class = "program"
        tool = "6tunnel"
        description = "The program 6tunnel, which forwards a port of one IP version to a host of the other."
        help = "Rules that hold back one version of IP are passed with the other. Remove the package 6tunnel, and apply every rule to both versions."
        references = "https://github.com/wojtekka/6tunnel"
        attack = "T1090"
    strings:
        $1 = ":6tunnel 464 * :Password incorrect"
        $2 = "<%d> irc proxy auth failed - password incorrect"
        $3 = "<%d> connection from unmapped address (%s)"
        $4 = "read specified IPv4-to-IPv6 map file"
        $5 = "connect to IPv4 endpoints (default: connect to IPv6)"
        $6 = "-H is deprecated, please use proper combination of -4 and -6"
        $7 = "source_map_destroy()"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_udptunnel
{
    meta:
        id = "tunnel/program-udptunnel"
        name = "udptunnel, UDP inside TCP"
        severity = "note"
        class = "program"
        tool = "udptunnel"
        description = "The program udptunnel, which carries UDP packets over a TCP connection."
        help = "UDP leaves where only TCP is allowed. Remove the package udptunnel."
        references = "https://packages.debian.org/stable/udptunnel"
        attack = "T1572"
    strings:
        $1 = "tcp_to_udp: getsockopt(SO_ERROR)"
        $2 = "setup_udp_recv: setsockopt(IP_ADD_MEMBERSHIP)"
        $3 = "await_incoming_connections: accept"
        $4 = "Port numbers must be even when using RTP mode"
        $5 = "Received packet on TCP, length %u; sending as UDP"
        $6 = "ECONNREFUSED on udp_send_sock; clearing."
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_pwnat
{
    meta:
        id = "tunnel/program-pwnat"
        name = "pwnat, which opens a way in through NAT"
        severity = "note"
        class = "program"
        tool = "pwnat"
        description = "The program pwnat, a TCP over UDP tunnel whose two ends find each other through NAT by ICMP."
        help = "A host outside can reach the sandbox although no port of it is published. Remove the file, and drop outgoing UDP and ICMP."
        references = "https://samy.pl/pwnat/"
        attack = "T1572"
    strings:
        $port = "[proxy port (def:2222)]"
        $1 = "[main] can't open raw socket"
        $2 = "Couldn't resolve server address: '%s': %s"
        $3 = "New connection(%d): tcp://%s"
        $4 = "Error creating clients list."
        $5 = "[[allowed host]:[allowed port] ...]"
    condition:
        uint32(0) == 0x464c457f and $port and any of ($1, $2, $3, $4, $5)
}

rule tunnel_program_netsed
{
    meta:
        id = "tunnel/program-netsed"
        name = "netsed, which changes what passes through"
        severity = "note"
        class = "program"
        tool = "netsed"
        description = "The program netsed, a forwarder that replaces bytes in the traffic."
        help = "It relays a port to another host and alters what the two sides say. Remove the package netsed."
        references = "https://packages.debian.org/stable/netsed"
        attack = "T1090"
    strings:
        $1 = "shrink_to_binary: src pattern: unexpected end."
        $2 = "let Rilke travel incognito as Proust"
        $3 = "[+] Using dynamic (transparent proxy) forwarding"
        $4 = "[*] Forwarding untouched packet of size %d."
        $5 = "Applying rule s/%s/%s..."
        $6 = "Usage: netsed [option] proto lport rhost rport rule1"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_socket
{
    meta:
        id = "tunnel/program-socket"
        name = "socket, a small netcat"
        severity = "note"
        class = "program"
        tool = "socket"
        description = "The program socket, which connects and listens and can run a program behind the connection."
        help = "With a shell behind it, it is a way in or out. Remove the package socket."
        references = "https://packages.debian.org/stable/socket"
        attack = "T1572"
    strings:
        $1 = "unix: connection from %s"
        $2 = "inet: connected to %s port %d"
        $3 = "inet: listening on port %d"
        $4 = "power failure imminent signal"
        $5 = "%s occured, exiting"
        $6 = "It does not make sense to set %s and %s."
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

// Tunnels inside DNS, ICMP, HTTP and raw packets.

rule tunnel_program_iodine
{
    meta:
        id = "tunnel/program-iodine"
        name = "iodine, IP inside DNS"
        severity = "note"
        class = "program"
        tool = "iodine"
        description = "The client iodine or the server iodined, which carry IP packets in DNS queries and answers."
        help = "A sandbox that may only resolve names has a full network link to whoever runs the domain's name server. Remove the package iodine, and let the sandbox ask a resolver that answers for allowed names only."
        references = "https://code.kryo.se/iodine/"
        attack = "T1572"
    strings:
        $1 = "dns_encode doesn't fit"
        $2 = "Run as root and you'll be happy."
        $3 = "aA-Aaahhh-Drink-mal-ein-J"
        $4 = "Autoprobing max downstream fragment size"
        $5 = "Server switched to lazy mode"
        $6 = "topdomain is the FQDN that is delegated to this server"
        $7 = "Got response on query %u from DNS"
        $8 = "OUT  user %d %s from dnscache"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_dns2tcp
{
    meta:
        id = "tunnel/program-dns2tcp"
        name = "dns2tcp, TCP inside DNS"
        severity = "note"
        class = "program"
        tool = "dns2tcp"
        description = "The client dns2tcpc or the server dns2tcpd, which carry TCP connections in DNS queries and answers."
        help = "A sandbox that may only resolve names can reach an ssh server or a proxy outside. Remove the package dns2tcp, and let the sandbox ask a resolver that answers for allowed names only."
        references = "https://github.com/alex-sector/dns2tcp"
        attack = "T1572"
    strings:
        $1 = "No response from DNS %s"
        $2 = "When connected press enter at any time to dump the queue"
        $3 = "Too many packets lost. Resetting connection"
        $4 = "Queue design is too small"
        $5 = "dns2tcp v%s ("
        $6 = "%s, flush expired req id 0x%x"
        $7 = "SENT received same req again, sending id 0x%x"
        $8 = "Incorrect resources syntax in config file"
        $9 = "rr_decode_next_reply_encode"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_nstx
{
    meta:
        id = "tunnel/program-nstx"
        name = "nstx, IP inside DNS"
        severity = "note"
        class = "program"
        tool = "nstx"
        description = "The client nstxcd or the server nstxd, an early tunnel of IP packets in DNS, or vde_over_ns of VDE, which is made from them."
        help = "A sandbox that may only resolve names has a full network link to whoever runs the domain's name server. Remove it (vde2 for vde_over_ns), and let the sandbox ask a resolver that answers for allowed names only."
        references = "https://savannah.nongnu.org/projects/nstx/"
        attack = "T1572"
    strings:
        $1 = "tun.yomama.com"
        $2 = "no free space in dns-packet?!"
        $3 = "use this tun/tap device instead of default"
        $4 = "bind to port 53 on this IP only"
        $5 = "getpacket: asked for name `%s'"
        $6 = "[-d tun-device] <domainname> <dns-server>"
    condition:
        uint32(0) == 0x464c457f and 2 of them
}

rule tunnel_program_ptunnel
{
    meta:
        id = "tunnel/program-ptunnel"
        name = "ptunnel, TCP inside ping"
        severity = "note"
        class = "program"
        tool = "ptunnel"
        description = "The program ptunnel, which carries TCP connections in ICMP echo packets, as client or as proxy."
        help = "A sandbox that may only ping has TCP to the outside. Remove the package ptunnel, drop ICMP echo at the boundary and take CAP_NET_RAW away."
        references = "https://packages.debian.org/stable/ptunnel"
        attack = "T1572"
    strings:
        $1 = "Ping proxy is listening in %s mode"
        $2 = "Packet capture is not supported (or needed) when using UDP"
        $3 = "Failed to bind UDP socket to port %d (try running as root)"
        $4 = "Dropping proxy session request - we are not a proxy!"
        $5 = "Starting ping proxy.."
        $6 = "Attempting to create privileged ICMP raw socket.."
        $ng_1 = "Set ptunnel magic hexadecimal number"
        $ng_2 = "Empty pings can compensate for ICMP sequence number inspection"
        $ng_3 = "Received extended option for window size %d"
        $ng_4 = "matzeton@googlemail.com"
    condition:
        uint32(0) == 0x464c457f and 3 of ($1, $2, $3, $4, $5, $6) and not any of ($ng_*)
}

rule tunnel_program_ptunnel_ng
{
    meta:
        id = "tunnel/program-ptunnel-ng"
        name = "ptunnel-ng, TCP inside ping"
        severity = "note"
        class = "program"
        tool = "ptunnel-ng"
        description = "The program ptunnel-ng, the successor of ptunnel, which carries TCP connections in ICMP echo packets."
        help = "A sandbox that may only ping has TCP to the outside. Remove the package ptunnel-ng, drop ICMP echo at the boundary and take CAP_NET_RAW away."
        references = "https://github.com/utoni/ptunnel-ng"
        attack = "T1572"
    strings:
        $1 = "Ping proxy is listening in %s mode"
        $2 = "Packet capture is not supported (or needed) when using UDP"
        $3 = "Failed to bind UDP socket to port %d (try running as root)"
        $4 = "Dropping proxy session request - we are not a proxy!"
        $5 = "Starting ping proxy.."
        $6 = "Attempting to create privileged ICMP raw socket.."
        $ng_1 = "Set ptunnel magic hexadecimal number"
        $ng_2 = "Empty pings can compensate for ICMP sequence number inspection"
        $ng_3 = "Received extended option for window size %d"
        $ng_4 = "matzeton@googlemail.com"
    condition:
        uint32(0) == 0x464c457f and 2 of ($1, $2, $3, $4, $5, $6) and any of ($ng_*)
}

rule tunnel_program_hans
{
    meta:
        id = "tunnel/program-hans"
        name = "hans, IP inside ping"
        severity = "note"
        class = "program"
        tool = "hans"
        description = "The program hans, which carries IP packets in ICMP echo packets, as client or as server."
        help = "A sandbox that may only ping has a full network link to the outside. Remove it, drop ICMP echo at the boundary and take CAP_NET_RAW and /dev/net/tun away."
        references = "https://github.com/friedrich/hans"
        attack = "T1572"
    strings:
        $1 = "Hans - IP over ICMP version"
        $2 = "Number of echo requests the client sends to the server for polling"
        $3 = "Change the echo id for every echo request"
        $4 = "Try to get assigned the given tunnel ip address"
        $5 = "could not get the same ip address, so root privileges are required to change it"
        $6 = "reset reveiced"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_icmptunnel
{
    meta:
        id = "tunnel/program-icmptunnel"
        name = "icmptunnel, IP inside ping"
        severity = "note"
        class = "program"
        tool = "icmptunnel"
        description = "One of the two programs named icmptunnel, which carry IP packets in ICMP echo packets."
        help = "A sandbox that may only ping has a full network link to the outside. Remove it, drop ICMP echo at the boundary and take CAP_NET_RAW and /dev/net/tun away."
        references = "https://github.com/DhavalKapil/icmptunnel https://github.com/jamesbarlow/icmptunnel"
        attack = "T1572"
    strings:
        $1 = "icmptunnel is version %s"
        $2 = "emulate the microsoft ping utility"
        $3 = "turn off microsoft ping emulation mode for"
        $4 = "unable to connect: server is full, retrying"
        $5 = "[DEBUG] Starting tunnel - Dest: %s, Server: %d"
        $6 = "[DEBUG] Allocatating tunnel"
        $7 = "[DEBUG] Data needs to be readed from tun device"
        $8 = "[DEBUG] Preparing ICMP packet to be sent"
        $9 = "[DEBUG] Binding ICMP socket"
    condition:
        uint32(0) == 0x464c457f and 2 of them
}

rule tunnel_program_httptunnel
{
    meta:
        id = "tunnel/program-httptunnel"
        name = "httptunnel, TCP inside HTTP"
        severity = "note"
        class = "program"
        tool = "httptunnel"
        description = "The client htc or the server hts, which carry a connection in HTTP requests, through a web proxy if need be."
        help = "To the proxy it is a web page that is fetched and posted again and again; inside is any protocol. Remove the package httptunnel, and let the proxy know which hosts are allowed."
        references = "https://github.com/larsbrinkhoff/httptunnel"
        attack = "T1572"
    strings:
        $1 = "rejected tunnel_out: already got a connection"
        $2 = "http_error_to_errno: 413 request entity too large"
        $3 = "handle_device_input: PULLINVAL"
        $4 = "tunnel_new_client: set_address: %s"
        $5 = "tunnel_read_request: error reading request length"
        $6 = "tunnel_in_connect: HTTP error %d"
        $7 = "Set up a httptunnel connection to PORT at HOST"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_udp2raw
{
    meta:
        id = "tunnel/program-udp2raw"
        name = "udp2raw, UDP dressed as TCP or ICMP"
        severity = "note"
        class = "program"
        tool = "udp2raw"
        description = "The program udp2raw, which sends UDP in raw packets with a false TCP or an ICMP header."
        help = "Rules that drop UDP see TCP or pings; inside is most often a VPN. Remove the file and take CAP_NET_RAW away."
        references = "https://github.com/wangyu-/udp2raw"
        attack = "T1572"
    strings:
        $1 = "avaliable values:faketcp"
        $2 = "password to gen symetric key"
        $3 = "seq increase mode for faketcp"
        $4 = "generate iptables rule then exit,so that you can copy"
        $5 = "monitor iptables and auto re-add if necessary"
        $6 = "send packets at OSI level 2, format"
        $7 = "retry on error, allow to start udp2raw"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_kcptun
{
    meta:
        id = "tunnel/program-kcptun"
        name = "kcptun, TCP inside KCP over UDP"
        severity = "note"
        class = "program"
        tool = "kcptun"
        description = "The client or the server of kcptun, which carry TCP connections in encrypted UDP packets."
        help = "TCP leaves as UDP that no middlebox can read, most often for a proxy behind it. Remove the package kcptun, and drop UDP that the sandbox does not need."
        references = "https://github.com/xtaci/kcptun"
        attack = "T1572"
    strings:
        $1 = "KCPTUN_KEY"
        $2 = "pre-shared secret between client and server"
        $3 = "fast3, fast2, fast, normal, manual"
        $4 = "collect snmp to file, aware of timeformat in golang"
        $5 = "set num of UDP connections to server"
        $6 = "establish N physical connections as specified by"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_miredo
{
    meta:
        id = "tunnel/program-miredo"
        name = "Miredo, IPv6 inside UDP"
        severity = "note"
        class = "program"
        tool = "miredo"
        description = "The daemon miredo, which carries IPv6 in UDP packets through NAT (Teredo)."
        help = "The sandbox gets an IPv6 address that the whole internet can reach, whatever the rules for IPv4 say. Remove the package miredo, drop UDP port 3544 and take /dev/net/tun away."
        references = "https://www.remlab.net/miredo/"
        attack = "T1572"
    strings:
        $1 = "Miredo: Teredo IPv6 tunneling software"
        $2 = "Teredo pseudo-tunnel started"
        $3 = "Lost Teredo connectivity"
        $4 = "libteredo cannot be initialized"
        $5 = "Creates a Teredo tunneling interface"
        $6 = "Teredo server has a non global IPv4 address"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_badvpn
{
    meta:
        id = "tunnel/program-badvpn"
        name = "BadVPN: tun2socks and udpgw"
        severity = "note"
        class = "program"
        tool = "badvpn"
        description = "The program badvpn-tun2socks or badvpn-udpgw, which take a whole network interface through a SOCKS proxy."
        help = "Every program's traffic, UDP too, leaves through one proxied connection. Remove the files and take /dev/net/tun away."
        references = "https://github.com/ambrop72/badvpn"
        attack = "T1572"
    strings:
        $1 = "--udpgw-remote-server-addr"
        $2 = "--append-source-to-username"
        $3 = "--netif-netmask is required"
        $4 = "--socks-server-addr is required"
        $5 = "[--udpgw-transparent-dns]"
        $6 = "socks server addr: BAddr_Parse2 failed"
        $7 = "[--max-connections-for-client <number>]"
        $8 = "[--local-udp-addrs <addr> <num_ports>]"
        $9 = "[--unique-local-ports]"
    condition:
        uint32(0) == 0x464c457f and 2 of them
}

// TLS around anything.

rule tunnel_program_stunnel
{
    meta:
        id = "tunnel/program-stunnel"
        name = "stunnel, TLS around any connection"
        severity = "note"
        class = "program"
        tool = "stunnel"
        description = "The program stunnel, which wraps connections of other programs in TLS, as client or as server."
        help = "Whatever it carries looks like the web's TLS, ssh and SOCKS included. Remove the package stunnel4 (stunnel)."
        references = "https://www.stunnel.org/"
        attack = "T1572"
    strings:
        $1 = "Service [%s] accepted connection from %s"
        $2 = "SOCKS connection to the IPv4 loopback rejected"
        $3 = "SNI: no virtual services defined"
        $4 = "uses \"verifyChain\" without subject checks"
        $5 = "Failed to start exec+connect service [%s]"
        $6 = "Listening file descriptor received from systemd (FD=%ld)"
        $7 = "directory to chroot stunnel process"
        $8 = "stunnel [<filename>] ] -fd <n>"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_spiped
{
    meta:
        id = "tunnel/program-spiped"
        name = "spiped, an encrypted pipe between two sockets"
        severity = "note"
        class = "program"
        tool = "spiped"
        description = "The daemon spiped or the client spipe, which join two sockets by an encrypted connection with a shared key."
        help = "It carries any protocol between the sandbox and a host outside, and nobody on the way can read it. Remove the package spiped."
        references = "https://www.tarsnap.com/spiped.html"
        attack = "T1572"
    strings:
        $1 = "callback_handshake_done"
        $2 = "Error reading shared secret"
        $3 = "usage: spiped {-e | -d} -s <source socket> -t <target socket>"
        $4 = "usage: spipe -t <target socket> -k <key file>"
        $5 = "proto/proto_handshake.c"
    condition:
        uint32(0) == 0x464c457f and 2 of them
}

rule tunnel_program_hitch
{
    meta:
        id = "tunnel/program-hitch"
        name = "Hitch, a proxy that ends TLS"
        severity = "note"
        class = "program"
        tool = "hitch"
        description = "The daemon hitch, which takes TLS connections and passes what is inside to another host."
        help = "A sandbox seldom serves; a listener that hands connections on is a way in. Remove the package hitch unless the sandbox is a web server."
        references = "https://hitch-tls.org/"
        attack = "T1090"
    strings:
        $1 = "{ocsp} Refresh of OCSP staple for %s scheduled in"
        $2 = "hocsp_proc_persist: write: %s"
        $3 = "hitch was compiled with %lx"
        $4 = "attempt to read ssl when ring full"
        $5 = "No 'client-verify-ca' configured for frontend"
        $6 = "WARNING: {core} OpenSSL version mismatch"
        $7 = "Invalid path '%s': Not a socket."
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_stone
{
    meta:
        id = "tunnel/program-stone"
        name = "stone, a relay that speaks TLS, proxies and both"
        severity = "note"
        class = "program"
        tool = "stone"
        description = "The program stone, which relays TCP and UDP, adds or removes TLS and passes web proxies."
        help = "It joins the sandbox to a host outside in whatever form the boundary lets through. Remove the package stone."
        references = "https://packages.debian.org/stable/stone"
        attack = "T1572"
    strings:
        $1 = "http://www.gcd.org/sengoku/stone/"
        $2 = "USERID : STONE : %d"
        $3 = "%d UDP<TCP%d: sendto failed"
        $4 = "stone %d: accept no connection"
        $5 = "health check: can't create socket err=%d"
        $6 = "acceptCheck Can't happen fromlen=%d"
        $7 = "scanPairs done"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_sslh
{
    meta:
        id = "tunnel/program-sslh"
        name = "sslh, many protocols behind one port"
        severity = "note"
        class = "program"
        tool = "sslh"
        description = "The program sslh, which tells ssh, TLS, OpenVPN and others apart on one port and passes each on."
        help = "It hides an ssh or VPN server behind a port that looks like the web's. Remove the package sslh."
        references = "https://www.rutschle.net/tech/sslh/README.html"
        attack = "T1572"
    strings:
        $1 = "(Check you have specified all ports)"
        $2 = "names must be fully specified as hostname:port"
        $3 = "hexdump of incoming packet:"
        $4 = "sprintaddr:getnameinfo(NUM): %s"
        $5 = "flushing deferred data to fd %d"
        $6 = "%s:connection from %s to %s forwarded from %s to %s"
        $7 = "No listening address specified; use at least one -p"
        $8 = "Received traffic on transport that has no target"
        $9 = "--on-timeout: connect to specified address upon timeout"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_sniproxy
{
    meta:
        id = "tunnel/program-sniproxy"
        name = "sniproxy, which passes TLS on by its name"
        severity = "note"
        class = "program"
        tool = "sniproxy"
        description = "The daemon sniproxy, which reads the host's name in a TLS or HTTP request and connects there."
        help = "Clients reach any host through it by its name alone. Remove the package sniproxy."
        references = "https://github.com/dlundquist/sniproxy"
        attack = "T1090"
    strings:
        $1 = "Received SSL %u.%u handshake which can not support SNI"
        $2 = "Request from %s exceeded %zu byte buffer size"
        $3 = "binder failed to bind to %s"
        $4 = "Unable to initialize default address"
        $5 = "Only source socket addresses permitted"
        $6 = "Unexpected fallback argument: %s"
        $7 = "Invalid hostname %.*s in client request"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_sslsplit
{
    meta:
        id = "tunnel/program-sslsplit"
        name = "SSLsplit, which reads TLS in the middle"
        severity = "note"
        class = "program"
        tool = "sslsplit"
        description = "The program sslsplit, a transparent proxy that ends TLS with certificates it makes up and connects on."
        help = "It reads what the sandbox's programs say in confidence, passwords and tokens too, if its authority is trusted. Remove the package sslsplit and its certificate."
        references = "https://www.roe.ch/SSLsplit"
        attack = "T1090"
    strings:
        $1 = "Only static and SNI proxyspecs are supported."
        $2 = "autossl ::1 10025"
        $3 = "Certificate cache: KEEP (SNI match or target mode)"
        $4 = "Privsep fastpath enabled"
        $5 = "Generated %i bit RSA key for leaf certs."
        $6 = "Error from spec->natsocket()"
        $7 = "failed to preinit cachemgr."
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

// Proxy servers.

rule tunnel_program_tor
{
    meta:
        id = "tunnel/program-tor"
        name = "Tor, onion routing"
        severity = "note"
        class = "program"
        tool = "tor"
        description = "The program tor, which takes connections through the Tor network and can offer onion services."
        help = "Nobody can see where the sandbox connects, and an onion service lets strangers in without any published port. Remove the package tor."
        references = "https://www.torproject.org/"
        attack = "T1090"
    strings:
        $1 = "Giving up on address '%s.onion'"
        $2 = "using exit %s. Retrying on a new circuit"
        $3 = "Tor has successfully opened a circuit"
        $4 = "Bootstrapped %d%%"
        $5 = "circuit_build_no_more_hops"
        $6 = "hs_circ_launch_intro_point"
        $7 = "HiddenServiceNonAnonymousMode"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_obfs4proxy
{
    meta:
        id = "tunnel/program-obfs4proxy"
        name = "obfs4proxy, a disguise for Tor"
        severity = "note"
        class = "program"
        tool = "obfs4proxy"
        description = "The program obfs4proxy, a pluggable transport that makes traffic look like noise."
        help = "It hides Tor, or whatever is put inside, from rules that know it by its looks. Remove the package obfs4proxy."
        references = "https://gitlab.com/yawning/obfs4"
        attack = "T1572"
    strings:
        $1 = "obfs4proxy.log"
        $2 = "obfs4proxy must be run"
        $3 = "Disable the address scrubber"
        $4 = "current obfs4proxy configuration.  EDITING IT"
        $5 = "yawning/obfs4.git/transports"
        $6 = "obfs4_bridgeline.txt"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_lyrebird
{
    meta:
        id = "tunnel/program-lyrebird"
        name = "Lyrebird, disguises for Tor"
        severity = "note"
        class = "program"
        tool = "lyrebird"
        description = "The program lyrebird, the successor of obfs4proxy: obfs4, meek, webtunnel and snowflake in one."
        help = "It hides Tor, or whatever is put inside, from rules that know it by its looks. Remove the package lyrebird."
        references = "https://gitlab.torproject.org/tpo/anti-censorship/pluggable-transports/lyrebird"
        attack = "T1572"
    strings:
        $1 = "pluggable-transports/lyrebird/transports/"
        $2 = "the current lyrebird configuration.  EDITING IT"
        $3 = "lyrebird.log"
        $4 = "Disable the address scrubber"
        $5 = "obfs4_bridgeline.txt"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_snowflake
{
    meta:
        id = "tunnel/program-snowflake"
        name = "Snowflake, WebRTC for Tor"
        severity = "note"
        class = "program"
        tool = "snowflake"
        description = "The client or the proxy of Snowflake, a pluggable transport over WebRTC."
        help = "The client leaves through strangers' browsers and looks like a video call; the proxy lends the sandbox's network to strangers. Remove the packages snowflake-client and snowflake-proxy."
        references = "https://snowflake.torproject.org/"
        attack = "T1572"
    strings:
        $1 = "capacity for number of multiplexed WebRTC peers"
        $2 = "URL of AMP cache to use as a proxy for signaling"
        $3 = "keep local LAN address ICE candidates"
        $4 = "/client/snowflake.go"
        $5 = "begin collecting snowflakes"
        $6 = "maximum concurrent clients"
        $7 = "allowed-relay-hostname-pattern"
        $8 = "nat-retest-interval"
        $9 = "https://snowflake-broker.torproject.net"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_webtunnel
{
    meta:
        id = "tunnel/program-webtunnel"
        name = "WebTunnel, HTTPS for Tor"
        severity = "note"
        class = "program"
        tool = "webtunnel"
        description = "The client or the server of WebTunnel, a pluggable transport that looks like a web site."
        help = "It hides Tor, or whatever is put inside, in what looks like HTTPS. Remove the package webtunnel."
        references = "https://gitlab.torproject.org/tpo/anti-censorship/pluggable-transports/webtunnel"
        attack = "T1572"
    strings:
        $1 = "pluggable-transports/webtunnel/main/client/main.go"
        $2 = "pluggable-transports/webtunnel/main/server/main.go"
        $3 = "pluggable-transports/webtunnel/main/client/transport.go"
        $4 = "pluggable-transports/webtunnel/main/server/transport.go"
        $5 = "pluggable-transports/webtunnel/transport/httpupgrade"
    condition:
        uint32(0) == 0x464c457f and 2 of them
}

rule tunnel_program_shadowsocks_libev
{
    meta:
        id = "tunnel/program-shadowsocks-libev"
        name = "shadowsocks-libev, an encrypted proxy"
        severity = "note"
        class = "program"
        tool = "shadowsocks-libev"
        description = "One of the programs ss-local, ss-server, ss-redir, ss-tunnel and ss-manager."
        help = "The client offers SOCKS and sends all of it encrypted to a server outside; the server lends the sandbox's network. Remove the package shadowsocks-libev."
        references = "https://github.com/shadowsocks/shadowsocks-libev"
        attack = "T1090"
    strings:
        $1 = "shadowsocks-libev %s"
        $2 = "ignore unknown mode: %s, use tcp_only as fallback"
        $3 = "invalid config file: option 'reuse_port' must be a boolean"
        $4 = "Set SIP003 plugin options. (Experimental)"
        $5 = "The default cipher is chacha20-ietf-poly1305"
        $6 = "It requires a %zu-byte key encoded with URL-safe Base64"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_shadowsocks_rust
{
    meta:
        id = "tunnel/program-shadowsocks-rust"
        name = "shadowsocks-rust, an encrypted proxy"
        severity = "note"
        class = "program"
        tool = "shadowsocks-rust"
        description = "One of the programs sslocal, ssserver, ssmanager and ssservice written in Rust."
        help = "The client offers SOCKS and sends all of it encrypted to a server outside; the server lends the sandbox's network. Remove the file."
        references = "https://github.com/shadowsocks/shadowsocks-rust"
        attack = "T1090"
    strings:
        $1 = "A fast tunnel proxy that helps you bypass firewalls."
        $2 = "Maximum associations to be kept simultaneously for UDP relay"
        $3 = "Path to ACL (Access Control List)"
        $4 = "Server address in SIP002"
        $5 = "ShadowSocks Manager (ssmgr) address"
        $6 = "shadowsocks tcp server listening on"
        $7 = "DNS cache size in number of records. Works when"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_shadowsocks
{
    meta:
        id = "tunnel/program-shadowsocks"
        name = "shadowsocks in Python, an encrypted proxy"
        severity = "note"
        class = "program"
        tool = "shadowsocks"
        description = "The program sslocal or ssserver of the Python package shadowsocks, or the script that starts it."
        help = "The client offers SOCKS and sends all of it encrypted to a server outside; the server lends the sandbox's network. Remove it with pip uninstall shadowsocks."
        references = "https://pypi.org/project/shadowsocks/"
        attack = "T1090"
    strings:
        $1 = "from shadowsocks import shell, daemon, eventloop"
        $2 = "from shadowsocks.local import main"
        $3 = "from shadowsocks.server import main"
        $4 = "EASY-INSTALL-ENTRY-SCRIPT: 'shadowsocks=="
    condition:
        uint16(0) == 0x2123 and any of them
}

rule tunnel_program_simple_obfs
{
    meta:
        id = "tunnel/program-simple-obfs"
        name = "simple-obfs, a disguise for Shadowsocks"
        severity = "note"
        class = "program"
        tool = "simple-obfs"
        description = "The program obfs-local or obfs-server, which makes a proxy's traffic look like HTTP or TLS."
        help = "It hides a proxy from rules that know it by its looks. Remove the package simple-obfs."
        references = "https://github.com/shadowsocks/simple-obfs"
        attack = "T1572"
    strings:
        $1 = "[simple-obfs] INFO: "
        $2 = "[simple-obfs] ERROR: "
        $3 = "obfuscating enabled"
        $4 = "obfuscating hostname: %s"
        $5 = "invalid obfuscating"
        $6 = "failed to resolve server name, wait %.0f seconds"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_trojan
{
    meta:
        id = "tunnel/program-trojan"
        name = "trojan, a proxy that looks like HTTPS"
        severity = "note"
        class = "program"
        tool = "trojan"
        description = "The program trojan, a SOCKS client and a server that hides among the requests of a web site."
        help = "All traffic of the sandbox can leave as HTTPS to one host. Remove the package trojan."
        references = "https://trojan-gfw.github.io/trojan/"
        attack = "T1090"
    strings:
        $1 = "valid trojan request structure but possibly incorrect password ("
        $2 = "Welcome to trojan "
        $3 = "SIP003 is loaded"
        $4 = "UPDATE users SET download = download + "
        $5 = "certificate and private key reloaded"
        $6 = "The config file looks good."
        $7 = "udp_sent: invalid UDP packet address"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_microsocks
{
    meta:
        id = "tunnel/program-microsocks"
        name = "MicroSocks, a SOCKS server"
        severity = "note"
        class = "program"
        tool = "microsocks"
        description = "The program microsocks, a very small SOCKS 5 server."
        help = "Whoever reaches its port reaches all that the sandbox can reach. Remove the package microsocks."
        references = "https://github.com/rofl0r/microsocks"
        attack = "T1090"
    strings:
        $1 = "MicroSocks SOCKS5 Server"
        $2 = "option -1 activates auth_once mode"
        $3 = "user and pass must be used together"
        $4 = "by default listenip is 0.0.0.0 and port 1080"
        $5 = "rejecting connection due to OOM"
        $6 = "client[%d] %s: connected to %s:%d"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_dante
{
    meta:
        id = "tunnel/program-dante"
        name = "Dante, SOCKS server and client"
        severity = "note"
        class = "program"
        tool = "dante"
        description = "The daemon danted (sockd), a SOCKS server, or the library libdsocks and the script socksify, which take other programs through one."
        help = "Whoever the server lets in reaches all that the sandbox can reach; with the client, programs that know nothing of proxies leave through one. Remove the packages dante-server, dante-client and libdsocksd0."
        references = "https://www.inet.no/dante/"
        attack = "T1090"
    strings:
        $server_1 = "no internal address given for server to listen for clients on"
        $server_2 = "giving up after %d recvfrom(2) failures"
        $server_3 = "passworddbisunique()"
        $server_4 = "idlechild->freec == maxslotsperproc"
        $server_5 = "to-rule before (cinfo: %s)"
        $server_6 = "sockd_unconnect()"
        $server_7 = "(&mstats->internal.alarm.disconnect)->limit.seconds"
        $client_1 = "socks_mark_io_as_native()"
        $client_2 = "socks_mark_io_as_normal()"
        $client_3 = "idsareequal(lib->dosyscall, removeid)"
        $client_4 = "marking i/o calls as native ..."
        $client_5 = "compile time configuration error?  Failed to find"
        $client_6 = "connectchild forked, our pid is %ld, mother is %ld"
        $script = "SOCKSIFY_PRELOAD_LIBS="
        $error = "socksify: error: dante client not built with preloading support"
    condition:
        (uint32(0) == 0x464c457f and (3 of ($server_*) or 3 of ($client_*))) or (uint16(0) == 0x2123 and $script and $error)
}

rule tunnel_program_srelay
{
    meta:
        id = "tunnel/program-srelay"
        name = "srelay, a SOCKS server"
        severity = "note"
        class = "program"
        tool = "srelay"
        description = "The daemon srelay, a SOCKS 4 and 5 server."
        help = "Whoever reaches its port reaches all that the sandbox can reach. Remove it."
        references = "https://socks-relay.sourceforge.io/"
        attack = "T1090"
    strings:
        $1 = "avoid BIND port restriction"
        $2 = "srelay password file"
        $3 = "srelay local user base file"
        $4 = "giving up chdir to workdir"
        $5 = "child: cur %d; exeedeing max(%d)"
        $6 = "auth methods n: no, p:pass"
        $7 = "use the same interface for outbound as inbound"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_ss5
{
    meta:
        id = "tunnel/program-ss5"
        name = "SS5, a SOCKS server"
        severity = "note"
        class = "program"
        tool = "ss5"
        description = "The daemon ss5, a SOCKS 4 and 5 server."
        help = "Whoever reaches its port reaches all that the sandbox can reach. Remove it."
        references = "https://ss5.sourceforge.net/"
        attack = "T1090"
    strings:
        $1 = "found environment SS5_SOCKS_ADDR"
        $2 = "SS5_PROPAGATE_KEY"
        $3 = "SS5_PEERS_FILE"
        $4 = "SS5_PASSWORD_FILE"
        $5 = "SS5_ROLE_SLAVE"
        $6 = "/etc/opt/ss5/ss5.conf"
        $7 = "(see ss5.log file for details)"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_3proxy
{
    meta:
        id = "tunnel/program-3proxy"
        name = "3proxy, proxies of all kinds"
        severity = "note"
        class = "program"
        tool = "3proxy"
        description = "The program 3proxy, or one of its parts: web, SOCKS, FTP, mail and port-mapping proxies, some of which connect back."
        help = "It lends the sandbox's network to whoever may use it; with connect-back it needs no open port. Remove it."
        references = "https://3proxy.org/"
        attack = "T1090"
    strings:
        $1 = "3proxy tiny proxy server"
        $2 = "if conffile is missing, configuration is expected from stdin"
        $3 = "Failed to allocate connect back socket"
        $4 = "Failed to listen connect back socket"
        $5 = "Use PORT to listen connect back proxy connection"
        $6 = "Warning: too many connected clients (%d/%d)"
        $7 = "Welcome to 3proxy Web Interface"
        $8 = "Command: '%s' failed with code %d, line %d"
        $9 = "3proxy@3proxy."
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_tinyproxy
{
    meta:
        id = "tunnel/program-tinyproxy"
        name = "Tinyproxy, a web proxy"
        severity = "note"
        class = "program"
        tool = "tinyproxy"
        description = "The daemon tinyproxy, a small HTTP and HTTPS proxy."
        help = "Whoever it lets in reaches all that the sandbox can reach. Remove the packages tinyproxy and tinyproxy-bin."
        references = "https://tinyproxy.github.io/"
        attack = "T1090"
    strings:
        $1 = "yummy_magical_cookie"
        $2 = "The administrator of this proxy has not configured it to service requests from you"
        $3 = "Refused CONNECT method on port %d"
        $4 = "Skipping reverse proxy rule: "
        $5 = "You MUST set a Port in the config file"
        $6 = "writebuff: write() error [NOBUFS/NOMEM]"
        $7 = "process_request: trans IP %s %s for %d"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_privoxy
{
    meta:
        id = "tunnel/program-privoxy"
        name = "Privoxy, a filtering web proxy"
        severity = "note"
        class = "program"
        tool = "privoxy"
        description = "The daemon privoxy, a web proxy that filters pages and can pass on to SOCKS, most often to Tor."
        help = "It turns programs that know only web proxies into clients of Tor or another SOCKS proxy. Remove the package privoxy."
        references = "https://www.privoxy.org/"
        attack = "T1090"
    strings:
        $1 = "-crunch-if-none-match"
        $2 = "edit-actions-list-button"
        $3 = "Continue hack in da house."
        $4 = "Last-Modified header got lost, boohoo"
        $5 = "+client-header-tagger"
        $6 = "-handle-as-empty-document"
        $7 = "http://config.privoxy.org/"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_polipo
{
    meta:
        id = "tunnel/program-polipo"
        name = "Polipo, a caching web proxy"
        severity = "note"
        class = "program"
        tool = "polipo"
        description = "The daemon polipo, a web proxy that can pass on to SOCKS, most often to Tor."
        help = "It turns programs that know only web proxies into clients of Tor or another SOCKS proxy. Remove the package polipo."
        references = "https://www.irif.fr/~jch/software/polipo/"
        attack = "T1090"
    strings:
        $1 = "-x: perform expiry on the disk cache"
        $2 = "File with pid of running daemon."
        $3 = "Couldn't parse CONNECT."
        $4 = "Couldn't allocate tunnel."
        $5 = "/etc/polipo/config"
        $6 = "~/.polipo"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_squid
{
    meta:
        id = "tunnel/program-squid"
        name = "Squid, a caching web proxy"
        severity = "note"
        class = "program"
        tool = "squid"
        description = "The daemon squid."
        help = "Many a sandbox is meant to speak to a Squid outside; inside one it lends the sandbox's network to whoever may use it. Remove the package squid unless it is the proxy's own image."
        references = "https://www.squid-cache.org/"
        attack = "T1090"
    strings:
        $1 = "rogue data conn? ctrl: "
        $2 = "peerDigestSetCheck: will check peer "
        $3 = "'cache_effective_user' option in the config file"
        $4 = "immediate SslBump error"
        $5 = "entry aborted while processing HEAD"
        $6 = "authDigestNonceUnlink"
        $7 = "tcp_outgoing_dscp"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_haproxy
{
    meta:
        id = "tunnel/program-haproxy"
        name = "HAProxy, a proxy that spreads load"
        severity = "note"
        class = "program"
        tool = "haproxy"
        description = "The daemon haproxy, a TCP and HTTP proxy."
        help = "It takes connections and passes them on wherever its configuration says. Remove the package haproxy unless it is the balancer's own image."
        references = "https://www.haproxy.org/"
        attack = "T1090"
    strings:
        $1 = "unknown keyword '%s' out of section."
        $2 = "http-send-name-header"
        $3 = "Ignoring incomplete line from agent"
        $4 = "resolves again but remains in maintenance"
        $5 = "use-server rule failed to parse log-format"
        $6 = "number of per-process connections (configured or imposed by Ulimit-n)"
        $7 = "Total number of connections on this worker process since started"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_pound
{
    meta:
        id = "tunnel/program-pound"
        name = "Pound, a reverse proxy"
        severity = "note"
        class = "program"
        tool = "pound"
        description = "The daemon pound, which takes HTTP and HTTPS and passes it on to other hosts."
        help = "A sandbox seldom serves; a listener that hands connections on is a way in. Remove the package pound unless the sandbox is a web server."
        references = "https://github.com/graygnuorg/pound"
        attack = "T1090"
    strings:
        $01 = "Backend %s resurrected"
        $02 = "BackEnd %s resurrected"
        $03 = "/var/run/pound.pid"
        $04 = "WorkerMinCount is greater than WorkerMaxCount"
        $05 = "ConfigText statement overrides prior ConfigFile"
        $06 = "CAList may only be used after Cert"
        $07 = "pound_backend_request_time_avg_nanoseconds"
        $08 = "/etc/pound/pound.yaml"
        $09 = "Backend: can't receive from queue socket"
        $10 = "HTTP/2 preamble premature EOF"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_cntlm
{
    meta:
        id = "tunnel/program-cntlm"
        name = "Cntlm, a proxy that logs in at a proxy"
        severity = "note"
        class = "program"
        tool = "cntlm"
        description = "The program cntlm, which logs in at a corporate web proxy with NTLM and offers the way through it, with tunnels and SOCKS."
        help = "Programs that could not pass the proxy now can, with a password that lies in its configuration. Remove the package cntlm and the password."
        references = "https://cntlm.sourceforge.net/"
        attack = "T1090"
    strings:
        $1 = "Ok CONNECT response. Tunneling..."
        $2 = "Can be used for direct tunneling without corkscrew"
        $3 = "scanner_hook: ISA id = %s"
        $4 = "headers_recv: Unknown header (%s)."
        $5 = "Web server reply missing NTLM challenge"
        $6 = "Basic realm=\"Cntlm Proxy\""
        $7 = "Invalid tunnel target: %s:%s"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}

rule tunnel_program_mitmproxy
{
    meta:
        id = "tunnel/program-mitmproxy"
        name = "mitmproxy, which reads TLS in the middle"
        severity = "note"
        class = "program"
        tool = "mitmproxy"
        description = "The script that starts mitmproxy, mitmdump or mitmweb."
        help = "It reads and changes what the sandbox's programs say in confidence if its authority is trusted, and is a proxy for others. Remove it with pip uninstall mitmproxy and delete ~/.mitmproxy."
        references = "https://mitmproxy.org/"
        attack = "T1090"
    strings:
        $1 = "from mitmproxy.tools.main import mitm"
        $2 = "EASY-INSTALL-ENTRY-SCRIPT: 'mitmproxy=="
        $3 = "load_entry_point('mitmproxy=="
    condition:
        uint16(0) == 0x2123 and any of them
}

// What takes other programs through a proxy.

rule tunnel_program_proxychains_ng
{
    meta:
        id = "tunnel/program-proxychains-ng"
        name = "ProxyChains, which takes programs through proxies"
        severity = "note"
        class = "program"
        tool = "proxychains-ng"
        description = "The program or the library of proxychains or proxychains-ng, which takes the connections of other programs through a chain of proxies."
        help = "Programs that know nothing of proxies leave through them. Remove the packages proxychains4 and libproxychains4 (proxychains, libproxychains3)."
        references = "https://github.com/rofl0r/proxychains-ng"
        attack = "T1090"
    strings:
        $1 = "PROXYCHAINS_CONF_FILE"
        $2 = "PROXYCHAINS_QUIET_MODE"
        $3 = "proxychains_resolver"
        $4 = "proxychains_got_chain_data"
        $5 = "[proxychains] config file found"
        $6 = "[proxychains] DLL init"
        $7 = "!!!need more proxies!!!"
        $8 = "/etc/proxychains.conf"
        $preload = "libproxychains.so"
        $version = "echo \"ProxyChains-"
    condition:
        (uint32(0) == 0x464c457f and 3 of ($1, $2, $3, $4, $5, $6, $7, $8)) or (uint16(0) == 0x2123 and $preload and $version)
}

rule tunnel_program_tsocks
{
    meta:
        id = "tunnel/program-tsocks"
        name = "tsocks, which takes programs through SOCKS"
        severity = "note"
        class = "program"
        tool = "tsocks"
        description = "The library libtsocks or the script tsocks, which take the connections of other programs through a SOCKS proxy."
        help = "Programs that know nothing of proxies leave through one. Remove the package tsocks."
        references = "https://tsocks.sourceforge.net/"
        attack = "T1090"
    strings:
        $1 = "Need a password in tsocks.conf or $TSOCKS_PASSWORD"
        $2 = "SOCKS server %s (%s) is not on a local subnet!"
        $3 = "Intercepted call to select with %d fds"
        $4 = "using /etc/tsocks.conf instead"
        $5 = "Call to connect received on failed request"
        $6 = "Have event checks for socks enabled socket %d"
        $7 = "No requests waiting, calling real select"
        $library = "LD_PRELOAD=\"libtsocks.so"
        $manual = "Please see tsocks(1) or read comment at top of $0"
    condition:
        (uint32(0) == 0x464c457f and 3 of ($1, $2, $3, $4, $5, $6, $7)) or (uint16(0) == 0x2123 and $library and $manual)
}

rule tunnel_program_torsocks
{
    meta:
        id = "tunnel/program-torsocks"
        name = "torsocks, which takes programs through Tor"
        severity = "note"
        class = "program"
        tool = "torsocks"
        description = "The library libtorsocks or the script torsocks, which take the connections of other programs through Tor."
        help = "Programs that know nothing of proxies leave through Tor, names included. Remove the package torsocks."
        references = "https://gitlab.torproject.org/tpo/core/torsocks"
        attack = "T1090"
    strings:
        $1 = "TORSOCKS_ISOLATE_PID"
        $2 = "TORSOCKS_CONF_FILE"
        $3 = "ERROR torsocks[%ld]: "
        $4 = "tsocks_onion_pool"
        $5 = "tsocks_tor_resolve_ptr"
        $6 = "setup_tor_connection"
        $library = "LIB_NAME=\"libtorsocks\""
        $again = "Try re-installing torsocks."
    condition:
        (uint32(0) == 0x464c457f and 3 of ($1, $2, $3, $4, $5, $6)) or (uint16(0) == 0x2123 and $library and $again)
}

rule tunnel_program_redsocks
{
    meta:
        id = "tunnel/program-redsocks"
        name = "redsocks, which takes a whole host through a proxy"
        severity = "note"
        class = "program"
        tool = "redsocks"
        description = "The daemon redsocks, to which the firewall redirects connections and which takes them through a SOCKS or web proxy."
        help = "All that leaves the sandbox goes to one proxy, whatever the programs think. Remove the package redsocks and take CAP_NET_ADMIN away."
        references = "https://github.com/darkk/redsocks"
        attack = "T1090"
    strings:
        $1 = "redudp_read_auth_reply"
        $2 = "httpr_toss_http_firstline"
        $3 = "getdestaddr_iptables"
        $4 = "redsplice_client_read"
        $5 = "There are already %u packets in queue. Dropping."
        $6 = "HTTP Proxy auth required, but no <%s> header found"
        $7 = "/etc/redsocks.conf"
    condition:
        uint32(0) == 0x464c457f and 3 of them
}
