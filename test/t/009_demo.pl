# The demo runs, and what it says makes sense.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->start;
command_ok([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-f', 'demo/demo.sql' ], 'the demo runs');

is($node->safe_psql('postgres', 'SELECT users > 50000, items > 10000, ratings > 250000 FROM package_als'),
	't|t|t', "on Debian's packages");

# Those that the demo's query names beside some dependencies.
sub neighbours
{
	return $node->safe_psql('postgres',
		'SELECT dependency FROM goes_with(' . join(', ', map { "'$_'" } @_) . ')');
}
my $numeric = neighbours('python3-numpy', 'python3-scipy');
like($numeric, qr/^python3-matplotlib$/m, 'python3-matplotlib goes with numpy and scipy');
like($numeric, qr/^python3-pandas$/m, 'python3-pandas too');
unlike($numeric, qr/^(ruby|php|lib\w+-perl)/m, 'nothing of other languages does');
my $nginx = neighbours('nginx');
like($nginx, qr/^libnginx-mod-/m, "nginx' modules go with nginx");
like($nginx, qr/^php-(fpm|cgi)$/m, 'so does PHP for it');

is($node->safe_psql('postgres', q{
	SELECT count(*), count(d.*)
	FROM unnest(ARRAY['redmine', 'phpmyadmin', 'texmaker', 'gimp']) p(package)
	     CROSS JOIN LATERAL als_recommend_as(NULL::text, 'package_als', p.package, 10) r
	     LEFT JOIN dependencies d ON d.package = p.package AND d.dependency = r.item_id}),
	'40|0', 'ten recommendations each, none of which the package has');
like($node->safe_psql('postgres', q{SELECT item_id FROM als_recommend_as(NULL::text, 'package_als', 'redmine', 5)}),
	qr/^ruby-/m, 'redmine is recommended Ruby');

# r-cran-ggplot2 as if it were new: its section and its name find who depends on it,
# what it depends on, and say why.
is($node->safe_psql('postgres', q{SELECT new_items FROM fresh_als}), '1', 'one package is new to all others');
is($node->safe_psql('postgres', q{SELECT count(*) FROM before WHERE 'r-cran-ggplot2' IN (package, dependency)}), '0', 'the training has not seen it');
my ($needed_by, $needs) = split /\|/, $node->safe_psql('postgres', q{
	SELECT (SELECT count(*) FROM als_audience_as(NULL::text, 'fresh_als', 'r-cran-ggplot2', 10)
	        JOIN dependencies ON package = user_id AND dependency = 'r-cran-ggplot2'),
	       (SELECT count(*) FROM als_recommend_as(NULL::text, 'fresh_als', 'r-cran-ggplot2', 10)
	        JOIN dependencies ON package = 'r-cran-ggplot2' AND dependency = item_id)});
cmp_ok($needed_by, '>=', 4, 'four of the ten that might need the new package do');
cmp_ok($needs, '>=', 3, 'it needs three of the ten that it might need');
is($node->safe_psql('postgres', q{
	SELECT string_agg(feature, ', ' ORDER BY feature COLLATE "C") FROM (
		SELECT * FROM als_explain_features('fresh_als', 'r-cran-seurat'::text, 'r-cran-ggplot2'::text)
		WHERE side = 'item' ORDER BY contribution DESC LIMIT 3) f}),
	'section gnu-r, word cran, word r', 'because it is of the section gnu-r, and by its name');

done_testing();
