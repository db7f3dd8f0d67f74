/* fixture-registry — a registry on loopback for tests and benchmarks: a recording, and small packages made by hand. */
#include "serve.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

struct args {
	struct serve_opts serve;
	const char *recording, *packages;
	VEC(struct fault) fault;
};

static void usage(void)
{
	puts("fixture-registry [options]   serves until SIGTERM; prints its URL when ready\n"
	     "  --recording FILE   packuments.ndjson.zst (no tarballs)\n"
	     "  --packages DIR     packages/<name>/<version>/… with tarballs made at start\n"
	     "  --port N           default 0: any free one\n"
	     "  --base URL         of tarball URLs (default: http:// and the Host of the request)\n"
	     "  --count FILE       append \"METHOD PATH STATUS\" for each request\n"
	     "  --faults SPEC      "
	     "503|429|…|stall|truncate|integrity[,every=N][,limit=N][,retry-after=S][,match=TEXT];\n"
	     "                     can be given again");
}

static int args_read(struct args *a, int argc, char **argv, struct err *e)
{
	static const struct option table[] = { { "recording", 1, NULL, 'r' }, { "packages", 1, NULL, 'k' },
		{ "port", 1, NULL, 'p' }, { "base", 1, NULL, 'b' }, { "count", 1, NULL, 'c' },
		{ "faults", 1, NULL, 'f' }, { "help", 0, NULL, 'h' }, { 0 } };
	uint64_t port;
	int rc = 0;

	for (int c; rc == 0 && (c = getopt_long(argc, argv, "h", table, NULL)) != -1;) {
		switch (c) {
		case 'r':
			a->recording = optarg;
			break;
		case 'k':
			a->packages = optarg;
			break;
		case 'p':
			if (!str_u64(str_of(optarg), &port) || port > 65535)
				return err_set(e, ERR_USAGE, "--port %s: not a port", optarg);
			a->serve.port = (uint16_t)port;
			break;
		case 'b':
			a->serve.base = str_of(optarg);
			break;
		case 'c':
			a->serve.count = optarg;
			break;
		case 'f':
			rc = fault_parse(vec_add(&a->fault), str_of(optarg), e);
			break;
		default:
			usage();
			return err_set(e, ERR_USAGE, "see above");
		}
	}
	if (rc == 0 && (optind < argc || (!a->recording && !a->packages)))
		rc = err_set(e, ERR_USAGE, "--recording or --packages is needed, and nothing but options");
	a->serve.fault = a->fault.p;
	a->serve.nfaults = a->fault.n;
	return rc;
}

int main(int argc, char **argv)
{
	struct args a = { 0 };
	struct recording *recording = NULL;
	struct packages *packages = NULL;
	struct err e;
	int rc = args_read(&a, argc, argv, &e);

	if (rc == 0 && a.recording)
		rc = recording_open(&recording, a.recording, &e);
	else if (rc == 0)
		recording = recording_new();
	if (rc == 0 && a.packages)
		rc = packages_read(&packages, a.packages, recording, &e);
	a.serve.recording = recording;
	a.serve.packages = packages;
	if (rc == 0)
		rc = serve(&a.serve, &e);
	if (rc < 0)
		fprintf(stderr, "fixture-registry: %s\n", e.msg);
	packages_free(packages);
	recording_free(recording);
	vec_release(&a.fault);
	return rc < 0 ? err_exit_status(rc) : 0;
}
