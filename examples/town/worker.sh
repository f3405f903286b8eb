# The demo's agent: a program like any other, run in a workspace of its own with the bead in its environment.
#
# It looks the repository over, writes what it saw to harbour/<title>.md, and commits that on the branch it was given.
# What it writes depends on the repository and the task alone, so that every run of the demo ends in the same tree.
# Two tasks have trouble by design; which ones, their brief says:
#
#   fails-once      ends with 1 the first time.
#   conflicts-once  writes the file that the task before it (`berth`) wrote and that is merged by now. Its first attempt
#                   begins at the commit where the whole convoy began, so that the two conflict however fast anyone is.
#                   The merge queue sends it back, and it keeps both lines.
set -eu
export LC_ALL=C

# What the user set for their own commits is not for ours.
git() { command git -c commit.gpgsign=false -c core.hooksPath=/dev/null -c core.autocrlf=false "$@"; }
part_is() { grep -q "\"part\":\"$1\"" "$GASTOWN_BRIEF"; }

git fetch -q origin

if [ "$GASTOWN_REWORK" = conflict ]; then
    git merge -q --no-edit "origin/$GASTOWN_TARGET" && exit 0
    git diff --name-only --diff-filter=U | while read -r file; do
        sed -i -e '/^<<<<<<< /d' -e '/^=======$/d' -e '/^>>>>>>> /d' "$file"
        git add -f -- "$file"
    done
    git commit -q --no-edit
    exit 0
fi

if part_is fails-once && [ "$GASTOWN_FAILURES" = 0 ]; then
    echo "the first attempt fails by design" >&2
    exit 1
fi

seed=$(git merge-base HEAD "origin/$DEMO_BRANCH")
if part_is conflicts-once; then
    git checkout -q -B "$GASTOWN_BRANCH" "$seed"
fi

# Everything but what this convoy adds.
files() { git ls-files -- . ':!harbour'; }
lines() { git grep -I -c '' -- . ':!harbour' | awk -F: '{ n += $NF } END { print n + 0 }'; }
endings() { files | sed -n 's/.*\.\([A-Za-z0-9]*\)$/\1/p' | sort | uniq -c | sort -rn | head -n 5; }

slug=$(printf '%s' "$GASTOWN_TITLE" | tr 'A-Z ' 'a-z-')
mkdir -p harbour
{
    echo "# $GASTOWN_TITLE"
    echo
    echo "Seen from the quay at $(git rev-parse --short=12 "$seed"):"
    echo
    echo "- commits: $(git rev-list --count "$seed")"
    echo "- files: $(files | wc -l | tr -d ' ')"
    echo "- lines: $(lines)"
    endings | while read -r count ending; do echo "- .$ending: $count"; done
} >"harbour/$slug.md"
if part_is berth || part_is conflicts-once; then
    echo "- $GASTOWN_TITLE" >harbour/berths.md
fi
if part_is book; then
    git ls-files -- harbour | sed 's/^/- /' >harbour/index.md
fi

git add -f -- harbour
git commit -q -m "$GASTOWN_TITLE" -m "Bead: $GASTOWN_BEAD"
echo "committed $(git rev-parse --short HEAD): $GASTOWN_TITLE"
