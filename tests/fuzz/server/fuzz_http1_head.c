/* The head of a request that is let through: no line of it ends without CR or is folded, and one header at most says
 * how long the body is; told by looking for them, not line by line. */
#include "accepted.h"
#include "http1_head.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static unsigned times(str in, const char *what)
{
	unsigned k = 0;

	for (const char *at; (at = memmem(in.p, in.n, what, strlen(what))); k++)
		in = str_from(in, (size_t)(at - in.p) + 1);
	return k;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *low = malloc(n + 1);
	bool chunked;

	if (!low)
		return 0;
	for (size_t i = 0; i < n; i++)
		low[i] = (char)(data[i] >= 'A' && data[i] <= 'Z' ? data[i] + 32 : data[i]);
	if (!http1_head_refuse(&chunked, (str){ (const char *)data, n })) {
		size_t from = n > 1 && low[0] == '\r' && low[1] == '\n' ? 2 : 0;
		const char *end = memmem(low + from, n - from, "\r\n\r\n", 4);
		if (!end)
			abort();
		str head = { low + from, (size_t)(end - low) + 4 - from };
		unsigned lengths = times(head, "\ncontent-length:"), encodings = times(head, "\ntransfer-encoding:");
		if (times(head, "\n") != times(head, "\r\n") || times(head, "\n ") || times(head, "\n\t"))
			abort();
		if (lengths + encodings > 1 || (encodings && !chunked) || times(head, "\nhost:") > 1)
			abort();
		accepted();
	}
	free(low);
	return 0;
}
