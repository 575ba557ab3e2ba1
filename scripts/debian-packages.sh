#!/usr/bin/env bash
#
# Makes the demo's data from the package index that apt keeps of this Debian
# release: which package depends on or recommends which, and their sections.

set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
architecture=$(dpkg --print-architecture)
# shellcheck disable=SC2016
index=$(apt-get indextargets --format '$(FILENAME)' 'Created-By: Packages' \
	'Origin: Debian' "Codename: $codename" 'Component: main' \
	"Architecture: $architecture" | head -n 1)
[ -f "$index" ] || fail 'apt has no package index of Debian; try apt-get update'
release=${index%_main_binary-*}_InRelease

# Every alternative of "a | b" counts: the package works with each of them.
pairs()
{
	/usr/lib/apt/apt-helper cat-file "$index" |
		awk '
			/^Package: / { package = $2 }
			/^(Pre-Depends|Depends|Recommends): / {
				sub(/^[^:]*: */, "")
				n = split($0, dependencies, / *[,|] */)
				for (i = 1; i <= n; i++) {
					sub(/[ :(].*/, "", dependencies[i])
					print package "\t" dependencies[i]
				}
			}' |
		sort -u
}

# What fewer than three packages depend on says little about any of them.
frequent()
{
	awk -F '\t' '
		{ line[NR] = $0; dependency[NR] = $2; count[$2]++ }
		END {
			for (i = 1; i <= NR; i++)
				if (count[dependency[i]] >= 3)
					print line[i]
		}'
}

distinct()
{
	cut -f "$1" "$pairs" | sort -u | wc -l
}

# Of the packages on either side; virtual ones have none.
sections()
{
	/usr/lib/apt/apt-helper cat-file "$index" |
		awk '/^Package: / { package = $2 } /^Section: / { print package "\t" $2 }' |
		sort -u | join -t "$(printf '\t')" <(tr '\t' '\n' <"$pairs" | sort -u) -
}

export LC_ALL=C
pairs=$(mktemp)
trap 'rm "$pairs"' EXIT
pairs | frequent >"$pairs"
gzip -9n <"$pairs" >demo/debian-packages.tsv.gz
sections | gzip -9n >demo/debian-sections.tsv.gz

# What README.md says of the page stays.
page=$(sed -n '/^## The page/,$p' demo/README.md)
cat >demo/README.md <<EOF
# The demo's data

\`debian-packages.tsv.gz\` says which package of Debian depends on or recommends
which other: $(wc -l <"$pairs") pairs of $(distinct 1) packages and $(distinct 2)
dependencies, sorted, a tab between the two. Read as implicit feedback, a
package is a user and what it depends on are the items it has chosen.

\`debian-sections.tsv.gz\` has the section of each of them that is a package itself, not
only a name that others provide: $(gzip -dc demo/debian-sections.tsv.gz | wc -l) of them.

- Origin: the package index of Debian $codename, main, $architecture, of
  $(sed -n 's/^Date: //p' "$release").
- Made by \`make data\`: the fields Pre-Depends, Depends and Recommends of every
  package, without versions and architectures. All alternatives of \`a | b\`
  count. Dependencies that fewer than three packages have are left out. Sections are
  the field Section.
- Names and relations only, no descriptions or other text: facts about the
  packages, taken from Debian's own metadata.

\`demo.sql\` is what \`make demo\` runs. To run it in a database of your own, with
als installed: \`psql -f demo/demo.sql\` from the top of the source tree.

$page
EOF
