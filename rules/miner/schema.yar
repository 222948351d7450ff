// Keys that stand in the configuration of miners and nowhere else, as configuration writes them.

rule miner_schema
{
    meta:
        id = "miner/schema"
        name = "Key of a miner's configuration"
        severity = "note"
        class = "schema"
        description = "A quoted or assigned key of the configuration of XMRig, xmr-stak or cgminer."
        help = "One key means that the file is worth reading as a miner's configuration; the detector does."
        references = "https://xmrig.com/docs/miner/config"
        attack = "T1496.001"
    strings:
        $1 = /["']?donate-level["']?[ \t]*[:=]/
        $2 = "\"rig-id\""
        $3 = "\"max-threads-hint\""
        $4 = "\"1gb-pages\""
        $5 = "\"pool_address\""
        $6 = "\"use_nicehash\""
        $7 = "\"nicehash\""
        $8 = "\"failover-only\""
        $9 = "\"api-allow\""
        $10 = "\"no-submit-stale\""
        $11 = "\"coinbase-addr\""
        $12 = "\"gpu-memclock\""
        $13 = "\"thread-concurrency\""
    condition:
        any of them
}
