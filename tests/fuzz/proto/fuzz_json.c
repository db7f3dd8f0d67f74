#include "accepted.h"
#include "base/json.h"
#include <stdlib.h>

static void put(struct buf *b, const struct json *j)
{
	static const char *const words[] = { "null", "false", "true" };

	if (j->type <= JSON_TRUE) {
		buf_add(b, str_of(words[j->type]));
	} else if (j->type == JSON_NUMBER) {
		buf_add(b, j->s);
	} else if (j->type == JSON_STRING) {
		json_put_str(b, j->s);
	} else {
		buf_addc(b, j->key ? '{' : '[');
		for (uint32_t i = 0; i < j->n; i++) {
			if (i)
				buf_addc(b, ',');
			if (j->key) {
				json_put_str(b, j->key[i]);
				buf_addc(b, ':');
			}
			put(b, &j->child[i]);
		}
		buf_addc(b, j->key ? '}' : ']');
	}
}

/* What was read, written and read again, is the same text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena_release) struct arena a = ARENA_INIT(0);
	AUTO(buf_release) struct buf one = BUF_INIT, two = BUF_INIT;
	struct err e = { 0 };
	struct json *j = NULL, *again = NULL;
	int rc = json_parse(&j, (str){ (const char *)data, n }, &a, &e);

	if (rc < 0) {
		if (rc != e.code || !e.msg[0] || j)
			abort();
		return 0;
	}
	accepted();
	put(&one, j);
	if (json_parse(&again, buf_str(&one), &a, &e) < 0)
		abort();
	put(&two, again);
	if (!str_eq(buf_str(&one), buf_str(&two)))
		abort();
	return 0;
}
