// The frames that private keys lie in. Whether there is a key in the frame is for the reader of keys to say.

rule ssh_key_block
{
    meta:
        id = "ssh/key-block"
        name = "Frame of a private key"
        severity = "note"
        class = "key"
        description = "The line that begins a private key in OpenSSH's, PEM's, PKCS #8's or PuTTY's format."
        help = "A frame alone is no key: source code and documentation hold many. See ssh/private-key for those that hold one."
        references = "https://cvsweb.openbsd.org/src/usr.bin/ssh/PROTOCOL.key"
        attack = "T1552.004"
    strings:
        $pem = " PRIVATE KEY-----"
        $pkcs8 = "-----BEGIN PRIVATE KEY-----"
        $putty = "PuTTY-User-Key-File-"
    condition:
        any of them
}
