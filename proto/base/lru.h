/* lru — things of one type in the order of their last use, linked through themselves: one list has them, and does not
 * own them.
 *
 *	struct plan {
 *		LRU_LINKS(struct plan);
 *		...
 *	};
 *	LRU(struct plan) by_use = LRU_INIT;
 *	lru_add(&by_use, x);
 *	while (by_use.oldest) {
 *		x = by_use.oldest;
 *		lru_remove(&by_use, x);
 *		free(x);
 *	}
 *
 * Macros, for the type's sake: L and X are evaluated several times. */
#pragma once
#include <stddef.h>

#define LRU_LINKS(type) type *newer, *older
#define LRU(type)                                                                                                      \
	struct {                                                                                                       \
		type *newest, *oldest;                                                                                 \
	}
#define LRU_INIT                                                                                                       \
	{                                                                                                              \
		0                                                                                                      \
	}
/* X, which is in no list, is the newest of L. */
#define lru_add(l, x)                                                                                                  \
	((x)->newer = NULL, (x)->older = (l)->newest, *((l)->newest ? &(l)->newest->newer : &(l)->oldest) = (x),       \
		(void)((l)->newest = (x)))
/* X is out of L. */
#define lru_remove(l, x)                                                                                               \
	(*((x)->newer ? &(x)->newer->older : &(l)->newest) = (x)->older,                                               \
		*((x)->older ? &(x)->older->newer : &(l)->oldest) = (x)->newer,                                        \
		(void)((x)->newer = (x)->older = NULL))
/* X, which is in L, is its newest. */
#define lru_use(l, x) (lru_remove(l, x), lru_add(l, x))
