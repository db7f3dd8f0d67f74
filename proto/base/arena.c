#include "base/arena.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A larger chunk is not kept by arena_rewind(). */
#define ARENA_KEEP ((size_t)1 << 20)

struct arena_chunk {
	struct arena_chunk *next;
};

_Noreturn void die_oom(size_t n)
{
	fprintf(stderr, "out of memory allocating %zu bytes\n", n);
	abort();
}

static void arena_more(struct arena *a, size_t bytes, size_t align)
{
	size_t room = a->chunk_size ? a->chunk_size : 64 * 1024;

	if (bytes > room)
		room = bytes;
	size_t all;
	if (__builtin_add_overflow(room, sizeof(struct arena_chunk) + align, &all))
		die_oom(room);
	struct arena_chunk *c = xmalloc(all);
	c->next = a->chunk;
	a->chunk = c;
	a->cur = (char *)(c + 1);
	a->end = (char *)c + all;
}

void *arena_alloc(struct arena *a, size_t count, size_t size, size_t align)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes))
		die_oom(SIZE_MAX);
	size_t pad = (size_t)(-(uintptr_t)a->cur & (align - 1));
	if (a->cur == NULL || pad > (size_t)(a->end - a->cur) || bytes > (size_t)(a->end - a->cur) - pad) {
		arena_more(a, bytes, align);
		pad = (size_t)(-(uintptr_t)a->cur & (align - 1));
	}
	void *p = a->cur + pad;
	a->cur += pad + bytes;
	return memset(p, 0, bytes);
}

str arena_str(struct arena *a, str s)
{
	char *p = arena_new(a, char, s.n + 1);

	if (s.n)
		memcpy(p, s.p, s.n);
	return (str){ p, s.n };
}

str str_dup(struct arena *a, str s)
{
	return s.n ? arena_str(a, s) : s.p ? STR("") : STR_NONE;
}

str arena_cat(struct arena *a, const str *part, size_t n)
{
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		if (__builtin_add_overflow(bytes, part[i].n, &bytes))
			die_oom(SIZE_MAX);
	char *p = arena_new(a, char, bytes + 1), *to = p;
	for (size_t i = 0; i < n; i++) {
		if (part[i].n)
			memcpy(to, part[i].p, part[i].n);
		to += part[i].n;
	}
	return (str){ p, bytes };
}

str arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;

	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		die_oom(0);
	char *p = arena_new(a, char, (size_t)n + 1);
	vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return (str){ p, (size_t)n };
}

void *arena_extend(struct arena *a, void *at, size_t n, size_t size, size_t align)
{
	enum { FIRST = 8 };

	if (n && (n < FIRST || (n & (n - 1))))
		return at;
	void *p = arena_alloc(a, n ? n * 2 : FIRST, size, align);
	if (n)
		memcpy(p, at, n * size);
	return p;
}

void arena_release(struct arena *a)
{
	for (struct arena_chunk *c = a->chunk, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	*a = ARENA_INIT(a->chunk_size);
}

void arena_rewind(struct arena *a)
{
	struct arena_chunk *c = a->chunk;

	if (!c || (size_t)(a->end - (char *)c) > ARENA_KEEP) {
		arena_release(a);
		return;
	}
	for (struct arena_chunk *old = c->next, *next; old; old = next) {
		next = old->next;
		free(old);
	}
	c->next = NULL;
	a->cur = (char *)(c + 1);
}

void *xmalloc(size_t n)
{
	void *p = malloc(n ? n : 1);

	if (!p)
		die_oom(n);
	return p;
}

void *xcalloc(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size ? size : 1);

	if (!p)
		die_oom(count * size);
	return p;
}

void *xrealloc(void *old, size_t n)
{
	void *p = realloc(old, n ? n : 1);

	if (!p)
		die_oom(n);
	return p;
}

char *xstrndup(str s)
{
	char *p = xmalloc(s.n + 1);

	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = 0;
	return p;
}
