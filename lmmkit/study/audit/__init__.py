"""Audits: a finished run checked file by file, executed again, judged by others; read `audit` first."""
