/* tls_lib — libssl's functions, loaded when the first TLS connection is opened: an install that asks no server must not
 * pay for them (docs/decisions/dependencies.md). Any thread. */
#pragma once
#include "base/base.h"
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define TLS_FUNCTIONS(X)                                                                                               \
	X(ERR_clear_error)                                                                                             \
	X(ERR_error_string_n)                                                                                          \
	X(ERR_get_error)                                                                                               \
	X(SSL_CTX_ctrl)                                                                                                \
	X(SSL_CTX_free)                                                                                                \
	X(SSL_CTX_load_verify_locations)                                                                               \
	X(SSL_CTX_new)                                                                                                 \
	X(SSL_CTX_set_alpn_protos)                                                                                     \
	X(SSL_CTX_set_default_verify_paths)                                                                            \
	X(SSL_CTX_set_verify)                                                                                          \
	X(SSL_CTX_up_ref)                                                                                              \
	X(SSL_ctrl)                                                                                                    \
	X(SSL_do_handshake)                                                                                            \
	X(SSL_free)                                                                                                    \
	X(SSL_get0_alpn_selected)                                                                                      \
	X(SSL_get0_param)                                                                                              \
	X(SSL_get_error)                                                                                               \
	X(SSL_get_verify_result)                                                                                       \
	X(SSL_new)                                                                                                     \
	X(SSL_read)                                                                                                    \
	X(SSL_set1_host)                                                                                               \
	X(SSL_set_connect_state)                                                                                       \
	X(SSL_set_fd)                                                                                                  \
	X(SSL_write)                                                                                                   \
	X(TLS_client_method)                                                                                           \
	X(X509_VERIFY_PARAM_set1_ip_asc)                                                                               \
	X(X509_verify_cert_error_string)
struct tls_lib {
#define TLS_MEMBER(f) __typeof__(f) *f##_;
	TLS_FUNCTIONS(TLS_MEMBER)
#undef TLS_MEMBER
};
/* For the rest of the process. NULL, ERR_UNSUPPORTED: the library is not there, or another one. */
const struct tls_lib *tls_lib(struct err *e);
