/* packument_scan — a cursor over JSON text that visits what its user wants and hurries past the rest.
 *
 * Sticky errors: after the first one every call is a no-op that says "nothing more", so a walk needs one check at its
 * end. What is walked over is validated (RFC 8259); of an object or array that is skipped only the end is looked for
 * (brackets outside of strings are counted, whichever their kind). Strings borrow from the text where they have no
 * escape, from the arena otherwise; bytes that are not UTF-8 and lone surrogates become U+FFFD, as JavaScript's decoder
 * does. Pure; used by the packument compiler (packument_compile.h). */
#pragma once
#include "base/base.h"

struct scan {
	const char *p, *end, *start;
	struct arena *a;
	const char *bad; /* what is wrong, NULL as long as nothing is */
	size_t bad_at;
};

/* At the beginning of TEXT; both are borrowed for the scan's life. */
void scan_init(struct scan *s, str text, struct arena *a);
/* Notes the first error, at AT. */
void scan_fail(struct scan *s, const char *at, const char *what);
/* The next character after white space, not consumed; 0 at the end. */
char scan_peek(struct scan *s);
/* Enters an object or array when the value is one (BRACKET is '{' or '['); otherwise skips the value. */
bool scan_open(struct scan *s, char bracket);
/* Steps to the next member of an object: its key; the value is next and must be consumed.
 * *FIRST is true to begin with. */
bool scan_key(struct scan *s, bool *first, str *key);
/* Steps to the next element of an array. */
bool scan_elem(struct scan *s, bool *first);
/* Reads a string; a value of another type is skipped and false returned. */
bool scan_str(struct scan *s, str *out);
/* Reads true; anything else is skipped: false. */
bool scan_true(struct scan *s);
/* Reads a number that is a whole one from 0 to 2^53; anything else is skipped: 0. */
uint64_t scan_u64(struct scan *s);
/* Walks over one value, whatever it is. */
void scan_skip(struct scan *s);

/* From P, at the opening bracket of an object or array, to behind the closing one; NULL when
 * there is none before END. */
const char *skip_balanced(const char *p, const char *end);
