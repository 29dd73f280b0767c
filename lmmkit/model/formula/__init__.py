"""lme4's formula language: text in, terms and checked expressions out, without any data; read `formula` first."""
