// What a miner tells its user while it works.

rule miner_messages_xmrig
{
    meta:
        id = "miner/messages-xmrig"
        name = "Messages of XMRig"
        severity = "note"
        class = "messages"
        description = "Log lines that XMRig and the programs made from it print while they mine."
        help = "The text is that of a running miner. In a log file it means that one ran."
        references = "https://github.com/xmrig/xmrig"
        attack = "T1496.001"
    strings:
        $1 = "no active pools, stop mining"
        $2 = "10s/60s/15m"
        $3 = "READY threads"
        $4 = "duplicate job received"
        $5 = "dataset ready"
        $6 = "Incompatible algorithm \""
        $7 = "unsupported algorithm detected, reconnect"
        $8 = "MSR mod"
        $9 = "dev donate"
    condition:
        2 of them
}

rule miner_messages_cpuminer
{
    meta:
        id = "miner/messages-cpuminer"
        name = "Messages of cpuminer"
        severity = "note"
        class = "messages"
        description = "Log lines that cpuminer and the programs made from it print while they mine."
        help = "The text is that of a running miner. In a log file it means that one ran."
        references = "https://github.com/pooler/cpuminer"
        attack = "T1496.001"
    strings:
        $1 = "(yay!!!)"
        $2 = "(booooo)"
        $3 = "khash/s"
        $4 = "miner threads started"
        $5 = "Stratum requested work restart"
        $6 = "Stratum detected new block"
        $7 = "Starting Stratum on"
        $8 = "work retrieval failed, exiting mining thread"
        $9 = "Stratum authentication failed"
        $10 = "stratum_recv_line"
        $11 = "stratum_subscribe"
    condition:
        2 of them
}

rule miner_messages_gpu
{
    meta:
        id = "miner/messages-gpu"
        name = "Messages of miners for graphics cards"
        severity = "note"
        class = "messages"
        description = "Log lines of cgminer, ethminer and the closed miners for graphics cards."
        help = "The text is that of a running miner. In a log file it means that one ran."
        references = "https://github.com/ethereum-mining/ethminer"
        attack = "T1496.001"
    strings:
        $1 = "Spinning up miners"
        $2 = "Share accepted"
        $3 = "Stratum connection to pool"
        $5 = "Generating DAG"
        $6 = "Accepted share" nocase
        $7 = "rejected share" nocase
        $9 = "Devfee" nocase fullword
        $10 = "hashrate" nocase fullword
        $11 = "No pools available"
        $12 = "Stratum from pool"
        $13 = "DAG generated in"
        $14 = "shares/min"
    condition:
        3 of them
}
