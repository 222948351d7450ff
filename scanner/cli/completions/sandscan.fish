# Completion of sandscan's command line in fish: sandscan completion fish | source
function __sandscan_complete
    set -l words (commandline -opc)
    for reply in (COMP_LINE=(commandline -cp | string collect) _SANDSCAN_COMPLETE=sandscan_complete $words[1] 2>/dev/null)
        set -l part (string split \x1f -- $reply)
        switch $part[1]
            case plain open
                printf '%s\t%s\n' $part[2] $part[3]
            case file
                for file in (__fish_complete_path $part[2])
                    printf '%s%s\n' $part[3] $file
                end
            case dir
                for folder in (__fish_complete_directories $part[2])
                    printf '%s%s\n' $part[3] $folder
                end
        end
    end
end
complete --command sandscan --no-files --arguments '(__sandscan_complete)'
