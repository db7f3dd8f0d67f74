/* le — numbers of records and messages: little-endian at any address. */
#pragma once
#include <stdint.h>

static inline uint32_t le_get32(const void *at)
{
	const uint8_t *p = at;

	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t le_get64(const void *at)
{
	return le_get32(at) | (uint64_t)le_get32((const uint8_t *)at + 4) << 32;
}

static inline void le_put32(void *at, uint32_t v)
{
	uint8_t *p = at;

	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static inline void le_put64(void *at, uint64_t v)
{
	le_put32(at, (uint32_t)v);
	le_put32((uint8_t *)at + 4, (uint32_t)(v >> 32));
}
