#include "tls.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>
#include <time.h>

/* OpenSSL's words without its numbers; the first error is the cause. */
static int fail(SSL_CTX *x, const struct config *c, const char *option, str file, struct err *e)
{
	unsigned long code = ERR_get_error();
	const char *why = ERR_reason_error_string(code);

	SSL_CTX_free(x);
	ERR_clear_error();
	if (ERR_SYSTEM_ERROR(code)) { /* may be there the next time */
		errno = ERR_GET_REASON(code);
		err_os(e, "%s " STR_FMT, option, STR_ARG(file));
		return config_blame(c, option, e);
	}
	if (!why || ERR_GET_REASON(code) == PEM_R_NO_START_LINE || ERR_GET_REASON(code) == ERR_R_UNSUPPORTED)
		why = strcmp(option, "tls-key") == 0 ? "has no private key in PEM" : "has no certificate in PEM";
	err_set(e, ERR_USAGE, "%s " STR_FMT ": %s", option, STR_ARG(file), why);
	return config_blame(c, option, e);
}

static int64_t expires(const SSL_CTX *x)
{
	struct tm tm = { 0 };
	const X509 *cert = SSL_CTX_get0_certificate(x);

	return cert && ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static int authorities_load(SSL_CTX *x, str file)
{
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(file.p);

	if (!names || SSL_CTX_load_verify_locations(x, file.p, NULL) != 1) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return -1;
	}
	SSL_CTX_set_client_CA_list(x, names);
	SSL_CTX_set_verify(x, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	/* A session that was begun with another authority's certificate must not be taken up again. */
	SSL_CTX_set_session_cache_mode(x, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(x, SSL_OP_NO_TICKET);
	return 0;
}

/* Mozilla's "intermediate" set without CBC: TLS 1.2 with ECDHE and AEAD, and 1.3. */
int tls_load(SSL_CTX **out, int64_t *expires_s, const struct config *c, struct err *e)
{
	SSL_CTX *x = SSL_CTX_new(TLS_server_method());

	if (!x)
		die_oom(0);
	ERR_clear_error();
	SSL_CTX_set_min_proto_version(x, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(x, "ECDHE+AESGCM:ECDHE+CHACHA20");
	SSL_CTX_set_options(x, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	if (SSL_CTX_use_certificate_chain_file(x, c->tls_cert.p) != 1)
		return fail(x, c, "tls-cert", c->tls_cert, e);
	if (SSL_CTX_use_PrivateKey_file(x, c->tls_key.p, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(x) != 1) {
		int why = ERR_GET_REASON(ERR_peek_last_error());
		/* The second: a key of another kind than the certificate's. */
		if (why != X509_R_KEY_VALUES_MISMATCH && why != SSL_R_NO_CERTIFICATE_ASSIGNED)
			return fail(x, c, "tls-key", c->tls_key, e);
		SSL_CTX_free(x);
		ERR_clear_error();
		err_set(e, ERR_USAGE, "tls-key " STR_FMT " is not the key of tls-cert " STR_FMT, STR_ARG(c->tls_key),
			STR_ARG(c->tls_cert));
		return config_blame(c, "tls-key", e);
	}
	if (c->tls_client_ca.n && authorities_load(x, c->tls_client_ca) < 0)
		return fail(x, c, "tls-client-ca", c->tls_client_ca, e);
	*expires_s = expires(x);
	*out = x;
	return 0;
}

int tls_check_time(int64_t expires_s, int64_t now_s, const struct config *c, struct err *e)
{
	struct tm tm;
	time_t at = (time_t)expires_s;

	if (expires_s > now_s || !gmtime_r(&at, &tm))
		return 0;
	return err_set(e, ERR_USAGE,
		"tls-cert " STR_FMT " ended on %04d-%02d-%02d: clients refuse it; put a new one there, then SIGHUP",
		STR_ARG(c->tls_cert), tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}
