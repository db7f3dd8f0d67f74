#include "store_command.h"
#include <stdio.h>
#include <unistd.h>

#include "store_admin.h"

static int command_status(struct store *s, struct err *e)
{
	struct store_status st;

	if (store_status(&st, s, e) < 0)
		return e->code;
	printf("%s\n%llu packages, %llu files, %.1f MB of contents; index: %llu entries, %.1f MB; %s\n", store_dir(s),
		(unsigned long long)st.packages, (unsigned long long)st.files, (double)st.bytes / 1e6,
		(unsigned long long)st.index_entries, (double)st.index_bytes / 1e6,
		st.synced ? "all of it is on disk"
			  : "not all of it is known to be on disk: after a power loss what is used is hashed first");
	return 0;
}

static void say_spoiled(void *arg, struct pkg p, const struct err *why)
{
	(void)arg;
	printf(STR_FMT "@" STR_FMT ": %s\n", STR_ARG(pkg_name(p)), STR_ARG(pkg_version(p)), why->msg);
}

static int command_verify(struct store *s, struct err *e)
{
	struct store_verify_opts o = { .full = true, .drop = true, .report = say_spoiled };
	struct store_verify_result r;

	if (store_verify(&r, s, &o, e) < 0)
		return e->code;
	printf("%llu packages, %llu files, %.1f MB hashed: %llu spoiled\n", (unsigned long long)r.packages,
		(unsigned long long)r.files, (double)r.bytes / 1e6, (unsigned long long)r.bad);
	if (r.bad)
		return err_set(e, ERR_INTEGRITY,
			"%llu package(s) in %s were spoiled; the next install that needs them fetches them again",
			(unsigned long long)r.bad, store_dir(s));
	return 0;
}

static int command_prune(struct store *s, struct err *e)
{
	struct store_prune_opts o = { 0 };
	struct store_prune_result r;

	if (store_prune(&r, s, &o, e) < 0)
		return e->code;
	printf("removed %llu packages (%llu files, %.1f MB) and %llu orphaned folder(s), kept %llu packages\n",
		(unsigned long long)r.packages, (unsigned long long)r.files, (double)r.bytes / 1e6,
		(unsigned long long)r.orphans, (unsigned long long)r.kept);
	if (r.shared.busy)
		puts("an install with shared slots is at work: none of them was removed");
	else if (r.shared.unread)
		printf("projects/%s in the store cannot be read, so no shared slot was removed; install that project "
		       "again, or remove the file\n",
			r.shared.unread_name);
	else if (r.shared.slots + r.shared.kept)
		printf("removed %llu shared slot(s), kept %llu for %llu project(s)\n",
			(unsigned long long)r.shared.slots, (unsigned long long)r.shared.kept,
			(unsigned long long)r.shared.projects);
	if (r.plans)
		printf("removed %llu kept plan(s)\n", (unsigned long long)r.plans);
	if (!r.orphans_all)
		puts("other processes use the store: folders younger than an hour were left alone");
	return 0;
}

/* Before a store is copied, or a machine is switched off hard. */
static int command_sync(struct store *s, struct err *e)
{
	bool alone;

	if (store_sync(s, &alone, e) < 0)
		return e->code;
	puts(alone ? "all of it is on disk" : "synced; other processes are at work, so it may be written to again");
	return 0;
}

int store_command_run(const struct options *o, const char *dir, struct err *e)
{
	static const struct {
		const char *name;
		int (*run)(struct store *s, struct err *e);
	} known[] = { { "status", command_status }, { "verify", command_verify }, { "prune", command_prune },
		{ "sync", command_sync } };
	struct store_opts so = { .readahead = true };
	struct store *s;

	if (str_eq(o->store_command, STR("path"))) {
		puts(dir);
		return 0;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!str_eq(o->store_command, str_of(known[i].name)))
			continue;
		if (access(dir, F_OK) != 0)
			return err_set(e, ERR_NOTFOUND, "there is no store in %s", dir);
		if (store_open(&s, dir, &so, e) < 0)
			return e->code;
		int code = known[i].run(s, e);
		store_close(s);
		return code;
	}
	return err_set(e, ERR_USAGE, "dray store takes path, status, verify, prune or sync; see dray --help");
}
