/* plan_body — writes the two messages of which a plan has thousands, packages and slots.
 *
 * The bytes are those that protobuf-c's pack functions make of the same message (a test compares them); their
 * walk over descriptors, once for the size and once for the bytes, took a fifth of what encoding a plan takes.
 * Internal to the wire. Pure. */
#pragma once
#include "base/buf.h"

struct Dray__Frame;

/* Appends O, a frame whose body is a package or a slot; of any other it appends nothing and returns false. */
bool plan_body_put(struct buf *out, const struct Dray__Frame *o);
