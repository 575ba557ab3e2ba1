"""Ratings with what is known of items and users besides, and what of them is set aside."""

from __future__ import annotations

import collections
import gzip
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

PROJECT = Path(__file__).resolve().parent.parent
COLD, ASIDE, SHORT, KEPT = 0.1, 0.1, 0.2, 5

Pairs = list[tuple[int, str]]


@dataclass
class Features:
    """A row for each user or item, a column for each feature, 1 where it has that."""

    matrix: sp.csr_matrix
    names: list[str]

    @classmethod
    def of(cls, pairs: Pairs, rows: int, least: int = 1) -> Features:
        """Leaves out what fewer rows have."""
        pairs = sorted(set(pairs))
        counts = collections.Counter(name for _, name in pairs)
        names = sorted(name for name, count in counts.items() if count >= least)
        place = {name: number for number, name in enumerate(names)}
        row, column = zip(*((row, place[name]) for row, name in pairs if name in place))
        return cls(sp.csr_matrix((np.ones(len(row), np.float32), (row, column)), (rows, len(names))), names)


@dataclass
class Data:
    name: str
    title: str
    ratings: sp.csr_matrix
    items: Features
    users: Features | None
    stars: bool = False

    def describe(self) -> str:
        users, items = self.ratings.shape
        known = f"{self.items.matrix.shape[1]:,} features of items"
        if self.users:
            known += f", {self.users.matrix.shape[1]:,} of users"
        return f"{self.title}: {users:,} users, {items:,} items, {self.ratings.nnz:,} pairs; {known}"


def folder(name: str) -> Path:
    shared = os.environ.get("ALS_SHARED")
    return (Path(shared) if shared else PROJECT.parent / "shared") / "data" / name


def movielens() -> Data:
    """Genres, and the year of the title in fives.  Of users, what users.dat says, if it is there."""
    place = folder("ml-1m")
    with gzip.open(place / "ratings.dat.gz", "rt") as stream:
        table = np.array([[int(field) for field in line.split("::")[:3]] for line in stream])
    (users, u), (movies, i) = (np.unique(table[:, column], return_inverse=True) for column in (0, 1))
    index = {int(movie): number for number, movie in enumerate(movies)}
    pairs: Pairs = []
    for line in (place / "movies.dat").read_text(encoding="latin-1").splitlines():
        movie, title, genres = line.split("::")
        if int(movie) in index:
            year = int(re.search(r"\((\d{4})\)\s*$", title).group(1))
            pairs += [(index[int(movie)], name) for name in [*genres.split("|"), f"year {year // 5 * 5}"]]
    people = None
    if (place / "users.dat").is_file():
        index = {int(user): number for number, user in enumerate(users)}
        lines = [line.split("::") for line in (place / "users.dat").read_text().splitlines()]
        people = Features.of([(index[int(user)], name) for user, sex, age, work, code in lines
                              for name in (f"sex {sex}", f"age {age}", f"work {work}", f"zip {code[0]}")], len(users))
    ratings = sp.csr_matrix((table[:, 2].astype(np.float32), (u, i)))
    return Data("ml-1m", "MovieLens-1M, genres and years", ratings, Features.of(pairs, len(movies)), people, stars=True)


def packages() -> Data:
    """Sections of Debian, and words that ten names or more have."""
    demo = PROJECT / "demo"
    with gzip.open(demo / "debian-packages.tsv.gz", "rt") as stream:
        table = np.array([line.rstrip("\n").split("\t") for line in stream])
    with gzip.open(demo / "debian-sections.tsv.gz", "rt") as stream:
        section = dict(line.rstrip("\n").split("\t") for line in stream)
    sides, features = [], []
    for column in (0, 1):
        names, places = np.unique(table[:, column], return_inverse=True)
        pairs = [(number, f"section {section[name]}") for number, name in enumerate(names) if name in section]
        pairs += [(number, f"word {word}") for number, name in enumerate(names)
                  for word in re.split("[^a-z]+", name) if len(word) > 1]
        sides.append(places)
        features.append(Features.of(pairs, len(names), 10))
    ratings = sp.csr_matrix((np.ones(len(table), np.float32), sides))
    return Data("packages", "Debian's packages, sections and words of names", ratings, features[1], features[0])


def lastfm() -> Data:
    """Tags that users gave artists, and whom users are friends with; the logarithm of plays."""
    place = folder("hetrec2011-lastfm-2k")
    plays, tags, friends = (np.array([line.split("\t")[:columns] for line in (place / name).read_text().splitlines()[1:]], np.int64)
                            for name, columns in (("user_artists.dat", 3), ("user_taggedartists.dat", 3), ("user_friends.dat", 2)))
    artists, counts = np.unique(plays[:, 1], return_counts=True)
    plays = plays[np.isin(plays[:, 1], artists[counts >= 3])]
    (users, u), (artists, i) = (np.unique(plays[:, column], return_inverse=True) for column in (0, 1))
    index = {int(artist): number for number, artist in enumerate(artists)}
    given = [(index[artist], f"tag {tag}") for _, artist, tag in tags.tolist() if artist in index]
    index = {int(user): number for number, user in enumerate(users)}
    known = [(index[user], f"friend {friend}") for user, friend in friends.tolist() if user in index]
    ratings = sp.csr_matrix((np.log1p(plays[:, 2]).astype(np.float32), (u, i)))
    return Data("lastfm", "Last.fm, tags of artists and friends", ratings,
                Features.of(given, len(artists), 5), Features.of(known, len(users), 2))


SETS = {"ml-1m": movielens, "packages": packages, "lastfm": lastfm}


def part(pairs: sp.coo_matrix, keep: np.ndarray) -> sp.csr_matrix:
    return sp.csr_matrix((pairs.data[keep], (pairs.row[keep], pairs.col[keep])), pairs.shape)


class ItemSplit:
    """Ratings to train with, and what is to be found: all ratings of cold items, and some of the
    others.  A fifth of the users have five ratings left, the others lose a tenth."""

    def __init__(self, ratings: sp.csr_matrix, seed: int, already: np.ndarray | None = None):
        rng = np.random.default_rng(seed)
        pairs = ratings.tocoo()
        self.cold = rng.random(pairs.shape[1]) < COLD
        if already is not None:
            self.cold &= ~already
        self.short = rng.random(pairs.shape[0]) < SHORT
        is_cold = self.cold[pairs.col]
        order = rng.random(pairs.nnz) + is_cold
        order = np.lexsort((order, pairs.row))
        rank = np.empty(pairs.nnz, np.int64)
        rank[order] = np.arange(pairs.nnz) - pairs.tocsr().indptr[pairs.row[order]]
        aside = ~is_cold & np.where(self.short[pairs.row], rank >= KEPT, rng.random(pairs.nnz) < ASIDE)
        self.training, self.warm_test, self.cold_test = (
            part(pairs, keep) for keep in (~is_cold & ~aside, aside, is_cold))
        self.known = self.training.getnnz(axis=0) > 0
        self.shape = pairs.shape


class UserSplit:
    """A tenth of the users loses all ratings."""

    def __init__(self, ratings: sp.csr_matrix, seed: int, already: np.ndarray | None = None):
        pairs = ratings.tocoo()
        self.cold = np.random.default_rng(seed).random(pairs.shape[0]) < COLD
        if already is not None:
            self.cold &= ~already
        is_cold = self.cold[pairs.row]
        self.training, self.cold_test = part(pairs, ~is_cold), part(pairs, is_cold)
        self.known = self.training.getnnz(axis=0) > 0
        self.shape = pairs.shape
