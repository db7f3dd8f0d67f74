/* For a drayd whose threads are no more patient than others:
 * --wrap=pthread_setschedparam,--wrap=setpriority. What is made when nothing else is to be done (deltas,
 * packs at their best) is made for tests beside which a machine is never idle. */
#include <pthread.h>
#include <sys/resource.h>

int __wrap_pthread_setschedparam(pthread_t of, int policy, const struct sched_param *p);
int __wrap_setpriority(__priority_which_t which, id_t who, int to);

int __wrap_pthread_setschedparam(pthread_t of, int policy, const struct sched_param *p)
{
	(void)of, (void)policy, (void)p;
	return 0;
}

int __wrap_setpriority(__priority_which_t which, id_t who, int to)
{
	(void)which, (void)who, (void)to;
	return 0;
}
