// Programs whose bytes cannot be read until they run.

rule miner_packing_upx
{
    meta:
        id = "miner/packing-upx"
        name = "Packed by UPX"
        severity = "note"
        class = "packing"
        description = "An ELF or PE program that UPX packed."
        help = "Packing is not malice. It hides what a program is from whoever looks for strings: unpack it and look again."
        references = "https://upx.github.io"
        attack = "T1027.002"
    strings:
        $magic = "UPX!"
        $info = "$Info: This file is packed with the UPX executable packer"
        $section = { 55 50 58 30 00 00 00 00 }
    condition:
        (uint32(0) == 0x464C457F or uint16(0) == 0x5A4D) and any of them
}

rule miner_packing_no_sections
{
    meta:
        id = "miner/packing-no-sections"
        name = "Program without sections"
        severity = "note"
        class = "packing"
        description = "An ELF program whose section table is gone, as packers and those who tamper with packed files leave it."
        help = "Compilers always write the table. Find out what removed it; unpack the program and look again."
        references = "https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html"
        attack = "T1027.002"
    strings:
        $elf64 = { 7F 45 4C 46 02 01 01 [33] 00 00 00 00 00 00 00 00 [12] 00 00 }
        $elf32 = { 7F 45 4C 46 01 01 01 [25] 00 00 00 00 [12] 00 00 }
    condition:
        $elf64 at 0 or $elf32 at 0
}
