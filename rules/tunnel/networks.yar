// Tunnels to servers outside, virtual networks and terminals for others, known by what the programs say: usage, messages
// and packages of their own. A few of a tool's strings suffice, so that other versions, builds and names are known too.

rule tunnel_program_bore_cli
{
    meta:
        id = "tunnel/program-bore-cli"
        name = "bore, which publishes a local port through bore.pub"
        severity = "note"
        class = "program"
        tool = "bore-cli"
        description = "Messages of bore, which publishes a local port through bore.pub."
        help = "It calls out to a server and lets whoever comes to that server reach into the sandbox. Remove it; publish a port where the sandbox is started."
        references = "https://github.com/ekzhang/bore"
        attack = "T1572"
    strings:
        $1 = "server requires secret, but no secret was provided"
        $2 = "server requires authentication, but no client secret was provided"
        $3 = "client port number not in allowed range"
        $4 = "expected authentication challenge, but no secret was required"
        $5 = "unexpected initial non-hello message"
        $6 = "BORE_SERVER"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_boringproxy
{
    meta:
        id = "tunnel/program-boringproxy"
        name = "boringproxy, which publishes a local port through a server"
        severity = "note"
        class = "program"
        tool = "boringproxy"
        description = "Types of boringproxy, which publishes a local port through a server."
        help = "It calls out to a server and lets whoever comes to that server reach into the sandbox. Remove it; publish a port where the sandbox is started."
        references = "https://boringproxy.io"
        attack = "T1572"
    strings:
        $1 = "*boringproxy.TunnelManager"
        $2 = "*boringproxy.DbClient"
        $3 = "*boringproxy.PassthroughListener"
        $4 = "*boringproxy.WebUiHandler"
        $5 = "*boringproxy.TokenData"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_chisel
{
    meta:
        id = "tunnel/program-chisel"
        name = "chisel, TCP and UDP through HTTP"
        severity = "note"
        class = "program"
        tool = "chisel"
        description = "Help texts of chisel, TCP and UDP through HTTP."
        help = "It calls out to a server and lets whoever comes to that server reach into the sandbox. Remove it; publish a port where the sandbox is started."
        references = "https://github.com/jpillora/chisel"
        attack = "T1572"
    strings:
        $1 = "server - runs chisel in server mode"
        $2 = "client - runs chisel in client mode"
        $3 = "chisel-v3"
        $4 = "<server> is the URL to the chisel server."
        $5 = "When the chisel server has --reverse enabled, remotes can"
        $6 = "github.com/jpillora/chisel/share"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_cjdns
{
    meta:
        id = "tunnel/program-cjdns"
        name = "cjdroute, an encrypted IPv6 overlay"
        severity = "note"
        class = "program"
        tool = "cjdns"
        description = "Texts of cjdroute, an encrypted IPv6 overlay."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://github.com/cjdelisle/cjdns"
        attack = "T1572"
    strings:
        $1 = "Counter-intuitively, cjdns is *more* secure if it is started as root because"
        $2 = "System for tunneling IPv4 and ICANN IPv6 through cjdns."
        $3 = "f64hfl7c4uxt6krmhPutTheRealAddressOfANodeHere7kfm5m0.k"
        $4 = "is a tool which uses this admin interface to get logs from cjdns."
        $5 = "The interface which is used for connecting to the cjdns network."
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_cloudflared
{
    meta:
        id = "tunnel/program-cloudflared"
        name = "cloudflared, which publishes a local port through Cloudflare"
        severity = "note"
        class = "program"
        tool = "cloudflared"
        description = "Texts of cloudflared, which publishes a local port through Cloudflare."
        help = "Without an account it gives a port of the sandbox a public address within seconds, past every rule about incoming connections. Remove it; publish a port where the sandbox is started."
        references = "https://github.com/cloudflare/cloudflared"
        attack = "T1572"
    strings:
        $1 = "Requesting new quick Tunnel on trycloudflare.com"
        $2 = "Thank you for trying Cloudflare Tunnel. Doing so, without a Cloudflare account,"
        $3 = "Cloudflare's command-line tool and agent"
        $4 = "cloudflared connects your machine or user identity to Cloudflare's global network."
        $5 = "certificate generated for your origin when you run cloudflared login."
        $6 = "Your installation of cloudflared software constitutes a symbol of your signature"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_devtunnel
{
    meta:
        id = "tunnel/program-devtunnel"
        name = "devtunnel, which publishes a local port through Microsoft's servers"
        severity = "note"
        class = "program"
        tool = "devtunnel"
        description = "Assemblies of devtunnel, which publishes a local port through Microsoft's servers."
        help = "It calls out to a server and lets whoever comes to that server reach into the sandbox. Remove it; publish a port where the sandbox is started."
        references = "https://learn.microsoft.com/azure/developer/dev-tunnels/"
        attack = "T1572"
    strings:
        $1 = "devtunnel.dll"
        $2 = "Microsoft.DevTunnels.Connections"
        $3 = "Microsoft.DevTunnels.Management"
        $4 = "Microsoft.DevTunnels.Contracts"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_dnscat2
{
    meta:
        id = "tunnel/program-dnscat2"
        name = "dnscat2's client, a shell over DNS"
        severity = "note"
        class = "program"
        tool = "dnscat2"
        description = "Messages of dnscat2's client, a shell over DNS."
        help = "It gives a shell in the sandbox to whoever runs its server, through DNS, which most sandboxes let out. Find out how it came here, and remove it."
        references = "https://github.com/iagox86/dnscat2"
        attack = "T1572"
    strings:
        $1 = "Encrypted session established! For added security, please verify the server also displays this string:"
        $2 = "The server doesn't want to encrypt the session (or ran into an error)!"
        $3 = "There isn't enough room in this protocol to encrypt packets!"
        $4 = "You didn't pass any valid DNS types to use! Allowed types are "
        $5 = "Couldn't hex-decode the name (contains non-hex characters): %s"
        $6 = "The response didn't contain the domain name: %s"
        $7 = "OUTPUT: DNS tunnel to %s"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_dnstt
{
    meta:
        id = "tunnel/program-dnstt"
        name = "dnstt, a tunnel through DNS and DNS over HTTPS"
        severity = "note"
        class = "program"
        tool = "dnstt"
        description = "Texts of dnstt, a tunnel through DNS and DNS over HTTPS."
        help = "Most sandboxes let DNS out, and it hides all else in DNS. Remove it, and let only a resolver of yours answer."
        references = "https://www.bamsoftware.com/software/dnstt/"
        attack = "T1572"
    strings:
        $1 = "-pubkey-file PUBKEYFILE DOMAIN LOCALADDR"
        $2 = "the -pubkey or -pubkey-file option is required"
        $3 = "only one of -doh, -dot, and -udp may be given"
        $4 = "DOMAIN UPSTREAMADDR"
        $5 = "www.bamsoftware.com/git/dnstt.git/turbotunnel"
        $6 = "too little space for downstream payload"
    condition:
        uint32(0) == 0x464C457F and 2 of them
}

rule tunnel_program_fastd
{
    meta:
        id = "tunnel/program-fastd"
        name = "fastd, a small tunnelling daemon"
        severity = "note"
        class = "program"
        tool = "fastd"
        description = "Messages of fastd, a small tunnelling daemon."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://github.com/neocturne/fastd"
        attack = "T1572"
    strings:
        $1 = "Configure a socket to get fastd's status"
        $2 = "--on-disestablish <command>"
        $3 = "'secure handshakes' configuration is deprecated"
        $4 = "Sets the syslog identification; default is 'fastd'"
        $5 = "Sets a shell command to execute to check a connection attempt by an unknown peer"
        $6 = "error: MTU configuration differs with peer"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_frp
{
    meta:
        id = "tunnel/program-frp"
        name = "frpc and frps, which publish a local port through a server"
        severity = "note"
        class = "program"
        tool = "frp"
        description = "Messages of frpc and frps, which publish a local port through a server."
        help = "It calls out to a server and lets whoever comes to that server reach into the sandbox. Remove it; publish a port where the sandbox is started."
        references = "https://github.com/fatedier/frp"
        attack = "T1572"
    strings:
        $1 = "frpc is the client of frp (https://github.com/fatedier/frp)"
        $2 = "frps is the server of frp (https://github.com/fatedier/frp)"
        $3 = "start frpc service for config file [%s]"
        $4 = "frps started successfully"
        $5 = "login to server success, get run id [%s]"
        $6 = "Hot-Reload frpc configuration"
    condition:
        uint32(0) == 0x464C457F and 2 of them
}

rule tunnel_program_gost
{
    meta:
        id = "tunnel/program-gost"
        name = "GOST, a proxy of many protocols that can be chained"
        severity = "note"
        class = "program"
        tool = "gost"
        description = "Texts of GOST, a proxy of many protocols that can be chained."
        help = "Through it connections go where the sandbox's rules about destinations did not mean them to go. Remove it, or find out what needs it."
        references = "https://gost.run"
        attack = "T1090"
    strings:
        $1 = "forward address, can make a forward chain"
        $2 = "listen address, can listen on multiple ports"
        $3 = "github.com/ginuerzh/gost"
        $4 = "gost %s (%s"
        $5 = "chain node list"
        $6 = "output format, one of yaml|json format"
        $7 = "github.com/go-gost/x/"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_gotty
{
    meta:
        id = "tunnel/program-gotty"
        name = "GoTTY, which serves a terminal to web browsers"
        severity = "note"
        class = "program"
        tool = "gotty"
        description = "Texts of GoTTY, which serves a terminal to web browsers."
        help = "Whoever reaches its port gets a terminal in the sandbox. Remove it; use the sandbox's own way in."
        references = "https://github.com/sorenisanerd/gotty"
        attack = "T1219"
    strings:
        $1 = "Share your terminal as a web application"
        $2 = "var gotty_auth_token = "
        $3 = "Maximum connection to gotty"
        $4 = "GOTTY_CONFIG"
        $5 = "static/js/gotty.js"
        $6 = "default:\"~/.gotty.key\""
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_gsocket
{
    meta:
        id = "tunnel/program-gsocket"
        name = "gs-netcat and its kin, which meet through a public relay and need no open port"
        severity = "note"
        class = "program"
        tool = "gsocket"
        description = "Messages of gs-netcat and its kin, which meet through a public relay and need no open port."
        help = "Two programs that know the same secret meet through a public relay: a shell or a port of the sandbox is open to whoever knows it, with no port listening. Remove it; look for its secret in startup files."
        references = "https://www.gsocket.io"
        attack = "T1572"
    strings:
        $elf_1 = "GSOCKET_SOCKS_IP"
        $elf_2 = "GSOCKET_ARGS"
        $elf_3 = "GSOCKET_SECRET"
        $elf_4 = "gs-netcat [C-%u]"
        $elf_5 = "gs-netcat [S-%u]"
        $elf_6 = "GS_portrange_is_match"
        $elf_7 = "$ gs-netcat -s MySecret -l -i"
        $elf_8 = "GSOCKET_SOCKS_PORT"
        $elf_9 = "ProxyCommand='gs-netcat -s MySecret'"
        $script_1 = "GS_HIJACK_PORTS"
        $script_2 = "GSOCKET_SOCKS_IP"
        $script_3 = "GS_NETCAT_BIN"
        $script_4 = "gs_funcs\" 2>/dev/null"
        $script_5 = "GSOCKET_SECRET="
    condition:
        (uint32(0) == 0x464C457F and 3 of ($elf_*)) or (uint16(0) == 0x2123 and 2 of ($script_*))
}

rule tunnel_program_headscale
{
    meta:
        id = "tunnel/program-headscale"
        name = "Headscale, which steers a network of Tailscale clients"
        severity = "note"
        class = "program"
        tool = "headscale"
        description = "Texts of Headscale, which steers a network of Tailscale clients."
        help = "With it a machine in the sandbox tells others which network to join. Remove it; a control server belongs outside of the sandbox."
        references = "https://github.com/juanfont/headscale"
        attack = "T1572"
    strings:
        $1 = "headscale - a Tailscale control server"
        $2 = "headscale is an open source implementation of the Tailscale control server"
        $3 = "config file (default is /etc/headscale/config.yaml)"
        $4 = "HEADSCALE_CONFIG"
        $5 = "github.com/juanfont/headscale/hscontrol"
        $6 = "An updated version of Headscale has been found"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_hysteria
{
    meta:
        id = "tunnel/program-hysteria"
        name = "Hysteria, a proxy through QUIC"
        severity = "note"
        class = "program"
        tool = "hysteria"
        description = "Texts of Hysteria, a proxy through QUIC."
        help = "Through it connections go where the sandbox's rules about destinations did not mean them to go. Remove it, or find out what needs it."
        references = "https://github.com/apernet/hysteria"
        attack = "T1090"
    strings:
        $1 = "a powerful, censorship-resistant proxy tool optimized for lossy networks"
        $2 = "Aperture Internet Laboratory <https://github.com/apernet>"
        $3 = "HYSTERIA_LOG_LEVEL"
        $4 = "HYSTERIA_LOG_FORMAT"
        $5 = "use this URI to share your server"
        $6 = "$HOME/.hysteria"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_i2p
{
    meta:
        id = "tunnel/program-i2p"
        name = "I2P, the Java router of the I2P network"
        severity = "note"
        class = "program"
        tool = "i2p"
        description = "Classes of I2P, the Java router of the I2P network."
        help = "In I2P a service has a hidden address, and a client's traffic leaves through other people's computers. Remove it; nothing in a sandbox needs it."
        references = "https://geti2p.net"
        attack = "T1572"
    strings:
        $1 = "net/i2p/router/Router.class"
        $2 = "net/i2p/router/RouterContext.class"
        $3 = "net/i2p/router/tunnel/TunnelDispatcher.class"
    condition:
        uint32(0) == 0x04034B50 and 2 of them
}

rule tunnel_program_i2pd
{
    meta:
        id = "tunnel/program-i2pd"
        name = "i2pd, a router of the I2P network"
        severity = "note"
        class = "program"
        tool = "i2pd"
        description = "Messages of i2pd, a router of the I2P network."
        help = "In I2P a service has a hidden address, and a client's traffic leaves through other people's computers. Remove it; nothing in a sandbox needs it."
        references = "https://i2pd.website"
        attack = "T1572"
    strings:
        $1 = "<title>I2Pd HTTP proxy</title>"
        $2 = "I2P client tunnels created"
        $3 = "I2P server tunnels created"
        $4 = "<b>i2pd</b>"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_inlets
{
    meta:
        id = "tunnel/program-inlets"
        name = "inlets, which publishes a local port through a server"
        severity = "note"
        class = "program"
        tool = "inlets"
        description = "Texts of inlets, which publishes a local port through a server."
        help = "It calls out to a server and lets whoever comes to that server reach into the sandbox. Remove it; publish a port where the sandbox is started."
        references = "https://inlets.dev"
        attack = "T1572"
    strings:
        $1 = "Inlets combines a reverse proxy and websocket tunnels to expose your internal"
        $2 = "Expose your local endpoints to the Internet."
        $3 = "github.com/inlets/inlets/pkg/"
        $4 = "inlets client --remote="
    condition:
        uint32(0) == 0x464C457F and 2 of them
}

rule tunnel_program_innernet
{
    meta:
        id = "tunnel/program-innernet"
        name = "innernet, a network of WireGuard peers"
        severity = "note"
        class = "program"
        tool = "innernet"
        description = "Messages of innernet, a network of WireGuard peers."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://github.com/tonarino/innernet"
        attack = "T1572"
    strings:
        $1 = "An existing innernet network with the name \""
        $2 = "Changing keys and waiting 5s for server's WireGuard interface to transition."
        $3 = "Failed to redeem invite. Now's a good time to make sure the server is started and accessible!"
        $4 = "Interface is not up. Use 'innernet up "
        $5 = "systemctl enable --now innernet@"
    condition:
        uint32(0) == 0x464C457F and 2 of them
}

rule tunnel_program_iox
{
    meta:
        id = "tunnel/program-iox"
        name = "iox, which forwards ports and proxies through a host"
        severity = "note"
        class = "program"
        tool = "iox"
        description = "Texts of iox, which forwards ports and proxies through a host."
        help = "It makes of the sandbox a stepping stone into the networks behind it. Find out how it came here, and remove it."
        references = "https://github.com/EddieIvan01/iox"
        attack = "T1090"
    strings:
        $1 = "Roaming intranet easier (https://github.com/eddieivan01/iox)"
        $2 = "Usage: iox fwd/proxy [-l"
        $3 = "hexadecimal format key, be used to generate Key and IV"
        $4 = "address to listen on. `*` means encrypted socket"
    condition:
        uint32(0) == 0x464C457F and 2 of them
}

rule tunnel_program_isatapd
{
    meta:
        id = "tunnel/program-isatapd"
        name = "isatapd, which keeps an ISATAP tunnel of IPv6 up"
        severity = "note"
        class = "program"
        tool = "isatapd"
        description = "Messages of isatapd, which keeps an ISATAP tunnel of IPv6 up."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://www.saschahlusiak.de/linux/isatap.htm"
        attack = "T1572"
    strings:
        $1 = "waiting for router %s to become reachable..."
        $2 = "Adding internal PDR %s"
        $3 = "(Not soliciting %s anymore)"
        $4 = "--nopmtudisc depends on --ttl inherit!"
        $5 = "interval to perform router solicitation"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_libreswan
{
    meta:
        id = "tunnel/program-libreswan"
        name = "Libreswan's pluto, an IKE daemon"
        severity = "note"
        class = "program"
        tool = "libreswan"
        description = "Messages of Libreswan's pluto, an IKE daemon."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://libreswan.org"
        attack = "T1572"
    strings:
        $1 = "/programs/pluto/connections.c"
        $2 = "/programs/pluto/addresspool.c"
        $3 = "$PLUTO_CRYPTO_HELPER_DELAY malformed: %s"
        $4 = "; a food group"
        $5 = "large long duration clamped to: %u"
        $6 = "%s/pluto.ctl"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_ligolo_ng
{
    meta:
        id = "tunnel/program-ligolo-ng"
        name = "Ligolo-ng's agent and proxy, which hand a network on"
        severity = "note"
        class = "program"
        tool = "ligolo-ng"
        description = "Messages of Ligolo-ng's agent and proxy, which hand a network on."
        help = "It makes of the sandbox a stepping stone into the networks behind it. Find out how it came here, and remove it."
        references = "https://github.com/nicocha30/ligolo-ng"
        attack = "T1090"
    strings:
        $1 = "ignore TLS certificate validation (dangerous), only for debug purposes"
        $2 = "please, specify the target host user -connect host:port"
        $3 = "invalid connect address, please use host:port"
        $4 = "invalid or unexistant SockID"
        $5 = "Got connect request to %s:%d"
        $6 = "by @Nicocha30!"
        $7 = "ligolo-selfcerts"
        $8 = "beware of CTI, SOC and IoC!"
        $9 = "automatically request letsencrypt certificates, requires port 80 to be accessible"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_localtunnel
{
    meta:
        id = "tunnel/program-localtunnel"
        name = "localtunnel, which publishes a local port through localtunnel.me"
        severity = "note"
        class = "program"
        tool = "localtunnel"
        description = "Messages of localtunnel, which publishes a local port through localtunnel.me."
        help = "It calls out to a server and lets whoever comes to that server reach into the sandbox. Remove it; publish a port where the sandbox is started."
        references = "https://github.com/localtunnel/localtunnel"
        attack = "T1572"
    strings:
        $const = "\nconst "
        $var = "\nvar "
        $text_1 = "localtunnel server returned an error, please try again"
        $text_2 = "tunnel server offline: "
        $text_3 = "got tunnel information"
        $text_4 = "localtunnel:client"
        $text_5 = "Upstream server providing forwarding"
        $text_6 = "Tunnel traffic to a local HTTPS server"
        $text_7 = "Usage: lt --port [num] <options>"
        $text_8 = "establishing tunnel %s://%s:%s to %s:%s"
    condition:
        (uint16(0) == 0x2123 or $const or $var) and 3 of ($text_*)
}

rule tunnel_program_mosh
{
    meta:
        id = "tunnel/program-mosh"
        name = "mosh, mosh-client and mosh-server: a remote shell over UDP"
        severity = "note"
        class = "program"
        tool = "mosh"
        description = "Messages of mosh, mosh-client and mosh-server: a remote shell over UDP."
        help = "Whoever has the link or the key gets a terminal in the sandbox from afar. Remove it; use the sandbox's own way in."
        references = "https://mosh.org"
        attack = "T1021.004"
    strings:
        $elf_1 = "mosh protocol version mismatch"
        $elf_2 = "MOSH_SERVER_NETWORK_TMOUT is negative, ignoring"
        $elf_3 = "Copyright 2012 Keith Winstein <mosh-devel@mit.edu>"
        $elf_4 = "mosh-server needs a UTF-8 native locale to run."
        $elf_5 = "mosh-client needs a UTF-8 native locale to run."
        $elf_6 = "MOSH_PREDICTION_DISPLAY"
        $elf_7 = "Network::FragmentAssembly::add_fragment"
        $script_1 = "my $server = 'mosh-server';"
        $script_2 = "my $client = 'mosh-client';"
        $script_3 = "MOSH CONNECT"
        $script_4 = "--experimental-remote-ip"
    condition:
        (uint32(0) == 0x464C457F and 3 of ($elf_*)) or (uint16(0) == 0x2123 and 3 of ($script_*))
}

rule tunnel_program_n2n
{
    meta:
        id = "tunnel/program-n2n"
        name = "n2n's edge and supernode, a virtual network from peer to peer"
        severity = "note"
        class = "program"
        tool = "n2n"
        description = "Messages of n2n's edge and supernode, a virtual network from peer to peer."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://github.com/ntop/n2n"
        attack = "T1572"
    strings:
        $1 = "Welcome to n2n v.%s for %s"
        $2 = "### Tx N2N Msg -> network"
        $3 = "Supernode ready: listening on port %d [TCP/UDP]"
        $4 = "nable packet forwarding through n2n community"
        $5 = "n2n community name the edge belongs to"
        $6 = "federation public key for user-password authentication"
        $7 = "do not connect p2p, always use the supernode,"
    condition:
        uint32(0) == 0x464C457F and 2 of them
}

rule tunnel_program_nebula
{
    meta:
        id = "tunnel/program-nebula"
        name = "Nebula, a mesh of virtual networks"
        severity = "note"
        class = "program"
        tool = "nebula"
        description = "Messages of Nebula, a mesh of virtual networks."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://github.com/slackhq/nebula"
        attack = "T1572"
    strings:
        $1 = "lighthouse.am_lighthouse enabled on node but no port number is set in config"
        $2 = "Sending a nebula test packet to vpn ip"
        $3 = "Lighthouse update triggered for punch due to rebind counter"
        $4 = "Nebula interface is active"
        $5 = "Changing punchy.punch with reload is not supported, ignoring."
        $6 = "lighthouse %s does not have a static_host_map entry"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_netbird
{
    meta:
        id = "tunnel/program-netbird"
        name = "NetBird, a mesh of WireGuard tunnels"
        severity = "note"
        class = "program"
        tool = "netbird"
        description = "Texts of NetBird, a mesh of WireGuard tunnels."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://github.com/netbirdio/netbird"
        attack = "T1572"
    strings:
        $1 = "Netbird config file location"
        $2 = "sets Netbird log level"
        $3 = "Setup key obtained from the Management Service Dashboard (used to register peer)"
        $4 = "github.com/netbirdio/netbird/client/cmd"
        $5 = "github.com/netbirdio/netbird/client/internal"
        $6 = "installs Netbird service"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_ngrok
{
    meta:
        id = "tunnel/program-ngrok"
        name = "ngrok's agent, which publishes a local port through ngrok's servers"
        severity = "note"
        class = "program"
        tool = "ngrok"
        description = "Packages and texts of ngrok's agent, which publishes a local port through ngrok's servers."
        help = "It gives a port of the sandbox a public address, past every rule about incoming connections. Remove it, and the authtoken in ngrok.yml with it; publish a port where the sandbox is started."
        references = "https://ngrok.com"
        attack = "T1572"
    strings:
        $1 = "go.ngrok.com/cmd/ngrok"
        $2 = "ngrok secure tunnel client"
        $3 = "ngrok is not yet ready to start tunnels"
        $4 = "a successful ngrok tunnel session has not yet been established"
        $5 = "save authtoken to configuration file"
        $6 = "ngrok config add-authtoken"
    condition:
        uint32(0) == 0x464C457F and 2 of them
}

rule tunnel_program_nps
{
    meta:
        id = "tunnel/program-nps"
        name = "nps and npc, which publish a local port through a server"
        severity = "note"
        class = "program"
        tool = "nps"
        description = "Messages of nps and npc, which publish a local port through a server."
        help = "It calls out to a server and lets whoever comes to that server reach into the sandbox. Remove it; publish a port where the sandbox is started."
        references = "https://github.com/ehang-io/nps"
        attack = "T1572"
    strings:
        $1 = "NPC_SERVER_VKEY"
        $2 = "NPC_SERVER_ADDR"
        $3 = "the version of client is %s, the core version of client is %s"
        $4 = "npc: panic serving %v: %v"
        $5 = "the version of server is %s ,allow client"
        $6 = "Getting bridge_port error"
        $7 = "nps: panic serving %v: %v"
    condition:
        uint32(0) == 0x464C457F and 2 of them
}

rule tunnel_program_ocserv
{
    meta:
        id = "tunnel/program-ocserv"
        name = "ocserv, an OpenConnect VPN server"
        severity = "note"
        class = "program"
        tool = "ocserv"
        description = "Messages of ocserv, an OpenConnect VPN server."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://ocserv.gitlab.io/www/"
        attack = "T1572"
    strings:
        $1 = "ocserv-secmod"
        $2 = "OCSERV_ALLOW_BROKEN_CLIENTS"
        $3 = "OCSERV_RESTRICT_TO_ROUTES"
        $4 = "%s: received unauthorized request from pid %u and uid %u"
        $5 = "Truncation error in tun name: %s; adjust 'device' option"
        $6 = "possibly a firewall disassociated a UDP session"
        $7 = "Loading a certificate from '%s' is unsupported"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_openconnect
{
    meta:
        id = "tunnel/program-openconnect"
        name = "openconnect, a client for the VPNs of Cisco and others"
        severity = "note"
        class = "program"
        tool = "openconnect"
        description = "Messages of openconnect, a client for the VPNs of Cisco and others."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://www.infradead.org/openconnect/"
        attack = "T1572"
    strings:
        $1 = "For assistance with OpenConnect, please see the web page at"
        $2 = "--force-trojan=INTERVAL"
        $3 = "--external-browser=BROWSER"
        $4 = "--key-password-from-fsid"
        $5 = "Continue in background after startup"
        $6 = "Continuing in background; pid %d"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_openfortivpn
{
    meta:
        id = "tunnel/program-openfortivpn"
        name = "openfortivpn, a client for Fortinet's VPN"
        severity = "note"
        class = "program"
        tool = "openfortivpn"
        description = "Messages of openfortivpn, a client for Fortinet's VPN."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://github.com/adrienverge/openfortivpn"
        attack = "T1572"
    strings:
        $1 = "Client for PPP+SSL VPN tunnel services."
        $2 = "/etc/openfortivpn/config"
        $3 = "--half-internet-routes=<0|1>"
        $4 = "Set if openfortivpn should configure routes"
        $5 = "you can try with the cipher suggested in the output"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_openvpn
{
    meta:
        id = "tunnel/program-openvpn"
        name = "OpenVPN, which joins two networks through TLS"
        severity = "note"
        class = "program"
        tool = "openvpn"
        description = "Messages of OpenVPN, which joins two networks through TLS."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://openvpn.net"
        attack = "T1572"
    strings:
        $1 = "# %d bit OpenVPN static key"
        $2 = "(No IANA name known to OpenVPN, use OpenSSL name.)"
        $3 = "as given by --management-client-group"
        $4 = "variation(s) on previous %d message(s) suppressed by --mute"
        $5 = "TLS Error: tls-crypt unwrapping failed from %s"
        $6 = "Peer Connection Initiated with %s"
        $7 = "Initialization Sequence Completed"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_pagekite
{
    meta:
        id = "tunnel/program-pagekite"
        name = "PageKite, which publishes a local server through pagekite.net"
        severity = "note"
        class = "program"
        tool = "pagekite"
        description = "Messages of PageKite, which publishes a local server through pagekite.net."
        help = "It calls out to a server and lets whoever comes to that server reach into the sandbox. Remove it; publish a port where the sandbox is started."
        references = "https://pagekite.net"
        attack = "T1572"
    strings:
        $import = "\nimport "
        $text_1 = "Beanstalk~Magic~Beans/0.2"
        $text_2 = "TunnelManager: adjusted ping interval"
        $text_3 = "No kites ready to fly.  Waiting..."
        $text_4 = "Kites are flying and all is well."
        $text_5 = "No tunnels configured, closing connection."
        $text_6 = "Failed to send kite request, closing."
        $text_7 = "Failed to parse kite response, closing."
        $text_8 = "Rejecting connection from unrecognized IP"
    condition:
        (uint16(0) == 0x2123 or uint16(2) == 0x0A0D or uint32be(0) == 0x696D706F or $import) and 3 of ($text_*)
}

rule tunnel_program_pgrok
{
    meta:
        id = "tunnel/program-pgrok"
        name = "pgrok and pgrokd, which publish a local port through a server"
        severity = "note"
        class = "program"
        tool = "pgrok"
        description = "Texts of pgrok and pgrokd, which publish a local port through a server."
        help = "It calls out to a server and lets whoever comes to that server reach into the sandbox. Remove it; publish a port where the sandbox is started."
        references = "https://github.com/pgrok/pgrok"
        attack = "T1572"
    strings:
        $1 = "Poor man's ngrok"
        $2 = "Failed to run pgrok"
        $3 = "Failed to connect to server, will reconnect in %s"
        $4 = "query server info rejected: %s"
        $5 = "Shutting down pgrokd..."
        $6 = "pgrokd.yml"
        $7 = "github.com/pgrok/pgrok/internal/"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_pivotnacci
{
    meta:
        id = "tunnel/program-pivotnacci"
        name = "pivotnacci, a SOCKS proxy through a web server"
        severity = "note"
        class = "program"
        tool = "pivotnacci"
        description = "Server pages of pivotnacci, a SOCKS proxy through a web server."
        help = "It makes of the sandbox a stepping stone into the networks behind it. Find out how it came here, and remove it."
        references = "https://github.com/blackarrowsec/pivotnacci"
        attack = "T1090"
    strings:
        $1 = "X-OPERATION"
        $2 = "is_this_an_adequate_agent"
        $3 = "Server Error 500 (Internal Error)"
        $4 = "AGENT_PASSWORD"
        $5 = "SVC_HEADER"
    condition:
        (uint16(0) == 0x3F3C or uint16(0) == 0x253C) and 3 of them
}

rule tunnel_program_ppp
{
    meta:
        id = "tunnel/program-ppp"
        name = "pppd, which carries a network over any pair of pipes"
        severity = "note"
        class = "program"
        tool = "ppp"
        description = "Messages of pppd, which carries a network over any pair of pipes."
        help = "By itself it dials; under ssh or any other pipe it carries a whole network out of the sandbox. Remove it; nothing in a sandbox needs it."
        references = "https://github.com/ppp-project/ppp"
        attack = "T1572"
    strings:
        $1 = "Couldn't determine if PPP is supported (no free ptys)"
        $2 = "Please load the ppp_generic kernel module."
        $3 = "Plugin %s is for pppd version %s, this is %s"
        $4 = "Couldn't set up demand-dialled PPP interface: %m"
        $5 = "Couldn't attach to PPP unit %d: %m"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_pproxy
{
    meta:
        id = "tunnel/program-pproxy"
        name = "pproxy, a proxy of many protocols"
        severity = "note"
        class = "program"
        tool = "pproxy"
        description = "Messages of pproxy, a proxy of many protocols."
        help = "Through it connections go where the sandbox's rules about destinations did not mean them to go. Remove it, or find out what needs it."
        references = "https://github.com/qwj/python-proxy"
        attack = "T1090"
    strings:
        $import = "\nimport "
        $text_1 = "Supported protocols: http,socks4,socks5,shadowsocks,shadowsocksr,redirect,pf,tunnel"
        $text_2 = "tcp server uri (default: http+socks4+socks5://:8080/)"
        $text_3 = "Missing library: \"pip3 install asyncssh\""
        $text_4 = "ssh server mode unsupported"
        $text_5 = "userinfo must be \"cipher:key\""
    condition:
        (uint16(0) == 0x2123 or uint16(2) == 0x0A0D or uint32be(0) == 0x696D706F or $import) and 3 of ($text_*)
}

rule tunnel_program_pptp_linux
{
    meta:
        id = "tunnel/program-pptp-linux"
        name = "pptp, a PPTP client"
        severity = "note"
        class = "program"
        tool = "pptp-linux"
        description = "Messages of pptp, a PPTP client."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://pptpclient.sourceforge.net"
        attack = "T1572"
    strings:
        $1 = "Work around a buggy PPTP implementation"
        $2 = "Do not launch pppd, for use as a pppd pty"
        $3 = "A generic vendor-specific error occurred in the PAC"
        $4 = "send_accm is %08lX, recv_accm is %08lX"
        $5 = "Enable 'missing window' validation and set packet"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_pptpd
{
    meta:
        id = "tunnel/program-pptpd"
        name = "pptpd, a PPTP server"
        severity = "note"
        class = "program"
        tool = "pptpd"
        description = "Messages of pptpd, a PPTP server."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://poptop.sourceforge.net"
        attack = "T1572"
    strings:
        $1 = "MGR: Bad IP address (%s) in config file!"
        $2 = "MGR: Couldn't create host socket"
        $3 = "CTRL (BCrelay Launcher): Failed to launch BCrelay."
        $4 = "Use broadcast relay for broadcasts coming from."
        $5 = "MGR: Confused in IP parse routines (lost hyphen)"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_quicktun
{
    meta:
        id = "tunnel/program-quicktun"
        name = "QuickTun, a simple encrypted tunnel over UDP"
        severity = "note"
        class = "program"
        tool = "quicktun"
        description = "Messages of QuickTun, a simple encrypted tunnel over UDP."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://github.com/UCIS/QuickTun"
        attack = "T1572"
    strings:
        $1 = "More information: http://wiki.ucis.nl/QuickTun"
        $2 = "Error: prefixed environment variable name is too long"
        $3 = "Decoded control packet: rkid=%d, lkid=%d"
        $4 = "Discarding outgoing packet of %d bytes because encoder is not available"
        $5 = "Could not open PRIVATE_KEY_FILE"
        $6 = "Encryption key calculation failed"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_rathole
{
    meta:
        id = "tunnel/program-rathole"
        name = "rathole, which publishes a local port through a server"
        severity = "note"
        class = "program"
        tool = "rathole"
        description = "Messages of rathole, which publishes a local port through a server."
        help = "It calls out to a server and lets whoever comes to that server reach into the sandbox. Remove it; publish a port where the sandbox is started."
        references = "https://github.com/rathole-org/rathole"
        attack = "T1572"
    strings:
        $1 = "Try to run as a client, but the configuration is missing. Please add the `[client]` block"
        $2 = "Try to run as a server, but the configuration is missing. Please add the `[server]` block"
        $3 = "Failed to listen at `server.bind_addr`"
        $4 = "Dropping previous control channel for service "
        $5 = "Data channel for a stale control channel"
        $6 = "Expect TCP traffic. Please check the configuration."
        $7 = "Failed to read UDPTraffic from the server"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_rclone
{
    meta:
        id = "tunnel/program-rclone"
        name = "rclone, which copies files to storage services: exfiltration rather than a tunnel"
        severity = "note"
        class = "program"
        tool = "rclone"
        description = "Texts of rclone, which copies files to storage services: exfiltration rather than a tunnel."
        help = "It sends files to dozens of storage services. Remove it, or let the sandbox reach only the service that is needed."
        references = "https://rclone.org"
        attack = "T1567.002"
    strings:
        $1 = "Encrypted rclone configuration File"
        $2 = "run `rclone config` and re-configure this backend"
        $3 = "rclone authorize %q"
        $4 = "requires a protocol, e.g. 'rclone serve http remote:'"
        $5 = "no refresh token found - run `rclone config reconnect`"
        $6 = "rclone rc mount/listmounts"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_regeorg
{
    meta:
        id = "tunnel/program-regeorg"
        name = "reGeorg and Neo-reGeorg, a SOCKS proxy through a web server"
        severity = "note"
        class = "program"
        tool = "regeorg"
        description = "Server pages of reGeorg and Neo-reGeorg, a SOCKS proxy through a web server."
        help = "It makes of the sandbox a stepping stone into the networks behind it. Find out how it came here, and remove it."
        references = "https://github.com/L-codes/Neo-reGeorg"
        attack = "T1090"
    strings:
        $1 = "Georg says, 'All seems fine'"
        $2 = "POST request read filed"
        $3 = "\"writebuf\".$mark"
        $4 = "\"readbuf\".$mark"
        $5 = "\"run\".$mark"
        $6 = "No more running, close now"
        $7 = "new byte[]{-54,-2,-70,-66,0,0,0,49,1,-104,10,0,126"
    condition:
        (uint16(0) == 0x3F3C or uint16(0) == 0x253C) and 2 of them
}

rule tunnel_program_revsocks
{
    meta:
        id = "tunnel/program-revsocks"
        name = "revsocks, a reverse SOCKS proxy"
        severity = "note"
        class = "program"
        tool = "revsocks"
        description = "Texts of revsocks, a reverse SOCKS proxy."
        help = "It makes of the sandbox a stepping stone into the networks behind it. Find out how it came here, and remove it."
        references = "https://github.com/kost/revsocks"
        attack = "T1090"
    strings:
        $1 = "revsocks - reverse socks5 server/client"
        $2 = "RocksDefaultRequestRocksDefaultRequestRocksDefaultRequest"
        $3 = "You must specify a listen port or a connect address"
        $4 = "Specified key of incorrect size for DNS (should be 64 in hex)"
        $5 = "Connecting to the far end. Try %d of %d"
        $6 = "Start on the client: revsocks -listen"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_rpivot
{
    meta:
        id = "tunnel/program-rpivot"
        name = "rpivot, a reverse SOCKS proxy"
        severity = "note"
        class = "program"
        tool = "rpivot"
        description = "Messages of rpivot, a reverse SOCKS proxy."
        help = "It makes of the sandbox a stepping stone into the networks behind it. Find out how it came here, and remove it."
        references = "https://github.com/klsecservices/rpivot"
        attack = "T1090"
    strings:
        $import = "\nimport "
        $text_1 = "TUNNELRDY"
        $text_2 = "FORWARD_CONNECTION_FAILURE"
        $text_3 = "CHANNEL_CLOSE_CMD"
        $text_4 = "No response from remote side for {0} seconds. Restarting relay"
        $text_5 = "Channel corresponding to remote socket {0} already closed"
        $text_6 = "Got data to relay from remote side. Channel id {0}."
        $text_7 = "Ntlm proxy established connection"
    condition:
        (uint16(0) == 0x2123 or uint16(2) == 0x0A0D or uint32be(0) == 0x696D706F or $import) and 3 of ($text_*)
}

rule tunnel_program_shellinabox
{
    meta:
        id = "tunnel/program-shellinabox"
        name = "shellinaboxd, which serves a terminal to web browsers"
        severity = "note"
        class = "program"
        tool = "shellinabox"
        description = "Messages of shellinaboxd, which serves a terminal to web browsers."
        help = "Whoever reaches its port gets a terminal in the sandbox. Remove it; use the sandbox's own way in."
        references = "https://github.com/shellinabox/shellinabox"
        attack = "T1219"
    strings:
        $1 = "shellInABox.keyPressReadyStateChange(request)"
        $2 = "shellInABox.messageReceive(message)"
        $3 = "http://shellinabox.com"
        $4 = "'beginusercss'"
        $5 = "this.titleString += 'Shell In A Box'"
        $6 = "{\"session\":\"%s\",\"data\":\"%s\"}"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_sing_box
{
    meta:
        id = "tunnel/program-sing-box"
        name = "sing-box, a proxy of many protocols"
        severity = "note"
        class = "program"
        tool = "sing-box"
        description = "Packages and texts of sing-box, a proxy of many protocols."
        help = "Through it connections go where the sandbox's rules about destinations did not mean them to go. Remove it, or find out what needs it."
        references = "https://sing-box.sagernet.org"
        attack = "T1090"
    strings:
        $1 = "sing-box/cmd/sing-box/cmd_"
        $2 = "sing-box did not close!"
        $3 = "sing-box did not closed properly"
        $4 = "invalid sing-box rule-set file"
        $5 = "(legacy) not supported since sing-box"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_sish
{
    meta:
        id = "tunnel/program-sish"
        name = "sish, an SSH server that publishes ports"
        severity = "note"
        class = "program"
        tool = "sish"
        description = "Texts of sish, an SSH server that publishes ports."
        help = "With it others publish their ports through the sandbox, by SSH. Remove it; a public relay belongs outside of the sandbox."
        references = "https://github.com/antoniomika/sish"
        attack = "T1572"
    strings:
        $1 = "The sish command initializes and runs the sish ssh multiplexer"
        $2 = "sish is a command line utility that implements an SSH server"
        $3 = "/_sish/console?x-authorization="
        $4 = "Append the SSH user to the subdomain. This is useful in multitenant environments"
        $5 = "Force bound HTTP tunnels to use random subdomains instead of user provided ones"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_softether
{
    meta:
        id = "tunnel/program-softether"
        name = "SoftEther VPN's server, client and command line"
        severity = "note"
        class = "program"
        tool = "softether"
        description = "Messages of SoftEther VPN's server, client and command line."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://www.softether.org"
        attack = "T1572"
    strings:
        $1 = "X-VPNADMIN-HUBNAME"
        $2 = "X-VPNADMIN-PASSWORD"
        $3 = "====== SoftEther VPN System Debug Information ======"
        $4 = "Unsupported OS by SoftEther VPN"
        $5 = "DetectIsServerSoftEtherVPN Error."
        $6 = "SoftEther VPN Client RPC Port Open Failed."
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_ssf
{
    meta:
        id = "tunnel/program-ssf"
        name = "ssf, which forwards ports and a SOCKS proxy through TLS"
        severity = "note"
        class = "program"
        tool = "ssf"
        description = "Texts of ssf, which forwards ports and a SOCKS proxy through TLS."
        help = "It makes of the sandbox a stepping stone into the networks behind it. Find out how it came here, and remove it."
        references = "https://securesocketfunneling.github.io/ssf/"
        attack = "T1090"
    strings:
        $1 = "Secure Socket Funneling "
        $2 = "Specify configuration file. If not set, 'config.json' is loaded"
        $3 = "parsing failed: port option is not between 1 - 65536"
        $4 = "client: no hostname provided -- Exiting"
        $5 = "N3ssf8services"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_sshuttle
{
    meta:
        id = "tunnel/program-sshuttle"
        name = "sshuttle, which sends whole networks through SSH"
        severity = "note"
        class = "program"
        tool = "sshuttle"
        description = "Messages of sshuttle, which sends whole networks through SSH."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://github.com/sshuttle/sshuttle"
        attack = "T1572"
    strings:
        $import = "\nimport "
        $text_1 = "Unable to start firewall manager. "
        $text_2 = "All attempts to elevate privileges failed."
        $text_3 = "%s: sshuttle is already running (pid=%d)"
        $text_4 = "expiring dnsreqs channel=%d"
        $text_5 = "failed to establish ssh session (1)"
        $text_6 = "latency control setting = %r"
        $text_7 = "Incoming UDP request channel=%d, cmd=%d"
        $text_8 = "UDP connection channel %d already open"
        $text_9 = "got CMD_ROUTES without got_routes?"
        $text_10 = "got CMD_HOST_REQ without got_host_req?"
        $text_11 = "warning: closed channel %d got cmd=%s len=%d"
    condition:
        (uint16(0) == 0x2123 or uint16(2) == 0x0A0D or uint32be(0) == 0x696D706F or $import) and 3 of ($text_*)
}

rule tunnel_program_sshx
{
    meta:
        id = "tunnel/program-sshx"
        name = "sshx, which shares a terminal through sshx.io"
        severity = "note"
        class = "program"
        tool = "sshx"
        description = "Messages of sshx, which shares a terminal through sshx.io."
        help = "Whoever has the link or the key gets a terminal in the sandbox from afar. Remove it; use the sandbox's own way in."
        references = "https://sshx.io"
        attack = "T1219"
    strings:
        $1 = "received data for non-existing shell"
        $2 = "server asked to create duplicate shell"
        $3 = "received sequence number for non-existing shell"
        $4 = "unreachable: output_tx was closed?"
        $5 = "https://sshx.io"
        $6 = "failed to send shell creation message"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_sstp_client
{
    meta:
        id = "tunnel/program-sstp-client"
        name = "sstpc, a client for Microsoft's SSTP VPN"
        severity = "note"
        class = "program"
        tool = "sstp-client"
        description = "Messages of sstpc, a client for Microsoft's SSTP VPN."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://sstp-client.sourceforge.net"
        attack = "T1572"
    strings:
        $1 = "Can only save server route when run as root"
        $2 = "%s/sstp-pppd.XXXXXX"
        $3 = "--save-server-route      Add route to VPN server"
        $4 = "--priv-dir               The privilege separation directory"
        $5 = "Available sstp options:"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_stowaway
{
    meta:
        id = "tunnel/program-stowaway"
        name = "Stowaway, a chain of proxies through several hosts"
        severity = "note"
        class = "program"
        tool = "stowaway"
        description = "Messages of Stowaway, a chain of proxies through several hosts."
        help = "It makes of the sandbox a stepping stone into the networks behind it. Find out how it came here, and remove it."
        references = "https://github.com/ph4ntonn/Stowaway"
        attack = "T1090"
    strings:
        $1 = "[*] Starting agent node passively.Now listening on port %s"
        $2 = "[*] Starting agent node actively.Connecting to %s"
        $3 = "[*] Starting agent node passively.Now reusing port %s(IPTABLES)"
        $4 = "ReuseHost is not a valid IP addr"
    condition:
        uint32(0) == 0x464C457F and 2 of them
}

rule tunnel_program_strongswan
{
    meta:
        id = "tunnel/program-strongswan"
        name = "strongSwan's charon, an IKE daemon"
        severity = "note"
        class = "program"
        tool = "strongswan"
        description = "Messages of strongSwan's charon, an IKE daemon."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://www.strongswan.org"
        attack = "T1572"
    strings:
        $1 = "Starting IKE charon daemon (strongSwan"
        $2 = "initialization failed - aborting charon"
        $3 = "integrity check of charon failed"
        $4 = "STATUS=Starting charon-systemd, strongSwan"
        $5 = "STATUS=libcharon initialization failed"
        $6 = "STATUS=integrity check of charon-systemd failed"
        $7 = "Starting charon-cmd IKE client (strongSwan"
        $8 = "charon-cmd.port_nat_t"
    condition:
        uint32(0) == 0x464C457F and 2 of them
}

rule tunnel_program_suo5
{
    meta:
        id = "tunnel/program-suo5"
        name = "suo5, a SOCKS proxy through a web server"
        severity = "note"
        class = "program"
        tool = "suo5"
        description = "Texts of suo5, a SOCKS proxy through a web server."
        help = "It makes of the sandbox a stepping stone into the networks behind it. Find out how it came here, and remove it."
        references = "https://github.com/zema1/suo5"
        attack = "T1090"
    strings:
        $1 = "the remote server url, ex: http://localhost:8080/suo5.jsp"
        $2 = "redirect to the url if host not matched, used to bypass load balance"
        $3 = "disable heartbeat to the remote server which will send data every 5s"
        $4 = "inproper buffer size, 512~1024000"
        $5 = "socks5 creds, username:password, leave empty to auto generate"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_tailscale
{
    meta:
        id = "tunnel/program-tailscale"
        name = "tailscale and tailscaled, a mesh of WireGuard tunnels that can publish local ports"
        severity = "note"
        class = "program"
        tool = "tailscale"
        description = "Texts of tailscale and tailscaled, a mesh of WireGuard tunnels that can publish local ports."
        help = "With a key in the image every sandbox joins its owner's network, and can publish ports to the world. Remove it and the key; if one is needed, let the host make the connection."
        references = "https://tailscale.com"
        attack = "T1572"
    strings:
        $1 = "tailscale nc <hostname-or-IP> <port>"
        $2 = "Tailscale Serve enables you to share a local server securely within your ta"
        $3 = "usage: tailscale ssh [user@]<host>"
        $4 = "tunnel interface name; use \"userspace-networking\" (beta) to not use TUN"
        $5 = "[ip]:port to run a SOCK5 server"
        $6 = "UDP port to listen on for WireGuard and peer-to-peer traffic"
        $7 = "The Tailscale SSH server has been administratively disabled."
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_teleport
{
    meta:
        id = "tunnel/program-teleport"
        name = "Teleport's client and daemon: SSH through reverse tunnels"
        severity = "note"
        class = "program"
        tool = "teleport"
        description = "Texts of Teleport's client and daemon: SSH through reverse tunnels."
        help = "Whoever has the link or the key gets a terminal in the sandbox from afar. Remove it; use the sandbox's own way in."
        references = "https://goteleport.com"
        attack = "T1021.004"
    strings:
        $1 = "TELEPORT_LOGIN_BIND_ADDR"
        $2 = "WARNING: tsh was called with --insecure"
        $3 = "Specify the Teleport cluster to connect."
        $4 = "github.com/gravitational/teleport/lib/reversetunnel"
        $5 = "Failed to claim proxy: %v claimed by another agent"
        $6 = "Used internally by Teleport to re-exec itself to port forward."
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_tinc
{
    meta:
        id = "tunnel/program-tinc"
        name = "tincd, a mesh of virtual networks"
        severity = "note"
        class = "program"
        tool = "tinc"
        description = "Messages of tincd, a mesh of virtual networks."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://www.tinc-vpn.org"
        attack = "T1572"
    strings:
        $1 = "A tincd is already running for net `%s' with pid %ld."
        $2 = "Both netname and configuration directory given, using the latter..."
        $3 = "Appending reflexive UDP address to ANS_KEY from %s to %s"
        $4 = "Broadcasting packet of %d bytes from %s (%s)"
        $5 = "could not flush for %ld seconds (%d bytes remaining)"
        $6 = "Attempt to kill a running tincd and exit."
        $7 = "uses bogus MAC length!"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_tmate
{
    meta:
        id = "tunnel/program-tmate"
        name = "tmate, which shares a terminal through a public server"
        severity = "note"
        class = "program"
        tool = "tmate"
        description = "Messages of tmate, which shares a terminal through a public server."
        help = "Whoever has the link or the key gets a terminal in the sandbox from afar. Remove it; use the sandbox's own way in."
        references = "https://tmate.io"
        attack = "T1219"
    strings:
        $1 = "specify an api-key, necessary for using named sessions on tmate.io"
        $2 = "specify the session token instead of getting a random one"
        $3 = "tmate -S /tmp/tmate.sock wait tmate-ready"
        $4 = "multi sessions is not supported with tmate"
        $5 = "Tip: if you wish to use tmate only for remote access, run: tmate -F"
        $6 = "__tmate_status_message"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_ttyd
{
    meta:
        id = "tunnel/program-ttyd"
        name = "ttyd, which serves a terminal to web browsers"
        severity = "note"
        class = "program"
        tool = "ttyd"
        description = "Messages of ttyd, which serves a terminal to web browsers."
        help = "Whoever reaches its port gets a terminal in the sandbox. Remove it; use the sandbox's own way in."
        references = "https://github.com/tsl0922/ttyd"
        attack = "T1219"
    strings:
        $1 = "ttyd is a tool for sharing terminal over the web"
        $2 = "Visit https://github.com/tsl0922/ttyd to get more information and report bugs."
        $3 = "this will configure ttyd to let a HTTP reverse proxy handle authentication"
        $4 = "ttyd: invalid credential, format: username:password"
        $5 = "The --writable option is not set, will start in readonly mode"
        $6 = "ttyd: invalid value for %s: %s"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_upterm
{
    meta:
        id = "tunnel/program-upterm"
        name = "upterm and uptermd, which share a terminal through a public server"
        severity = "note"
        class = "program"
        tool = "upterm"
        description = "Texts of upterm and uptermd, which share a terminal through a public server."
        help = "Whoever has the link or the key gets a terminal in the sandbox from afar. Remove it; use the sandbox's own way in."
        references = "https://upterm.dev"
        attack = "T1219"
    strings:
        $1 = "Host a terminal session via a reverse SSH tunnel to the Upterm server"
        $2 = "ssh://uptermd.upterm.dev:22"
        $3 = "upterm host --force-command 'tmux attach -t"
        $4 = "Enforce a specified command for clients to join"
        $5 = "Upterm Daemon"
        $6 = "authorized_keys file to control proxy access"
        $7 = "server hostname for public-key authentication certificate principals"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_v2ray
{
    meta:
        id = "tunnel/program-v2ray"
        name = "V2Ray, a proxy that disguises itself"
        severity = "note"
        class = "program"
        tool = "v2ray"
        description = "Packages and texts of V2Ray, a proxy that disguises itself."
        help = "Through it connections go where the sandbox's rules about destinations did not mean them to go. Remove it, or find out what needs it."
        references = "https://www.v2fly.org"
        attack = "T1090"
    strings:
        $1 = "without launching V2Ray server"
        $2 = "v2ray.com/core/main/confloader"
        $3 = "github.com/v2fly/v2ray-core/v5/main/commands"
        $4 = "github.com/v2fly/v2ray-core/v4/main/"
        $5 = "Run V2Ray with config"
    condition:
        uint32(0) == 0x464C457F and 2 of them
}

rule tunnel_program_vpnc
{
    meta:
        id = "tunnel/program-vpnc"
        name = "vpnc, a client for Cisco's IPsec VPN"
        severity = "note"
        class = "program"
        tool = "vpnc"
        description = "Messages of vpnc, a client for Cisco's IPsec VPN."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://davidepucci.it/doc/vpnc/"
        attack = "T1572"
    strings:
        $1 = "Note: the Cisco Concentrator Documentation recommends against using"
        $2 = "cisco-udp -- Cisco proprietary UDP encapsulation"
        $3 = "this locks out even Cisco clients on any platform except windows"
        $4 = "your password (obfuscated)"
        $5 = "concentrator configured to require a firewall"
        $6 = "(IKE_AUTH_XAUTHInitRSARevisedEncryption)"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_vpncloud
{
    meta:
        id = "tunnel/program-vpncloud"
        name = "VpnCloud, a mesh of virtual networks"
        severity = "note"
        class = "program"
        tool = "vpncloud"
        description = "Messages of VpnCloud, a mesh of virtual networks."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://vpncloud.ddswd.de"
        attack = "T1572"
    strings:
        $1 = "Ignoring non-init message from unknown peer "
        $2 = "Received peer update from non peer "
        $3 = "Fatal crypto init error from "
        $4 = "Calling beacon command: "
        $5 = "Beacon command failed: "
        $6 = "sudo service vpncloud@"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_vscode_tunnel
{
    meta:
        id = "tunnel/program-vscode-tunnel"
        name = "Visual Studio Code's `code tunnel`, which opens the machine to a browser through Microsoft's servers"
        severity = "note"
        class = "program"
        tool = "vscode-tunnel"
        description = "Texts of Visual Studio Code's `code tunnel`, which opens the machine to a browser through Microsoft's servers."
        help = "Whoever signs in to its account edits files and opens terminals in the sandbox from a browser, wherever they are. Remove it, or start the sandbox with an editor of its own."
        references = "https://code.visualstudio.com/docs/remote/tunnels"
        attack = "T1572"
    strings:
        $1 = "vscode-server-launcher"
        $2 = "vscode-port-forward"
        $3 = "TunnelsPerUserPerLocation"
        $4 = "Found a persisted tunnel, seeing if the name matches"
        $5 = "Command-line options will not be applied until the existing tunnel exits."
        $6 = "port_forwarding_tunnel.json"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_vtun
{
    meta:
        id = "tunnel/program-vtun"
        name = "vtund, tunnels over TCP and UDP"
        severity = "note"
        class = "program"
        tool = "vtun"
        description = "Messages of vtund, tunnels over TCP and UDP."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://vtun.sourceforge.net"
        attack = "T1572"
    strings:
        $1 = "vtund [-f file] [-q] [-p] [-m] [-t timeout] <host profile> <server address>"
        $2 = "BlowFish legacy encryption initialized"
        $3 = "Can't allocate buffer for legacy encryptor"
        $4 = "%s/vtund.%s-%s.pid"
        $5 = "Remote server using older encryption."
        $6 = "Can't establish UDP session"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_websocat
{
    meta:
        id = "tunnel/program-websocat"
        name = "websocat, netcat for WebSockets"
        severity = "note"
        class = "program"
        tool = "websocat"
        description = "Texts of websocat, netcat for WebSockets."
        help = "It connects any program to a WebSocket, which firewalls take for a web page, and listens for others too. Remove it, or find out what needs it."
        references = "https://github.com/vi/websocat"
        attack = "T1090"
    strings:
        $1 = "websocat ws://URL | wss://URL               (simple client)"
        $2 = "websocat -s port                            (simple server)"
        $3 = "websocat --binary ws-l:127.0.0.1:8080 tcp:127.0.0.1:5678"
        $4 = "unidirectional_reverse"
        $5 = "websocket_reply_protocol"
        $6 = "ws://ws.vi-server.org/mirror"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_websockify
{
    meta:
        id = "tunnel/program-websockify"
        name = "websockify, which carries TCP inside WebSockets"
        severity = "note"
        class = "program"
        tool = "websockify"
        description = "Messages of websockify, which carries TCP inside WebSockets."
        help = "Through it connections go where the sandbox's rules about destinations did not mean them to go. Remove it, or find out what needs it."
        references = "https://github.com/novnc/websockify"
        attack = "T1090"
    strings:
        $import = "\nimport "
        $text_1 = "rebind.so not found, perhaps you need to run make"
        $text_2 = "Failed to connect to downstream server"
        $text_3 = "  - proxying from %s to targets generated by %s"
        $text_4 = "Wrapped command exited (or daemon). Returned %s"
        $text_5 = "[source_addr:]source_port -- WRAP_COMMAND_LINE"
        $text_6 = "WebSocketRequestHandler.new_websocket_client() must be overloaded"
        $text_7 = "var VNC_frame_data = ["
        $text_8 = "  - No SSL/TLS support (no cert file)"
    condition:
        (uint16(0) == 0x2123 or uint16(2) == 0x0A0D or uint32be(0) == 0x696D706F or $import) and 3 of ($text_*)
}

rule tunnel_program_wireguard_go
{
    meta:
        id = "tunnel/program-wireguard-go"
        name = "wireguard-go, WireGuard without the kernel's help"
        severity = "note"
        class = "program"
        tool = "wireguard-go"
        description = "Messages of wireguard-go, WireGuard without the kernel's help."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://git.zx2c4.com/wireguard-go/about/"
        attack = "T1572"
    strings:
        $1 = "Running wireguard-go is not required because this"
        $2 = "Userspace WireGuard daemon for %s-%s."
        $3 = "Starting wireguard-go version %s"
        $4 = "WG_PROCESS_FOREGROUND"
        $5 = "Failed to create TUN device: %v"
        $6 = "Failed to listen on uapi socket: %v"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_wireguard_tools
{
    meta:
        id = "tunnel/program-wireguard-tools"
        name = "wg and wg-quick, which set WireGuard interfaces up"
        severity = "note"
        class = "program"
        tool = "wireguard-tools"
        description = "Messages of wg and wg-quick, which set WireGuard interfaces up."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://www.wireguard.com"
        attack = "T1572"
    strings:
        $elf_1 = "Persistent keepalive interval is neither 0/off nor 1-65535: `%s'"
        $elf_2 = "Fwmark is neither 0/off nor 0-0xffffffff: `%s'"
        $elf_3 = "Unable to parse WG_ENDPOINT_RESOLUTION_RETRIES: `%s'"
        $elf_4 = "Synchronizes a configuration file to a WireGuard interface"
        $elf_5 = "Warning: AllowedIP has nonzero host part: %s/%s"
        $elf_6 = "wireguard-tools v%s - https://git.zx2c4.com/wireguard-tools/"
        $script_1 = "WG_QUICK_USERSPACE_IMPLEMENTATION"
        $script_2 = "Missing WireGuard kernel module. Falling back to slow userspace implementation."
        $script_3 = "The config file must be a valid interface name, followed by .conf"
        $script_4 = "wg addconf \"$INTERFACE\" <(echo"
        $script_5 = "is not a WireGuard interface"
        $script_6 = "wg set \"$INTERFACE\" fwmark"
    condition:
        (uint32(0) == 0x464C457F and 3 of ($elf_*)) or (uint16(0) == 0x2123 and 3 of ($script_*))
}

rule tunnel_program_wstunnel
{
    meta:
        id = "tunnel/program-wstunnel"
        name = "wstunnel, TCP and UDP inside WebSockets"
        severity = "note"
        class = "program"
        tool = "wstunnel"
        description = "Texts of wstunnel, TCP and UDP inside WebSockets."
        help = "Through it connections go where the sandbox's rules about destinations did not mean them to go. Remove it, or find out what needs it."
        references = "https://github.com/erebe/wstunnel"
        attack = "T1090"
    strings:
        $1 = "Cannot start wstunnel client: "
        $2 = "Cannot start wstunnel server: "
        $3 = "protocol to tunnel {TCP,UDP} traffic"
        $4 = "wsTunnelClient <---> wsTunnelServer <---> RemoteHost"
        $5 = "WSTUNNEL_HTTP_PROXY_LOGIN"
        $6 = "WSTUNNEL_HTTP_UPGRADE_PATH_PREFIX"
        $7 = "{tcp,udp,socks5,stdio,unix}://[BIND:]PORT:HOST:PORT"
    condition:
        uint32(0) == 0x464C457F and 2 of them
}

rule tunnel_program_xl2tpd
{
    meta:
        id = "tunnel/program-xl2tpd"
        name = "xl2tpd, an L2TP server and client"
        severity = "note"
        class = "program"
        tool = "xl2tpd"
        description = "Messages of xl2tpd, an L2TP server and client."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://github.com/xelerance/xl2tpd"
        attack = "T1572"
    strings:
        $1 = "%02i AVAILABLE lac.%d.name=%s"
        $2 = "xl2tpd version:  %s"
        $3 = "Unable to allocate ppp option memory.  Expect a crash"
        $4 = "Send payload ZLB on call %d:%d"
        $5 = "Magic dial on %s"
        $6 = "%02i STATUS tunnels.%d.peer=%s:%d"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_xray_core
{
    meta:
        id = "tunnel/program-xray-core"
        name = "Xray, a proxy that disguises itself"
        severity = "note"
        class = "program"
        tool = "xray-core"
        description = "Packages and texts of Xray, a proxy that disguises itself."
        help = "Through it connections go where the sandbox's rules about destinations did not mean them to go. Remove it, or find out what needs it."
        references = "https://github.com/XTLS/Xray-core"
        attack = "T1090"
    strings:
        $1 = "without launching Xray server"
        $2 = "Xray is a platform for building proxies."
        $3 = "github.com/xtls/xray-core/main/commands"
        $4 = "Call an API in an Xray process"
        $5 = "flag tells Xray to test config files only"
    condition:
        uint32(0) == 0x464C457F and 2 of them
}

rule tunnel_program_yggdrasil
{
    meta:
        id = "tunnel/program-yggdrasil"
        name = "Yggdrasil, an encrypted IPv6 overlay"
        severity = "note"
        class = "program"
        tool = "yggdrasil"
        description = "Messages of Yggdrasil, an encrypted IPv6 overlay."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://yggdrasil-network.github.io"
        attack = "T1572"
    strings:
        $1 = "github.com/yggdrasil-network/yggdrasil-go/src/core"
        $2 = "yggdrasil-go/cmd/yggdrasil/"
        $3 = "read HJSON/JSON config from specified file path"
        $4 = "Your public key is %s"
        $5 = "Your IPv6 subnet is %s"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}

rule tunnel_program_zerotier_one
{
    meta:
        id = "tunnel/program-zerotier-one"
        name = "ZeroTier One, a virtual network through public roots"
        severity = "note"
        class = "program"
        tool = "zerotier-one"
        description = "Messages of ZeroTier One, a virtual network through public roots."
        help = "Started in a sandbox, it joins another network, and nobody sees which hosts its traffic means. Remove it; if one is needed, let the host make the connection."
        references = "https://github.com/zerotier/ZeroTierOne"
        attack = "T1572"
    strings:
        $1 = "%s: missing port and zerotier-one.port not found in %s"
        $2 = "/.zeroTierOneAuthToken"
        $3 = "ZeroTier home path for parameter auto-detect"
        $4 = "200 listnetworks <nwid> <name> <mac> <status> <type> <dev> <ZT assigned ips>"
        $5 = "X-ZT1-Auth"
        $6 = "Join a moon via any member root"
    condition:
        uint32(0) == 0x464C457F and 3 of them
}
