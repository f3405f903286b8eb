# The demo's gate: run by the refinery in the tree of each merge commit, before anybody sees that commit.
set -eu

# Another agent program writes other files; there is nothing to say about those.
[ -d harbour ] || exit 0

if grep -rE '^(<<<<<<<|>>>>>>>) ' harbour; then
    echo "the lines above are left from a conflict" >&2
    exit 1
fi
if [ -f harbour/index.md ]; then
    sed -n 's/^- //p' harbour/index.md | while read -r file; do
        [ -f "$file" ] || { echo "the index names $file, which is not there" >&2; exit 1; }
    done
fi
