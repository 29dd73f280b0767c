"""A sweep or a bootstrap on a dask.distributed cluster; read `cluster_workers` first."""

from lmmkit.study.cluster.cluster_bootstrap import bootstrap_on

__all__ = ["bootstrap_on"]
