# What the packages say of als: one version everywhere, files that exist, and for
# PGXN what its validator asks of META.json.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my ($version) = slurp_file('als.control') =~ /^default_version = '(.*)'/m;
my $release = "$version.0";
my $meta = decode_json(slurp_file('META.json'));

# https://pgxn.org/spec: what is required, and of which kind
my $semantic = qr/^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$/;
ok(defined $meta->{$_}, "META.json has $_") foreach qw(name version abstract maintainer license provides), 'meta-spec';
like($meta->{name}, qr{^[^\s/\\\x00-\x1f]{2,}$}, 'a name');
like($meta->{$_}, qr/\S/, "$_ is not empty") foreach qw(abstract description);
like($meta->{maintainer}, qr/^[^<]+ <[^@\s]+@[^@\s]+>$/, 'somebody to write to');
is($meta->{license}, 'postgresql', 'a license that PGXN knows');
like($meta->{release_status}, qr/^(stable|testing|unstable)$/, 'a status');
is($meta->{'meta-spec'}{version}, '1.0.0', 'the version of the specification');
like($meta->{'meta-spec'}{url}, qr{^https?://pgxn\.org/meta/spec\.txt$}, 'and where it is');
is_deeply([ keys %{ $meta->{provides} } ], ['als'], 'it provides the extension');
like($_, $semantic, "a semantic version: $_") foreach $meta->{version}, $meta->{provides}{als}{version}, values %{ $meta->{prereqs}{runtime}{requires} };
ok(-f $meta->{provides}{als}{$_}, "$meta->{provides}{als}{$_} is there") foreach qw(file docfile);
is(scalar(grep { !/^[^\\\/\x00-\x1f]{1,256}$/ } @{ $meta->{tags} }), 0, 'tags');

# one version
is($meta->{version}, $release, 'the version of META.json');
is($meta->{provides}{als}{version}, $release, 'and of what it provides');
is($meta->{provides}{als}{file}, "sql/als--$version.sql", 'by its script');
like(slurp_file('CHANGELOG.md'), qr/^## \Q$version\E /m, 'CHANGELOG.md');
like((split /\n/, slurp_file('debian/changelog'))[0], qr/^postgresql-als \(\Q$version\E-\d+\) /, 'debian/changelog');
like(slurp_file('packaging/als.spec'), qr/^Version: +\Q$release\E$/m, 'packaging/als.spec');

done_testing();
