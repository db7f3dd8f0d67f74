/* age_exclude — versions younger than minimumReleaseAge that were taken all the same, noted in
 * pnpm-workspace.yaml as pnpm does.
 *
 * Edits the text and keeps everything else of it, comments included. Pure. */
#pragma once
#include "base/base.h"

/* Puts to OUT what YAML becomes when minimumReleaseAgeExclude lists ADD ("name@version", sorted) too. A
 * version joins the entry that its package has ("name@1.0.0 || 2.0.0"). ERR_UNSUPPORTED when the list is not
 * written one entry a line. */
MUST_USE int age_exclude_edit(struct buf *out, str yaml, struct str_list add, struct err *e);
