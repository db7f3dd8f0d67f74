/* catalog — `catalog:` and `catalog:name` specifiers. Pure. */
#pragma once
#include "settings.h"

/* The catalog that SPEC names ("default" for "catalog:"), or absent. */
str catalog_name(str spec);
/* SPEC of ALIAS without the catalog protocol, in *OUT. ERR_USAGE when the entry is missing or not allowed. */
MUST_USE int catalog_resolve(const struct settings *s, str *out, str alias, str spec, struct err *e);
