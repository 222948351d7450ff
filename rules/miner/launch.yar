// Commands that fetch or start a miner. The detector reads the file's commands and decides.

rule miner_launch_program
{
    meta:
        id = "miner/launch-program"
        name = "Name of a miner's program"
        severity = "note"
        class = "launch"
        description = "A program name that only miners have, where a command could use it."
        help = "The name alone means nothing. A command that starts it with a pool does."
        references = "https://github.com/xmrig/xmrig"
        attack = "T1496.001"
    strings:
        $xmrig = "xmrig" nocase
        $xmrstak = "xmr-stak" nocase
        $minerd = /\bminerd\b/
        $cpuminer = "cpuminer" nocase
        $ccminer = /\bccminer\b/ nocase
        $ethminer = /\bethminer\b/ nocase
        $cgminer = /\bcgminer\b/ nocase
        $bfgminer = /\bbfgminer\b/ nocase
        $sgminer = /\bsgminer\b/ nocase
        $nbminer = /\bnbminer\b/ nocase
        $lolminer = "lolminer" nocase
        $trex = /\bt-rex\s+-/ nocase
        $gminer = /\bgminer\s+-/ nocase
        $rigel = /\brigel\s+-/ nocase
        $phoenix = "phoenixminer" nocase
        $teamred = "teamredminer" nocase
        $nanominer = "nanominer" nocase
        $srbminer = "srbminer" nocase
        $wildrig = "wildrig" nocase
        $bzminer = "bzminer" nocase
        $onezero = "onezerominer" nocase
        $kawpow = "kawpowminer" nocase
        $minergate = "minergate" nocase
        $kaspa = "kaspa-miner" nocase
    condition:
        any of them
}
