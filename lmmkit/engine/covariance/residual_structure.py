"""What R, the relative covariance matrix of a subject's residuals, may be: over cells, by coordinates rho.

A row's cell is the combination of its visit, of its group (`by=`) and of the level of a variance function
(`ident`) that it belongs to. R (T, T) is over all cells, Var(e) = sigma^2 R[cells, cells] among the rows of a
subject and zero between subjects. It is made of blocks that no subject meets two of, the groups of `by=`:

    R_block = S M S,    S = diag(exp(d)),    M a member of a correlation family over the block's visits

The coordinates are rho = (logs of SD ratios d | x of each block's family). One SD of R is 1, that of the
first cell of the first block, so that sigma is the residual standard deviation there (everywhere, where all
cells have one variance).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.covariance.correlations import CORRELATIONS, Correlation, Kind

START_CORRELATIONS = (0.0, 0.4, 0.8)  # of neighbours: where a search may begin


@dataclass(frozen=True)
class CellBlock:
    """One group of subjects: its cells and how they are correlated.

    Attributes:
        correlation: A key of `CORRELATIONS`: `ident`, `un`, `cs`, `ar1`, `toep`, `ad`.
        cells: (c,) numbers of its cells in R.
        times: (c,) the visit of each cell, as a whole number. Distances count for `ar1` and `toep` (so the
            number of a visit that nobody has is a gap); for the others only the order does. Two cells may
            share a visit, which then differ in the variance alone, and are of different rows.
        ratios: (c,) which SD ratio each cell has, a position in `ResidualStructure.ratios`, or -1 for 1.
        visits: What each distinct time is called, in increasing order of time.
        prefix: What stands before the names of its parameters: `A.` of a group A, else empty.
    """

    correlation: str
    cells: tuple[int, ...]
    times: tuple[int, ...]
    ratios: tuple[int, ...]
    visits: tuple[str, ...]
    prefix: str = ""

    @cached_property
    def family(self) -> Correlation:
        """The correlation family over the distinct visits."""
        return CORRELATIONS[self.correlation](tuple(sorted(set(self.times))))

    @cached_property
    def places(self) -> Ints:
        """(c,) the place of each cell among the distinct visits."""
        return np.searchsorted(self.family.times, self.times)

    @cached_property
    def here(self) -> tuple[Ints, ...]:
        """Its place in a (T, T) matrix."""
        return np.ix_(self.cells, self.cells)

    @cached_property
    def naturals(self) -> list[tuple[Kind, str]]:
        """Kind and name of its family's natural parameters."""
        return self.family.naturals(self.visits)

    @cached_property
    def ratios_within(self) -> NDArray[np.bool_]:
        """(m,) which of them are SD ratios, to the SD of its first cell."""
        return np.array([kind == "sd" for kind, _ in self.naturals], bool)

    @cached_property
    def shared_ratio(self) -> int:
        """The one SD ratio that all its cells have, or -1: none, or several."""
        return self.ratios[0] if len(set(self.ratios)) == 1 else -1


@dataclass(frozen=True)
class ResidualStructure:
    """The relative covariance matrices R (T, T) that the residuals may have, by r coordinates rho.

    Attributes:
        blocks: The groups; every cell 0..T-1 is in one of them.
        ratios: Names of the SD ratios that are coordinates: `ratio.8`, `B.ratio`; empty: one variance, but
            for the variances of their own that `un` blocks have.
        labels: (T,) what a sentence calls each cell: `visit 8`, `visit 8 of arm B`.
    """

    blocks: tuple[CellBlock, ...]
    ratios: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def size(self) -> int:
        """T."""
        return len(self.labels)

    @cached_property
    def cuts(self) -> tuple[slice, ...]:
        """Each block's own coordinates in rho, after those of the SD ratios."""
        ends = accumulate((block.family.count for block in self.blocks), initial=len(self.ratios))
        return tuple(slice(*cut) for cut in pairwise(ends))

    @property
    def count(self) -> int:
        """The number r of coordinates."""
        return self.cuts[-1].stop if self.cuts else 0

    def matrix(self, rho: Floats) -> Floats:
        """Returns R (T, T)."""
        R, s = np.zeros((self.size, self.size)), self.sds(rho)
        for block, cut in zip(self.blocks, self.cuts, strict=True):
            R[block.here] = block.family.matrix(rho[cut])[np.ix_(block.places, block.places)]
        return R * np.outer(s, s)

    def jacobian(self, rho: Floats) -> Floats:
        """Returns (r, T, T) dR / drho_i."""
        s, R = self.sds(rho), self.matrix(rho)
        out = np.zeros((self.count, self.size, self.size))
        out[: len(self.ratios)] = R * (self._of_ratio[:, :, None] + self._of_ratio[:, None, :])
        for block, cut in zip(self.blocks, self.cuts, strict=True):
            slopes = block.family.jacobian(rho[cut])[:, block.places][:, :, block.places]
            out[(slice(cut.start, cut.stop), *block.here)] = slopes
        out[len(self.ratios) :] *= np.outer(s, s)
        return out

    def curvature(self, rho: Floats, D: Floats) -> Floats:
        """Returns (r, r) sum_ab D_ab d2R_ab / drho_i drho_j, for symmetric D (T, T)."""
        s, k, of = self.sds(rho), len(self.ratios), self._of_ratio
        out = np.zeros((self.count, self.count))
        # d R_ab / d d_i is R_ab (of_ia + of_ib), and so is what it does to any derivative of R.
        if k:
            DR = D * self.matrix(rho)
            out[:k, :k] = 2.0 * (of @ DR @ of.T + (of * DR.sum(axis=0)) @ of.T)
            out[:k, k:] = 2.0 * np.einsum("iab,ab,ja->ji", self.jacobian(rho)[k:], D, of)
            out[k:, :k] = out[:k, k:].T
        scaled = D * np.outer(s, s)
        for block, cut in zip(self.blocks, self.cuts, strict=True):
            out[cut, cut] = block.family.curvature(rho[cut], self._gathered(block, scaled))
        return out

    @cached_property
    def visits(self) -> Ints:
        """(T,) number of each cell's visit; two cells of a block may share one, of two blocks never."""
        out, first = np.empty(self.size, dtype=np.intp), 0
        for block in self.blocks:
            out[list(block.cells)] = first + block.places
            first += block.family.size
        return out

    @cached_property
    def groups(self) -> Ints:
        """(T,) position of each cell's block."""
        out = np.empty(self.size, dtype=np.intp)
        for at, block in enumerate(self.blocks):
            out[list(block.cells)] = at
        return out

    @property
    def variances(self) -> list[list[int]]:
        """The cells of each variance that is estimated by itself; of all, where there is one."""
        own = {
            cell: (at, int(place)) if block.family.own_variances else ratio
            for at, block in enumerate(self.blocks)
            for cell, place, ratio in zip(block.cells, block.places, block.ratios, strict=True)
        }
        return [[cell for cell in own if own[cell] == key] for key in dict.fromkeys(own.values())]

    def starts(self, moments: Floats, pairs: Floats) -> list[Floats]:
        """Returns rho near moments, and others with other correlations, to choose from.

        Without them where the covariance matrix is unstructured. The arguments are those of `start`.
        """
        first = self.start(moments, pairs)
        out = [first]
        if not any(block.family.own_variances or not block.family.count for block in self.blocks):
            for correlation in START_CORRELATIONS:
                other = first.copy()
                for block, cut in zip(self.blocks, self.cuts, strict=True):
                    powers = np.power(correlation, block.family.gaps, dtype=np.float64)
                    other[cut] = block.family.start(powers)
                out.append(other)
        return out

    def sds(self, rho: Floats) -> Floats:
        """Returns (T,) exp(d) of each cell: its SD in R, where its family has none of its own."""
        return np.exp(rho[: len(self.ratios)] @ self._of_ratio)

    def start(self, moments: Floats, pairs: Floats) -> Floats:
        """Returns rho near moments.

        Args:
            moments: (T, T) sums of products of ordinary least squares residuals over the subjects that have
                both cells.
            pairs: (T, T) how many they are.
        """
        rho, variances = np.zeros(self.count), moments.diagonal() / pairs.diagonal()
        tells = [self._pooled(ratio, moments, pairs) for ratio in range(-1, len(self.ratios))]
        rho[: len(self.ratios)] = 0.5 * np.log(np.divide(tells[1:], tells[0]))
        for block, cut in zip(self.blocks, self.cuts, strict=True):
            free = block.family.own_variances
            scale = self.sds(rho) if free else np.sqrt(variances)
            with np.errstate(invalid="ignore"):  # NaN where no subject has both, or a visit has no variance
                sums = self._gathered(block, moments / np.outer(scale, scale))
                C = sums / self._gathered(block, pairs)
            rho[cut] = block.family.start(C)
        return rho

    def units(self, rho: Floats) -> Floats:
        """Returns (r,) units of the coordinates, in which a step near 1 is a long one."""
        own = [b.family.units(rho[cut]) for b, cut in zip(self.blocks, self.cuts, strict=True)]
        return np.concatenate([np.ones(len(self.ratios)), *own])

    def free(self, rho: Floats) -> NDArray[np.bool_]:
        """Returns (r,) which coordinates matter: all."""
        return np.ones(len(rho), bool)

    def at_bound(self, rho: Floats, share: float) -> str:
        """Returns what is said of a member within that share of its range's end, where R is singular."""
        said = (b.family.at_bound(rho[cut], share) for b, cut in zip(self.blocks, self.cuts, strict=True))
        return next(filter(None, said), "")

    # As it is printed

    @cached_property
    def naturals(self) -> tuple[tuple[Kind, str], ...]:
        """Kind and name of each natural parameter, r of them, as `natural` gives them.

        `sd` is an SD relative to that of the first cell, whose intervals are symmetric on the log; `cor` a
        correlation, whose intervals are on Fisher's z.
        """
        out: list[tuple[Kind, str]] = [("sd", name) for name in self.ratios]
        for block in self.blocks:
            out.extend((kind, f"{block.prefix}{name}") for kind, name in block.naturals)
        return tuple(out)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the natural parameters: `ratio.8`, `cor.8.12`, `rho`, `rho.1`, `A.rho.8.12`."""
        return tuple(name for _, name in self.naturals)

    def natural(self, rho: Floats) -> Floats:
        """Returns (r,) the natural parameters."""
        parts = [np.exp(rho[: len(self.ratios)])]
        for block, cut in zip(self.blocks, self.cuts, strict=True):
            parts.append(block.family.natural(rho[cut]) * self._lift(block, rho))
        return np.concatenate(parts)

    def natural_jacobian(self, rho: Floats) -> Floats:
        """Returns (r, r) their derivatives: [i, j] of parameter i in coordinate j."""
        k, out = len(self.ratios), np.zeros((self.count, self.count))
        out[:k, :k] = np.diag(np.exp(rho[:k]))
        for block, cut in zip(self.blocks, self.cuts, strict=True):
            lift = self._lift(block, rho)
            out[cut, cut] = block.family.natural_jacobian(rho[cut]) * lift[:, None]
            if block.shared_ratio >= 0:
                own = block.family.natural(rho[cut]) * lift
                out[cut, block.shared_ratio] = np.where(block.ratios_within, own, 0.0)
        return out

    def _lift(self, block: CellBlock, rho: Floats) -> Floats:
        """(m,) what makes an SD ratio within a block one to the first cell of all."""
        whole = np.exp(rho[block.shared_ratio]) if block.shared_ratio >= 0 else 1.0
        return np.where(block.ratios_within, whole, 1.0)

    def _pooled(self, ratio: int, moments: Floats, pairs: Floats) -> float:
        """Mean square over the cells of an SD ratio, at the first visit where the others have their own."""
        cells = [
            cell
            for block in self.blocks
            for cell, place, mine in zip(block.cells, block.places, block.ratios, strict=True)
            if mine == ratio and (place == 0 or not block.family.own_variances or len(set(block.ratios)) > 1)
        ]
        return float(moments.diagonal()[cells].sum() / pairs.diagonal()[cells].sum())

    @cached_property
    def _of_ratio(self) -> Floats:
        """(ratios, T) 1 where a cell has that ratio."""
        out = np.zeros((len(self.ratios), self.size))
        for block in self.blocks:
            for cell, ratio in zip(block.cells, block.ratios, strict=True):
                if ratio >= 0:
                    out[ratio, cell] = 1.0
        return out

    @staticmethod
    def _gathered(block: CellBlock, D: Floats) -> Floats:
        """(k, k) sums of D (T, T) over the cells of each pair of visits."""
        out = np.zeros((block.family.size, block.family.size))
        np.add.at(out, np.ix_(block.places, block.places), D[block.here])
        return out


def one_correlation(
    correlation: str,
    times: Sequence[int],
    visits: Sequence[str],
    *,
    heterogeneous: bool = False,
) -> ResidualStructure:
    """Returns the structure of one group whose cells are its visits: `cs(t | g)`, `ar1h(t | g)`, `un(t | g)`.

    Args:
        correlation: A key of `CORRELATIONS`.
        times: (T,) increasing whole numbers.
        visits: (T,) their names.
        heterogeneous: A variance for each visit; `un` has them of its own.

    >>> one_correlation("ar1", [1, 2, 4], ["w1", "w2", "w4"], heterogeneous=True).names
    ('ratio.w2', 'ratio.w4', 'rho')
    """
    each = heterogeneous and not CORRELATIONS[correlation].own_variances
    cells = tuple(range(len(times)))
    ratios = tuple(range(-1, len(times) - 1)) if each else (-1,) * len(times)
    block = CellBlock(correlation, cells, tuple(times), ratios, tuple(visits))
    names = tuple(f"ratio.{visit}" for visit in visits[1:]) if each else ()
    return ResidualStructure((block,), names, tuple(f"visit {visit}" for visit in visits))
