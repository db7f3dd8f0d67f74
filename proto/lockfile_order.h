/* lockfile_order — the order in which pnpm writes keys: some names first, then by bytes. Pure. Source: pnpm 12. */
#pragma once
#include "base/str.h"

/* Below `packages` and `snapshots`. As str_cmp() otherwise. */
int lock_entry_cmp(str a, str b);
/* Below `importers`, and at the top. */
int lock_importer_cmp(str a, str b);
