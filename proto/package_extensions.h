/* package_extensions — the setting of that name, and the checksum by which a lockfile remembers it. Pure. */
#pragma once
#include "setting_value.h"

/* Reads N into the settings of C, with the checksum as pnpm writes it (none where the map is
 * empty). ERR_PARSE, ERR_USAGE. */
int package_extensions_set(struct setting_ctx *c, const struct yaml_node *n);
