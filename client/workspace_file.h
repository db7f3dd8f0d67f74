/* workspace_file — pnpm-workspace.yaml from the "workspaces" of a package.json, for a project
 * that comes from npm or yarn.
 *
 * Only a list of patterns counts, as with pnpm 12.21: what npm and yarn say besides has other
 * names there. One thread. */
#pragma once
#include "base/base.h"

/* 1: DIR has the file now, 0: its package.json asks for none, or cannot be read. ERR_IO, … with the file's name. */
MUST_USE int workspace_file_make(str dir, struct err *e);
