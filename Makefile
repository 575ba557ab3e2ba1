# als: alternating least squares in PostgreSQL
#
#   make demo              install what is missing, build, and show it
#   make demo-app          the same as a page to click on; demo-app-test: in Chromium
#   make check             install what is missing, build, and test it
#   make && make install   build for the pg_config of PATH or PG_CONFIG=...
#   make installcheck      test what is installed, against a running server
#   make fuzz              100,000 hostile calls; make check makes some thousand
#   make libfuzzer         libFuzzer on what is parsed, a minute each
#   make sqlsmith          ten minutes of sqlsmith's queries
#   make assertions        make check on a server built with assertions
#   make sanitize          test it on a server built with sanitizers, which takes
#                          half an hour; TESTS="train t/002_cancel.pl" for some tests
#   make valgrind          the same under valgrind, which takes hours
#   make soak              eight sessions at random for ten minutes
#   make faults            100 kills at random, every request that can fail, little room
#   make cancel            how long a cancel takes, wherever it comes
#   make matrix            make check with PostgreSQL 14 to 19, each in a chroot
#   make compilers         the core's tests with each compiler at each level
#   make cross             tests on emulated arm64 and s390x
#   make dist              the archive for PGXN
#   make deb               Debian packages, installed on a bare system and tried
#   make check-spark  train with Spark and compare, a quarter of an hour
#   make bench             measure it against its peers; see bench/README.md
#   make indent            format the C sources with pgindent
#   make lint              look for mistakes with clang-tidy and cppcheck
#   make data              make the demo's data anew
#   make pgspot            look for unqualified names in the SQL script

SCRIPTED = assertions bench cancel check check-spark compilers cross data demo demo-app demo-app-test deb faults fuzz indent libfuzzer matrix pgspot sanitize soak sqlsmith valgrind

ifneq (,$(filter $(SCRIPTED),$(MAKECMDGOALS)))

# These work before PostgreSQL is there, hence without PGXS; what else is on
# the same command line gets a make of its own.
OTHERS := $(filter-out $(SCRIPTED),$(MAKECMDGOALS))

.PHONY: $(SCRIPTED) $(OTHERS)
.NOTPARALLEL:

cancel check check-spark compilers cross deb demo demo-app faults fuzz indent libfuzzer matrix soak sqlsmith:
	@scripts/$@.sh

demo-app-test:
	@scripts/demo-app.sh test

assertions:
	@scripts/sanitize.sh assertions $(TESTS)

sanitize:
	@scripts/sanitize.sh sanitizers $(TESTS)

valgrind:
	@scripts/sanitize.sh valgrind $(TESTS)

bench:
	@bench/run.sh

data:
	@scripts/debian-packages.sh

# The names of the extension's own objects follow its schema, as they should.
pgspot:
	@pgspot sql/als--*.sql | { ! grep -E '^PS' | \
		grep -vE '^PS01[67]: Unqualified (object reference|function call): als_'; }

ifneq (,$(OTHERS))
$(OTHERS):
	@$(MAKE) $@
endif

else

PG_CONFIG ?= pg_config
BLAS_LIBS ?= -llapack -lblas
WERROR ?= -Werror

BLAS_OBJS := src/core/als_blas.o
CORE_OBJS := $(filter-out $(BLAS_OBJS), \
	$(patsubst %.c,%.o,$(sort $(wildcard src/core/*.c))))
SERVER_OBJS := $(filter-out $(CORE_OBJS) $(BLAS_OBJS), \
	$(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c))))

ALS_VERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" als.control)
MODULE_big := als
OBJS := $(SERVER_OBJS) $(CORE_OBJS)
EXTENSION := als
DATA := $(sort $(wildcard sql/als--*.sql))

# als.so must not depend on BLAS: it loads this library at first use.
BLAS_LIB = als_blas$(DLSUFFIX)

# As a system directory, the server's headers raise no warnings of their own.
PG_CPPFLAGS = -isystem $(shell $(PG_CONFIG) --includedir-server) \
	-Isrc -DALS_VERSION='"$(ALS_VERSION)"'
PG_CFLAGS = -Wall -Wextra
SHLIB_LINK = -lm
EXTRA_CLEAN = $(BLAS_LIB) $(BLAS_OBJS)

REGRESS := $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
# Tests include what they share by its path from here: test/include/NAME.sql.
REGRESS_OPTS := --inputdir=test --load-extension=als
PROVE_TESTS := $(sort $(wildcard test/t/*.pl))
TAP_TESTS := $(if $(PROVE_TESTS),1)

# Bitcode serves the inlining of functions into queries.  Nothing here is
# small enough for that, and the kernels choose their instruction set alone.
override with_llvm := no

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS) $(BLAS_OBJS): Makefile als.control $(wildcard src/*.h src/*/*.h)

# The server dictates the parameters of what it calls back.
$(SERVER_OBJS): override CFLAGS += -Wno-unused-parameter
# On s390x, PostgreSQL's flag makes float expressions double; vectors are of floats.
$(CORE_OBJS) $(BLAS_OBJS): override CFLAGS := $(filter-out -fexcess-precision=standard,$(CFLAGS)) \
	-ffp-contract=off -Wconversion $(WERROR)
# As PostgreSQL does for its checksums: the index is built from loops.
src/core/search.o: override CFLAGS += $(CFLAGS_UNROLL_LOOPS) $(CFLAGS_VECTORIZE)
# PostgreSQL 16 and later build modules with -fvisibility=hidden.
$(BLAS_OBJS): override CFLAGS += -fvisibility=default

all: $(BLAS_LIB)

$(BLAS_LIB): $(BLAS_OBJS)
	$(LINK.shared) -o $@ $^ $(LDFLAGS) $(LDFLAGS_SL) $(BLAS_LIBS)

# What META.json describes, for PGXN
DIST := als-$(shell sed -n 's/^   "version": "\(.*\)",/\1/p' META.json)
.PHONY: dist
dist:
	git archive --format=zip --prefix=$(DIST)/ -o $(DIST).zip HEAD

.PHONY: lint
lint:
	@CPPFLAGS='$(CPPFLAGS)' scripts/lint.sh $(patsubst %.o,%.c,$(OBJS) $(BLAS_OBJS))

.PHONY: install-blas uninstall-blas
install: install-blas
install-blas: $(BLAS_LIB) installdirs
	$(INSTALL_SHLIB) $(BLAS_LIB) '$(DESTDIR)$(pkglibdir)/'
uninstall: uninstall-blas
uninstall-blas:
	rm -f '$(DESTDIR)$(pkglibdir)/$(BLAS_LIB)'

endif
