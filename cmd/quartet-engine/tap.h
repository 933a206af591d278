#ifndef QUARTET_TAP_H
#define QUARTET_TAP_H

#include <gst/gst.h>
#include <stdint.h>

/* appsink and appsrc by their action signals: their header is in plugins-base,
 * whose -dev package we do without. */

enum {
	QUARTET_PULL_NONE = 0, /* nothing within the time */
	QUARTET_PULL_ENDED = -1,
	QUARTET_PULL_LONG = -2, /* more than there is room for; dropped */
};

/* Takes the next buffer of an appsink: returns its size, or one of the above.
 * running is its running time in ns, -1 if it has none. */
long quartet_pull(GstElement *appsink, int milliseconds, void *to, size_t room, int64_t *running);
/* Pushes a copy of bytes into an appsrc. 0: it takes nothing more. */
int quartet_tap_push(GstElement *appsrc, const void *data, size_t size, int64_t running);
/* Counts the buffers that leave an element. 0: no such element. */
int quartet_tally(GstElement *pipeline, const char *element, uint64_t *counter);
uint64_t quartet_tallied(const uint64_t *counter);
/* Has a decoder give back what it holds: says that the picture stands still. */
int quartet_still(GstElement *pipeline, const char *decoder);

#endif
