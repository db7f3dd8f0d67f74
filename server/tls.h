/* tls — the certificate, key and authorities that drayd serves with, made from its configuration.
 *
 * Owns nothing; what it makes is the caller's. Any thread. */
#pragma once
#include "config.h"
#include <openssl/ssl.h>

/* *expires_s: when the certificate ends, in Unix time. ERR_USAGE with the option and the file: one that
 * cannot be read, or a key of another certificate. A certificate that has ended is none. Without ALPN, which
 * is the business of who serves. */
MUST_USE int tls_load(SSL_CTX **out, int64_t *expires_s, const struct config *c, struct err *e);
/* ERR_USAGE: the certificate that ends at EXPIRES_S has ended at NOW_S. */
MUST_USE int tls_check_time(int64_t expires_s, int64_t now_s, const struct config *c, struct err *e);
