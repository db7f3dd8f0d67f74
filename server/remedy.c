#include "remedy.h"
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

static void refused(struct buf *out, const struct config *c)
{
	char number[24];
	const struct passwd *p = getpwuid(geteuid());

	snprintf(number, sizeof(number), "%u", (unsigned)geteuid());
	const char *user = p ? p->pw_name : number;
	if (c && c->command != CONFIG_RUN) {
		buf_printf(out, "this was run as user %s: run it as root or as who owns store-dir and the token file\n",
			user);
		return;
	}
	buf_printf(
		out, "drayd runs as user %s, who has to be able to read the configuration, its tokens and keys", user);
	if (c)
		buf_printf(out, ", and to own all of store-dir (" STR_FMT "; --store-dir names another)",
			STR_ARG(c->store_dir));
	buf_addc(out, '\n');
}

void remedy_print(struct buf *out, const struct err *e, const struct config *c)
{
	switch (e->os) {
	case EACCES:
	case EPERM:
		refused(out, c);
		break;
	case ENOENT:
		if (c && c->command == CONFIG_TOKEN)
			buf_add(out, STR("name the configuration that drayd runs with (--config FILE) or its "
					 "store-dir; drayd makes that at its first start\n"));
		break;
	case EROFS:
		buf_add(out,
			STR("that is read-only for drayd; the systemd unit lets it write below /var/lib/drayd only: "
			    "`systemctl edit drayd`, [Service], ReadWritePaths=DIR for another store-dir\n"));
		break;
	case ENOSPC:
	case EDQUOT:
		buf_add(out, STR("make room, or give store-dir a larger file system; pack-cache, tarball-cache and "
				 "index-limit bound what drayd keeps there\n"));
		break;
	default:
		break;
	}
}
