// Addresses that could be a wallet. The detector computes the checksum and drops what only looks like one.
// The first two characters are written out because YARA looks for them; classes would make it try at every byte.

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
        $inside = /[^0-9A-Za-z](41|42|43|44|45|46|47|48|49|4A|4B|4C|4D|4E|4F|4G|4H|4J|4K|4L|4M|82|83|84|85|86|87|88|89|8A|8B|8C)[1-9A-HJ-NP-Za-km-z]{93}/
        $first_41 = /41[1-9A-HJ-NP-Za-km-z]{93}/
        $first_42 = /42[1-9A-HJ-NP-Za-km-z]{93}/
        $first_43 = /43[1-9A-HJ-NP-Za-km-z]{93}/
        $first_44 = /44[1-9A-HJ-NP-Za-km-z]{93}/
        $first_45 = /45[1-9A-HJ-NP-Za-km-z]{93}/
        $first_46 = /46[1-9A-HJ-NP-Za-km-z]{93}/
        $first_47 = /47[1-9A-HJ-NP-Za-km-z]{93}/
        $first_48 = /48[1-9A-HJ-NP-Za-km-z]{93}/
        $first_49 = /49[1-9A-HJ-NP-Za-km-z]{93}/
        $first_4A = /4A[1-9A-HJ-NP-Za-km-z]{93}/
        $first_4B = /4B[1-9A-HJ-NP-Za-km-z]{93}/
        $first_4C = /4C[1-9A-HJ-NP-Za-km-z]{93}/
        $first_4D = /4D[1-9A-HJ-NP-Za-km-z]{93}/
        $first_4E = /4E[1-9A-HJ-NP-Za-km-z]{93}/
        $first_4F = /4F[1-9A-HJ-NP-Za-km-z]{93}/
        $first_4G = /4G[1-9A-HJ-NP-Za-km-z]{93}/
        $first_4H = /4H[1-9A-HJ-NP-Za-km-z]{93}/
        $first_4J = /4J[1-9A-HJ-NP-Za-km-z]{93}/
        $first_4K = /4K[1-9A-HJ-NP-Za-km-z]{93}/
        $first_4L = /4L[1-9A-HJ-NP-Za-km-z]{93}/
        $first_4M = /4M[1-9A-HJ-NP-Za-km-z]{93}/
        $first_82 = /82[1-9A-HJ-NP-Za-km-z]{93}/
        $first_83 = /83[1-9A-HJ-NP-Za-km-z]{93}/
        $first_84 = /84[1-9A-HJ-NP-Za-km-z]{93}/
        $first_85 = /85[1-9A-HJ-NP-Za-km-z]{93}/
        $first_86 = /86[1-9A-HJ-NP-Za-km-z]{93}/
        $first_87 = /87[1-9A-HJ-NP-Za-km-z]{93}/
        $first_88 = /88[1-9A-HJ-NP-Za-km-z]{93}/
        $first_89 = /89[1-9A-HJ-NP-Za-km-z]{93}/
        $first_8A = /8A[1-9A-HJ-NP-Za-km-z]{93}/
        $first_8B = /8B[1-9A-HJ-NP-Za-km-z]{93}/
        $first_8C = /8C[1-9A-HJ-NP-Za-km-z]{93}/
    condition:
        $inside or for any of ($first_*) : ( $ at 0 )
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
