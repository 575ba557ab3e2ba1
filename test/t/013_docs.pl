# The examples of the documentation do what they say.
#
# Each page gets a database with the same small data, and its blocks of SQL run
# there one after the other, in sessions of their own:
#
#   ```sql            has to work
#   ```sql error S    has to fail with SQLSTATE S
#   ```sql vector     runs where pgvector is there
#   ```sql skip       needs something else: another extension, another server
#   <!-- sql ... -->  prepares what the page takes for granted; also sql vector
#   ```text           directly behind a block: what its last query shows
#
# Links lead somewhere, and what pages say of messages, functions and source files
# is so.
#
# Words and integers have to be those of the page.  A number with a decimal
# point may differ in its last digit, since rounding depends on the machine.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('docs');
$node->init;
$node->start;

# Two kinds of people and of films; one in eight ratings does not fit.  Without
# the extension, which the pages create.
$node->safe_psql('template1', q{
CREATE TABLE movies AS
    SELECT i AS movie_id, 'Film ' || i AS title, (ARRAY['drama', 'comedy', 'horror'])[1 + i % 3] AS genre, i % 7 AS stock
    FROM generate_series(1, 240) i;
CREATE TABLE users AS SELECT u AS user_id, 'user ' || u AS name FROM generate_series(1, 60) u;
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS movie_id, (1 + (u * 31 + i * 17) % 5)::real AS rating,
           now() - (u + i) % 200 * interval '1 day' AS rated_at
    FROM generate_series(1, 60) u, generate_series(1, 240) i
    WHERE (u * 7919 + i * 104729 + u * i * 13) % 97 < CASE WHEN u % 2 = i % 2 THEN 28 ELSE 4 END;
CREATE INDEX ON ratings (user_id, movie_id);
CREATE TABLE test_ratings AS SELECT user_id, movie_id, 6 - rating AS rating FROM ratings WHERE (user_id * 7 + movie_id * 3) % 10 = 0;
CREATE TABLE shown AS SELECT user_id, movie_id, movie_id AS product_id FROM ratings WHERE movie_id % 5 = 0;
CREATE TABLE likes AS SELECT user_id, movie_id AS item_id FROM ratings WHERE rating >= 4;
CREATE TABLE products AS SELECT movie_id AS product_id, title AS name, stock > 0 AS in_stock FROM movies;
CREATE TABLE clicks AS
    SELECT user_id, movie_id AS product_id, rated_at AS clicked_at FROM ratings, generate_series(1, rating::int);
CREATE TABLE orders AS
    SELECT 1 + user_id % 2 AS shop_id, user_id, movie_id AS product_id, rating::int AS quantity FROM ratings;
CREATE TABLE packages AS
    SELECT (ARRAY['nginx', 'certbot', 'postgresql', 'python3-numpy', 'python3-scipy'])[1 + user_id % 5] || CASE WHEN user_id >= 5 THEN user_id::text ELSE '' END AS user_id,
           CASE movie_id WHEN 1 THEN 'nginx' WHEN 2 THEN 'certbot' WHEN 3 THEN 'python3-numpy' ELSE 'package' || movie_id END AS item_id, rating
    FROM ratings;
});

my $vector = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'});

# What psql shows, as rows of cells
sub cells
{
	my ($text) = @_;
	return map { [ map { s/^\s+|\s+$//gr } split /\|/ ] }
	  grep { /\S/ && !/^[-+]+$/ && !/^\(\d+ rows?\)$/ } split /\n/, $text;
}

# Is a cell what the page says?
sub alike
{
	my ($is, $said) = @_;
	return $is eq $said unless $said =~ /^-?\d+\.(\d+)$/ && $is =~ /^-?\d+(\.\d+)?$/;
	return abs($is - $said) < 1.5 * 10**-length $1;
}

# Compares the output of a block's last query with the page.
sub shows
{
	my ($output, $page, $name) = @_;
	my @is = cells($output);
	my @said = cells($page);
	@is = @is[ -@said .. -1 ] if @is > @said;
	my $same = @is == @said;
	for my $row (0 .. $#said)
	{
		$same &&= @{ $is[$row] } == @{ $said[$row] };
		$same &&= alike($is[$row][$_], $said[$row][$_]) for 0 .. $#{ $said[$row] };
	}
	ok($same, $name) or diag("the page:\n$page\nthe server:\n$output");
	return;
}

for my $page ('README.md', glob('docs/*.md'))
{
	my @lines = split /\n/, slurp_file($page), -1;
	my $database = lc($page =~ s{\W+}{_}gr);
	my ($output, $end) = ('', -1);

	next unless grep { /^```sql/ } @lines;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	for (my $i = 0; $i < @lines; $i++)
	{
		next unless $lines[$i] =~ /^(?:```|(<!-- ))(sql|text)\b ?(skip|vector|error \w{5})?$/;
		my ($kind, $how) = ($2, $3 // '');
		my $start = $i + 1;
		my $close = $1 ? '-->' : '```';
		$i++ until $lines[$i + 1] eq $close;
		my $text = join "\n", @lines[ $start .. $i++ ];
		my $name = "$page, line " . ($start + 1);

		if ($kind eq 'text')
		{
			shows($output, $text, "$name: the output") if $start - $end <= 3;
			next;
		}
		$end = $i;
		next if $how eq 'skip' || ($how eq 'vector' && !$vector);
		my ($status, $stdout, $stderr) = $node->psql($database, $text,
			extra_params => [ '-A', '-P', 'tuples_only=off', '-P', 'format=unaligned', '-v', 'VERBOSITY=verbose' ]);
		$output = $stdout;
		if ($how =~ /^error (\w+)/)
		{
			like($stderr, qr/ERROR:  $1: /, "$name: fails");
		}
		else
		{
			is($status, 0, $name) or diag($stderr);
		}
	}
}

# What Grafana asks, with its macro as it would fill it in
my @panels = slurp_file('docs/monitoring.md') =~ /^\| [\w ]+: .* \| `(SELECT .*)` \|$/mg;
cmp_ok(scalar @panels, '>=', 7, 'docs/monitoring.md has panels');
foreach my $panel (@panels)
{
	my $query = $panel =~ s/\$__timeFilter\((\w+)\)/$1 BETWEEN now() - interval '1 day' AND now()/r;
	my ($status, $stdout, $stderr) = $node->psql('docs_monitoring_md', "SET ROLE grafana; $query");

	is($status, 0, "docs/monitoring.md: $panel") or diag($stderr);
}

# What docs/errors.md says of a message is what the code says: all up to what
# differs from one error to the next.
my $source = join '', map { slurp_file($_) } sort glob('src/*.c src/*/*.c');
$source =~ s/\\"/"/g;
$source =~ s/%(?:\.0)?[a-z]/.../g;
# in SQL, in the form of those in C
$source .= join '', map { qq{ereport(ERROR, (errcode(), errmsg("$_"));\n} } map { s/%/.../gr } map { slurp_file($_) =~ /RAISE EXCEPTION '(.*?)'/g } glob('sql/als--*.sql');
my @rows = slurp_file('docs/errors.md') =~ /^\| `[^|]*\| `(.*?)` \|/mg;
foreach my $message (@rows)
{
	ok(index($source, qq{"$message"}) >= 0, "docs/errors.md: $message");
}

# And it lists all of them, but for those that are PostgreSQL's own in their wording.
my @patterns = map { join '.*', map { quotemeta } split /\.\.\./, $_, -1 } @rows;
my $listed = join '|', @patterns, 'could not \w+ (in )?temporary file: .*', 'set-valued function called .*', '\.\.\.';
my @messages = $source =~ /ereport\(ERROR,\s*\(errcode[^;]*?errmsg(?:_plural)?\(\s*"([^;]*?)"[,)]/g;
cmp_ok(scalar @messages, '>', 80, 'the messages of the source are found');
foreach my $message (@messages)
{
	$message =~ s/"\s+"//g;
	like($message, qr/^(?:$listed)$/s, "docs/errors.md has: $message");
}

# Links lead to files and headings that are there.
my @pages = ('README.md', grep { -e } 'CONTRIBUTING.md', 'CHANGELOG.md', 'SECURITY.md', glob('docs/*.md bench/*.md bench/results/*.md src/*/README.md'));
my %headings;
foreach my $page (@pages)
{
	my $text = slurp_file($page) =~ s/^```.*?^```//gmsr;
	$headings{$page} = { map { s/\[([^]]*)\]\([^)]*\)/$1/gr =~ s/[^\w\s-]//gr =~ s/\s/-/gr => 1 }
		  map { lc } $text =~ /^#+ (.*)/mg, $text =~ /<a id="(.*?)"/g };
}
foreach my $page (@pages)
{
	my $text = slurp_file($page) =~ s/^```.*?^```//gmsr;
	my ($folder) = $page =~ m{^(.*/)?[^/]+$};
	foreach my $link (grep { !/^\w+:/ } $text =~ /\]\(([^)\s]+)\)/g)
	{
		my ($path, $heading) = $link =~ /^([^#]*)#?(.*)/;
		$path = $path eq '' ? $page : ($folder // '') . $path;
		1 while $path =~ s{[^/]+/\.\./}{};
		next if $path =~ m{^bench/} && !-e 'bench';	# not copied for tests
		ok(-e $path && ($heading eq '' || !$headings{$path} || $headings{$path}{$heading}), "$page: the link to $link");
	}
}

# Sources and tests that pages name are there, and docs/architecture.md has a line
# for each source; those of the core are src/core/README.md's.
foreach my $page (@pages)
{
	my %named = map { $_ => 1 } slurp_file($page) =~ m{(?<![\w/])(?:src/)?((?:common|ratings|model|evaluate|serve|train|core)/\w+\.[ch])\b}g;
	ok(-e "src/$_", "$page: src/$_ is there") foreach sort keys %named;
}
foreach my $test (sort { $a cmp $b } keys %{ { map { $_ => 1 } slurp_file('SECURITY.md') =~ m{`(test/\S+)`}g } })
{
	ok(-e $test, "SECURITY.md: $test is there");
}
my %lines = slurp_file('docs/architecture.md') =~ /^### (common|ratings|model|evaluate|serve|train)\n\n((?:\|.*\n)+)/mg;
foreach my $folder (sort keys %lines)
{
	my @files = map { m{([^/]+)$} } grep { /\.c$/ || !-e s/\.h$/.c/r } glob("src/$folder/*.[ch]");
	is(join(' ', sort $lines{$folder} =~ /^\| `(.*?)`/mg), join(' ', sort @files), "docs/architecture.md has the files of src/$folder");
}
is(scalar keys %lines, 6, 'docs/architecture.md has all folders but the core');

# The reference has an example of every function and view that is for users.
my $examples = join "\n",
  slurp_file('docs/reference.md') =~ /^```sql(?: error \w{5})?\n(.*?)^```/msg;
foreach my $name (split /\n/, $node->safe_psql('docs_reference_md', q{
SELECT DISTINCT coalesce(p.proname, c.relname)
FROM pg_depend d
LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind = 'v'
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'als')
  AND coalesce(p.proname, c.relname) IS NOT NULL
  AND coalesce(p.prorettype <> 'trigger'::regtype, true)
  AND coalesce(p.proname, c.relname) !~ '_(transfn|finalfn)$|^als_(?:training_progress|model_stats)$|^als_collect|^als_reject_value$|^als_sharded_'
ORDER BY 1}))
{
	like($examples, qr/\b$name\b/, "docs/reference.md: an example of $name");
}

$node->stop;
done_testing();
