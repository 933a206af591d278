#ifndef QUARTET_GST_H
#define QUARTET_GST_H

#include <gst/gst.h>

/* What bus_next found; strings are the caller's to free with g_free. */
typedef struct {
	int kind; /* one of the below; 0: nothing within the time */
	char *source; /* name of the element, and its factory's */
	char *factory;
	char *text; /* of an error or warning with the debug text; an element message's structure */
} quartet_message;

enum {
	QUARTET_NOTHING,
	QUARTET_ERROR,
	QUARTET_WARNING,
	QUARTET_ELEMENT,
	QUARTET_EOS,
};

void quartet_bus_next(GstElement *pipeline, int milliseconds, quartet_message *m);
/* Asks an encoder for a key frame. */
int quartet_key_frame(GstElement *pipeline, const char *element);
/* Sets a property from text. 0: no such element, or it has no such property. */
int quartet_set(GstElement *pipeline, const char *element, const char *property, const char *value);
/* Makes a pipeline's running time that of the system's clock, before it plays. */
void quartet_system_time(GstElement *pipeline);

#endif
