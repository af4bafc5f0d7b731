"""Which adapter stands behind which port: the only place that knows, from settings to services.

`service` is what a process of the service works with, `beside` what commands work with beside it,
`audit` what seals; `parts` is what they share.
"""
