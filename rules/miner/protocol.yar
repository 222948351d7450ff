// How a miner asks for work. Pools speak one of these; little else does.

rule miner_protocol_stratum
{
    meta:
        id = "miner/protocol-stratum"
        name = "Stratum messages"
        severity = "note"
        class = "protocol"
        description = "Names of the JSON-RPC methods that a miner and a Bitcoin-style pool exchange."
        help = "Only a miner, a pool or a proxy between them needs these methods. Find out which of them the file is."
        references = "https://en.bitcoin.it/wiki/Stratum_mining_protocol"
        attack = "T1496.001"
    strings:
        $subscribe = "mining.subscribe"
        $authorize = "mining.authorize"
        $submit = "mining.submit"
        $notify = "mining.notify"
        $difficulty = "mining.set_difficulty"
        $target = "mining.set_target"
        $extranonce = "mining.set_extranonce"
        $more = "mining.extranonce.subscribe"
        $configure = "mining.configure"
        $suggest = "mining.suggest_difficulty"
    condition:
        3 of them
}

rule miner_protocol_cryptonote
{
    meta:
        id = "miner/protocol-cryptonote"
        name = "CryptoNote pool messages"
        severity = "note"
        class = "protocol"
        description = "The login, the job and the keep-alive of pools for Monero and its kin."
        help = "Only a miner, a pool or a proxy between them needs these messages. Find out which of them the file is."
        references = "https://github.com/xmrig/xmrig-proxy/blob/master/doc/STRATUM.md"
        attack = "T1496.001"
    strings:
        $login_1 = "\"method\":\"login\""
        $login_2 = "\"method\": \"login\""
        $login_3 = "\\\"method\\\":\\\"login\\\""
        $login_4 = "'method': 'login'"
        $login_5 = "method: \"login\""
        $login_6 = "method: 'login'"
        $login_7 = "\\\"method\\\": \\\"login\\\""
        $keepalived = "keepalived" fullword
        $job = "job_id" fullword
        $seed = "seed_hash" fullword
    condition:
        (any of ($login_*) and ($keepalived or $job)) or all of ($keepalived, $job, $seed)
}

rule miner_protocol_ethereum
{
    meta:
        id = "miner/protocol-ethereum"
        name = "Ethereum pool messages"
        severity = "note"
        class = "protocol"
        description = "eth_submitLogin and its companions: what a miner sends to an Ethereum-style pool."
        help = "Nodes know eth_getWork and eth_submitWork; only miners, pools and proxies know eth_submitLogin."
        references = "https://github.com/ethereum-mining/ethminer/blob/master/docs/POOL_EXAMPLES_ETH.md"
        attack = "T1496.001"
    strings:
        $login = "eth_submitLogin"
        $work = "eth_getWork"
        $submit = "eth_submitWork"
        $rate = "eth_submitHashrate"
    condition:
        $login and any of ($work, $submit, $rate)
}

rule miner_protocol_getwork
{
    meta:
        id = "miner/protocol-getwork"
        name = "Headers of a getwork client"
        severity = "note"
        class = "protocol"
        description = "HTTP headers by which a miner and a pool of the getwork kind agree on how to hand out work."
        help = "Only mining clients and old pools use these headers. Find out which of them the file is."
        references = "https://en.bitcoin.it/wiki/Getwork"
        attack = "T1496.001"
    strings:
        $extensions = "X-Mining-Extensions" nocase
        $polling = "X-Long-Polling" nocase
        $roll = "X-Roll-NTime" nocase
        $stratum = "X-Stratum" nocase
        $reason = "X-Reject-Reason" nocase
    condition:
        2 of them
}

rule miner_protocol_kaspad
{
    meta:
        id = "miner/protocol-kaspad"
        name = "Block template requests to a Kaspa node"
        severity = "note"
        class = "protocol"
        description = "The messages by which a Kaspa miner asks a node for a block to work on and hands it back."
        help = "Nodes, wallets and miners of Kaspa carry these messages. Find out which of them the file is."
        references = "https://github.com/kaspanet/rusty-kaspa"
        attack = "T1496.001"
    strings:
        $get = "GetBlockTemplateRequest"
        $submit = "SubmitBlockRequest"
        $notify = "NotifyNewBlockTemplateRequest"
        $method = "/protowire.RPC/MessageStream"
    condition:
        2 of them
}
