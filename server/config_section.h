/* config_section — the parts of a configuration file that are about something with a name.
 *
 *	[upstream NAME]   a registry for some scopes, or what else there is to say of the default one
 *	[access NAME]     which tokens may see some packages
 *
 * A section lasts to the next header; its lines are `name = value` like the others.
 * config.c reads the file and hands over each line. */
#pragma once
#include "config.h"

/* "[upstream NAME]": begins a section. ERR_USAGE. */
MUST_USE int config_section_begin(struct config *c, str header, struct err *e);
/* Whether NAME, an option of drayd's own, is also the name of a line in sections of that kind. */
bool config_section_shares(enum config_section kind, str name);
/* A line of the section that was begun last. ERR_USAGE, ERR_NOTFOUND and ERR_IO for a credential's file or variable. */
MUST_USE int config_section_set(struct config *c, str name, str value, struct err *e);
/* After the last line: adds the default upstream (`registry`) and checks what needs all sections. */
MUST_USE int config_section_end(struct config *c, struct err *e);
