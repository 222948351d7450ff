# Completion of sandscan's command line in bash, from 4.4 on: source <(sandscan completion bash)
_sandscan() {
    local line=${COMP_LINE:0:COMP_POINT} kind value rest typed broken= file
    # readline replaces only what follows the last of its own word breaks
    typed=${line##*[[:space:]]}
    if [[ $typed != [\'\"]* ]]; then
        [[ $COMP_WORDBREAKS == *:* && $typed == *:* ]] && broken=${typed%"${typed##*:}"}
        [[ $COMP_WORDBREAKS == *=* && ${typed#"$broken"} == *=* ]] && broken=${typed%"${typed##*=}"}
    fi
    COMPREPLY=()
    while IFS=$'\x1f' read -r kind value rest; do
        case $kind in
            plain) COMPREPLY+=("${value#"$broken"}") ;;
            open) COMPREPLY+=("${value#"$broken"}") && compopt -o nospace ;;
            dir) ((${#COMPREPLY[@]})) || compopt -o dirnames ;;
            file)
                if ((${#COMPREPLY[@]} == 0)); then
                    compopt -o default
                    continue
                fi
                compopt -o nospace
                while IFS= read -r file; do
                    [[ -d $file ]] && file+=/
                    printf -v file %q "$file"
                    COMPREPLY+=("$file")
                done < <(compgen -f -- "$value")
                ;;
        esac
    done < <(COMP_LINE=$line _SANDSCAN_COMPLETE=sandscan_complete "$1" 2>/dev/null)
}
complete -o nosort -F _sandscan sandscan
