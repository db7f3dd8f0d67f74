/* plain_h2o DIR THREADS — what libh2o does by itself: its own file handler, a loop a thread, h2c. Prints its port.
 *
 * For packs_load.py: drayd's packs against this, for the same file on the same machine. */
#include <fcntl.h>
#include <h2o.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct loop {
	h2o_globalconf_t *conf;
	h2o_context_t ctx;
	h2o_accept_ctx_t accept;
	int fd;
};

static void on_accept(h2o_socket_t *listener, const char *err)
{
	struct loop *l = listener->data;
	h2o_socket_t *sock = err ? NULL : h2o_evloop_socket_accept(listener);

	if (sock)
		h2o_accept(&l->accept, sock);
}

static void *loop_run(void *arg)
{
	struct loop *l = arg;

	h2o_context_init(&l->ctx, h2o_evloop_create(), l->conf);
	l->accept = (h2o_accept_ctx_t){ .ctx = &l->ctx, .hosts = l->conf->hosts };
	h2o_socket_t *sock = h2o_evloop_socket_create(l->ctx.loop, l->fd, H2O_SOCKET_FLAG_DONT_READ);
	sock->data = l;
	h2o_socket_read_start(sock, on_accept);
	for (;;)
		h2o_evloop_run(l->ctx.loop, INT32_MAX);
	return NULL;
}

static int listen_loopback(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, n) < 0 || listen(fd, 4096) < 0 ||
		getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
		return -1;
	printf("%d\n", ntohs(sa.sin_port));
	fflush(stdout);
	return fd;
}

int main(int argc, char **argv)
{
	h2o_globalconf_t conf;
	int threads = argc == 3 ? atoi(argv[2]) : 0;

	if (threads < 1 || threads > 64) {
		fprintf(stderr, "usage: plain_h2o DIR THREADS\n");
		return 2;
	}
	h2o_config_init(&conf);
	h2o_hostconf_t *host = h2o_config_register_host(&conf, h2o_iovec_init(H2O_STRLIT("default")), 65535);
	h2o_file_register(h2o_config_register_path(host, "/", 0), argv[1], NULL, NULL, 0);
	int fd = listen_loopback();
	if (fd < 0) {
		perror("plain_h2o");
		return 1;
	}
	for (int i = 0; i < threads; i++) {
		struct loop *l = calloc(1, sizeof(*l));
		pthread_t tid;
		if (!l)
			return 1;
		l->conf = &conf;
		l->fd = i ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : fd;
		if (l->fd < 0 || pthread_create(&tid, NULL, loop_run, l) != 0)
			return 1;
	}
	pause();
	return 0;
}
