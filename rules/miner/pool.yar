// Where a miner gets its work: URLs of mining schemes and hosts of pools.

rule miner_pool_url
{
    meta:
        id = "miner/pool-url"
        name = "URL of a mining scheme"
        severity = "note"
        class = "pool"
        description = "A URL such as stratum+tcp://host:port, or the scheme alone in a program that reads such URLs."
        help = "Browsers and servers do not know these schemes; miners, pools and tools about them do."
        references = "https://en.bitcoin.it/wiki/Stratum_mining_protocol"
        attack = "T1496.001"
    strings:
        $tcp = "stratum+tcp:" nocase
        $ssl = "stratum+ssl:" nocase
        $tls = "stratum+tls" nocase
        $udp = "stratum+udp:" nocase
        $ws = "stratum+ws" nocase
        $numbered = /stratum[12]\+[a-z]{2,5}:/ nocase
        $plain = "stratum://" nocase
        $daemon = "daemon+http" nocase
        $ethproxy = "ethproxy+" nocase
        $zil = "zil+tcp:" nocase
    condition:
        any of them
}

rule miner_pool_host
{
    meta:
        id = "miner/pool-host"
        name = "Host of a mining pool"
        severity = "note"
        class = "pool"
        description = "The domain of a mining pool, or of the host to which a miner gives its authors' share."
        help = "Block lists and articles name pools too. A pool beside other signs of a miner is where it would connect."
        references = "https://miningpoolstats.stream"
        attack = "T1496.001"
    strings:
        $host_000 = "2miners.com" nocase
        $host_001 = "acc-pool.pw" nocase
        $host_002 = "aikapool.com" nocase
        $host_003 = "antpool.com" nocase
        $host_004 = "beepool.com" nocase
        $host_005 = "bitcoin.cz" nocase
        $host_006 = "bitfly.at" nocase
        $host_007 = "bitminter.com" nocase
        $host_008 = "braiins.com" nocase
        $host_010 = "c3pool.com" nocase
        $host_011 = "c3pool.org" nocase
        $host_012 = "cedric-crispin.com" nocase
        $host_013 = "coinfly.net" nocase
        $host_014 = "coinfoundry.org" nocase
        $host_015 = "coinotron.com" nocase
        $host_016 = "cruxpool.com" nocase
        $host_017 = "crypto-pool.fr" nocase
        $host_018 = "cryptonote.social" nocase
        $host_019 = "donate.ssl.xmrig.com" nocase
        $host_020 = "donate.v2.xmrig.com" nocase
        $host_021 = "dwarfpool.com" nocase
        $host_022 = "emcd.io" nocase
        $host_023 = "eobot.com" nocase
        $host_024 = "ethermine.org" nocase
        $host_025 = "ethpool.org" nocase
        $host_026 = "ezil.me" nocase
        $host_027 = "f2pool.com" nocase
        $host_028 = "fairhash.org" nocase
        $host_029 = "fairpool.xyz" nocase
        $host_030 = "flexpool.io" nocase
        $host_031 = "flockpool.com" nocase
        $host_032 = "flypool.org" nocase
        $host_033 = "ghostminer.xyz" nocase
        $host_034 = "gntl.uk" nocase
        $host_035 = "hashcity.org" nocase
        $host_036 = "hashvault.pro" nocase
        $host_037 = "herominers.com" nocase
        $host_038 = "hiveon.com" nocase
        $host_039 = "hiveon.net" nocase
        $host_040 = "k1pool.com" nocase
        $host_042 = "kryptex.network" nocase
        $host_043 = "litecoinpool.org" nocase
        $host_044 = "luckypool.io" nocase
        $host_046 = "minerall.io" nocase
        $host_047 = "minergate.com" nocase
        $host_048 = "minerpool.net" nocase
        $host_049 = "minexmr.com" nocase
        $host_050 = "mining-dutch.nl" nocase
        $host_051 = "miningocean.org" nocase
        $host_052 = "miningpoolhub.com" nocase
        $host_053 = "miningrigrentals.com" nocase
        $host_054 = "monerohash.com" nocase
        $host_055 = "moneroocean.stream" nocase
        $host_056 = "monerop.com" nocase
        $host_057 = "moneropool.com" nocase
        $host_058 = "nanopool.org" nocase
        $host_059 = "nicehash.com" nocase
        $host_060 = "ntpool.org" nocase
        $host_061 = "nushypool.com" nocase
        $host_062 = "okpool.me" nocase
        $host_063 = "p2pool.io" nocase
        $host_064 = "pool2mine.net" nocase
        $host_065 = "poolin.com" nocase
        $host_066 = "poolmore.com" nocase
        $host_067 = "poolto.be" nocase
        $host_068 = "ppxxmr.com" nocase
        $host_069 = "prohashing.com" nocase
        $host_070 = "public-pool.io" nocase
        $host_071 = "raptoreum.zone" nocase
        $host_072 = "ravenminer.com" nocase
        $host_073 = "rplant.xyz" nocase
        $host_074 = "semipool.com" nocase
        $host_075 = "skypool.org" nocase
        $host_076 = "slushpool.com" nocase
        $host_077 = "solo.ckpool.org" nocase
        $host_078 = "solopool.org" nocase
        $host_079 = "sparkpool.com" nocase
        $host_080 = "spiderpool.com" nocase
        $host_081 = "supportxmr.com" nocase
        $host_082 = "suprnova.cc" nocase
        $host_083 = "unminable.com" nocase
        $host_084 = "unmineable.com" nocase
        $host_085 = "usxmrpool.com" nocase
        $host_086 = "viabtc.com" nocase
        $host_087 = "viaxmr.com" nocase
        $host_088 = "vipor.net" nocase
        $host_089 = "wemineltc.com" nocase
        $host_090 = "whattomine.com" nocase
        $host_091 = "woolypooly.com" nocase
        $host_092 = "xmrfast.com" nocase
        $host_093 = "xmrpool.de" nocase
        $host_094 = "xmrpool.eu" nocase
        $host_095 = "xmrpool.net" nocase
        $host_096 = "xmrpool.us" nocase
        $host_097 = "yiimp.eu" nocase
        $host_098 = "zapool.xyz" nocase
        $host_099 = "zergpool.com" nocase
        $host_100 = "zpool.ca" nocase
    condition:
        any of them
}
