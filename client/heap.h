/* heap — how malloc lays out this process's memory. Once, before any thread. */
#pragma once

/* An install's memory comes in bursts, some blocks of it large, and what they leave behind would stay. */
void heap_shape(void);
