// Miners that run in a web page.

rule miner_web
{
    meta:
        id = "miner/web"
        name = "Miner of a web page"
        severity = "note"
        class = "web"
        description = "The call that starts CoinHive or one of its successors in a visitor's browser."
        help = "Every browser that opens the page mines, a headless one in a sandbox too. Remove the script."
        references = "https://en.wikipedia.org/wiki/Coinhive"
        attack = "T1496.001"
    strings:
        $1 = /new\s+CoinHive\.(Anonymous|User|Token)\s*\(/
        $2 = /new\s+(CryptoLoot|CRLT|deepMiner|CoinImp|Client)\.(Anonymous|User)\s*\(/
        $3 = /(coinhive\.com\/lib\/|coin-hive\.com\/lib\/|authedmine\.com\/lib\/|crypto-?loot\.com\/lib\/)/
        $4 = /importScripts\([^)]{0,80}cryptonight/
    condition:
        any of them
}
