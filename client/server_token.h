/* server_token — the token that is shown to a drayd.
 *
 * It is the one that .npmrc has for the server's own host, port and path
 * (`//host:4874/:_authToken=…`), or DRAY_TOKEN. A token for another host, such as the
 * registry's, never goes there; and DRAY_TOKEN, which names no host, goes only to a
 * server that the user named too, not one that a repository's settings name. Pure. */
#pragma once
#include "registry.h"

/* The token for URL out of AUTH, borrowed, or ENV, the value of DRAY_TOKEN; "" when there is none. FROM_PROJECT: the
 * project's files name the server. *withheld: there is a DRAY_TOKEN that is not sent for that reason. */
str server_token_or_env(
	str url, bool from_project, const struct registry_auth *auth, size_t nauth, str env, bool *withheld);
