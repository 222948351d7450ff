// Addresses that could be a wallet. The detector computes the checksum and drops what only looks like one.

rule miner_wallet_monero
{
    meta:
        id = "miner/wallet-monero"
        name = "Address of Monero"
        severity = "note"
        class = "wallet"
        description = "Ninety-five characters that could be a Monero address, or 106 with a payment id."
        help = "The checksum decides whether it is one. Who owns it is where mined coins would go."
        references = "https://docs.getmonero.org/public-address/standard-address/"
        attack = "T1496.001"
    strings:
        $inside = /[^0-9A-Za-z][48][0-9AB][1-9A-HJ-NP-Za-km-z]{93}/
        $first = /[48][0-9AB][1-9A-HJ-NP-Za-km-z]{93}/
    condition:
        $inside or $first at 0
}

rule miner_wallet_kaspa
{
    meta:
        id = "miner/wallet-kaspa"
        name = "Address of Kaspa"
        severity = "note"
        class = "wallet"
        description = "What could be a Kaspa address."
        help = "The checksum decides whether it is one. Who owns it is where mined coins would go."
        references = "https://github.com/kaspanet/rusty-kaspa"
        attack = "T1496.001"
    strings:
        $address = "kaspa:q"
    condition:
        $address
}
