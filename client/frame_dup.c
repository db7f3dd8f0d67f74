/* frame_dup — deep copies of frames. */
#include "frames.h"
#include "lockfile_dup.h"

struct frame frame_dup(const struct frame *from, struct arena *a)
{
	struct frame f = *from;

	switch (f.kind) {
	case FRAME_HELLO:
		f.hello.server = str_dup(a, f.hello.server);
		break;
	case FRAME_PACKAGE:
		f.package.name = str_dup(a, f.package.name);
		f.package.version = str_dup(a, f.package.version);
		f.package.url = str_dup(a, f.package.url);
		f.package.meta = lock_package_dup(a, &f.package.meta);
		break;
	case FRAME_SLOT:
		f.slot.snap = lock_snapshot_dup(a, &f.slot.snap);
		break;
	case FRAME_IMPORTER:
		f.importer.importer = lock_importer_dup(a, &f.importer.importer);
		break;
	case FRAME_VERDICT:
		f.verdict.text = str_dup(a, f.verdict.text);
		break;
	case FRAME_WARNING:
		f.warning.package = str_dup(a, f.warning.package);
		f.warning.text = str_dup(a, f.warning.text);
		break;
	case FRAME_PEER_ISSUE:
		f.peer_issue.importer = str_dup(a, f.peer_issue.importer);
		f.peer_issue.peer = str_dup(a, f.peer_issue.peer);
		f.peer_issue.wanted = str_dup(a, f.peer_issue.wanted);
		f.peer_issue.found = str_dup(a, f.peer_issue.found);
		f.peer_issue.by = str_dup(a, f.peer_issue.by);
		f.peer_issue.chain = str_dup(a, f.peer_issue.chain);
		break;
	case FRAME_LOCK_HEAD:
		f.lock_head = lock_head_dup(a, &f.lock_head);
		break;
	case FRAME_DONE:
		f.done.lockfile = STR_NONE;
		break;
	case FRAME_FAILURE:
		f.failure.package = str_dup(a, f.failure.package);
		f.failure.chain = str_dup(a, f.failure.chain);
		f.failure.text = str_dup(a, f.failure.text);
		break;
	}
	return f;
}
