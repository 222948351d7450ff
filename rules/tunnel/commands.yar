// Words of commands and of code that open tunnels. They send a file to the reader of commands, which judges; alone they are nothing.

rule tunnel_command_ssh
{
    meta:
        id = "tunnel/command-ssh"
        name = "Words of an ssh command with options"
        severity = "note"
        class = "command"
        description = "An ssh command with options, or a helper that keeps or feeds ssh connections."
        help = "Whether it tunnels is for the reader of commands to say: see tunnel/reverse-ssh."
        references = "https://man.openbsd.org/ssh"
        attack = "T1572"
    strings:
        $options = "ssh -"
        $autossh = "autossh"
        $sshpass = "sshpass"
        $dbclient = "dbclient -"
        $plink = "plink -"
        $remote = "RemoteForward"
        $failure = "ExitOnForwardFailure"
        $call_1 = "ssh\","
        $call_2 = "ssh',"
        $call_3 = "ssh $"
        $call_4 = "ssh \"$"
        $call_5 = "ssh {"
        $call_6 = "ssh %s"
        $name_1 = "=ssh\n"
        $name_2 = "=\"ssh\""
        $name_3 = "='ssh'"
        $name_4 = "/bin/ssh"
    condition:
        uint32(0) != 0x464c457f and any of them
}

rule tunnel_command_python
{
    meta:
        id = "tunnel/command-python"
        name = "Python that forwards ports through SSH"
        severity = "note"
        class = "command"
        description = "Names of functions by which paramiko, asyncssh, sshtunnel and pyngrok forward ports."
        help = "Whether a program calls them, or a library defines them, is for the reader of Python to say."
        references = "https://docs.paramiko.org/en/stable/api/transport.html, https://asyncssh.readthedocs.io/en/latest/api.html"
        attack = "T1572"
    strings:
        $paramiko_1 = "request_port_forward"
        $paramiko_2 = "direct-tcpip"
        $asyncssh_1 = "forward_remote_port"
        $asyncssh_2 = "forward_local_port"
        $asyncssh_3 = "forward_socks"
        $asyncssh_4 = "forward_remote_path"
        $asyncssh_5 = "start_reverse_server"
        $asyncssh_6 = "listen_reverse"
        $sshtunnel_1 = "SSHTunnelForwarder"
        $sshtunnel_2 = "remote_bind_address"
        $pyngrok_1 = "ngrok.connect("
        $pyngrok_2 = "ngrok.forward("
    condition:
        uint32(0) != 0x464c457f and any of them
}

rule tunnel_command_tool
{
    meta:
        id = "tunnel/command-tool"
        name = "Words of a command that starts a tunnel"
        severity = "note"
        class = "command"
        description = "Commands of tunnel tools as scripts write them, and names of services that tunnel for anybody."
        help = "Whether the command runs is for the reader of commands to say: see tunnel/launch."
        references = "https://attack.mitre.org/techniques/T1572/"
        attack = "T1572"
    strings:
        $encoded_1 = "base64 -d"
        $encoded_2 = "base64 --decode"
        $encoded_3 = "base64 -D"
        $chisel = "chisel client"
        $cloudflared = "cloudflared tunnel"
        $ngrok_1 = "ngrok http"
        $ngrok_2 = "ngrok tcp"
        $frp = "frpc -c"
        $sshuttle = "sshuttle -"
        $tailscale = "tailscale up"
        $bore = "bore local"
        $code = "code tunnel"
        $devtunnel = "devtunnel host"
        $localtunnel = "npx localtunnel"
        $tcp = "/dev/tcp/"
        $udp = "/dev/udp/"
        $fifo_1 = "mkfifo /"
        $fifo_2 = "mkfifo $"
        $fifo_3 = "mkfifo -m"
        $mknod = "mknod /tmp/"
        $netcat_1 = "nc -e"
        $netcat_2 = "ncat --exec"
        $netcat_3 = "ncat -e"
        $netcat_4 = "-e /bin/sh"
        $netcat_5 = "-e /bin/bash"
        $netcat_6 = "-c /bin/sh"
        $netcat_7 = "-c /bin/bash"
        $socat_1 = " EXEC:"
        $socat_2 = "\"EXEC:"
        $socat_3 = "'EXEC:"
        $socat_4 = ",EXEC:"
        $shell_1 = "os.dup2("
        $shell_2 = "pty.spawn("
        $gost = "gost -L"
        $rathole = "rathole -"
        $wstunnel = "wstunnel client"
        $tailscaled = "tailscaled -"
        $npx_1 = "npx ngrok"
        $npx_2 = "npx -y localtunnel"
        $serveo = "serveo.net"
        $localhost = "localhost.run"
        $pinggy = "pinggy.io"
        $sshx = "sshx.io"
        $trycloudflare = "trycloudflare.com"
        $tmate = "tmate -"
    condition:
        uint32(0) != 0x464c457f and any of them
}
