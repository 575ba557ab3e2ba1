# PostgreSQL with als: docker build --build-arg PG_MAJOR=17 -t als .

ARG PG_MAJOR=18

FROM postgres:${PG_MAJOR} AS build
ARG PG_MAJOR
RUN apt-get update && \
    apt-get install -y --no-install-recommends \
        gcc libblas-dev libc6-dev liblapack-dev make "postgresql-server-dev-${PG_MAJOR}"
COPY . /als
WORKDIR /als
RUN make WERROR= && make install DESTDIR=/installed

FROM postgres:${PG_MAJOR}
RUN apt-get update && \
    apt-get install -y --no-install-recommends libopenblas0 && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /installed /
