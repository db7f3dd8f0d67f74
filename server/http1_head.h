/* http1_head — what libh2o lets through in the head of an HTTP/1 request, and RFC 9112 does not.
 *
 * A proxy in front and libh2o must not see different requests in the same bytes: what one takes for the body's end
 * would be the next client's request. libh2o's headers do not tell (it keeps those of the body's length to itself),
 * so the bytes are looked at. Pure; any thread. */
#pragma once
#include "base/base.h"

/* BYTES begin with a head that libh2o has accepted; what follows it is not looked at. NULL, or why such a request is
 * refused: a line that ends without CR or is folded (RFC 9112 2.2, 5.2), Transfer-Encoding beside Content-Length or
 * in HTTP/1.0 (6.1), several of either, or of Host (6.3, 3.2). *CHUNKED: the body's end is where libh2o's decoder saw
 * it, which is not as strict as the RFC: the connection is to end with this request. */
const char *http1_head_refuse(bool *chunked, str bytes);
