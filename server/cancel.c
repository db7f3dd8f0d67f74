#include "server.h"

void cancel_init(struct cancel *c)
{
	*c = (struct cancel){ 0 };
	pthread_mutex_init(&c->lock, NULL);
}

/* The hook runs under the lock, so that taking it back waits for it: it must be short and not call back. */
void cancel_set(struct cancel *c)
{
	pthread_mutex_lock(&c->lock);
	if (!c->set && c->hook)
		c->hook(c->arg);
	c->set = true;
	pthread_mutex_unlock(&c->lock);
}

bool cancel_is_set(struct cancel *c)
{
	pthread_mutex_lock(&c->lock);
	bool set = c->set;
	pthread_mutex_unlock(&c->lock);
	return set;
}

void cancel_hook(struct cancel *c, void (*hook)(void *arg), void *arg)
{
	pthread_mutex_lock(&c->lock);
	c->hook = hook;
	c->arg = arg;
	if (c->set && hook)
		hook(arg);
	pthread_mutex_unlock(&c->lock);
}

void cancel_release(struct cancel *c)
{
	pthread_mutex_destroy(&c->lock);
}
