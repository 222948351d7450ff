// What a miner computes: names of proof-of-work algorithms as miners write them, and constants that renaming leaves.

rule miner_algorithm_cryptonote
{
    meta:
        id = "miner/algorithm-cryptonote"
        name = "Short names of RandomX and CryptoNight variants"
        severity = "note"
        class = "algorithm"
        description = "Names such as rx/0 and cn/r, by which miners and pools of the CryptoNote kind choose an algorithm."
        help = "These names belong to miners, pools and their configuration. Look for a pool and a wallet beside them."
        references = "https://xmrig.com/docs/algorithms"
        attack = "T1496.001"
    strings:
        $rx = /[\x00\x20"'`=,(\[]rx\/(0|2|wow|arq|graft|sfx|keva|yada|loki|xeq|xla)[\x00\x20"'`,)\]\r\n]/
        $cn = /[\x00\x20"'`=,(\[]cn\/(0|1|2|r|fast|half|xao|rto|rwz|zls|double|ccx|gpu|msr|upx2|ultra)[\x00\x20"'`,)\]\r\n]/
        $lite = /cn-lite\/[01]/
        $heavy = /cn-heavy\/(0|tube|xhv)/
        $pico = /cn-pico(\/(0|tlo|trtl))?[\x00\x20"'`,)\]\r\n]/
        $chukwa = "argon2/chukwa"
        $wrkz = "argon2/wrkz"
        $long = /cryptonight[-_](lite|heavy|pico|turtle|monerov[78]|bittube2|v[78])/
    condition:
        any of them
}

rule miner_algorithm_names
{
    meta:
        id = "miner/algorithm-names"
        name = "Names of proof-of-work algorithms"
        severity = "note"
        class = "algorithm"
        description = "Three or more algorithms that exist for mining only."
        help = "A list of such names is the menu of a miner, a pool or a tool about them."
        references = "https://github.com/JayDDee/cpuminer-opt/wiki/Supported-Algorithms"
        attack = "T1496.001"
    strings:
        $01 = "sha256d" fullword
        $02 = "neoscrypt" nocase
        $03 = "lyra2rev2" nocase
        $04 = "lyra2v2" nocase
        $05 = "lyra2z" nocase
        $06 = "x16rv2" nocase
        $08 = "kawpow" nocase
        $09 = "firopow" nocase
        $10 = "progpow" nocase
        $11 = "etchash" nocase
        $12 = "kheavyhash" nocase
        $13 = "zelhash" nocase
        $14 = "verushash" nocase
        $15 = "ghostrider" fullword nocase
        $16 = "cryptonight" nocase
        $17 = "autolykos" nocase
        $18 = "cuckatoo" nocase
        $19 = "cuckaroo" nocase
        $20 = "equihash" nocase
        $21 = "hmq1725" nocase
        $22 = "yespower" nocase
        $23 = "phi1612" nocase
        $24 = "argon2d4096" nocase
        $25 = "daggerhashimoto" nocase
        $26 = "beamhash" nocase
        $27 = "nexapow" nocase
        $28 = "pyrinhash" nocase
        $29 = "karlsenhash" nocase
        $30 = "randomarq" nocase
        $32 = "astrobwt" nocase
    condition:
        3 of them
}

rule miner_algorithm_randomx
{
    meta:
        id = "miner/algorithm-randomx"
        name = "RandomX inside"
        severity = "note"
        class = "algorithm"
        description = "Constants of RandomX, the proof of work of Monero, that survive stripping and renaming."
        help = "Miners, nodes and libraries that verify blocks carry RandomX. Beside a pool it is a miner's."
        references = "https://github.com/tevador/RandomX/blob/master/doc/specs.md"
        attack = "T1496.001"
    strings:
        $salt = { 52 61 6E 64 6F 6D 58 03 }
        $salt_arq = { 52 61 6E 64 6F 6D 41 52 51 01 }
        $salt_wow = { 52 61 6E 64 6F 6D 57 4F 57 01 }
        $gen_1r_key0 = { 53 A5 AC 6D 09 66 71 62 2B 55 B5 DB 17 49 F4 B4 }
        $gen_1r_key1 = { 07 AF 7C 6D 0D 71 6A 84 78 D3 25 17 4E DC A1 0D }
        $gen_1r_key2 = { F1 62 12 3F C6 7E 94 9F 4F 79 C0 F4 45 E3 20 3E }
        $gen_1r_key3 = { 35 81 EF 6A 7C 31 BA B1 88 4C 31 16 54 91 16 49 }
    condition:
        any of them
}

rule miner_algorithm_cpuminer
{
    meta:
        id = "miner/algorithm-cpuminer"
        name = "Algorithms of cpuminer"
        severity = "note"
        class = "algorithm"
        description = "How cpuminer and its descendants describe the algorithms they offer."
        help = "The wording is that of a miner's help text. Look for a pool and a wallet beside it."
        references = "https://github.com/pooler/cpuminer"
        attack = "T1496.001"
    strings:
        $scrypt_text = "scrypt(1024, 1, 1)"
        $scrypt_n = "scrypt:N"
        $sha256d_text = "SHA-256d"
        $chain = "quark, x11, "
        $benchmark = "'%s' algorithm."
    condition:
        2 of them
}
