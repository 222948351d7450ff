// What a miner can be told: options of the command line and keys of the configuration.

rule miner_options_xmrig
{
    meta:
        id = "miner/options-xmrig"
        name = "Options of XMRig"
        severity = "note"
        class = "options"
        description = "Options and configuration keys of XMRig and the programs made from it."
        help = "These keys configure a miner. In a program they are its menu, in a file they are its orders."
        references = "https://xmrig.com/docs/miner/command-line-options"
        attack = "T1496.001"
    strings:
        $01 = "donate-level"
        $02 = "donate-over-proxy"
        $03 = "max-threads-hint"
        $04 = "randomx-1gb-pages"
        $05 = "randomx-mode"
        $06 = "randomx-no-numa"
        $07 = "randomx-wrmsr"
        $08 = "huge-pages-jit"
        $09 = "pause-on-battery"
        $10 = "health-print-time"
        $11 = "cuda-bfactor-hint"
        $12 = "rig-id" fullword
        $13 = "api-worker-id"
        $14 = "bench-algo-time"
        $15 = "rebench-algo"
        $16 = "daemon-poll-interval"
        $17 = "1gb-pages" fullword
        $18 = "nicehash" fullword
    condition:
        2 of them
}

rule miner_options_cpuminer
{
    meta:
        id = "miner/options-cpuminer"
        name = "Options of cpuminer"
        severity = "note"
        class = "options"
        description = "Options of cpuminer (minerd), cpuminer-opt and ccminer."
        help = "These options configure a miner. In a program they are its menu, in a file they are its orders."
        references = "https://github.com/pooler/cpuminer/blob/master/minerd.1"
        attack = "T1496.001"
    strings:
        $01 = "scantime"
        $02 = "no-longpoll"
        $03 = "coinbase-addr"
        $04 = "coinbase-sig"
        $05 = "no-getwork"
        $06 = "no-stratum"
        $07 = "protocol-dump"
        $08 = "no-extranonce"
        $09 = "hash-meter"
        $10 = "cuda-schedule"
        $11 = "param-nfactor"
        $12 = "max-log-rate"
        $13 = "retry-pause"
    condition:
        3 of them
}

rule miner_options_cgminer
{
    meta:
        id = "miner/options-cgminer"
        name = "Options of cgminer"
        severity = "note"
        class = "options"
        description = "Options and configuration keys of cgminer, bfgminer and sgminer."
        help = "These keys configure a miner. In a program they are its menu, in a file they are its orders."
        references = "https://github.com/ckolivas/cgminer"
        attack = "T1496.001"
    strings:
        $01 = "no-submit-stale"
        $02 = "failover-only"
        $03 = "no-pool-disable"
        $04 = "scan-serial"
        $05 = "gpu-memclock"
        $06 = "gpu-powertune"
        $07 = "thread-concurrency"
        $08 = "lookup-gap"
        $09 = "per-device-stats"
        $10 = "fix-protocol"
        $11 = "gpu-memdiff"
        $12 = "kernel-path"
        $13 = "api-allow"
        $14 = "no-restart"
        $15 = "stratum-port"
    condition:
        3 of them
}

rule miner_options_ethminer
{
    meta:
        id = "miner/options-ethminer"
        name = "Options of ethminer"
        severity = "note"
        class = "options"
        description = "Options of ethminer and the programs made from it."
        help = "These options configure a miner that uses graphics cards."
        references = "https://github.com/ethereum-mining/ethminer"
        attack = "T1496.001"
    strings:
        $01 = "farm-recheck"
        $02 = "farm-retries"
        $03 = "report-hashrate"
        $04 = "HWMON" fullword
        $05 = "cuda-parallel-hash"
        $06 = "cuda-grid-size"
        $07 = "cl-local-work"
        $08 = "cl-global-work"
        $09 = "dag-load-mode"
        $10 = "failover-timeout"
    condition:
        3 of them
}

rule miner_options_xmr_stak
{
    meta:
        id = "miner/options-xmr-stak"
        name = "Options of xmr-stak"
        severity = "note"
        class = "options"
        description = "Configuration keys of xmr-stak."
        help = "These keys configure a miner. In a program they are its menu, in a file they are its orders."
        references = "https://github.com/fireice-uk/xmr-stak"
        attack = "T1496.001"
    strings:
        $01 = /[\x00"]pool_address[\x00"]/
        $02 = "pool_password" fullword
        $03 = "pool_weight" fullword
        $04 = "use_nicehash" fullword
        $05 = "giveup_limit" fullword
        $06 = "cpu_threads_conf" fullword
        $07 = "gpu_threads_conf" fullword
        $08 = "low_power_mode" fullword
    condition:
        3 of them
}

rule miner_options_gpu
{
    meta:
        id = "miner/options-gpu"
        name = "Options of miners for graphics cards"
        severity = "note"
        class = "options"
        description = "Options of T-Rex, NBMiner, lolMiner, GMiner, PhoenixMiner, TeamRedMiner, SRBMiner and their like."
        help = "These options configure a miner that uses graphics cards."
        references = "https://github.com/Lolliedieb/lolMiner-releases"
        attack = "T1496.001"
    strings:
        $01 = "lhr-tune" fullword
        $02 = "lhr-autotune-mode"
        $03 = "dag-build-mode"
        $04 = "ethstratum" fullword nocase
        $05 = "dualstratum" fullword nocase
        $06 = "zilpool" fullword nocase
        $07 = "zilwallet" fullword nocase
        $08 = "dual-algo" fullword
        $09 = "gpu-report-interval"
        $10 = "zil-test" fullword
        $11 = "dual-intensity" fullword
        $12 = "--dualpool"
        $13 = "lhr-unlock"
        $14 = "gpu-boost" fullword
        $15 = "validate-shares" fullword
    condition:
        3 of them
}

rule miner_options_kaspa
{
    meta:
        id = "miner/options-kaspa"
        name = "Options of kaspa-miner"
        severity = "note"
        class = "options"
        description = "Options of kaspa-miner and the programs made from it."
        help = "These options configure a miner. In a program they are its menu, in a file they are its orders."
        references = "https://github.com/kaspanet/cpuminer"
        attack = "T1496.001"
    strings:
        $1 = "mine-when-not-synced"
        $2 = "devfund-percent"
        $3 = "mining-address" fullword
        $4 = "devfund_percent"
        $5 = "mine_when_not_synced"
    condition:
        2 of them
}
