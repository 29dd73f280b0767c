"""lme4's formula language: from text to terms and checked expressions, without data.

Read first `formula`; `expression` is what may stand in a term, `functions` what may be called there.
"""
