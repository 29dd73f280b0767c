"""What a design can tell, before any model of it is fitted: `design_audit`.

`within_levels` has the numbers of each level, `maximal` the random part that they justify; read
`design_audit` first.
"""
