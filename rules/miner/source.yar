// Source code from which a miner can be built.

rule miner_source_randomx
{
    meta:
        id = "miner/source-randomx"
        name = "Source of RandomX"
        severity = "note"
        class = "source"
        description = "C or C++ source of RandomX, or of a program that uses it."
        help = "Nodes, libraries and miners are built from it. Remove it if nothing in the image verifies blocks."
        references = "https://github.com/tevador/RandomX"
        attack = "T1496.001"
    strings:
        $1 = "RANDOMX_ARGON_MEMORY"
        $2 = "RANDOMX_DATASET_BASE_SIZE"
        $3 = "RANDOMX_FLAG_FULL_MEM"
        $4 = "randomx_init_dataset("
    condition:
        any of them
}

rule miner_source_program
{
    meta:
        id = "miner/source-program"
        name = "Source of a miner"
        severity = "note"
        class = "source"
        description = "C, C++, Go, Rust or OpenCL source of a known miner."
        help = "Whoever has a compiler can build the miner from it. Remove it."
        references = "https://github.com/xmrig/xmrig"
        attack = "T1496.001"
    strings:
        $xmrig = "namespace xmrig"
        $xmrstak = "namespace xmrstak"
        $scan = /int\s+scanhash_\w{2,30}\s*\(/
        $pool = "struct stratum_ctx"
        $upstream = "submit_upstream_work("
        $minethd = "class minethd"
    condition:
        any of them
}
