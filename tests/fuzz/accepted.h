/* accepted — an input that was let through, told to run_corpus: a corpus of which nothing is, as after a change
 * of format, tests nothing. */
#pragma once

extern unsigned corpus_accepted __attribute__((weak)); /* libFuzzer has none */

static inline void accepted(void)
{
	if (&corpus_accepted)
		corpus_accepted++;
}
