// Software that can mine among other things.

rule miner_node_monero
{
    meta:
        id = "miner/node-monero"
        name = "Mining by a Monero node"
        severity = "note"
        class = "node"
        description = "Options of monerod by which it mines on its own, without a pool."
        help = "A node is not a miner until it is told to be. Remove it if the sandbox needs no node."
        references = "https://docs.getmonero.org/interacting/monerod-reference/"
        attack = "T1496.001"
    strings:
        $1 = "start-mining" fullword
        $2 = "mining-threads" fullword
        $3 = "bg-mining-enable" fullword
        $4 = "bg-mining-miner-target" fullword
    condition:
        2 of them
}

rule miner_node_ethereum
{
    meta:
        id = "miner/node-ethereum"
        name = "Mining by an Ethereum node"
        severity = "note"
        class = "node"
        description = "Options of geth and its kin by which a node mines on its own."
        help = "A node is not a miner until it is told to be. Remove it if the sandbox needs no node."
        references = "https://geth.ethereum.org/docs/fundamentals/command-line-options"
        attack = "T1496.001"
    strings:
        $1 = "miner.etherbase"
        $2 = "miner.threads"
        $3 = "miner.gasprice"
    condition:
        2 of them
}
