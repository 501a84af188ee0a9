# For scripts that make an image, which takes minutes: it is made once and kept outside the checkout, so that each checkout
# finds it warm. To be sourced.

# Has the function MAKE fill the folder FOLDER where that is missing. Named by the hash of its recipe, it never changes.
kept() { # FOLDER MAKE
    mkdir -p "${1%/*}"
    exec 9>"${1%/*}/lock"
    flock 9                                     # two checkouts may ask at the same time
    [[ -f $1/complete ]] && return
    echo "${0##*/}: making $1, once; a few minutes" >&2
    rm -rf --one-file-system "$1" "$1.new"
    mkdir "$1.new"
    "$2" "$1.new" >&2                          # stdout is for the folder's name alone
    touch "$1.new/complete"
    mv "$1.new" "$1"
}
