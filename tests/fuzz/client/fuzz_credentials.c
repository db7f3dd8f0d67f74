/* A project's .npmrc never gets a user's variable into a credential or an address. */
#include "accepted.h"
#include "credentials.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(str s)
{
	if (str_find_str(s, STR("\001secret\001"), 0) != SIZE_MAX)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena a AUTO(arena_release) = ARENA_INIT(0);
	char *env[] = { "A=\001secret\001", "TOKEN=\001secret\001", NULL };
	struct credentials rc = { .a = &a, .env = env };
	struct registry_auth *auth;
	size_t nauth;
	struct err e;

	if (n && memchr(data, 1, n)) /* the marker itself proves nothing */
		return 0;
	if (credentials_add(&rc, (str){ (const char *)data, n }, STR(".npmrc"), STR("/p"), true, &e) != 0)
		return 0;
	if (credentials_auth(&rc, STR("https://registry.test/"), rc.scope, rc.nscope, &auth, &nauth, &e) != 0)
		return 0;
	accepted();
	check(rc.registry);
	check(rc.https_proxy);
	check(rc.http_proxy);
	for (size_t i = 0; i < rc.nscope; i++)
		check(rc.scope[i].url);
	for (size_t i = 0; i < nauth; i++) {
		check(auth[i].url);
		check(auth[i].authorization);
	}
	return 0;
}
