#compdef sandscan
# Completion of sandscan's command line in zsh: source <(sandscan completion zsh)
_sandscan() {
    local line="${(j: :)words[1,CURRENT-1]} $PREFIX" reply
    local -a part plain plain_shown open open_shown
    local -a files folders
    for reply in "${(@f)$(COMP_LINE=$line _SANDSCAN_COMPLETE=sandscan_complete "${words[1]}" 2>/dev/null)}"; do
        part=("${(@ps:\x1f:)reply}")
        case $part[1] in
            plain) plain+=("$part[2]"); plain_shown+=("$part[2]${part[3]:+  -- $part[3]}") ;;
            open) open+=("$part[2]"); open_shown+=("$part[2]${part[3]:+  -- $part[3]}") ;;
            file) files=("$part[3]") ;;
            dir) folders=("$part[3]") ;;
        esac
    done
    (( $#plain )) && compadd -V sandscan -l -d plain_shown -a plain
    (( $#open )) && compadd -V sandscan -l -S '' -d open_shown -a open
    if (( $#files )); then
        compset -p $#files[1]
        _path_files -f
    elif (( $#folders )); then
        compset -p $#folders[1]
        _path_files -/
    fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _sandscan "$@"
else
    compdef _sandscan sandscan
fi
