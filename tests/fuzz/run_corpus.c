/* run_corpus — a main() for fuzz targets in ordinary builds: runs every file of the folders and files it is given.
 * Fails where none of them was let through. */
#include "accepted.h"
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

unsigned corpus_accepted; /* accepted.h */

static unsigned run_file(const char *path)
{
	FILE *f = fopen(path, "rb");

	if (!f) {
		perror(path);
		exit(1);
	}
	char *p = NULL;
	size_t n = 0, cap = 0;
	do {
		if (n == cap) {
			cap = cap ? cap * 2 : 65536;
			p = realloc(p, cap);
			if (!p)
				abort();
		}
		n += fread(p + n, 1, cap - n, f);
	} while (!feof(f) && !ferror(f));
	fclose(f);
	char *exact = malloc(n ? n : 1); /* so that a sanitizer sees the end */
	if (!exact)
		abort();
	if (n)
		memcpy(exact, p, n);
	free(p);
	LLVMFuzzerTestOneInput((const uint8_t *)exact, n);
	free(exact);
	return 1;
}

static unsigned run_path(const char *path)
{
	struct stat st;
	unsigned n = 0;

	if (stat(path, &st) != 0) {
		perror(path);
		exit(1);
	}
	if (!S_ISDIR(st.st_mode))
		return run_file(path);
	DIR *d = opendir(path);
	for (struct dirent *de; d && (de = readdir(d));) {
		char sub[4096];
		if (de->d_name[0] == '.')
			continue;
		snprintf(sub, sizeof(sub), "%s/%s", path, de->d_name);
		n += run_path(sub);
	}
	if (d)
		closedir(d);
	return n;
}

int main(int argc, char **argv)
{
	unsigned n = 0;

	for (int i = 1; i < argc; i++)
		n += run_path(argv[i]);
	printf("%u inputs; let through: %u times\n", n, corpus_accepted);
	return corpus_accepted ? 0 : 1;
}
