#include "tls_lib.h"
#include <dlfcn.h>
#include <pthread.h>

/* Constant once loaded. */
static struct tls_lib lib;
static struct err failed;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* What is libcrypto's is found through libssl, which needs it. */
static void load(void)
{
	void *library = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE), *f;

	if (!library) {
		err_set(&failed, ERR_UNSUPPORTED, "libssl.so.3 cannot be loaded (%s); install OpenSSL 3", dlerror());
		return;
	}
#define TLS_LOAD(name)                                                                                                 \
	f = dlsym(library, #name);                                                                                     \
	if (!f) {                                                                                                      \
		err_set(&failed, ERR_UNSUPPORTED, "libssl.so.3 lacks " #name "; install OpenSSL 3");                   \
		return;                                                                                                \
	}                                                                                                              \
	memcpy(&lib.name##_, &f, sizeof(f)); /* ISO C has no cast from void * to a function pointer */
	TLS_FUNCTIONS(TLS_LOAD)
#undef TLS_LOAD
}

const struct tls_lib *tls_lib(struct err *e)
{
	pthread_once(&once, load);
	if (failed.code < 0) {
		*e = failed;
		return NULL;
	}
	return &lib;
}
