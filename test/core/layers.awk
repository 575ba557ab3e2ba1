# The calls between the files of src/core, from LAYERS and then nm -A -P: none
# may lead to the caller's own layer or to a higher one.

FILENAME ~ /LAYERS$/ {
	if ($0 !~ /^#/)
		for (i = 1; i <= NF; i++)
			layer[$i] = FNR
	next
}

{
	sub(/:$/, "", $1)
	sub(/.*\//, "", $1)
	sub(/\.o$/, ".c", $1)
	if ($3 == "U")
		calls[$1 " " $2]
	else
		home[$2] = $1
	if (!($1 in layer) && !($1 in missing)) {
		missing[$1]
		print "not in src/core/LAYERS: " $1
		failed = 1
	}
}

END {
	for (call in calls) {
		split(call, part, " ")
		to = home[part[2]]
		if (to != "" && layer[to] >= layer[part[1]]) {
			print part[1] " calls " part[2] " of " to ", which is not in a layer below"
			failed = 1
		}
	}
	exit failed
}
