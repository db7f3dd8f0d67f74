/* notify — tells a service manager where drayd is: systemd's sd_notify(3), and whatever else sets NOTIFY_SOCKET.
 *
 * Owns nothing. Any thread. Without NOTIFY_SOCKET, or when nobody listens there, nothing happens. */
#pragma once
#include "base/base.h"

/* Lines of sd_notify(3), as "READY=1\nSTATUS=…". */
void notify(const char *fmt, ...) PRINTF_LIKE(1, 2);
