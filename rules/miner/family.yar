// How a miner calls itself. The string's identifier is the family: `$xmr_stak` is xmr-stak. Never evidence by itself.

rule miner_family
{
    meta:
        id = "miner/family"
        name = "Name of a miner"
        severity = "note"
        class = "family"
        description = "User agents, banners and home pages by which miners name themselves."
        help = "The name says which miner it is, once other evidence says that it is one."
        references = "https://github.com/xmrig/xmrig"
        attack = "T1496.001"
    strings:
        $xmrig = /XMRig[\/ ][v%\d]/
        $xmrig_2 = "xmrig.com"
        $xmrig_3 = "support@xmrig.com"
        $xmrig_4 = "XMRIG_VERSION"
        $xmrig_proxy = "xmrig-proxy" nocase
        $xmr_stak = "xmr-stak" nocase
        $cpuminer_opt = "cpuminer-opt"
        $cpuminer_opt_2 = "CPUMiner-Opt" nocase
        $cpuminer = /cpuminer\/[%\d]/
        $cpuminer_2 = "Usage: minerd"
        $cpuminer_3 = "cpuminer-multi"
        $ccminer = /ccminer[\/ ][v%\d]/
        $ccminer_2 = "tpruvot@github"
        $ethminer = /ethminer[\/ -][v%\d]/
        $ethminer_2 = "ethereum-mining/ethminer"
        $kawpowminer = "kawpowminer"
        $cgminer = /cgminer[\/ ][v%\d]/
        $bfgminer = /bfgminer[\/ ][v%\d]/
        $sgminer = /sgminer[\/ ][v%\d]/
        $t_rex = /[Tt]-[Rr]ex[\/ ](NVIDIA|GPU|v?\d|%)/
        $nbminer = "NBMiner"
        $lolminer = "lolMiner"
        $gminer = /GMiner[\/ ][v%\d]/
        $phoenixminer = "PhoenixMiner"
        $teamredminer = "TeamRedMiner" nocase
        $nanominer = "nanominer" nocase
        $srbminer = "SRBMiner" nocase
        $wildrig = "WildRig" nocase
        $bzminer = "BzMiner" nocase
        $rigel = /[Rr]igel[\/ ]v?\d+\.\d+\.\d/
        $onezerominer = "OneZeroMiner" nocase
        $kaspa_miner = "kaspa-miner"
        $gominer = "decred/gominer"
        $nheqminer = "nheqminer" nocase
        $miniz = /miniZ v?\d/
        $minergate = "minergate-cli" nocase
        $claymore = "Claymore's" nocase
        $astrominer = "astrominer" nocase
        $web_miner = "coinhive" nocase
        $web_miner_2 = "cryptonight.wasm" nocase
        $web_miner_3 = "webminepool" nocase
        $web_miner_4 = "deepMiner" fullword
        $web_miner_5 = "crypto-loot" nocase
    condition:
        any of them
}
