"""The small-sample covariance matrix of the fixed effects and its F tests (Kenward & Roger 1997).

The correction is invariant under a linear change of the covariance parameters. With the entries of T and the
scale of V itself as parameters, in place of the residual variance, the scale drops out of the correction and
X'V^-2X, X'V^-3X and tr V^-2 are never needed: only S = Z'V^-1Z and U = Z'V^-1X (see `traces`), the sums
over patterns of visits (see `visits`), or the connected blocks of V (see `connected_blocks`).

    I_ij = tr(P V_i P V_j),  I_is = tr(P V_i),  I_ss = n - p,    W = 2 I^-1
    Phi_A = Phi + 2 Phi {sum W_ij (Q_ij - P_i Phi P_j)} Phi,     over the entries of T

In units where sigma^2 = 1; P_i = -X'V^-1 V_i V^-1 X, Q_ij = X'V^-1 V_i V^-1 V_j V^-1 X, Phi = (X'V^-1X)^-1.

The paper's term in the second derivatives of V is zero where V is linear in its parameters. Where it is not,
it depends on which parameters one takes, and can shrink standard errors (a paired t-test's .389 becomes .344
in log-Cholesky coordinates): it is left out, and what is left is a tensor, the same in all coordinates. With
the observed in place of the expected information that is the FIRSTORDER of SAS's DDFM=KENWARDROGER, and the
"Kenward-Roger-Linear" of the R package mmrm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.inference.information import DirectionalInformation, Spread, VarianceInformation
from lmmkit.engine.linalg.levelwise import solved
from lmmkit.engine.linalg.two_part_covariance import Sandwich

SPECIAL = 1e-8  # relative distance of A1 / A2 from the two ratios at which V1 = u


class Scaling(NamedTuple):
    """Denominator degrees of freedom of an F statistic and the factor to multiply it by."""

    df: float
    scale: float


@dataclass(frozen=True, eq=False)
class KenwardRoger:
    """What the method needs of a fit.

    Attributes:
        unadjusted: Phi, the covariance matrix of the fixed effects.
        adjusted: Phi_A.
        slopes: (m, p, p) Phi P_i Phi of every covariance parameter, the scale last, in prepared units.
        spread: Of the covariance parameters: W.
    """

    unadjusted: Sandwich
    adjusted: Sandwich
    slopes: Floats
    spread: Spread

    def single(self, L: Floats) -> Floats:
        """(r,) degrees of freedom of the t test of each row: of one row those of `scaling` are 2 / A2.

        NaN for a row of zeros, and for one whose variance depends on what the data do not tell.
        """
        rows = L @ self.unadjusted.basis
        slopes = np.einsum("rp,ipq,rq->ri", rows, self.slopes, rows, optimize=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            return 2.0 / self.spread.variances(slopes / self.unadjusted.variances(L)[:, None])

    def scaling(self, L: Floats) -> Scaling:
        """Degrees of freedom and scale of the F test of L beta = 0.

        Args:
            L: (l, p) independent rows.
        """
        theta, rows = solved(self.unadjusted.between(L), np.eye(len(L))), L @ self.unadjusted.basis
        products = np.einsum("ab,ibc->iac", theta, rows @ self.slopes @ rows.T)
        if self.spread.leaning(products.reshape(len(products), -1).T).any():
            return Scaling(np.nan, np.nan)
        W, single = self.spread.covariance, np.einsum("iaa->i", products)
        double = np.einsum("iab,jba->ij", products, products)
        return scaling(len(L), float(single @ W @ single), float((double * W).sum()))


def scaling(rows: int, A1: float, A2: float) -> Scaling:
    """Degrees of freedom m and scale lambda from the two moments, free of the formula's ratios of zeros.

    With l rows and u = 1 - A2 / l, V0 = 1 + c1 B, V1 = 1 - c2 B, V2 = 1 - c3 B,

        m = (4 u^2 V0 + (l - 2) V1^2 V2) / (u^2 V0 - V1^2 V2)
        lambda = u (4 u^2 V0 + (l - 2) V1^2 V2) / (2 u^2 V0 + l V1^2 V2)

    V1 = u when A1 = l A2 (balanced data; every single row) or A1 = 2 A2 / (l + 1) (Hotelling's T^2). They
    cancel there, for 2 V0 + l V2 = (l + 2) V1, and nothing is left that vanishes at m = 2, V1 = 0.

    Args:
        rows: Rows of the hypothesis, l.
        A1: sum_ij W_ij tr(Theta Phi P_i Phi) tr(Theta Phi P_j Phi).
        A2: sum_ij W_ij tr(Theta Phi P_i Phi Theta Phi P_j Phi).

    Returns:
        NaN where no F distribution has these moments (df near 2, far from the two cases).

    Reference: Kenward & Roger (1997), section 3, where E* = 1 / u, V* = 2 V0 / (l V1^2 V2),
    rho = V* / 2 E*^2, m = 4 + (l + 2) / (l rho - 1) and lambda = m / (E* (m - 2)).
    """
    if A2 <= 0.0:
        return Scaling(np.inf, 1.0)
    size, r = float(rows), A1 / A2
    g = ((size + 1.0) * r - (size + 4.0)) / (size + 2.0)
    B, bottom = A2 * (r + 6.0) / (2.0 * size), 3.0 * size + 2.0 * (1.0 - g)
    V0, V2 = 1.0 + g / bottom * B, 1.0 - (size + 2.0 - g) / bottom * B
    if min(abs(r / size - 1.0), abs(r * (size + 1.0) / 2.0 - 1.0)) < SPECIAL:
        top = 4.0 * V0 + (size - 2.0) * V2
        return Scaling(top / (V0 - V2), top / (size + 2.0))
    u, V1 = 1.0 - A2 / size, 1.0 - (size - g) / bottom * B
    one, two = u**2 * V0, V1**2 * V2
    top = 4.0 * one + (size - 2.0) * two
    df, scale = float(np.divide(top, one - two)), float(np.divide(u * top, 2.0 * one + size * two))
    return Scaling(df, scale) if df > 0.0 and scale > 0.0 else Scaling(np.nan, np.nan)


def kenward_roger(found: DirectionalInformation, spread: Spread | None = None) -> KenwardRoger:
    """The adjusted covariance matrix at a non-singular REML optimum.

    Args:
        found: The expected information on the covariance parameters there, and what goes with it.
        spread: Their uncertainty, the scale of V last; by default that of the expected information.
    """
    optimum, spread = found.optimum, spread or found.spread
    prepared, Phi, slopes, W = optimum.prepared, found.Phi, found.slopes, spread.covariance[:-1, :-1]
    middle = found.middle(W) - np.einsum("ij,ipq,jqr->pr", W, slopes, Phi @ slopes, optimize=True)
    variance = prepared.scale**2 * optimum.state.r2 / optimum.criterion.nu
    return KenwardRoger(
        unadjusted=Sandwich(prepared.basis, variance * Phi),
        adjusted=Sandwich(prepared.basis, variance * (Phi + 2.0 * Phi @ middle @ Phi)),
        slopes=variance * np.concatenate([-(Phi @ slopes @ Phi), -Phi[None]]),
        spread=spread,
    )


def with_observed(observed: VarianceInformation, found: DirectionalInformation) -> KenwardRoger:
    """The same with the observed in place of the expected information.

    Args:
        observed: The information on the coordinates and sigma.
        found: The expected information on the same coordinates.
    """
    # V = s V_0 has sigma = sigma_0 sqrt(s): at s = 1 the scale moves by 2 / sigma per unit of sigma.
    sigma = float(np.sqrt(found.optimum.state.r2 / found.optimum.criterion.nu))
    return kenward_roger(found, observed.on_scale(sigma / 2.0))
