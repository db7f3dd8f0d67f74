/* arena — memory that is given back all at once.
 *
 * An arena belongs to one request, install or job and is never used by two
 * threads at a time. Allocation zeroes; running out of memory aborts. */
#pragma once
#include "base/str.h"

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define AUTO(fn) __attribute__((cleanup(fn)))

struct arena {
	struct arena_chunk *chunk;
	char *cur, *end;
	size_t chunk_size; /* bytes asked of malloc at a time; 0 means 64 KiB */
};
#define ARENA_INIT(bytes) ((struct arena){ .chunk_size = (bytes) })
#define arena_new(a, type, count) ((type *)arena_alloc((a), (count), sizeof(type), _Alignof(type)))

/* COUNT × SIZE zeroed bytes aligned to ALIGN (a power of two). Never NULL. */
void *arena_alloc(struct arena *a, size_t count, size_t size, size_t align);
/* A copy that lives as long as the arena; one NUL follows it, so .p is a C string. */
str arena_str(struct arena *a, str s);
/* The same of what may be absent or empty, and stays so. */
str str_dup(struct arena *a, str s);
/* A copy of what printf makes of its arguments. */
str arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* PART[0..n) one behind the other; a NUL follows. */
str arena_cat(struct arena *a, const str *part, size_t n);
#define arena_join(a, ...)                                                                                             \
	arena_cat((a), (const str[]){ __VA_ARGS__ }, sizeof((const str[]){ __VA_ARGS__ }) / sizeof(str))
/* One more element, zeroed, of P, an array of N elements in A that has grown by this alone, from NULL; P moves when N
 * is 8, 16, 32, … One whose N shrinks again and again is for vec.h, since what it moved from is not used again. */
#define arena_add(a, p, n) (arena_room(a, p, n), &(p)[(n)++])
/* The same without counting it. */
#define arena_room(a, p, n) ((p) = arena_extend((a), (p), (n), sizeof(*(p)), _Alignof(__typeof__(*(p)))))
/* The array at AT, N elements of SIZE bytes, or where it was copied to since N is as many as there was room for. For
 * the macros above. */
void *arena_extend(struct arena *a, void *at, size_t n, size_t size, size_t align);
/* Frees everything; the arena can be used again. */
void arena_release(struct arena *a);
/* What was allocated is gone, a chunk is kept: for memory of one message after the other. */
void arena_rewind(struct arena *a);

/* Heap memory that aborts instead of returning NULL. */
void *xmalloc(size_t n);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t n);
/* S as a C string, to be freed. */
char *xstrndup(str s);
/* Says how many bytes N could not be had, and aborts. */
_Noreturn void die_oom(size_t n);
