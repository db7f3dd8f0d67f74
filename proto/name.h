/* name — package names, scopes, and what a user may write as a dependency.
 *
 * Pure; slices borrow their input. */
#pragma once
#include "base/base.h"

/* Whether NAME can be a package's: npm's rules for old packages (validate-npm-package-name), at most 214 bytes, safe as
 * a path ("@scope/name" is two components, neither "." nor ".."). */
bool name_valid(str name);
/* "@scope" or empty. */
str name_scope(str name);
/* Splits "name@rest" at the "@" that does not start a scope; without one, all is name and rest is absent. */
void name_split(str s, str *name, str *rest);
/* Where the selector "a@1>b@>=2" of an override splits, at the ">" that is no part of a range; SIZE_MAX: it names no
 * parent. Source: pnpm 12. */
size_t selector_split(str s);
/* Whom a selector, of an override or an extension, is about: "b". */
str selector_name(str s);
/* Whether S, which is no range, tag or tarball, means a folder by its path: "./x", "/x", "~/x", "a/", "a/b/c", but not
 * "owner/repository" nor what has a scheme. Source: pnpm 12.21. */
bool spec_is_path(str s);
