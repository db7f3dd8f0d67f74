/* The part of the rig that waits for a drayd's packs, by its metrics. */
#include "measure.h"
#include "rig.h"
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Of one answer to GET /metrics. */
enum { ANSWER_S = 30 };

/* All of the answer to GET /metrics. */
static int metrics(struct buf *out, int port, struct err *e)
{
	static const char ask[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval most = { .tv_sec = ANSWER_S };
	ssize_t n = -1;

	buf_clear(out);
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most)) == 0 &&
		connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
		write(fd, ask, sizeof(ask) - 1) == (ssize_t)sizeof(ask) - 1) {
		while ((n = read(fd, buf_reserve(out, 65536), 65536)) > 0)
			out->n += (size_t)n;
	}
	if (n < 0)
		err_os(e, "ask drayd for its metrics");
	if (fd >= 0)
		close(fd);
	return n < 0 ? e->code : 0;
}

static bool is_zero(str text, str line)
{
	return str_find_str(text, line, 0) != SIZE_MAX;
}

int rig_drayd_packs(struct rig *r, bool settled, double patience_s, struct err *e)
{
	AUTO(buf_release) struct buf b = BUF_INIT;
	double start = measure_now();

	do {
		if (metrics(&b, rig_drayd_port(r), e) < 0)
			return e->code;
		if (is_zero(buf_str(&b), STR("\ndrayd_packs_pending 0\n")) &&
			is_zero(buf_str(&b), STR("\ndrayd_packs_deltas_pending 0\n")) &&
			(!settled || is_zero(buf_str(&b), STR("\ndrayd_packs_warm 0\n"))))
			return 0;
		nanosleep(&(struct timespec){ 0, 200000000 }, NULL);
	} while (measure_now() - start < patience_s);
	return err_set(
		e, ERR_TIMEOUT, "drayd has not %s its packs within %.0f s", settled ? "settled" : "made", patience_s);
}
