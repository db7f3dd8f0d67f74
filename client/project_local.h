/* project_local — folders and tarballs outside the registry that manifests name, for the request.
 *
 * The engine has no file system, so everything that `file:` leads to is read
 * here, recursively; of `link:` only the folder's own manifest, if it has one. */
#pragma once
#include "lockfile.h"
#include "request.h"

/* Fills req->local from the manifests of its importers and the overrides. ROOT: absolute folder of the lockfile.
 * ERR_NOTFOUND for a path that isn't there, naming who asked. */
int project_locals(struct request *req, str root, struct arena *a, struct err *e);
/* Adds to IM what its project names by `link:` and excludeLinksFromLockfile keeps out of lockfile and plan, as the
 * lockfile would have it, in order; in A. Source: pnpm 12.21, which makes these links, but none to a bare path. */
void project_links_add(struct lock_importer *im, const struct request *req, struct arena *a);
/* Whether a project or an override names a folder by `file:`: its files are copied by every install, as nothing tells
 * cheaply that none of them has changed. Source: pnpm, which never takes its short way with such dependencies. */
bool project_copies_folders(const struct request *req);
/* Reads the whole file, following links, at most MAX bytes. ERR_NOTFOUND, ERR_TOOBIG, ERR_IO. */
int project_read_file(struct buf *out, const char *path, size_t max, struct err *e);
