// Names that the compiler leaves: functions, types, modules and crates of miners.

rule miner_symbols_randomx
{
    meta:
        id = "miner/symbols-randomx"
        name = "Functions of RandomX"
        severity = "note"
        class = "symbols"
        description = "The programming interface of the RandomX library."
        help = "Nodes and libraries that verify blocks use it too. Beside a pool it is a miner's."
        references = "https://github.com/tevador/RandomX"
        attack = "T1496.001"
    strings:
        $1 = "randomx_create_vm"
        $2 = "randomx_init_dataset"
        $3 = "randomx_calculate_hash"
        $4 = "randomx_alloc_cache"
        $5 = "randomx_vm_set_dataset"
        $6 = "randomx_program_loop_begin"
        $7 = "randomx_dataset_init"
    condition:
        2 of them
}

rule miner_symbols_cryptonight
{
    meta:
        id = "miner/symbols-cryptonight"
        name = "Functions of CryptoNight"
        severity = "note"
        class = "symbols"
        description = "Functions that compute CryptoNight, natively or as WebAssembly in a web page."
        help = "Wallets and nodes verify with some of them; a set of them in WebAssembly is a web page's miner."
        references = "https://cryptonote.org/cns/cns008.txt"
        attack = "T1496.001"
    strings:
        $1 = "cryptonight_hash"
        $2 = "cryptonight_create"
        $3 = "cryptonight_destroy"
        $4 = "cn_slow_hash"
        $5 = "cn_explode_scratchpad"
        $6 = "cn_implode_scratchpad"
        $7 = "cryptonight_aesni"
        $8 = "cryptonight_monero_"
    condition:
        2 of them
}

rule miner_symbols_cpuminer
{
    meta:
        id = "miner/symbols-cpuminer"
        name = "Functions of cpuminer"
        severity = "note"
        class = "symbols"
        description = "scanhash_ and stratum_ functions, by which cpuminer, ccminer and their like search and submit."
        help = "These functions are the heart of a miner. Find out who put the program there."
        references = "https://github.com/pooler/cpuminer"
        attack = "T1496.001"
    strings:
        $scan = /scanhash_[a-z0-9_]{2,30}/
        $1 = "stratum_handle_method"
        $2 = "stratum_gen_work"
        $3 = "stratum_authorize"
        $4 = "stratum_recv_line"
        $5 = "submit_upstream_work"
        $6 = "workio_thread"
        $7 = "rpc2_login"
    condition:
        2 of them
}

rule miner_symbols_cpp
{
    meta:
        id = "miner/symbols-cpp"
        name = "Types of a miner written in C++"
        severity = "note"
        class = "symbols"
        description = "Mangled names of XMRig, xmr-stak and ethminer."
        help = "These types are a miner's own. Find out who put the program there."
        references = "https://github.com/xmrig/xmrig"
        attack = "T1496.001"
    strings:
        $xmrig = /N[KVR]{0,2}5xmrig\d/
        $xmrstak = /N[KVR]{0,2}7xmrstak\d/
        $ethminer = /3dev3eth\d{1,2}(Farm|CLMiner|CUDAMiner|CPUMiner|EthStratumClient|PoolManager)/
        $minethd = "minethd" fullword
    condition:
        any of them
}

rule miner_symbols_modules
{
    meta:
        id = "miner/symbols-modules"
        name = "Modules of a miner written in Go or Rust"
        severity = "note"
        class = "symbols"
        description = "Go modules and Rust crates of known miners, as the compiler writes them into the program."
        help = "The program was built from a miner's source. Find out who put it there."
        references = "https://github.com/decred/gominer"
        attack = "T1496.001"
    strings:
        $decred = "github.com/decred/gominer"
        $sia = "github.com/robvanmieghem/gominer"
        $cpuminer = "esrrhs/go-cpuminer"
        $kaspa = "kaspa_miner::"
        $kaspa_path = "kaspa-miner-"
        $stratum = /github\.com\/[\w.-]{1,40}\/(go-?stratum|stratum-client|xmr-?miner|go-?xmr(ig)?|crypto-?miner)[\/\x00.]/
    condition:
        any of them
}
